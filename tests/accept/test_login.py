"""Logins: who gets in, who does not, and what a stranger hears."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.accept.credentials import BadEncoding, Delays, Login, decode, plain
from relay.credential import Secret, digest
from tests.accept import service as parts
from tests.accept.service import SECRET, Clock, credential, running

FAILED = "535 5.7.8 Login failed, user name or password is wrong. [R4102 "


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_plain_and_login_both_let_a_credential_in(here: Path) -> None:
    """PLAIN with and without an initial response; LOGIN likewise."""
    async with running(here, credential()) as service:
        welcome = "235 2.7.0 Authenticated as credential billing-app"
        initial = parts.plain("billing-app", SECRET)
        for dialogue in (
            [(f"AUTH PLAIN {initial}", welcome)],
            [("auth plain", "334 "), (initial, welcome)],
            [
                ("AUTH LOGIN", "334 VXNlcm5hbWU6"),
                (encoded("billing-app"), "334 UGFzc3dvcmQ6"),
                (encoded(SECRET), welcome),
            ],
            [(f"AUTH LOGIN {encoded('billing-app')}", "334 UGFzc3dvcmQ6"), (encoded(SECRET), welcome)],
            [(f"AUTH PLAIN {parts.plain('billing-app', SECRET, identity='billing-app')}", welcome)],
        ):
            client = await service.hello()
            for line, reply in dialogue:
                assert await client.ask(line) == reply
            assert (await client.ask("AUTH PLAIN")).startswith("503 5.5.1 Already logged in")


async def test_a_message_names_its_credential(here: Path) -> None:
    """In the message, in Received (ESMTPA) and in the log; and the credential's tag is its own."""
    async with running(here, credential(tag="bills"), trusted_networks=("127.0.0.0/8",)) as service:
        client = await service.hello()
        await client.log_in()
        await client.envelope()
        await client.data(b"hello")
        message = service.last.message
        assert (message.credential, message.tag) == ("billing-app", "bills")
        assert b" with ESMTPA id " in service.last.content
        assert "sasl_method=PLAIN, sasl_username=billing-app" in service.log_lines()


@pytest.mark.parametrize(
    ("name", "secret", "why"),
    [
        ("nobody", SECRET, "unknown credential"),
        ("billing-app", "mt_false", "wrong or expired secret"),
        ("billing-app", "", "wrong or expired secret"),
        ("gone", SECRET, "revoked credential"),
        ("elsewhere", SECRET, "credential not allowed from 127.0.0.1"),
        ("rotated", "mt_old", "wrong or expired secret"),
    ],
)
async def test_every_failure_looks_the_same_to_the_client(here: Path, name: str, secret: str, why: str) -> None:
    """One text; the log has the reason, in the words that fail2ban waits for."""
    known = [
        credential(),
        credential("gone", revoked_at=1.0),
        credential("elsewhere", networks=("192.0.2.0/24",)),
    ]
    rotated = credential("rotated")
    object.__setattr__(rotated, "secrets", (Secret(digest(SECRET)), Secret(digest("mt_old"), expires_at=1.0)))
    async with running(here, *known, rotated) as service:
        client = await service.hello()
        reply = await client.log_in(name, secret)
        refusal = service.store.refusals[-1]
        assert reply == f"{FAILED}{refusal.ref}]"
        assert refusal.stage == "AUTH"
        wanted = f'localhost[127.0.0.1]: SASL PLAIN authentication failed: {why} "{name}" [R4102 {refusal.ref}]'
        assert wanted in service.log_lines()
        assert secret == "" or secret not in service.log_lines()


async def test_wrong_logins_slow_a_client_down_and_right_ones_do_not(here: Path) -> None:
    """1, 2, 4 … 30 seconds, over all sessions of the client."""
    async with running(here, credential()) as service:
        for _ in range(7):
            client = await service.hello()
            assert (await client.log_in(secret="wrong")).startswith("535 ")
        assert service.clock.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
        assert (await (await service.hello()).log_in()).startswith("235 ")
        assert len(service.clock.slept) == 7


