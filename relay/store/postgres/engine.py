"""The PostgreSQL engine: one writing and one reading connection for each worker.

A group is BEGIN, its statements, COMMIT on the writing connection: a few round trips a batch,
synced by the server (`synchronous_commit=on`). A deadlock or a serialization failure between
two nodes is no failure of the group: it is run again. Queries in people's words have a
connection of their own that cannot write, opened when the first one comes.

All nodes measure leases by the database's clock: our own monotonic clock and what it lacks,
measured at each connect and once a minute. PostgreSQL 14 or later.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from relay.store import schema, sql
from relay.store.engine import Batch, Late, Row, Statement
from relay.store.errors import BadQuery, NotMigrated, NotOffered, SchemaTooNew, StoreUnavailable
from relay.store.postgres.contradictions import contradictions
from relay.store.postgres.link import Connection, Link, Pulse, place, unavailable
from relay.store.postgres.prepared import Prepared, prepared

T = TypeVar("T")

CHANNEL = "mailtrail"
TRIES = 5  # for a group that others' transactions got in the way of
MEASURE = 60.0  # seconds between two looks at the database's clock

_CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock
_OUT_OF_TIME = "57014"
_READ_ONLY = "25006"

_WRITER = {
    "synchronous_commit": "on",  # accepted means safe
    "plan_cache_mode": "force_generic_plan",  # to plan anew costs more than to run; see _OUTGROWN
    # We name the rows we write: by the index, one by one, also while the plan is that of an empty table.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_READER = {"default_transaction_read_only": "on", "jit": "off"}

_CLOCK = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
       (SELECT value FROM meta WHERE name = 'compatible') AS compatible
"""

# Tables that are twice as large as when they were last looked at: their plans are of another time. Autovacuum would
# come within minutes, in which a relay that was empty an hour ago may have taken a million messages.
_OUTGROWN = """
SELECT relname
  FROM pg_class
 WHERE oid IN ('messages'::regclass, 'contents'::regclass, 'deliveries'::regclass, 'queues'::regclass,
               'visits'::regclass, 'marks'::regclass, 'suppression_list'::regclass)
   AND pg_relation_size(oid) / current_setting('block_size')::integer > 2 * greatest(relpages, 0) + 50
"""


