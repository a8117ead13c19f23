"""The SQLite engine: one writing and one reading connection for each worker.

Writers of all processes take one lock (`flock` on a file beside the database) around
every transaction and every checkpoint: SQLite below 3.51.3 can corrupt a database when
one connection commits while another one checkpoints, and a queue at a lock is fairer
than SQLite's busy polling. Nothing checkpoints by itself (`wal_autocheckpoint=0`), nothing
is memory-mapped, and every commit is synced (`synchronous=FULL`).

A whole transaction runs in the connection's thread in one go: each hop between threads
waits for the interpreter's lock. After a failed commit nothing is trusted: the
connection is closed and opened again, which makes SQLite read its log anew.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from relay.store import sql
from relay.store.engine import Batch, Late, Row, Statement
from relay.store.errors import BadQuery, StoreUnavailable
from relay.store.sqlite.secret_files import Secrets
from relay.store.sqlite.write_lock import WriteLock, identity, lock_for

T = TypeVar("T")

BUSY_MS = 2000  # how long a foreign writer (a person's sqlite3) may keep us waiting
WAL_LIMIT = 32 * 1024 * 1024  # octets of log after which we checkpoint

# What a database says when it cannot be used now. Everything else is our own mistake.
_UNAVAILABLE = (sqlite3.OperationalError, sqlite3.DatabaseError, OSError)
_MISTAKES = (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.NotSupportedError, sqlite3.DataError)


# What is wrong with a query itself: nobody understands it, it would write, it is two, or its parameters are missing.
_BAD_CODES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY)
_BAD_WORDS = (sqlite3.Warning, sqlite3.ProgrammingError)

_SETTINGS = "PRAGMA mmap_size=0; PRAGMA cache_size=-16000; PRAGMA temp_store=MEMORY;"
_SAFETY = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF;"


def open_connection(path: Path, *, create: bool = False, read_only: bool = False) -> sqlite3.Connection:
    """A connection with every setting that our promises need; only migrating may `create` the file."""
    place = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc' if create else 'rw'}"
    db = sqlite3.connect(place, uri=True, isolation_level=None, timeout=BUSY_MS / 1000, cached_statements=256)
    db.row_factory = sqlite3.Row
    try:
        db.executescript(_SETTINGS if read_only else _SAFETY + _SETTINGS)
    except BaseException:
        db.close()
        raise
    return db


class SqliteEngine:
    """See `relay.store.engine.Engine`.

    Whoever may not write beside the database (a member of the relay's group) reads it, and cannot write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._statements = sql.statements("sqlite")
        self._lock = lock_for(path)
        self._secrets = Secrets(path.parent / "keys")
        self._opened: tuple[int, int] | None = None  # the file that the connections have
        self._writer: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._connecting = asyncio.Lock()  # two who find no connection must not open two, and lose one
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> "SqliteEngine":
        """Open an existing, migrated database. Raises StoreUnavailable."""
        engine = cls(path)
        try:
            if engine._lock is not None:
                await engine._writing()
            await engine._reading()
        except BaseException:
            await engine.close()
            raise
        return engine

    async def _writing(self) -> aiosqlite.Connection:
        async with self._connecting:
            self._writer = self._writer or await self._connect()
            return self._writer

    async def _reading(self) -> aiosqlite.Connection:
        async with self._connecting:
            self._reader = self._reader or await self._connect()
            return self._reader

    async def _connect(self) -> aiosqlite.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self._path} is closed")
        connection = aiosqlite.Connection(lambda: open_connection(self._path, read_only=self._lock is None), 64)
        self._opened = identity(self._path)
        try:
            return await connection
        except _UNAVAILABLE as error:
            connection._thread.join()  # aiosqlite has told it to end, and it must have before we say so
            raise StoreUnavailable(f"cannot open {self._path}: {error}") from error

    def now(self) -> float:
        """One machine, one clock."""
        return time.time()

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """All in one synced transaction."""
        return await self._change(lambda db: self._run(db, statements))

    async def put(self, batches: Sequence[Batch]) -> None:
        """All in one synced transaction."""

        def run(db: sqlite3.Connection) -> None:
            for text, rows in batches:
                db.executemany(text, rows)

        await self._change(run)

    async def _change(self, run: Callable[[sqlite3.Connection], T]) -> T:
        lock = self._lock
        if lock is None:
            raise StoreUnavailable(f"cannot write {self._path}: this user may only read it")
        writer = self._writer or await self._writing()
        try:
            return await _in_thread(writer, lambda db: self._transaction(db, lock, run))
        except _MISTAKES:
            raise
        except _UNAVAILABLE as error:
            # A failed sync leaves pages in memory that are not on disk: trust only what is read again.
            await self._disconnect()
            raise StoreUnavailable(f"cannot write {self._path}: {error}") from error

    def _transaction(self, db: sqlite3.Connection, lock: WriteLock, run: Callable[[sqlite3.Connection], T]) -> T:
        with lock.held():
            if identity(self._path) != self._opened:
                # We would go on writing into a file without a name, and say 250 to what nobody will find again.
                raise sqlite3.OperationalError("the file has been moved or deleted; put it back, or restart the relay")
            db.execute("BEGIN IMMEDIATE")
            try:
                result = run(db)
                db.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself (disk full); then there is nothing to undo.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            return result

    def _run(self, db: sqlite3.Connection, statements: Sequence[Statement]) -> list[list[Row]]:
        results = []
        for name, params, expect in statements:
            text = self._statements[name]
            rows = cast(list[Row], db.execute(text, params).fetchall()) if text else []
            if expect is not None and len(rows) != expect:
                raise Late(name, rows)
            results.append(rows)
        return results

    async def read(self, name: str, params: Mapping[str, Any]) -> list[Row]:
        """One named statement on the reading connection."""
        return (await self.query(self._statements[name], params))[1]

    async def query(
        self, sql: str, params: Mapping[str, Any], seconds: float | None = None
    ) -> tuple[list[str], list[Row]]:
        """SQL text on the reading connection, which refuses to write."""
        reader = self._reader or await self._reading()
        deadline = None if seconds is None else time.monotonic() + seconds

        def run(db: sqlite3.Connection) -> tuple[list[str], list[Row]]:
            db.set_progress_handler(None if deadline is None else lambda: time.monotonic() > deadline, 10_000)
            db.execute("PRAGMA query_only=ON")
            found = db.execute(sql, params)
            return [column[0] for column in found.description or ()], cast(list[Row], found.fetchall())

        try:
            return await _in_thread(reader, run)
        except _BAD_WORDS as error:
            raise BadQuery(str(error)) from error
        except _MISTAKES:
            raise
        except _UNAVAILABLE as error:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"the query took longer than {seconds:g} s") from error
            if getattr(error, "sqlite_errorcode", None) in _BAD_CODES:
                raise BadQuery(str(error)) from error
            raise StoreUnavailable(f"cannot read {self._path}: {error}") from error

    async def secrets(self) -> dict[str, bytes]:
        """All secrets by name: files beside the database."""
        return await self._of_secrets(self._secrets.read)

    async def keep_secret(self, name: str, value: bytes) -> None:
        """Keep a secret; the first under a name stays."""
        await self._of_secrets(lambda: self._secrets.keep(name, value))

    async def forget_secret(self, name: str) -> None:
        """Let go of a secret."""
        await self._of_secrets(lambda: self._secrets.forget(name))

    async def _of_secrets(self, run: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(run)
        except OSError as error:
            raise StoreUnavailable(f"cannot use the secrets of {self._path}: {error}") from error

    async def listen(self, heard: Callable[[str], None]) -> None:
        """SQLite has no channel between processes: all look by themselves."""

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """SQLite's online backup, a thousand pages at a time; writers go on meanwhile."""
        assert self._reader is not None

        def copy(db: sqlite3.Connection) -> None:
            target = sqlite3.connect(path)
            try:
                step = (lambda _, remaining, total: progress(total - remaining, total)) if progress else None
                db.backup(target, pages=1000, progress=step)
            finally:
                target.close()

        await _in_thread(self._reader, copy)

    async def check(self) -> list[str]:
        """SQLite's integrity check."""
        _, found = await self.query("PRAGMA integrity_check", {})
        return [row[0] for row in cast(list[sqlite3.Row], found) if row[0] != "ok"]

    async def tidy(self) -> None:
        """Bring the log back into the database when it has grown."""
        lock = self._lock
        if self._writer is not None and lock is not None:
            await _in_thread(self._writer, lambda db: self._checkpoint(db, lock))

    def _checkpoint(self, db: sqlite3.Connection, lock: WriteLock) -> None:
        wal = Path(f"{self._path}-wal")
        if wal.exists() and wal.stat().st_size > WAL_LIMIT:
            with lock.held():
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    async def close(self) -> None:
        """Close both connections, for good."""
        self._closed = True
        async with self._connecting:
            await self._disconnect()
        if self._lock is not None:
            self._lock.close()

    async def _disconnect(self) -> None:
        connections = (self._writer, self._reader)
        self._writer = self._reader = None
        for connection in connections:
            if connection is not None:
                await connection.close()


async def _in_thread(connection: aiosqlite.Connection, run: Callable[[sqlite3.Connection], T]) -> T:
    # aiosqlite's own methods are one hop each; this is the hop they all go through, into its queue at once: whoever
    # closes the connection comes behind us. A caller that is cancelled must not leave a transaction half seen: the
    # thread finishes what it began.
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    connection._tx.put_nowait((done, lambda: run(connection._conn)))
    return await asyncio.shield(done)
