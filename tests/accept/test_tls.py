"""TLS: STARTTLS and implicit, on both event loops, with certificates that can be exchanged."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from tests.accept.service import Service, credential, running
from tests.parts.certs import Authority, Certified

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


def on(loop: Callable[[], asyncio.AbstractEventLoop], story: Callable[[], Awaitable[None]]) -> None:
    """Run a story on a loop of that kind."""

    async def told() -> None:
        await story()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(told())


async def send_one(service: Service, tls: ssl.SSLContext, *, implicit: bool) -> None:
    """Log in over TLS and send a message bigger than one TLS record."""
    client = await service.connect(tls=tls if implicit else None)
    if not implicit:
        assert "STARTTLS" in await client.hello()
        await client.start_tls(tls)
        hello = await client.ask("EHLO app.example.com")
    else:
        hello = await client.hello()
    assert "STARTTLS" not in hello
    assert "AUTH PLAIN LOGIN" in hello
    assert (await client.ask("STARTTLS")).startswith("503 5.5.1 TLS is active already")
    assert (await client.log_in()).startswith("235 ")
    await client.envelope()
    assert (await client.data(b"A: b\r\n\r\n" + b"words on a line\r\n" * 20_000)).startswith("250 ")
    assert (await client.ask("QUIT")).startswith("221 ")
    assert await client.at_end()


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_stranger_logs_in_over_tls_and_sends(
    here: Path,
    authority: Authority,
    certified: Certified,
    loop: Callable[[], asyncio.AbstractEventLoop],
    implicit: bool,
) -> None:
    """The certificate is verified, AUTH is announced, the message says ESMTPSA and which cipher."""

    async def story() -> None:
        async with running(here, credential(), certified=certified, trusted_networks=()) as service:
            await send_one(service, authority.trust(), implicit=implicit)
            content = service.last.content
            assert b" with ESMTPSA id " in content
            assert b"(using TLSv1.3 with cipher TLS_" in content
            assert len(content) > 300_000

    on(loop, story)


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_what_was_said_before_starttls_does_not_count(
    here: Path, authority: Authority, certified: Certified, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """RFC 3207 4.2: envelope and greeting are forgotten, and commands slipped in before it are not obeyed."""

    async def story() -> None:
        async with running(here, certified=certified) as service:
            client = await service.hello()
            await client.envelope()
            await client.send(b"STARTTLS\r\nRSET\r\nNOOP slipped in\r\n")
            assert (await client.reply()).startswith("220 ")
            await client.writer.start_tls(authority.trust(), server_hostname="localhost")
            assert (await client.ask("MAIL FROM:<a@example.com>")).startswith("503 5.5.1 Send EHLO")
            await client.ask("EHLO app.example.com")
            assert (await client.ask("RCPT TO:<b@example.net>")).startswith("503 5.5.1 Send MAIL")
            await client.envelope()
            assert (await client.data(b"hello")).startswith("250 ")

    on(loop, story)


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_client_that_does_not_trust_us_leaves_a_note_and_no_trace(
    here: Path, certified: Certified, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A failed handshake ends the session quietly; others are served."""

    async def story() -> None:
        async with running(here, certified=certified) as service:
            client = await service.hello()
            with pytest.raises(ssl.SSLCertVerificationError):
                await client.start_tls(ssl.create_default_context())
            with pytest.raises(ssl.SSLCertVerificationError):
                await service.connect(tls=ssl.create_default_context())
            nonsense = await service.hello()
            await nonsense.ask("STARTTLS")
            await nonsense.send(b"this is no handshake\r\n" * 10)
            assert await asyncio.wait_for(_last_of(nonsense.reader), 10) == b""
            other = await service.hello()
            await other.envelope()
            assert (await other.data(b"hello")).startswith("250 ")
            assert "TLS handshake failed" in service.log_lines()

    on(loop, story)


async def _last_of(reader: asyncio.StreamReader) -> bytes:
    """What comes at the end of everything: nothing. A reset is an end too."""
    try:
        while await reader.read(1000):
            pass
    except ConnectionError:
        pass
    return b""
