"""What is SQLite's alone: the lock around checkpoints, foreign writers, one plain file at the end."""

import asyncio
import fcntl
import multiprocessing
import os
import sqlite3
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from relay.config import Config
from relay.queue_id import QueueIds
from relay.store import StoreUnavailable, migrate, open_store, settle_down
from relay.store.sqlite import engine
from relay.store.sqlite.engine import SqliteEngine
from tests.parts.mail import accepted
from tests.store.spooling import rows


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = Config("relay.test", data_dir=tmp_path)
    migrate(config)
    return config


def _accept_until(config: Config, stop: Event, begun: Event) -> None:
    async def run() -> None:
        queue_ids = QueueIds(7)  # another writer's than this process's
        store = await open_store(config)
        try:
            while not stop.is_set():
                mails = [accepted(content=b"x" * 20_000, queue_id=queue_ids.next()) for _ in range(20)]
                await asyncio.gather(*(store.accept(mail, claimed=False) for mail in mails))
                begun.set()
        finally:
            await store.close()

    asyncio.run(run())


async def test_no_checkpoint_runs_beside_a_commit_of_another_process(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process writes as fast as it can, checkpoints bring the log back and harm nothing."""
    monkeypatch.setattr(engine, "WAL_LIMIT", 0)
    spawn = multiprocessing.get_context("spawn")
    stop, begun = spawn.Event(), spawn.Event()
    writer = spawn.Process(target=_accept_until, args=(config, stop, begun))
    writer.start()
    try:
        assert await asyncio.to_thread(begun.wait, 30)
        store = await open_store(config)
        for _ in range(50):
            await store.tidy()
            await store.accept(accepted(), claimed=False)
        stop.set()
        await asyncio.to_thread(writer.join)
        assert await store.check() == []
        await store.close()
        assert writer.exitcode == 0
    finally:
        writer.kill()
        writer.join()


async def test_a_checkpoint_waits_for_whoever_writes(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the lock that every transaction takes."""
    monkeypatch.setattr(engine, "WAL_LIMIT", 0)
    store = await open_store(config)
    await store.accept(accepted(), claimed=False)
    lock = os.open(f"{config.database_path}.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    tidying = asyncio.create_task(store.tidy())
    done, _ = await asyncio.wait([tidying], timeout=0.1)
    assert not done
    fcntl.flock(lock, fcntl.LOCK_UN)
    await tidying
    os.close(lock)
    await store.close()


async def test_a_foreign_writer_makes_it_unavailable_for_as_long_as_it_writes(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's BEGIN IMMEDIATE in sqlite3 is waited for a while; then the answer is no, and after it all goes on."""
    monkeypatch.setattr(engine, "BUSY_MS", 50)
    store = await open_store(config)
    person = sqlite3.connect(config.database_path, isolation_level=None)
    person.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.accept(accepted(), claimed=False)
    assert await rows(store, "SELECT * FROM email_status") == []
    person.execute("ROLLBACK")
    person.close()
    await store.accept(accepted(), claimed=False)
    assert len(await rows(store, "SELECT * FROM email_status")) == 1
    await store.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """The words say which file, and that it is not one."""
    path = tmp_path / "mailtrail.db"
    path.write_bytes(b"this is not a database, by far" * 100)
    with pytest.raises(StoreUnavailable, match=r"mailtrail\.db: file is not a database"):
        await SqliteEngine.open(path)


def test_settling_down_leaves_one_file_that_others_can_read(config: Config) -> None:
    """No log beside it, the old journal mode, readable by the group: any reader can open it without writing."""

    async def use() -> None:
        store = await open_store(config)
        await store.accept(accepted(), claimed=False)
        await store.close()

    asyncio.run(use())
    settle_down(config)
    path = config.database_path
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}
    assert path.read_bytes()[18:20] == b"\x01\x01", "still in WAL mode"
    assert path.stat().st_mode & 0o777 == 0o640
    reader = sqlite3.connect(f"file:{path}?mode=ro&immutable=0", uri=True)
    assert reader.execute("SELECT count(*) FROM email_status").fetchone() == (1,)
    reader.close()


async def test_a_database_that_is_deleted_under_us_takes_nothing_more_until_it_is_back(config: Config) -> None:
    """What would go into a file without a name is refused; with the file back in its place the store goes on."""
    store = await open_store(config)
    try:
        kept = accepted()
        await store.accept(kept, claimed=False)
        aside = config.data_dir.with_name("aside")
        config.data_dir.rename(aside)
        with pytest.raises(StoreUnavailable, match=r"moved or deleted|No such file"):
            await store.accept(accepted(), claimed=False)
        with pytest.raises(StoreUnavailable, match="unable to open"):
            await store.accept(accepted(), claimed=False)
        assert not config.data_dir.exists()
        aside.rename(config.data_dir)
        await store.accept(accepted(), claimed=False)
        assert await store.content(kept.message.queue_id) == kept.content
        assert await rows(store, "SELECT count(*) AS n FROM email_status") == [{"n": 2}]
    finally:
        await store.close()


def _threads_of_connections() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "connection_worker" in thread.name]


async def test_all_who_come_back_at_once_after_trouble_share_one_connection(config: Config) -> None:
    """Trouble closes the connections; of two opened again one would be lost, and keep the process from ending."""
    store = await open_store(config)
    try:
        first = _threads_of_connections()
        aside = config.data_dir.with_name("aside")
        config.data_dir.rename(aside)
        with pytest.raises(StoreUnavailable):
            await store.accept(accepted(), claimed=False)
        for thread in first:
            thread.join(5)
        aside.rename(config.data_dir)
        kept = accepted()
        await asyncio.gather(store.accept(kept, claimed=False), *(store.content("0123456789ab") for _ in range(5)))
        assert len(_threads_of_connections()) == len(first)
    finally:
        await store.close()