def test_wrong_logins_are_forgotten_after_ten_quiet_minutes() -> None:
    """And an IPv6 client is its /64."""
    clock = Clock(0.0)
    delays = Delays(clock)
    assert [delays.failed("192.0.2.1"), delays.failed("192.0.2.1"), delays.failed("192.0.2.2")] == [1.0, 2.0, 1.0]
    assert [delays.failed("2001:db8::1"), delays.failed("2001:db8::2"), delays.failed("2001:db8:0:1::1")] == [1, 2, 1]
    clock.now += 601
    assert delays.failed("192.0.2.1") == 1.0


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("AUTH", "501 5.5.4 "),
        ("AUTH CRAM-MD5", "504 5.5.4 "),
        ("AUTH PLAIN =", "501 5.5.2 "),
        ("AUTH PLAIN !!!", "501 5.5.2 "),
        ("AUTH PLAIN " + encoded("no nul"), "501 5.5.2 "),
        ("AUTH PLAIN " + encoded("other\0billing-app\0" + SECRET), "501 5.5.2 "),
        ("AUTH PLAIN\r\n*", "334 "),
        ("AUTH PLAIN " + "A" * 12300, "500 5.5.6 "),
    ],
)
async def test_what_is_no_login_is_refused_in_words(here: Path, line: str, reply: str) -> None:
    """Syntax, mechanism, base64; and the session goes on."""
    async with running(here, credential()) as service:
        client = await service.hello()
        assert (await client.ask(line)).startswith(reply)
        if reply.startswith("334"):
            assert (await client.reply()).startswith("501 5.7.0 Login cancelled")
        assert (await client.log_in()).startswith("235 ")


async def test_no_login_within_a_message(here: Path) -> None:
    """RFC 4954 4: AUTH is not for the middle of a mail transaction."""
    async with running(here, credential()) as service:
        client = await service.hello()
        await client.envelope()
        assert (await client.log_in()).startswith("503 5.5.1 ")


async def test_a_stranger_learns_that_he_must_log_in(here: Path) -> None:
    """MAIL says so; in the clear AUTH is neither announced nor taken, and nothing is stored."""
    async with running(here, credential(), trusted_networks=()) as service:
        client = await service.connect()
        assert "AUTH" not in await client.hello()
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith(
            "530 5.7.0 Login required. Fix: set SMTP user and password (mailtrail credential add NAME). [R4101 "
        )
        assert (await client.log_in()).startswith(
            "538 5.7.11 Encryption required before login. Fix: enable STARTTLS on port 587, or TLS on port 465. [R4103 "
        )
        assert not service.store.accepted


async def test_a_stranger_who_goes_on_is_told_nothing_and_looks_to_fail2ban_as_in_postfix(here: Path) -> None:
    """RCPT after the refused MAIL is a try to relay: 554, and the log line of Postfix."""
    async with running(here, trusted_networks=()) as service:
        client = await service.hello()
        await client.send(b"MAIL FROM:<spam@example.net>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n")
        assert (await client.reply()).startswith("530 ")
        reply = await client.reply()
        refusal = service.store.refusals[-1]
        assert reply == f"554 5.7.1 Relay access denied. [R4112 {refusal.ref}]"
        assert (refusal.mail_from, refusal.rcpt_to) == ("spam@example.net", "victim@example.net")
        assert (await client.reply()).startswith("503 ")
        wanted = (
            "NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 554 5.7.1 <victim@example.net>: Relay access denied. "
            f"[R4112 {refusal.ref}]; from=<spam@example.net> to=<victim@example.net> "
            "proto=ESMTP helo=<app.example.com>"
        )
        assert wanted in service.log_lines()


async def test_a_credential_that_is_revoked_ends_its_sessions(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that lasts is looked at again from time to time."""
    monkeypatch.setattr("relay.accept.session.RECHECK", 0.0)
    async with running(here, credential()) as service:
        client = await service.hello()
        await client.log_in()
        await client.envelope()
        assert (await client.data(b"hello")).startswith("250 ")
        del service.store.known["billing-app"]
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith(
            "421 4.7.0 Credential billing-app is not valid any more. [R4123 "
        )
        assert await client.at_end()


async def test_a_login_that_cannot_be_looked_up_is_told_to_come_again(here: Path) -> None:
    """RFC 4954 4: 454, for now; never 535 for a trouble of ours."""
    async with running(here, credential()) as service:
        service.store.full = True
        client = await service.hello()
        assert (await client.log_in()).startswith("454 4.7.0 Login cannot be checked right now, please retry. [R4113 ")
        service.store.full = False
        assert (await client.log_in()).startswith("235 ")


@given(st.text("AZaz09+/=", max_size=20))
def test_any_text_is_base64_or_bad_encoding(text: str) -> None:
    """Nothing else is raised."""
    try:
        login = plain(decode(text))
    except BadEncoding:
        return
    assert isinstance(login, Login) and login.name
