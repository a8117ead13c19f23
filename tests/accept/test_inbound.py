"""The inbound service: reports to our own addresses come in, and nothing else; what is taken is kept."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from relay.accept.inbound import Inbound, serve_inbound
from relay.accept.letter import Letter, TooEarly
from relay.accept.server import Server
from relay.address import Address
from relay.config import Config, Endpoint, LogSection
from relay.config import Inbound as Settings
from relay.log import Log
from relay.queue_id import QueueIds
from relay.return_path import Own, Use, bounce_local, unsubscribe_local
from relay.store.errors import StoreUnavailable
from tests.accept.service import HOST, Client, Clock
from tests.parts.certs import Authority, Certified
from tests.parts.keeping import MemoryStore
from tracker.token import Keyring

DOMAIN = "bounce.example.com"
KEYRING = Keyring({1: bytes(range(32))})
BOUNCE = f"{bounce_local(KEYRING, '0abcdef12345', 3)}@{DOMAIN}"
OWN = Own(Use.BOUNCE, "0abcdef12345", 3)
REPORT = b"From: MAILER-DAEMON@mx.example.net\r\nSubject: failed\r\n\r\nIt failed."


@dataclass
class Desk:
    """Whoever understands reports: keeps what it is given, unless it is told to have trouble."""

    taken: list[tuple[Letter, Address, Own]] = field(default_factory=list)
    trouble: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, letter: Letter, recipient: Address, own: Own) -> None:
        self.begun.set()
        await self.gate.wait()
        if self.trouble:
            raise self.trouble
        self.taken.append((letter, recipient, own))
        self.done.set()


@dataclass
class Service:
    """Everything that runs."""

    server: Server
    desk: Desk
    store: MemoryStore
    log: Log
    log_file: Path
    clients: list[Client] = field(default_factory=list)

    async def connect(self) -> Client:
        at = self.server.addresses[0]
        client = Client(*await asyncio.open_connection(at.host, at.port))
        self.clients.append(client)
        return client

    async def hello(self) -> Client:
        client = await self.connect()
        await client.hello()
        return client

    def log_lines(self) -> str:
        self.log.flush()
        return self.log_file.read_text()


@contextlib.asynccontextmanager
async def running(directory: Path, certified: Certified | None = None, **settings: Any) -> AsyncIterator[Service]:
    """The service with these settings of `[inbound]`."""
    here = Endpoint("127.0.0.1", 0)
    log_file = directory / "mail.log"
    config = Config(hostname=HOST, log=LogSection(file=log_file))
    config = replace(config, inbound=replace(Settings(listen=(here,), bounce_domain=DOMAIN), **settings))
    if certified:
        own = replace(config.submission, tls_certificate=certified.certificate, tls_key=certified.key)
        config = replace(config, submission=own)
    clock, store, desk = Clock(), MemoryStore(), Desk()
    desk.gate.set()
    log = Log(config, clock=clock)
    inbound = Inbound(config, desk, lambda: KEYRING, log, QueueIds(os.getpid(), clock), clock)
    server = await serve_inbound(inbound, store, log)
    service = Service(server, desk, store, log, log_file)
    try:
        yield service
    finally:
        for client in service.clients:
            await client.close()
        await server.close(grace=5.0)
        log.close()


async def test_a_report_to_one_of_our_addresses_is_taken(here: Path) -> None:
    """From anybody, the null reverse-path above all; 250 when it is kept, and the log tells the story."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope("", BOUNCE.swapcase())
        assert (await client.data(REPORT)).startswith("250 2.0.0 Queued as ")
        ((letter, recipient, own),) = service.desk.taken
        assert (own, recipient.destination, letter.reverse_path) == (OWN, DOMAIN, None)
        assert letter.content == REPORT + b"\r\n"
        lines = service.log_lines()
        for part in ("client=localhost[127.0.0.1]", "message-id=<>", "from=<>, size=", "removed"):
            assert f"{letter.queue_id}: {part}" in lines


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("somebody@example.net", "550 5.7.1 Relay access denied"),
        (f"{BOUNCE.partition('@')[0]}@other.example", "550 5.7.1 Relay access denied"),
        (f"somebody@{DOMAIN}", "550 5.1.1 No such address here"),
        (f"b-{'a' * 42}@{DOMAIN}", "550 5.1.1 No such address here"),
        (f"u-{BOUNCE[2:]}", "550 5.1.1 No such address here"),
        (f"{bounce_local(Keyring({1: bytes(32)}), '0abcdef12345', 3)}@{DOMAIN}", "550 5.1.1 No such address here"),
    ],
)
async def test_all_else_is_refused_at_rcpt(here: Path, recipient: str, reply: str) -> None:
    """Other domains, unknown names and forged tokens: 550 at once, in the log and kept, and nothing is read."""
    async with running(here) as service:
        client = await service.hello()
        assert (await client.ask("MAIL FROM:<>")).startswith("250 ")
        assert (await client.ask(f"RCPT TO:<{recipient}>")).startswith(reply)
        assert (await client.ask("DATA")).startswith("503 ")
        assert f"NOQUEUE: reject: RCPT from localhost[127.0.0.1]: {reply[:9]} <{recipient}>" in service.log_lines()
        assert [refusal.rcpt_to for refusal in service.store.refusals] == [recipient]
        assert service.desk.taken == []


