"""Remembered look-ups: a bounded cache in which equal concurrent look-ups are one.

It knows nothing about DNS: a value says itself until when it is good (`expires`, on the
cache's own clock). A look-up runs in a task of its own, so a waiter that is cancelled
takes nothing away from the others; what it finds is kept even when nobody waits any
more. The entry that was used longest ago goes first when the cache is full.

An exception of a look-up goes to everybody who waits, and is not remembered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, Protocol, TypeVar


class Expiring(Protocol):
    """Something that is good until `expires` (seconds on the cache's clock)."""

    @property
    def expires(self) -> float: ...


V = TypeVar("V", bound=Expiring)


class Lookups(Generic[V]):
    """At most `size` values; `clock` gives seconds and never goes back."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._known: OrderedDict[Hashable, V] = OrderedDict()
        self._running: dict[Hashable, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable) -> V | None:
        """What is remembered under `key` and still good. Never waits."""
        value = self._known.get(key)
        if value is None:
            return None
        if value.expires <= self._clock():
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return value

    async def fetch(self, key: Hashable, look_up: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """What is remembered, or what `look_up` finds; does not suspend when it is remembered."""
        if (value := self.get(key)) is not None:
            return value
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._run(key, look_up), name=f"look-up {key}")
            self._running[key] = task
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is running; those who wait for it are cancelled."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: Hashable, look_up: Callable[[], Coroutine[Any, Any, V]]) -> V:
        try:
            value = await look_up()
        finally:
            del self._running[key]
        self._known[key] = value
        self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)
        return value
