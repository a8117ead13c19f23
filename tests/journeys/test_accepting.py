"""How mail comes in: who may send, and what is said to those who may not."""

import asyncio
import base64
import json
import re
import shutil
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.journeys.internet import Internet
from tests.journeys.office import PATIENCE, Office, hand_in, office
from tests.parts.certs import Authority
from tests.parts.mx import FakeMx

pytestmark = pytest.mark.asyncio(loop_scope="package")

SECRET = "a secret from elsewhere"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def provider(authority: Authority, internet: Internet) -> AsyncIterator[FakeMx]:
    """A next hop that wants a login, over TLS that can be verified."""
    certified = authority.certificate("smart.test")
    host = FakeMx(
        host="smart.test",
        listen=internet.address(),
        port=internet.port,
        tls=certified.server_context(),
        users={"relay": "between us"},
    )
    internet.dns.zone["smart.test"] = {"A": [host.listen]}
    async with host as provider:
        yield provider


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def strict(
    internet: Internet, authority: Authority, provider: FakeMx, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """A relay as the world meets it: TLS, nobody is trusted, no private destinations, a provider for one domain."""
    directory = tmp_path_factory.mktemp("strict")
    certified = authority.certificate("localhost")
    route = {"host": "smart.test", "port": internet.port, "tls": "require", "user": "relay", "password": "between us"}
    settings = internet.settings(allow_private_destinations=False, routes={"routed.test": route}) | {
        "submission": {
            "listen": ["127.0.0.1:0"],
            "listen_tls": ["127.0.0.1:0"],
            "tls_certificate": certified.certificate,
            "tls_key": certified.key,
            "trusted_networks": [],
            "hide_client_address": True,
        },
        "log": {"json_file": directory / "log.jsonl"},
    }
    # OpenSSL's own variable: whom the relay believes.
    async with office(directory, internet, settings, env={"SSL_CERT_FILE": str(authority.file)}) as strict:
        await strict.cli("credential", "add", "shop", "--from", "shop.test", "--password-stdin", stdin=SECRET.encode())
        yield strict


def log_in(strict: Office, authority: Authority, *, implicit: bool) -> smtplib.SMTP:
    """An application's connection, logged in over TLS that it has verified."""
    if implicit:
        _, port = strict.program.submission_tls
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            "localhost", port, local_hostname="secret-host.test", timeout=PATIENCE, context=authority.trust()
        )
    else:
        _, port = strict.program.submission
        client = smtplib.SMTP("localhost", port, local_hostname="secret-host.test", timeout=PATIENCE)
        client.starttls(context=authority.trust())
    client.login("shop", SECRET)
    return client


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit TLS"])
async def test_an_application_logs_in_and_sends_by_way_of_a_provider(
    strict: Office, authority: Authority, provider: FakeMx, implicit: bool
) -> None:
    """Its credential is kept with the message; the provider gets our login, over TLS with its name verified."""

    def send() -> str:
        with log_in(strict, authority, implicit=implicit) as client:
            return hand_in(client, "ada@shop.test", ["bob@routed.test"], b"From: ada@shop.test\r\n\r\nhello\r\n")

    queue_id = await asyncio.to_thread(send)
    await strict.outcome(queue_id, "sent")
    copy = provider.messages[-1]
    assert (copy.user, copy.tls, copy.recipients) == ("relay", True, ("bob@routed.test",))
    assert b"ESMTPSA id " + queue_id.encode() in copy.content
    assert b"secret-host" not in copy.content and b"127.0.0.1" not in copy.content  # hide_client_address
    assert strict.delivery(queue_id)["credential"] == "shop"
    (attempt,) = strict.attempts(queue_id)
    assert attempt["tls"].endswith(" smart.test")
    assert "between us" not in attempt["transcript"]
    talks = strict.rows("SELECT transcript FROM attempts WHERE mx_host = 'smart.test'")
    assert "AUTH PLAIN ********" in talks[0]["transcript"]  # the second message goes over the same connection


async def test_the_same_as_json(strict: Office, authority: Authority) -> None:
    """`log.json_file`: the same events as objects, with the names of the views."""

    def send() -> str:
        with log_in(strict, authority, implicit=True) as client:
            return hand_in(client, "ada@shop.test", ["eve@routed.test"], b"From: ada@shop.test\r\n\r\nhello\r\n")

    queue_id = await asyncio.to_thread(send)
    await strict.outcome(queue_id, "sent")
    sessions = len(strict.program.matching("disconnect from"))
    await asyncio.to_thread(lambda: smtplib.SMTP(*strict.program.submission, timeout=PATIENCE).quit())
    await strict.program.line("disconnect from", count=sessions + 1)  # a later turn of the loop: all before is written
    records = [json.loads(line) for line in (strict.directory / "log.jsonl").read_text().splitlines()]
    (record,) = [record for record in records if record["event"] == "sent" and record["queue_id"] == queue_id]
    assert (record["recipient"], record["credential"], record["mx_host"]) == ("eve@routed.test", "shop", "smart.test")


async def refusal(strict: Office, reply: tuple[int, bytes]) -> tuple[int, str]:
    """What the view `refused` knows of a refusal by the reference in its reply: its code and rule."""
    found = re.search(rb"\[(R\d+) (\w+)\]$", reply[1])
    assert found, reply
    ref = found[2].decode()
    await strict.cli("refused", "show", ref)
    (row,) = strict.rows("SELECT * FROM refused WHERE ref = ?", ref)
    assert (row["smtp_code"], row["rule"]) == (reply[0], found[1].decode())
    return row["smtp_code"], row["stage"]


