"""Contents in memory, within a budget, however much mail is in hand.

What has just been accepted stays here while there is room, so that its delivery need not
read it back; everything else is read when its attempt begins. What waits for its turn makes
room for what is read now. Who needs one more content than the budget allows waits until another
is given back. A small one does not wait. Of big ones each lane may always use one, and more of
them only within half of what the others leave: a slow lane, or a few, leave room for the next.

Copies that are made of contents, one for each recipient, have a budget of the same size and by the same
rule. Room for the copy is had before the content is borrowed: whoever holds a content waits for nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

SMALL = 256  # such a part of the budget never waits for room


class Source(Protocol):
    """Where contents are kept."""

    async def content(self, queue_id: str) -> bytes | None:
        """The content, or None when it is no longer kept."""


@dataclass(slots=True)
class _Held:
    content: bytes
    users: int  # attempts that read it now
    awaited: int  # deliveries in hand that will read it without asking the store


class Contents:
    """`budget` in octets; one content larger than all of it is still served, alone."""

    def __init__(self, source: Source, budget: int) -> None:
        self._source = source
        self._budget = budget
        self._held: dict[str, _Held] = {}
        self._octets = 0
        self._used: dict[str, int] = {}  # octets of big contents, by the lane that uses them
        self._copies: dict[str, int] = {}  # octets of big copies, by the lane that sends them
        self._freed = asyncio.Condition()
        self._waiting = 0  # attempts that are reading, or waiting for their part or for room to read

    def keep(self, queue_id: str, content: bytes, deliveries: int) -> None:
        """Have a content at hand for so many deliveries, if there is room."""
        held = self._held.get(queue_id)
        if held is not None:
            held.awaited += deliveries
        elif self._octets + len(content) <= self._budget:
            self._octets += len(content)
            self._held[queue_id] = _Held(content, 0, deliveries)

    def forget(self, queue_id: str) -> None:
        """One of those deliveries will not come."""
        held = self._held.get(queue_id)
        if held is not None and held.awaited:
            held.awaited -= 1
            self._drop_unused(queue_id, held)

    def borrow(self, queue_id: str, size: int, lane: str | None = None) -> AbstractAsyncContextManager[bytes | None]:
        """The content (of about `size` octets) for one attempt of `lane`; None when it is no longer kept."""
        held = self._held.get(queue_id)
        if lane is None or self._small(size) or (held is not None and held.users):
            return self._borrowed(queue_id, size)
        return self._borrowed_in_part(queue_id, size, lane)

    def room(self, size: int, lane: str) -> AbstractAsyncContextManager[None]:
        """Room for a copy of `size` octets that a delivery of `lane` is about to make."""
        return nullcontext() if self._small(size) else self._part(self._copies, lane, size, self._takes_copy)

    @asynccontextmanager
    async def _borrowed(self, queue_id: str, size: int) -> AsyncIterator[bytes | None]:
        held = self._held.get(queue_id) or await self._load(queue_id, size)
        if held is None:
            yield None
            return
        held.awaited -= held.awaited > 0
        held.users += 1
        try:
            yield held.content
        finally:
            held.users -= 1
            self._drop_unused(queue_id, held)
            if self._waiting and not held.users:
                await self._tell()

    @asynccontextmanager
    async def _borrowed_in_part(self, queue_id: str, size: int, lane: str) -> AsyncIterator[bytes | None]:
        """The same, as soon as that leaves enough for the other lanes."""
        async with self._part(self._used, lane, size, self._leaves_enough), self._borrowed(queue_id, size) as content:
            yield content

    @asynccontextmanager
    async def _part(
        self, used: dict[str, int], lane: str, size: int, allowed: Callable[[dict[str, int], str, int], bool]
    ) -> AsyncIterator[None]:
        """So many octets of `used` for this lane, once that is allowed."""
        self._waiting += 1
        try:
            async with self._freed:
                await self._freed.wait_for(lambda: allowed(used, lane, size))
                used[lane] = used.get(lane, 0) + size
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            used[lane] -= size
            if not used[lane]:
                del used[lane]
            if self._waiting:
                await self._tell()

    def _leaves_enough(self, used: dict[str, int], lane: str, size: int) -> bool:
        mine = used.get(lane, 0)
        left_by_others = self._budget - (sum(used.values()) - mine)
        return mine == 0 or 2 * (mine + size) <= left_by_others

    def _takes_copy(self, used: dict[str, int], lane: str, size: int) -> bool:
        """Copies are nobody's but their lane's: all of them together stay within the budget."""
        octets = sum(used.values())
        return octets == 0 or (octets + size <= self._budget and self._leaves_enough(used, lane, size))

    def _small(self, size: int) -> bool:
        return size * SMALL <= self._budget

    def _drop_unused(self, queue_id: str, held: _Held) -> None:
        if not held.users and not held.awaited and self._held.get(queue_id) is held:
            del self._held[queue_id]
            self._octets -= len(held.content)

    def _make_room(self, size: int) -> bool:
        """Is there room for `size` octets, once what nobody reads yet is let go?"""
        if self._octets + size > self._budget:
            for queue_id in [queue_id for queue_id, held in self._held.items() if not held.users]:
                self._octets -= len(self._held.pop(queue_id).content)
                if self._octets + size <= self._budget:
                    break
        return self._octets == 0 or self._octets + size <= self._budget or self._small(size)

    async def _tell(self) -> None:
        async with self._freed:
            self._freed.notify_all()

    async def _load(self, queue_id: str, size: int) -> _Held | None:
        self._waiting += 1
        try:
            async with self._freed:
                await self._freed.wait_for(lambda: self._make_room(size))
                self._octets += size
            try:
                content = await self._source.content(queue_id)
            finally:
                self._octets -= size
        finally:
            self._waiting -= 1
            if self._waiting:
                await self._tell()
        if content is None:
            return None
        held = self._held.get(queue_id)  # somebody may have been quicker
        if held is None:
            held = self._held[queue_id] = _Held(content, 0, 0)
            self._octets += len(content)
        return held
