"""A lane: what waits for one next hop, and the connections that carry it there.

A lane never has more connections than its share of the limit, keeps each for the next
delivery while there is one (and some seconds longer), and knows nothing of other lanes:
a slow host delays nobody else. It ends itself when it has been idle.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from relay.deliver.client import Connection
from relay.delivery import Delivery

WAITING_PER_CONNECTION = 50


@dataclass(slots=True, eq=False)
class Work:
    """A delivery in hand. `since`: when it came (Unix seconds); `renewed`: when its claim was last good."""

    delivery: Delivery
    since: float
    renewed: float
    spooled: bool  # recorded as spooled, or beyond that


Carry = Callable[[Work, Connection | None], Awaitable[Connection | None]]


class Lane:
    """At most `connections`; each waits `idle` seconds for more; `carry` makes one attempt and never raises."""

    def __init__(self, name: str, carry: Carry, *, connections: int, messages: int, idle: float) -> None:
        self.name = name
        self.connections = connections
        self._carry = carry
        self._messages = messages
        self._idle_seconds = idle
        self._waiting: deque[Work] = deque()
        self._idle: list[asyncio.Future[Work | None]] = []
        self._carriers: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def room(self) -> int:
        """How many more deliveries may be brought: enough to keep every connection busy while more are fetched."""
        return max(0, self.connections * WAITING_PER_CONNECTION - len(self._waiting))

    @property
    def empty(self) -> bool:
        """Nothing waits and nobody works."""
        return not self._waiting and not self._carriers

    @property
    def within(self) -> bool:
        """Are there no more connections than its share, which may have become smaller?"""
        return len(self._carriers) <= self.connections

    def limit(self, connections: int) -> None:
        """Its share is another one now: idle connections beyond it end, busy ones after what they carry."""
        self.connections = connections
        for idle in self._idle[: max(0, len(self._carriers) - connections)]:
            if not idle.done():
                idle.set_result(None)
        for _ in range(min(len(self._waiting), connections - len(self._carriers))):
            self._start_carrier()

    def add(self, work: Work) -> None:
        """Give it to whoever is idle, to a new connection, or to the end of the queue."""
        while self._idle:
            idle = self._idle.pop()  # the one that has been idle least: the others may end
            if not idle.done():
                idle.set_result(work)
                return
        self._waiting.append(work)
        self._start_carrier()

    @property
    def waiting(self) -> tuple[Work, ...]:
        """What is not being tried yet."""
        return tuple(self._waiting)

    def take(self, works: Collection[Work]) -> list[Work]:
        """Those of `works` that are not being tried, out of the lane."""
        taken = [work for work in self._waiting if work in works]
        self._waiting = deque(work for work in self._waiting if work not in works)
        return taken

    async def close(self, grace: float) -> None:
        """Finish what is being tried, at most `grace` seconds long. What waits must have been taken out."""
        self._closing = True
        for idle in self._idle:
            if not idle.done():
                idle.set_result(None)
        carriers = set(self._carriers)
        if not carriers:
            return
        _, late = await asyncio.wait(carriers, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _start_carrier(self) -> None:
        if self._waiting and len(self._carriers) < self.connections:
            task = asyncio.create_task(self._run(), name=f"lane {self.name}")
            self._carriers.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._carriers.discard(task)
        self._start_carrier()  # something may have come while it said QUIT

    async def _run(self) -> None:
        connection: Connection | None = None
        try:
            while (work := await self._next(connection)) is not None:
                connection = await self._carry(work, connection)
                if connection is not None and (not connection.usable or connection.messages >= self._messages):
                    await connection.close()
                    connection = None
        finally:
            if connection is not None:
                await connection.close()

    async def _next(self, connection: Connection | None) -> Work | None:
        if self._waiting and len(self._carriers) <= self.connections:
            return self._waiting.popleft()
        if self._closing or connection is None or not self.within:
            return None
        loop = asyncio.get_running_loop()
        idle: asyncio.Future[Work | None] = loop.create_future()
        self._idle.append(idle)
        timer = loop.call_later(self._idle_seconds, _end, idle)
        try:
            return await idle
        finally:
            timer.cancel()
            if idle in self._idle:
                self._idle.remove(idle)


def _end(idle: "asyncio.Future[Work | None]") -> None:
    if not idle.done():
        idle.set_result(None)