async def test_a_stranger_cannot_relay(strict: Office) -> None:
    """Without a login there is no relaying; the reply says what to do, and the view `refused` has it."""

    def talk() -> tuple[int, bytes]:
        with smtplib.SMTP(*strict.program.submission, timeout=PATIENCE) as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features  # no login over a connection that can be read
            return client.mail("ada@shop.test")

    reply = await asyncio.to_thread(talk)
    assert reply[0] == 530
    await strict.program.line("NOQUEUE: reject: MAIL from localhost.127.0.0.1.: 530")
    assert await refusal(strict, reply) == (530, "MAIL")


async def test_a_wrong_login(strict: Office, authority: Authority) -> None:
    """A wrong password is refused, and stands in the log as fail2ban wants it."""

    def talk() -> tuple[int, bytes]:
        with smtplib.SMTP("localhost", strict.program.submission[1], timeout=PATIENCE) as client:
            client.starttls(context=authority.trust())
            return try_login(client, "shop", "wrong")

    assert await refusal(strict, await asyncio.to_thread(talk)) == (535, "AUTH")
    await strict.program.line(r"warning: localhost\[127\.0\.0\.1\]: SASL PLAIN authentication failed")


async def test_a_credential_sends_for_its_domains_alone(strict: Office, authority: Authority) -> None:
    """A From domain that the credential is not bound to is refused, by name."""

    def talk() -> tuple[int, bytes]:
        with log_in(strict, authority, implicit=True) as client:
            return client.mail("ada@somewhere.test")

    code, text = await asyncio.to_thread(talk)
    assert code == 553 and b"somewhere.test" in text


async def test_a_stranger_s_dns_cannot_point_us_at_ourselves(
    strict: Office, authority: Authority, internet: Internet
) -> None:
    """An MX on a loopback address is refused by default, and nobody is connected to."""

    def send() -> str:
        with log_in(strict, authority, implicit=True) as client:
            return hand_in(client, "ada@shop.test", ["bob@inside.test"], b"From: ada@shop.test\r\n\r\nhello\r\n")

    async with internet.mx("inside.test") as mx:
        queue_id = await asyncio.to_thread(send)
        await strict.program.line(rf"{queue_id}: to=<bob@inside.test>.* status=")
        assert mx.connections == 0
    assert "a loopback address" in strict.delivery(queue_id)["reason"]


async def test_a_revoked_credential(strict: Office, authority: Authority) -> None:
    """`credential revoke` counts at once, on a relay that runs."""
    await strict.cli("credential", "add", "old", "--password-stdin", stdin=SECRET.encode())

    def talk() -> int:
        _, port = strict.program.submission_tls
        context = authority.trust()
        # An address of its own: those who mistyped are slowed down.
        with smtplib.SMTP_SSL(
            "localhost", port, timeout=PATIENCE, context=context, source_address=("127.0.0.7", 0)
        ) as old:
            return try_login(old, "old", SECRET)[0]

    assert await asyncio.to_thread(talk) == 235
    await strict.cli("credential", "revoke", "old")
    assert await asyncio.to_thread(talk) == 535


def try_login(client: smtplib.SMTP, user: str, password: str) -> tuple[int, bytes]:
    """One login, by AUTH PLAIN; the reply."""
    client.ehlo()
    return client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed (apt-get install swaks)")
async def test_swaks_sends(here: Office, internet: Internet, tmp_path: Path) -> None:
    """A client that is not ours: swaks with two recipients and an attachment."""
    attachment = tmp_path / "bytes.bin"
    attachment.write_bytes(bytes(range(256)) * 100)
    host, port = here.program.submission
    async with internet.mx("swaks.test") as mx:
        swaks = await asyncio.create_subprocess_exec(
            *("swaks", "--server", f"{host}:{port}", "--from", "ada@sender.test", "--pipeline"),
            *("--to", "one@swaks.test,two@swaks.test", "--attach", f"@{attachment}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await swaks.communicate()
        queued = re.search(rb"250 2\.0\.0 Queued as (\w+)", said)
        assert swaks.returncode == 0 and queued, said.decode()
        for name in ("one", "two"):
            await here.outcome(queued[1].decode(), "sent", to=f"{name}@swaks.test")
        first, second = (copy.content.partition(b"\r\n\r\n")[2] for copy in mx.messages)
        assert first == second and len(first) > 30_000


async def test_mail_for_the_bare_postmaster_is_ours(here: Office) -> None:
    """RFC 5321 4.5.1: <postmaster> is accepted without a domain; it becomes the postmaster of our own name."""
    queue_id = await here.send("postmaster")
    row = here.delivery(queue_id)
    assert row["recipient"] == "postmaster@relay.test"
    await here.program.line(rf"{queue_id}: to=<postmaster@relay.test>.* status=")


async def test_names_in_other_scripts(here: Office, internet: Internet) -> None:
    """SMTPUTF8: the address goes out as it was written, to the domain's A-labels."""
    async with internet.mx("xn--bcher-kva.test") as mx:
        queue_id = await here.send("jürgen@bücher.test", options=["SMTPUTF8", "BODY=8BITMIME"], body="grüße\r\n")
        await here.outcome(queue_id, "sent")
        (copy,) = mx.messages
        assert copy.recipients == ("jürgen@bücher.test",)
        assert "SMTPUTF8" in copy.mail_parameters and "grüße".encode() in copy.content