class PostgresEngine:
    """See `relay.store.engine.Engine`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._statements = {name: prepared(text) for name, text in sql.statements("postgres").items()}
        self._newest = max(sql.migrations("postgres"))
        self._ahead = 0.0  # of our monotonic clock, seconds
        self._next_measure = 0.0  # monotonic seconds
        self._heard: Callable[[str], None] | None = None
        shared: dict[str, Any] = {"silent": self._gone, "pulse": Pulse()}
        self._writer = Link(url, "writer", settings=_WRITER, target="read-write", opened=self._measure, **shared)
        self._reader = Link(url, "reader", settings=_READER, target="primary", opened=self._tune_in, **shared)
        self._people = Link(url, "query", settings=_READER, target="primary", answer=None)
        self._asked = False

    @classmethod
    async def open(cls, url: str) -> "PostgresEngine":
        """Connect to a database that `migrate` has brought up. Raises StoreUnavailable, SchemaTooNew."""
        engine = cls(url)
        try:
            await engine._writer.open()
            await engine._reader.open()
        except BaseException:
            await engine.close()
            raise
        return engine

    def _gone(self, why: str) -> None:
        """The server is gone without a word: whoever uses another connection need not find out again."""
        for link in (self._writer, self._reader, self._people):
            link.lose(why)

    def now(self) -> float:
        """The database's clock, whatever ours says."""
        return time.monotonic() + self._ahead

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """All in one synced transaction."""
        return await self._change(partial(self._run, statements))

    async def put(self, batches: Sequence[Batch]) -> None:
        """All in one synced transaction."""

        async def run(connection: Connection) -> None:
            for text, rows in batches:
                statement = prepared(text)
                await connection.executemany(statement.text, [statement.arguments(row) for row in rows])

        await self._change(run)

    async def _change(self, run: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in range(TRIES):
            try:
                return await self._writer.run(partial(self._transaction, run))
            except asyncpg.PostgresError as error:
                if error.sqlstate not in _CONFLICTS:
                    raise
                conflict = error
        raise StoreUnavailable(f"other transactions are always in the way: {conflict}") from conflict

    async def _transaction(self, run: Callable[[Connection], Awaitable[T]], connection: Connection) -> T:
        await connection.execute("BEGIN")
        try:
            result = await run(connection)
            await connection.execute("COMMIT")
        except Exception as error:
            # A connection that is at fault is thrown away, transaction and all.
            if not connection.is_closed() and not isinstance(error, TimeoutError):
                await connection.execute("ROLLBACK")
            raise
        return result

    async def _run(self, statements: Sequence[Statement], connection: Connection) -> list[list[Row]]:
        results: list[list[Row]] = []
        for name, params, expect in statements:
            rows = await self._fetch(connection, name, params)
            if expect is not None and len(rows) != expect:
                raise Late(name, rows)
            results.append(rows)
        return results

    async def _fetch(self, connection: Connection, name: str, params: Mapping[str, Any]) -> list[Row]:
        statement = self._statements[name]
        if not statement.text:  # a dialect may have nothing to do there
            return []
        rows: list[Row] = await connection.fetch(statement.text, *statement.arguments(params))
        return rows

    async def read(self, name: str, params: Mapping[str, Any]) -> list[Row]:
        """One named statement on the reading connection."""
        try:
            return await self._reader.run(lambda connection: self._fetch(connection, name, params))
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:  # of an older schema
            raise BadQuery(str(error)) from error

    async def query(
        self, sql: str, params: Mapping[str, Any], seconds: float | None = None
    ) -> tuple[list[str], list[Row]]:
        """SQL text on a connection that cannot write. BadQuery when the database does not understand it."""
        if not self._asked:
            await self._people.open()
            self._asked = True
        statement = prepared(sql) if params else Prepared(sql, (), frozenset())
        try:
            return await self._people.run(partial(self._ask, statement, statement.arguments(params), seconds))
        except StoreUnavailable as error:
            if getattr(error.__cause__, "sqlstate", None) == _OUT_OF_TIME:
                raise TimeoutError(f"the query took longer than {seconds:g} s") from error
            raise

    async def _ask(
        self, statement: Prepared, arguments: list[Any], seconds: float | None, connection: Connection
    ) -> tuple[list[str], list[Row]]:
        await connection.execute(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {int((seconds or 0.0) * 1000)}")
        try:
            ready = await connection.prepare(statement.text)
            rows: list[Row] = await ready.fetch(*arguments)
            return [attribute.name for attribute in ready.get_attributes()], rows
        except asyncpg.PostgresError as error:
            if error.sqlstate != _READ_ONLY and unavailable(error, connection):
                raise
            raise BadQuery(str(error)) from error
        finally:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")

    async def secrets(self) -> dict[str, bytes]:
        """All secrets by name, from a table of their own."""
        return {row["name"]: row["value"] for row in await self.read("secrets", {})}

    async def keep_secret(self, name: str, value: bytes) -> None:
        """Keep a secret; the first under a name stays."""
        await self.write([Statement("keep_secret", {"name": name, "value": value})])

    async def forget_secret(self, name: str) -> None:
        """Let go of a secret."""
        await self.write([Statement("forget_secret", {"name": name})])

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard(topic)` when another node, or a command, told of it; "" after what may have been missed."""
        self._heard = heard
        await self._reader.run(self._tune_in)

    async def _tune_in(self, connection: Connection) -> None:
        if self._heard is not None:
            await connection.add_listener(CHANNEL, self._hear)
            self._heard("")

    def _hear(self, connection: Connection, pid: int, channel: str, topic: str) -> None:
        if self._heard is not None:
            self._heard(topic)

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Not ours to do: raises NotOffered, with the command that does it."""
        raise NotOffered(
            "PostgreSQL has its own backup, which works while the relay runs: "
            f"pg_dump --format=custom --file={path} {place(self._url)}"
        )

    async def check(self) -> list[str]:
        """What contradicts itself in the tables; the indexes too, where an administrator has installed amcheck."""
        return await contradictions(self)

    async def tidy(self) -> None:
        """Look at the database's clock, and at tables that have outgrown their plans, now and then."""
        await self._reader.run(self._keep_plans)
        if time.monotonic() >= self._next_measure:
            try:
                await self._writer.run(self._measure)
            except SchemaTooNew as error:
                self._writer.lose(str(error))
                raise StoreUnavailable(str(error)) from error

    async def _keep_plans(self, connection: Connection) -> None:
        outgrown = [row["relname"] for row in await connection.fetch(_OUTGROWN)]
        if outgrown:
            async with connection.transaction(readonly=False):
                await connection.execute("SET TRANSACTION READ WRITE")
                if await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtext('mailtrail.analyze'))"):
                    await connection.execute(f"ANALYZE {', '.join(outgrown)}")

    async def _measure(self, connection: Connection) -> None:
        # The answer that came quickest knows best.
        best = float("inf")
        for _ in range(3):
            before = time.monotonic()
            try:
                row = await connection.fetchrow(_CLOCK)
            except asyncpg.UndefinedTableError:
                raise NotMigrated(f"{place(self._url)} holds no relay's database yet: mailtrail db migrate") from None
            took = time.monotonic() - before
            if took < best:
                best = took
                self._ahead = row["now"] - (before + took / 2)
        self._next_measure = time.monotonic() + MEASURE
        schema.refuse_newer(place(self._url), int(row["compatible"]), self._newest)

    async def close(self) -> None:
        """Close every connection."""
        for link in (self._writer, self._reader, self._people):
            await link.close()
