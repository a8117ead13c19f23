"""A store in memory that keeps what accepting hands it, and can be told to be full, or slow."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from relay.credential import Credential, Rate
from relay.delivery import Delivery
from relay.event import Refusal
from relay.store.accepted import Accepted
from relay.store.errors import StoreUnavailable
from suppression.entry import Entry


class MemoryStore:
    """Real values, no disk. `full`: it cannot be written; `trouble`: raised instead; `gate`: a commit waits for it."""

    def __init__(self, *credentials: Credential) -> None:
        self.known = {credential.name: credential for credential in credentials}
        self.accepted: list[Accepted] = []
        self.claimed: list[bool] = []
        self.refusals: list[Refusal] = []
        self.listed: list[Entry] = []
        self.full = False
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.committing = asyncio.Event()
        self.committed = asyncio.Event()
        self.clock = time.time  # the database's
        self._spent: dict[str, deque[float]] = {}

    async def accept(self, accepted: Accepted, *, claimed: bool) -> None:
        self.committing.set()
        await self.gate.wait()
        if self.trouble:
            raise self.trouble
        if self.full:
            raise StoreUnavailable("no space left")
        self.accepted.append(accepted)
        self.claimed.append(claimed)
        self.committed.set()

    async def credential(self, name: str) -> Credential | None:
        if self.full:
            raise StoreUnavailable("no space left")
        return self.known.get(name)

    async def spend(self, name: str, rate: Rate) -> float:
        now = self.clock()
        spent = self._spent.setdefault(name, deque())
        while spent and spent[0] <= now - rate.seconds:
            spent.popleft()
        if len(spent) >= rate.messages:
            return spent[0] + rate.seconds - now
        spent.append(now)
        return 0.0

    def refuse_later(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    async def suppressed(self, asked: Sequence[tuple[str, str]]) -> list[Entry | None]:
        if self.full:
            raise StoreUnavailable("no space left")
        return [
            next((entry for entry in self.listed if entry.address == address and entry.scope in ("", tag)), None)
            for address, tag in asked
        ]


class Hand:
    """A courier with room for `room` deliveries, which keeps what it was given."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.given: list[Accepted] = []

    def reserve(self, deliveries: Sequence[Delivery]) -> bool:
        if len(deliveries) > self.room:
            return False
        self.room -= len(deliveries)
        return True

    def unreserve(self, deliveries: Sequence[Delivery]) -> None:
        self.room += len(deliveries)

    def deliver(self, accepted: Accepted) -> None:
        self.given.append(accepted)
