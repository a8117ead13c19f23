"""The public web on loopback: the real server, a backend of plain data, a client, and raw sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from aiohttp import ClientResponse, ClientSession, DummyCookieJar, FormData, TCPConnector

from tracker.app import Server, Settings, Subscription, Unavailable, serve
from tracker.backend import How, Reason
from tracker.sender import Sender
from tracker.token import Keyring, Purpose, Token
from tracker.visit import Visit

NOON = 1795262400.0  # 2026-11-21 12:00 UTC
DAY = 86400.0
QUEUE_ID = "3kq7mvt2z0hy"
TARGET = "https://shop.example.com/a?b=c&d=%20e#f"
KEYRING = Keyring({0: b"0" * 32})
STREAMS = {"weekly": "Weekly offers – about one a week", "news": "News from the shop"}
SHOP = Settings("https://t.example.com", senders={"example.com": Sender("Example Shop")}, contact="abuse@example.com")
WITH_STREAMS = replace(SHOP, streams=STREAMS)


def link(purpose: Purpose = Purpose.UNSUBSCRIBE, *, target: str = TARGET, number: int = 0) -> str:
    """A token as it stands in a mail."""
    click = purpose is Purpose.CLICK
    token = Token(QUEUE_ID, number, 3, target) if click else Token(QUEUE_ID, number)
    return KEYRING.write(purpose, token)


@dataclass
class Ledger:
    """A backend that keeps everything in lists. `known`: delivery number → how it stands."""

    known: dict[int, Subscription] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    done: list[tuple[object, ...]] = field(default_factory=list)
    away: bool = False
    broken: bool = False
    now: float = NOON

    def saw(self, visit: Visit) -> None:
        if self.broken:
            raise ValueError("a mistake of ours")
        self.visits.append(visit)

    async def subscription(self, token: Token) -> Subscription | None:
        if self.broken:
            raise ValueError("a mistake of ours")
        if self.away:
            raise Unavailable
        return self.known.get(token.number)

    async def unsubscribe(
        self, token: Token, *, everything: bool, how: How, ip: str, agent: str
    ) -> Subscription | None:
        if (sub := await self.subscription(token)) is None:
            return None
        self.done.append(("unsubscribe", everything, how, ip, agent))
        return self._now(token, replace(sub, unsubscribed_at=sub.unsubscribed_at or self.now, everything=everything))

    async def resubscribe(self, token: Token, *, ip: str, agent: str) -> Subscription | None:
        if (sub := await self.subscription(token)) is None:
            return None
        self.done.append(("resubscribe", ip, agent))
        return self._now(token, replace(sub, unsubscribed_at=None, everything=False))

    async def choose(self, token: Token, *, wanted: frozenset[str], ip: str, agent: str) -> Subscription | None:
        if (sub := await self.subscription(token)) is None:
            return None
        self.done.append(("choose", sorted(wanted), ip, agent))
        return self._now(token, replace(sub, stopped=frozenset(STREAMS) - wanted))

    async def tell_reason(self, token: Token, reason: Reason, *, ip: str, agent: str) -> Subscription | None:
        if (sub := await self.subscription(token)) is None:
            return None
        self.done.append(("reason", reason, ip, agent))
        return sub

    def _now(self, token: Token, sub: Subscription) -> Subscription:
        self.known[token.number] = sub
        return sub


ADA = Subscription("ada.lovelace@gmail.com", "news.example.com", "weekly")


@dataclass
class Running:
    """A server and its client."""

    server: Server
    ledger: Ledger
    client: ClientSession
    url: str
    troubles: list[tuple[str, BaseException]]

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> ClientResponse:
        """A request; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.request(method, self.url + path, headers=named, allow_redirects=False)
        await response.read()
        return response

    async def post(self, path: str, form: Mapping[str, str] | bytes | FormData, **headers: str) -> ClientResponse:
        """A form, sent as `form` demands: a mapping, bytes, or aiohttp's FormData."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.post(self.url + path, data=form, headers=named, allow_redirects=False)
        await response.read()
        return response

    async def raw(self, *sent: bytes) -> bytes:
        """What comes back on one connection until the server closes it; pieces are sent one after the other."""
        reader, writer = await asyncio.open_connection(*self.server.addresses[0])
        for piece in sent:
            writer.write(piece)
            await writer.drain()
        received = await reader.read()
        writer.close()
        return received


@asynccontextmanager
async def running(
    settings: Settings = SHOP,
    ledger: Ledger | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
    sockets: Sequence[socket.socket] = (),
    keyring: Callable[[], Keyring] = lambda: KEYRING,
) -> AsyncIterator[Running]:
    """The web on a port of the system's choice. The ledger knows delivery 0, Ada's."""
    ledger = ledger or Ledger({0: ADA})
    troubles: list[tuple[str, BaseException]] = []
    server = await serve(
        sockets or [bound()],
        keyring=keyring,
        backend=ledger,
        settings=settings,
        trouble=lambda text, error: troubles.append((text, error)),
        tls=tls,
        clock=lambda: ledger.now,
    )
    host, port = server.addresses[0]
    url = f"{'https' if tls else 'http'}://{host}:{port}"
    kinds = {"User-Agent": "Thunderbird/140"}
    try:
        connector = TCPConnector(ssl=client_tls or True)
        async with ClientSession(connector=connector, cookie_jar=DummyCookieJar(), headers=kinds) as client:
            yield Running(server, ledger, client, url, troubles)
    finally:
        await server.close(grace=5)


def bound() -> socket.socket:
    """A socket on loopback, not listening yet."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made