@pytest.mark.parametrize(
    ("recipient", "use"),
    [
        (f"fbl@{DOMAIN}", Use.FEEDBACK),
        (f"Postmaster@{DOMAIN.upper()}", Use.PEOPLE),
        (f"abuse@{DOMAIN}", Use.PEOPLE),
        ("postmaster", Use.PEOPLE),
        (f"{unsubscribe_local(KEYRING, '0abcdef12345', 3)}@{DOMAIN}", Use.UNSUBSCRIBE),
    ],
)
async def test_what_an_address_is_for_is_told(here: Path, recipient: str, use: Use) -> None:
    """RFC 5321 4.5.1: <postmaster> too, with or without the domain."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope("someone@example.net", recipient)
        assert (await client.data(REPORT)).startswith("250 ")
        assert [(own.use, address.destination) for _, address, own in service.desk.taken] == [(use, DOMAIN)]


async def test_each_recipient_is_told_once(here: Path) -> None:
    """Two deliveries may bounce in one message; the same address twice is one."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope("", BOUNCE, f"fbl@{DOMAIN}", BOUNCE)
        assert (await client.data(REPORT)).startswith("250 ")
        assert [own.use for _, _, own in service.desk.taken] == [Use.BOUNCE, Use.FEEDBACK]


async def test_one_letter_to_people_is_one_however_often_they_are_named(here: Path) -> None:
    """Nobody makes sixty copies of it by writing postmaster in sixty ways."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope("", f"postmaster@{DOMAIN}", f"POSTMASTER@{DOMAIN}", "Postmaster", f"abuse@{DOMAIN}")
        assert (await client.data(REPORT)).startswith("250 ")
        assert [own.use for _, _, own in service.desk.taken] == [Use.PEOPLE]


@pytest.mark.parametrize(
    ("trouble", "reply"),
    [
        (StoreUnavailable("no space left"), "451 4.3.1 "),
        (TooEarly(), "451 4.3.0 The delivery that this is about is not settled yet"),
        (RuntimeError("a mistake of ours"), "451 4.3.0 "),
    ],
)
async def test_our_own_trouble_is_temporary(here: Path, trouble: Exception, reply: str) -> None:
    """Whatever goes wrong here, the sender keeps the report and comes again."""
    async with running(here) as service:
        service.desk.trouble = trouble
        client = await service.hello()
        await client.envelope("", BOUNCE)
        assert (await client.data(REPORT)).startswith(reply)
        if isinstance(trouble, StoreUnavailable):
            assert "told to come again: no space left" in service.log_lines()
        service.desk.trouble = None
        await client.envelope("", BOUNCE)
        assert (await client.data(REPORT)).startswith("250 ")


async def test_hanging_up_after_the_dot_cancels_nothing(here: Path) -> None:
    """Whoever has sent the dot may count on it."""
    async with running(here) as service:
        service.desk.gate.clear()
        client = await service.hello()
        await client.envelope("", BOUNCE)
        assert (await client.ask("DATA")).startswith("354 ")
        await client.send(REPORT + b"\r\n.\r\n")
        await asyncio.wait_for(service.desk.begun.wait(), 20)
        await client.close()
        service.desk.gate.set()
        await asyncio.wait_for(service.desk.done.wait(), 20)
        assert len(service.desk.taken) == 1


async def test_it_has_limits_of_its_own(here: Path) -> None:
    """Size, recipients and sessions are those of [inbound]."""
    async with running(here, max_message_size=1000, max_recipients=1, max_sessions=1) as service:
        client = await service.hello()
        assert (await client.ask("MAIL FROM:<> SIZE=1001")).startswith("552 5.3.4 ")
        await client.envelope("", BOUNCE)
        assert (await client.ask(f"RCPT TO:<fbl@{DOMAIN}>")).startswith("452 4.5.3 ")
        assert (await client.data(b"x" * 500 + b"\r\n" + b"x" * 600)).startswith("552 5.3.4 ")
        second = await service.connect()
        assert (await second.reply()).startswith("421 4.3.2 ")
        assert service.desk.taken == []


async def test_mail_that_goes_in_circles_ends(here: Path) -> None:
    """RFC 5321 6.3: what was forwarded may come back here, and not for ever."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope("", f"postmaster@{DOMAIN}")
        assert (await client.data(b"Received: from a by b\r\n" * 60 + REPORT)).startswith("554 5.4.6 ")
        assert service.desk.taken == []


async def test_nobody_logs_in(here: Path) -> None:
    """AUTH and DSN are not offered, AUTH is not known."""
    async with running(here) as service:
        client = await service.connect()
        offers = await client.hello()
        assert "PIPELINING" in offers
        assert "AUTH" not in offers
        assert "250-DSN" not in offers
        assert "STARTTLS" not in offers
        assert (await client.ask("AUTH PLAIN AGEAYg==")).startswith("500 5.5.1 ")


async def test_the_certificate_of_the_submission_service_serves_here_too(
    here: Path, authority: Authority, certified: Certified
) -> None:
    """STARTTLS is offered, and a report comes in over it."""
    async with running(here, certified) as service:
        client = await service.connect()
        assert "STARTTLS" in await client.hello()
        await client.start_tls(authority.trust())
        assert "STARTTLS" not in await client.ask("EHLO mx.example.net")
        await client.envelope("", BOUNCE)
        assert (await client.data(REPORT)).startswith("250 ")
        assert service.desk.taken[0][0].client.tls


async def test_a_chunked_report_is_taken(here: Path) -> None:
    """RFC 3030: big providers send bounces so."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope("", BOUNCE)
        await client.send(f"BDAT {len(REPORT)} LAST\r\n".encode() + REPORT)
        assert (await client.reply()).startswith("250 2.0.0 Queued as ")
        assert service.desk.taken[0][0].content == REPORT + b"\r\n"
