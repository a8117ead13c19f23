"""A disk that is full, a database that cannot be written: `4yz`, nothing lost, and it goes on by itself afterwards."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.images import MIB, ext4, full, unwritable, why_not
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

    async def until(self, code: str, messages: int = 2000) -> list[str]:
        """Send until a reply starts with `code`; all replies."""
        replies = [await self.send()]
        while not replies[-1].startswith(code):
            assert len(replies) < messages, f"never {code}: {replies[-1]}"
            replies.append(await self.send())
        return replies


@pytest.fixture
async def small(tmp_path: Path, sink: Sink) -> AsyncIterator[Rig]:
    """An installation whose data is alone on a small disk."""
    with ext4(tmp_path / "image", tmp_path / "disk", size=32 * MIB) as disk:
        rig = Rig(tmp_path, sink.port, data=disk / "data")
        yield rig
        await rig.close()


async def _came_through(rig: Rig, sink: Sink, application: Application) -> None:
    """The program that was started first still runs, accepts again by itself, and all that it ever accepted arrives."""
    await application.until("250")
    assert rig.running
    await sink.wait_for(application.accepted)
    await rig.settled()
    await rig.stop()
    assert rig.integrity() == "ok"
    assert not sink.damaged


@wants_images
async def test_a_full_disk_is_said_to_be_temporary_and_loses_nothing(small: Rig, sink: Sink) -> None:
    """With no block left a message is refused with 4yz, never 5yz; with space again the relay goes on by itself."""
    await small.start()
    application = Application(small.port)
    for _ in range(5):
        assert (await application.send()).startswith("250")
    with full(small.data.parent):
        replies = await application.until("4")
        replies += [await application.send() for _ in range(5)]
    assert {reply[0] for reply in replies} <= {"2", "4"}, replies
    assert replies[-1].startswith("4"), replies[-1]
    await _came_through(small, sink, application)


@wants_images
async def test_a_database_that_turns_read_only_is_said_to_be_temporary(small: Rig, sink: Sink) -> None:
    """While the database cannot be written a message gets 451; when it can be, the relay goes on by itself."""
    await small.start()
    application = Application(small.port)
    await application.until("250")
    with unwritable(small.database, Path(f"{small.database}-wal")):
        replies = await application.until("4", messages=10)
        replies += [await application.send() for _ in range(3)]
    assert all(reply.startswith("451") for reply in replies[-4:]), replies
    await _came_through(small, sink, application)


async def test_a_database_locked_by_others_is_said_to_be_temporary(rig: Rig, sink: Sink) -> None:
    """While a foreign process keeps the write lock a message gets 451; when it lets go the relay goes on by itself."""
    await rig.start()
    application = Application(rig.port)
    await application.until("250")
    foreign = sqlite3.connect(rig.database, isolation_level=None, timeout=30)
    with contextlib.closing(foreign):
        foreign.execute("BEGIN IMMEDIATE")
        reply = await application.send()
        foreign.execute("ROLLBACK")
    assert reply.startswith("451"), reply
    await _came_through(rig, sink, application)
