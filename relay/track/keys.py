"""The keys that tokens are signed with: kept by the store, read by every worker, made new on request.

A key is the secret `token-ID`: 32 octets of chance, then the second it was made in (8 octets). Keys are
never thrown away: a link in a mail of years ago is signed with the key of that day.

Rules. A new key is read by everybody before anybody signs with it: workers look every `LOOK` seconds and
sign with a key only once it is `REST` seconds old, or a visitor would meet a worker that has not heard of
it. The first key of all signs at once. A worker that cannot look keeps what it has; a redirect needs
the keys and no database.
Fails with `StoreUnavailable` where the database cannot be asked, and ValueError for a secret that is none of ours.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from relay.log import Log
from relay.store.errors import StoreUnavailable
from tracker.token import KEY_OCTETS, Keyring

LOOK = 15.0  # seconds between two looks
REST = 60.0  # seconds before a new key signs
MOST = 256  # keys; an id is one octet

_NAME = re.compile(r"token-(\d{1,3})")
_TIME_OCTETS = 8


class Secrets(Protocol):
    """What is needed of the store's engine."""

    def now(self) -> float:
        """The database's time, Unix seconds."""

    async def secrets(self) -> Mapping[str, bytes]:
        """All secrets, by name."""

    async def keep_secret(self, name: str, value: bytes) -> None:
        """Keep one; a name that has one already keeps it."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key and the Unix second it was made in."""

    number: int
    key: bytes
    made_at: int


class Tokens:
    """The keys as one worker has them: `reading` to read tokens with, `signing` to write them."""

    def __init__(self, secrets: Secrets, keys: list[TokenKey]) -> None:
        self._secrets = secrets
        self._use(keys)

    async def keep_fresh(self, log: Log) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.database_trouble("cannot look for new token keys", error)

    async def refresh(self) -> None:
        """Look now."""
        self._use(await read(self._secrets))

    def _use(self, keys: list[TokenKey]) -> None:
        self.reading = Keyring({key.number: key.key for key in keys})  # every key
        self.signing = Keyring({key.number: key.key for key in rested(keys, self._secrets.now())})  # those all know


async def open_tokens(secrets: Secrets) -> Tokens:
    """The keys there are; the first one is made where there is none."""
    return Tokens(secrets, await read(secrets) or [await renewed(secrets)])


async def read(secrets: Secrets) -> list[TokenKey]:
    """All keys, the oldest first."""
    found = []
    for name, value in (await secrets.secrets()).items():
        if named := _NAME.fullmatch(name):
            key, made_at = value[:KEY_OCTETS], value[KEY_OCTETS:]
            if len(key) != KEY_OCTETS or len(made_at) != _TIME_OCTETS:
                raise ValueError(f"the secret {name} is no key of ours: it has {len(value)} octets")
            found.append(TokenKey(int(named[1]), key, int.from_bytes(made_at, "big")))
    return sorted(found, key=lambda key: key.number)


async def renewed(secrets: Secrets) -> TokenKey:
    """One more key, which will sign soon. Raises ValueError when there are 256 already.

    Of several who make one at the same moment the first has made it for all: a name is given once.
    """
    number = max((key.number for key in await read(secrets)), default=-1) + 1
    if number >= MOST:
        raise ValueError(f"there are {MOST} keys already, and a token has room for no more")
    fresh = TokenKey(number, os.urandom(KEY_OCTETS), int(secrets.now()))
    await secrets.keep_secret(f"token-{number}", fresh.key + fresh.made_at.to_bytes(_TIME_OCTETS, "big"))
    return next(key for key in await read(secrets) if key.number == number)


def rested(keys: list[TokenKey], now: float) -> list[TokenKey]:
    """The keys that may sign: known to all by now, or the first."""
    return [key for key in keys if now - key.made_at >= REST] or keys[:1]
