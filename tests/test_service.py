"""One worker, run for real: what operators did is in the log, once; warnings are said; stopping leaves no traceback."""

import asyncio
import re
import signal
import smtplib
import ssl
from pathlib import Path

from relay import private_key
from relay.compose.signature import verified
from relay.event import Action
from relay.log_actions import NAMED, log_actions
from relay.signing_key import Algorithm
from tests.parts.certs import Authority
from tests.parts.mx import FakeMx
from tests.parts.program import Relay, command, relay
from tests.parts.written_log import ID, Written
from tests.test_reload import gone


async def submitted(program: Relay, recipient: str) -> str:
    """Hand in a message; its queue id."""
    host, port = program.submission

    def send() -> None:
        with smtplib.SMTP(host, port) as client:
            content = "From: a@news.relay.test\r\nSubject: x\r\n\r\nx\r\n"
            client.sendmail("a@relay.test", [recipient, f"2{recipient}"], content)

    before = len(program.matching(r"nrcpt=2"))
    await asyncio.to_thread(send)
    line = await program.line(r"nrcpt=2", count=before + 1)
    found = re.search(r": (\w{12}): from=", line)
    assert found
    return found[1]


async def test_what_operators_do_is_in_the_log_once(tmp_path: Path) -> None:
    """A command of another process becomes one admin line a message, with who and why, whoever does the chores."""
    async with relay(tmp_path, {"workers": 2, "delivery": {"routes": {"*": "127.0.0.1:1"}}}) as program:
        queue_id = await submitted(program, "ada@x.test")
        config = str(tmp_path / "config.toml")
        code, _, said = await command(
            "queue", "hold", queue_id, "--reason", "asked, twice", "--yes", "--config", config
        )
        assert code == 0, said
        line = await program.line(rf"/admin\[\d+\]: {queue_id}: action=hold, by=\w+")
        assert line.endswith('recipients=2, reason="asked, twice"')
        program.send(signal.SIGHUP)
        await program.line("reloaded: ")
        code, _, said = await command("queue", "release", queue_id, "--yes", "--config", config)
        assert code == 0, said
        await program.line(rf"/admin\[\d+\]: {queue_id}: action=release, by=\w+, recipients=2$")
        assert await program.stop() == 0
        assert len(program.matching(r"/admin\[")) == 2


async def test_what_was_done_while_the_relay_was_down_is_told_by_the_next(tmp_path: Path) -> None:
    """The log has every action, even those of commands that ran beside no relay."""
    config = str(tmp_path / "config.toml")
    async with relay(tmp_path, {"delivery": {"routes": {"*": "127.0.0.1:1"}}}) as program:
        queue_id = await submitted(program, "ada@x.test")
        assert await program.stop() == 0
    assert (await command("queue", "cancel", queue_id, "--yes", "--config", config))[0] == 0
    async with relay(tmp_path, {"delivery": {"routes": {"*": "127.0.0.1:1"}}}) as program:
        await program.line(f"{queue_id}: action=cancel")
        assert await program.stop() == 0


def test_an_action_on_many_messages_does_not_flood_the_log(tmp_path: Path) -> None:
    """The first hundred messages have a line of their own, all others one line together with their number."""
    written = Written(tmp_path)
    log_actions(
        written.log, [Action("hold", ID, "anna", 2, number, {"reason": "price"}) for number in range(NAMED + 40)]
    )
    assert len(written.lines) == NAMED + 1
    assert written.last == "admin: hold: by=anna, more=40, recipients=80, reason=price"


async def test_what_is_doubtful_in_the_configuration_is_said_at_the_start_and_at_each_reload(tmp_path: Path) -> None:
    """Warnings of the configuration are warning lines of the log."""
    async with relay(tmp_path, {"hostname": "nodots"}) as program:
        assert len(program.matching(r'warning: line 1: hostname: "nodots" is no full name')) == 1
        program.send(signal.SIGHUP)
        await program.line("reloaded: ")
        assert len(program.matching(r"warning: line 1: hostname: ")) == 2
        assert await program.stop() == 0


