"""A disk that is full, a database that cannot be written: `4yz`, nothing lost, and it goes on by itself afterwards."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import asyncpg
import pytest

from tests.crash.images import ext4, full, unwritable, why_not
from tests.crash.machine import LEAST_DISK, Machine, machine
from tests.crash.rig import Rig
from tests.crash.traffic import Conversation, Sink

wants_images = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))


class Application:
    """One client that sends message after message and tells accepted from refused."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._number = 0
        self.accepted: set[str] = set()

    async def send(self) -> str:
        """Send one message on a connection of its own; the reply that decided."""
        self._number += 1
        key = f"m{self._number}"
        conversation = await Conversation.open(self._port)
        try:
            reply = await conversation.send(key)
        finally:
            conversation.close()
        if reply.startswith("250"):
            self.accepted.add(key)
        return reply

    async def until(self, code: str, messages: int | None = None) -> list[str]:
        """Send until a reply starts with `code`, which one of the next `messages` replies must; all replies."""
        replies: list[str] = []
        async with asyncio.timeout(60):
            while len(replies) != messages:
                replies.append(await self.send())
                if replies[-1].startswith(code):
                    return replies
        raise AssertionError(f"never {code}: {replies[-1]}")


@pytest.fixture
async def small(engine: str, place: Path, sink: Sink) -> AsyncIterator[Machine]:
    """A machine with a small disk that has nothing else on it."""
    with ext4(place / "image", place / "disk", size=LEAST_DISK[engine]) as disk:
        async with machine(engine, place, disk, sink.port) as small:
            yield small


async def _came_through(rig: Rig, sink: Sink, application: Application) -> None:
    """The program that was started first still runs, accepts again by itself, and all that it ever accepted arrives."""
    await application.until("250")
    assert rig.running
    await sink.wait_for(application.accepted)
    await rig.settled()
    await rig.stop()
    assert rig.integrity() == "ok"
    assert not sink.damaged


@asynccontextmanager
async def _locked(rig: Rig) -> AsyncIterator[None]:
    """A foreign process has the database to itself meanwhile, as far as writing goes."""
    if isinstance(rig.views.place, Path):
        with closing(sqlite3.connect(rig.views.place, isolation_level=None, timeout=30)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            yield
    else:
        foreign = await asyncpg.connect(rig.views.place)
        try:
            await foreign.execute("BEGIN; LOCK TABLE messages")
            yield
        finally:
            await foreign.close()


@wants_images
async def test_a_full_disk_is_said_to_be_temporary_and_loses_nothing(small: Machine, sink: Sink) -> None:
    """With no block left a message is refused with 4yz, never 5yz; with space again the relay goes on by itself."""
    await small.rig.start()
    application = Application(small.rig.port)
    for _ in range(5):
        assert (await application.send()).startswith("250")
    with full(small.disk):
        replies = []
        for _ in range(6):  # one may still find room in a block that was there
            replies += await application.until("4")
    assert {reply[0] for reply in replies} <= {"2", "4"}, replies
    small.look_after()
    await _came_through(small.rig, sink, application)


@wants_images
@pytest.mark.parametrize("engine", ["postgres"])
async def test_a_server_that_ends_on_a_full_disk_takes_nothing_with_it(small: Machine, sink: Sink) -> None:
    """PostgreSQL gives up when its log finds no room: 451 until it is started again, and then all is there."""
    await small.rig.start()
    application = Application(small.rig.port)
    await application.until("250")
    small.begin_log()
    with full(small.disk):
        replies = await application.until("4", messages=50)  # what is left of the log's file takes some more
        replies += [await application.send() for _ in range(5)]
    assert all(reply.startswith("451") for reply in replies[-6:]), replies
    small.look_after()
    await _came_through(small.rig, sink, application)


@wants_images
async def test_a_database_that_turns_read_only_is_said_to_be_temporary(small: Machine, sink: Sink) -> None:
    """While the database cannot be written a message gets 451; when it can be, the relay goes on by itself."""
    await small.rig.start()
    application = Application(small.rig.port)
    await application.until("250")
    with unwritable(*small.log()):
        replies = await application.until("4", messages=10)
        replies += [await application.send() for _ in range(3)]
    assert all(reply.startswith("451") for reply in replies[-4:]), replies
    small.look_after()
    await _came_through(small.rig, sink, application)


async def test_a_database_locked_by_others_is_said_to_be_temporary(rig: Rig, sink: Sink) -> None:
    """While a foreign process keeps the write lock a message gets 451; when it lets go the relay goes on by itself."""
    await rig.start()
    application = Application(rig.port)
    await application.until("250")
    async with _locked(rig):
        reply = await application.send()
    assert reply.startswith("451"), reply
    await _came_through(rig, sink, application)
