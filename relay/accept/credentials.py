"""Checks logins: AUTH PLAIN and LOGIN against the credentials of the store.

Whatever is wrong (name, secret, network, revoked, expired) the client learns the same, after
the same work; only the log says which. Each failure makes the next one from the same client
slower: 1, 2, 4 … 30 seconds, forgotten after ten quiet minutes. A right login is never slowed.
Standards: RFC 4954 (AUTH), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN).
Fails with `BadEncoding` (the client's mistake); what the store raises passes.
"""

import asyncio
import base64
import binascii
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from relay.credential import Credential, Secret, digest, new_secret

LONGEST_DELAY = 30.0  # seconds
FORGET_AFTER = 600.0  # seconds without a failure
MAX_CLIENTS = 10_000  # addresses remembered

# What an unknown name is compared with, so that it takes as long as a known one.
_NOBODY = Credential("", (Secret(digest(new_secret())),), created_at=0.0, revoked_at=0.0)


class Store(Protocol):
    """Where credentials are."""

    async def credential(self, name: str) -> Credential | None:
        """The credential of that name."""


class BadEncoding(ValueError):
    """Not base64, or not a login."""


@dataclass(frozen=True, slots=True)
class Login:
    """A name and its secret, as the client gave them."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True)
class WrongLogin:
    """A login that failed; `why` is for our log only."""

    name: str
    why: str


def decode(text: str) -> bytes:
    """RFC 4954 4: base64, or "=" for an empty response. Raises `BadEncoding`."""
    if text == "=":
        return b""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError, ValueError):
        raise BadEncoding from None


def plain(response: bytes) -> Login:
    """RFC 4616 2: [identity] NUL name NUL secret; nobody may act as somebody else. Raises `BadEncoding`."""
    parts = response.split(b"\0")
    if len(parts) != 3 or not parts[1] or parts[0] not in (b"", parts[1]):
        raise BadEncoding
    return Login(word(parts[1]), word(parts[2]))


def word(octets: bytes) -> str:
    """A name or a secret as text. Raises `BadEncoding`."""
    try:
        return octets.decode("utf-8")
    except UnicodeError:
        raise BadEncoding from None


class Delays:
    """How long each client's next failure has to wait. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, ip: str) -> float:
        """One more failure of this client: the seconds to let it wait."""
        now = self._clock()
        client = neighbours(ip)
        count, last = self._failures.pop(client, (0, now))
        count = 1 if now - last > FORGET_AFTER else count + 1
        self._failures[client] = (count, now)
        if len(self._failures) > MAX_CLIENTS:
            self._failures.popitem(last=False)
        return min(2.0 ** min(count - 1, 10), LONGEST_DELAY)


class Logins:
    """Checks logins for all sessions of a worker. `clock` gives Unix seconds, `sleep` waits that many."""

    def __init__(
        self,
        store: Store,
        *,
        delays: Delays | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._delays = delays or Delays()
        self._clock = clock
        self._sleep = sleep

    async def check(self, login: Login, ip: str) -> Credential | WrongLogin:
        """The credential, or (after a while) why not."""
        credential = await self._store.credential(login.name)
        good = (credential or _NOBODY).matches(login.secret, self._clock())
        if credential and good and credential.may_come_from(ip):
            return credential
        await self._sleep(self._delays.failed(ip))
        return WrongLogin(login.name, _why(credential, good, ip))

    async def still_good(self, credential: Credential, ip: str) -> Credential | None:
        """The credential as it is now, for a session that lasts; None once it was revoked or may not come from here."""
        now = await self._store.credential(credential.name)
        return now if now and now.revoked_at is None and now.may_come_from(ip) else None


def _why(credential: Credential | None, good: bool, ip: str) -> str:
    if credential is None:
        return "unknown credential"
    if credential.revoked_at is not None:
        return "revoked credential"
    return f"credential not allowed from {ip}" if good else "wrong or expired secret"


def neighbours(ip: str) -> str:
    """One client: an IPv4 address, or the /64 that one IPv6 customer has to himself."""
    address = ipaddress.ip_address(ip)
    return ip if address.version == 4 else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