async def test_a_renewed_certificate_is_used_after_a_reload(tmp_path: Path) -> None:
    """Whoever comes then sees the new one; files that do not fit change nothing."""
    authority = Authority(tmp_path)
    first, second = authority.certificate("127.0.0.1"), authority.certificate("127.0.0.1")
    files = {"tls_certificate": str(first.certificate), "tls_key": str(first.key)}
    async with relay(tmp_path, {"submission": files}) as program:
        (worker,) = program.children
        serials = [await asyncio.to_thread(serial, program.submission, authority)]
        first.certificate.write_bytes(second.certificate.read_bytes())
        program.send(signal.SIGHUP)
        await program.line("not reloaded, the old configuration stays: ")
        serials.append(await asyncio.to_thread(serial, program.submission, authority))
        first.key.write_bytes(second.key.read_bytes())
        program.send(signal.SIGHUP)
        program.ready_line = await program.line(r"/relay\[\d+\]: reloaded: ")
        await gone(worker)
        serials.append(await asyncio.to_thread(serial, program.submission, authority))
        assert await program.stop() == 0
    assert serials[0] == serials[1] != serials[2]


def serial(address: tuple[str, int], authority: Authority) -> str:
    """The number of the certificate that a client sees."""
    with smtplib.SMTP(*address) as client:
        client.starttls(context=authority.trust())
        assert isinstance(client.sock, ssl.SSLSocket)
        seen = client.sock.getpeercert()
        assert seen
        return str(seen["serialNumber"])


async def test_a_key_of_the_configuration_signs_what_goes_out(tmp_path: Path) -> None:
    """What comes from its domain, or from one below it, verifies when it arrives."""
    key = private_key.make(Algorithm.ED25519)
    (tmp_path / "s1.pem").write_bytes(private_key.pem(key))
    records = {"s1._domainkey.relay.test": [f"v=DKIM1; k=ed25519; p={private_key.public_half(key)}".encode()]}
    signing = {"relay.test": {"selector": "s1", "key_file": "s1.pem"}}
    async with FakeMx() as mx:
        settings = {"dkim": signing, "delivery": {"routes": {"*": f"127.0.0.1:{mx.port}"}}}
        async with relay(tmp_path, settings) as program:
            await submitted(program, "ada@x.test")
            for copy in await mx.received(2):
                assert verified(copy.content, lambda name: records.get(name, []))
            assert await program.stop() == 0


async def test_a_stop_that_is_asked_for_twice_leaves_no_traceback(tmp_path: Path) -> None:
    """SIGTERM and Ctrl-C right after ready, and twice, leave no traceback and no process behind."""
    for number in (signal.SIGTERM, signal.SIGINT):
        async with relay(tmp_path, {"workers": 2}) as program:
            program.send_group(number)
            program.send_group(number)
            assert await program.exit_code() in (0, 1)
            assert not program.matching("Traceback|KeyboardInterrupt|Exception")


_LATE_BOUNCE = """From: mailer-daemon@mx.test
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="edge"

--edge
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 No such user here

--edge--
"""


async def test_a_bounce_comes_back_to_the_delivery_that_it_is_about(tmp_path: Path) -> None:
    """Each copy leaves with a reverse-path of its own; a late bounce to it suppresses that recipient and no other."""
    async with FakeMx() as mx:
        settings = {
            "delivery": {"routes": {"*": f"127.0.0.1:{mx.port}"}},
            "inbound": {"listen": ["127.0.0.1:0"], "bounce_domain": "bounce.relay.test"},
        }
        async with relay(tmp_path, settings) as program:
            await submitted(program, "ada@x.test")
            first, second = await mx.received(2)
            assert first.mail_from.endswith("@bounce.relay.test")
            assert first.mail_from != second.mail_from
            await program.line("status=sent", count=2)
            host, port = program.inbound

            def send_back() -> None:
                with smtplib.SMTP(host, port) as client:
                    client.sendmail("", [first.mail_from.upper()], _LATE_BOUNCE.format(recipient=first.recipients[0]))

            await asyncio.to_thread(send_back)
            await program.line(r"/feedback\[\d+\]: \w+: to=<B-\w+@BOUNCE.RELAY.TEST>, .*status=sent \(hard_bounce of ")
            config = str(tmp_path / "config.toml")
            code, said, _ = await command("suppression", "list", "--json", "--config", config)
            assert code == 0
            assert first.recipients[0] in said
            assert second.recipients[0] not in said
            assert await program.stop() == 0
