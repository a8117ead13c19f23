"""The submission service on loopback, and a client that says exactly what it is told."""

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relay.accept.credentials import Delays, Logins
from relay.accept.server import Server, serve_submission
from relay.accept.submission import Submission
from relay.config import Config, Endpoint, LogSection, SuppressionSection
from relay.config import Submission as Settings
from relay.credential import Credential, Secret, digest
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store.accepted import Accepted
from tests.parts.certs import Certified
from tests.parts.keeping import Hand, MemoryStore

HOST = "relay.example.com"
SECRET = "mt_right"
AS_USUAL = SuppressionSection()
PATIENCE = 20.0  # seconds until a test gives up


def credential(name: str = "billing-app", **bounds: Any) -> Credential:
    """A credential whose secret is `SECRET`."""
    return Credential(name=name, secrets=(Secret(digest(SECRET)),), created_at=0.0, **bounds)


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self, now: float = 1_795_253_642.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Client:
    """One connection. `say` sends a line, `reply` reads one reply, `ask` does both."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def reply(self) -> str:
        """One reply, its lines joined by "\\n"; "" once the server has closed."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), PATIENCE)).decode("ascii")
            lines.append(line.removesuffix("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    async def ask(self, line: str | bytes) -> str:
        await self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def hello(self) -> str:
        """Greeting and EHLO."""
        assert (await self.reply()).startswith("220 ")
        return await self.ask("EHLO app.example.com")

    async def start_tls(self, trust: ssl.SSLContext) -> None:
        assert (await self.ask("STARTTLS")).startswith("220 ")
        await self.writer.start_tls(trust, server_hostname="localhost")

    async def log_in(self, name: str = "billing-app", secret: str = SECRET) -> str:
        return await self.ask("AUTH PLAIN " + plain(name, secret))

    async def envelope(self, sender: str = "a@example.com", *recipients: str) -> None:
        assert (await self.ask(f"MAIL FROM:<{sender}>")).startswith("250 ")
        for recipient in recipients or ("b@example.net",):
            assert (await self.ask(f"RCPT TO:<{recipient}>")).startswith("250 ")

    async def data(self, content: bytes) -> str:
        """DATA with `content`, which has its dots doubled and its end already if it needs them."""
        assert (await self.ask("DATA")).startswith("354 ")
        await self.send(content + b"\r\n.\r\n")
        return await self.reply()

    async def at_end(self) -> bool:
        """Has the server closed, with nothing more to say?"""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


def plain(name: str, secret: str, identity: str = "") -> str:
    return base64.b64encode(f"{identity}\0{name}\0{secret}".encode()).decode()


@dataclass
class Service:
    """Everything that runs, for a test to look at."""

    server: Server
    store: MemoryStore
    hand: Hand
    clock: Clock
    log_file: Path
    log: Log
    clients: list[Client]

    async def connect(self, *, tls: ssl.SSLContext | None = None) -> Client:
        endpoint = (self.server.tls_addresses if tls else self.server.addresses)[0]
        reader, writer = await asyncio.open_connection(
            endpoint.host, endpoint.port, ssl=tls, server_hostname="localhost" if tls else None
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    async def hello(self) -> Client:
        """A client that has said EHLO."""
        client = await self.connect()
        await client.hello()
        return client

    @property
    def last(self) -> Accepted:
        return self.store.accepted[-1]

    def log_lines(self) -> str:
        self.log.flush()
        return self.log_file.read_text()


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    *credentials: Credential,
    certified: Certified | None = None,
    room: int = 0,
    suppression: SuppressionSection = AS_USUAL,
    **settings: Any,
) -> AsyncIterator[Service]:
    """The service with these settings of `[submission]`."""
    here = Endpoint("127.0.0.1", 0)
    own = replace(
        Settings(
            listen=(here,),
            listen_tls=(here,) if certified else (),
            tls_certificate=certified.certificate if certified else None,
            tls_key=certified.key if certified else None,
        ),
        **settings,
    )
    log_file = directory / "mail.log"
    config = Config(hostname=HOST, submission=own, suppression=suppression, log=LogSection(file=log_file))
    clock, store, hand = Clock(), MemoryStore(*credentials), Hand(room)
    store.clock = clock
    log = Log(config, clock=clock)
    submission = Submission(store, config, log, QueueIds(os.getpid(), clock), hand, clock)
    logins = Logins(store, delays=Delays(clock), clock=clock, sleep=clock.sleep)
    server = await serve_submission(submission, config, log, logins=logins)
    service = Service(server, store, hand, clock, log_file, log, [])
    try:
        yield service
    finally:
        for client in service.clients:
            await client.close()
        await server.close(grace=5.0)
        log.close()
