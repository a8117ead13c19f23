"""A lane: so many connections and no more, everybody's turn, and an end when it is told."""

import asyncio
import time
from dataclasses import dataclass, field

from relay.deliver.client import Client, Connection
from relay.deliver.conversation import Conversation
from relay.deliver.lane import WAITING_PER_CONNECTION, Lane, Work
from tests.parts.mail import accepted
from tests.parts.mx import FakeMx


@dataclass
class Carried:
    """Deliveries over real connections to `mx`, recorded; each waits for `go`."""

    mx: FakeMx
    order: list[str] = field(default_factory=list)
    at_once: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.go = asyncio.Event()
        self._news = asyncio.Condition()

    async def carry(self, work: Work, kept: Connection | None) -> Connection | None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.go.wait()
        if kept is None:
            opened = await Client("relay.test").open(self.mx.hop(), Conversation())
            assert isinstance(opened, Connection)
            kept = opened
        await kept.send(work.delivery, b"hello\r\n", Conversation())
        self.at_once -= 1
        async with self._news:
            self.order.append(str(work.delivery.recipient))
            self._news.notify_all()
        return kept

    async def done(self, count: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: len(self.order) >= count)


def works(count: int) -> list[Work]:
    now = time.time()
    names = [f"bob{number}@x.test" for number in range(count)]
    return [Work(delivery, now, now, False) for delivery in accepted(names).deliveries]


def lane(carried: Carried, *, connections: int, messages: int = 1000, idle: float = 60.0) -> Lane:
    return Lane("x.test", carried.carry, connections=connections, messages=messages, idle=idle)


async def test_no_more_connections_than_allowed_and_first_come_first_served() -> None:
    """Ten deliveries over two connections: never three at once, in the order they came."""
    async with FakeMx() as mx:
        carried = Carried(mx)
        one = lane(carried, connections=2)
        for work in works(10):
            one.add(work)
        assert one.room == 2 * WAITING_PER_CONNECTION - 10
        carried.go.set()
        await carried.done(10)
        assert carried.most == 2 and mx.connections == 2
        assert [int(name[3]) // 2 for name in carried.order] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        await one.close(60.0)
        await mx.closed()


async def test_a_connection_carries_so_many_and_is_closed() -> None:
    """After `messages` of them a connection says QUIT, and the next delivery has a new one."""
    async with FakeMx() as mx:
        carried = Carried(mx)
        carried.go.set()
        one = lane(carried, connections=1, messages=2)
        for work in works(5):
            one.add(work)
        await carried.done(5)
        assert mx.connections == 3
        await one.close(60.0)
        await mx.closed()
        assert mx.commands.count("QUIT") == 3


async def test_an_idle_connection_takes_what_comes_and_ends_in_time() -> None:
    """What comes within `idle` seconds goes over the kept connection; then it ends, and the lane is empty."""
    async with FakeMx() as mx:
        carried = Carried(mx)
        carried.go.set()
        one = lane(carried, connections=5, idle=0.2)
        first, second = works(2)
        one.add(first)
        await carried.done(1)
        one.add(second)
        await carried.done(2)
        await mx.closed()
        assert mx.connections == 1


async def test_closing_waits_for_what_is_being_tried_and_then_no_longer() -> None:
    """`close` lets an attempt finish; when its grace is over it cancels, and no connection stays."""
    async with FakeMx(silent_at="DOT") as mx:
        carried = Carried(mx)
        carried.go.set()
        one = lane(carried, connections=1)
        one.add(works(1)[0])
        await mx.heard("DATA")
        await one.close(0.0)
        await mx.closed()
        assert one.empty and carried.order == []


async def test_what_waits_can_be_taken_out() -> None:
    """`take` gives back what is not being tried, and nothing else."""
    async with FakeMx() as mx:
        carried = Carried(mx)
        one = lane(carried, connections=1)
        mine = works(3)
        for work in mine:
            one.add(work)
        carried.go.set()
        assert one.take({mine[1]}) == [mine[1]]
        await carried.done(2)
        assert carried.order == ["bob0@x.test", "bob2@x.test"]
        await one.close(60.0)
