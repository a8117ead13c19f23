"""Bringing a PostgreSQL database up to this program's schema.

N nodes that start at once do it once: an advisory lock around one transaction with all
missing steps and the public views. A database that went ahead of this program is left as it
is, and refused in words (`SchemaTooNew`) unless it says that older programs may still work
with it (`relay/store/schema.py`). The database itself, and the role that owns it, are the
administrator's to make.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import asyncpg

from relay.store import schema, sql
from relay.store.errors import StoreAway, StoreUnavailable
from relay.store.postgres.link import CANNOT_CONNECT, CONNECT, Connection, away, place, unavailable

LOCK = 0x6D61696C  # "mail": whoever migrates holds this advisory lock


def migrate(url: str, steps: Mapping[int, str] | None = None) -> int:
    """Create or bring up the schema; its version. Raises SchemaTooNew, StoreUnavailable (StoreAway: waiting may help).

    Blocks, and may be called where an event loop runs: it has a thread and a loop of its own.
    """
    steps = sql.migrations("postgres") if steps is None else steps
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_migrate(url, steps))).result()


async def _migrate(url: str, steps: Mapping[int, str]) -> int:
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT, target_session_attrs="read-write")
    except CANNOT_CONNECT as error:
        kind = StoreAway if away(error) else StoreUnavailable
        raise kind(f"cannot connect to {place(url)}: {error or 'it does not answer'}") from error
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            return await _bring_up(connection, place(url), steps)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if not unavailable(error, connection):
            raise
        raise StoreAway(f"cannot bring {place(url)} up: {error}") from error
    finally:
        await connection.close()


async def _bring_up(connection: Connection, where: str, steps: Mapping[int, str]) -> int:
    facts = await _facts(connection)
    version = int(facts.get("schema", 0))
    newest = max(steps)
    if version > newest:
        schema.refuse_newer(where, int(facts["compatible"]), newest)
        return version
    for number in sorted(steps):
        if number > version:
            await connection.execute(steps[number])
    views = sql.script("postgres", "views.sql")
    words = list(schema.described())
    # Views are made anew only when they have changed: it would wait for everybody who reads one just now.
    edition = hashlib.sha256(f"{views}{words}".encode()).hexdigest()
    if facts.get("views") != edition:
        await connection.execute(views)
        await connection.execute("DELETE FROM view_columns")
        await connection.executemany("INSERT INTO view_columns VALUES ($1, $2, $3, $4)", words)
    reached = {"schema": str(newest), "compatible": str(schema.compatible(steps)), "views": edition}
    await connection.executemany(
        "INSERT INTO meta VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        list((reached | {"public_schema": schema.PUBLIC_SCHEMA}).items()),
    )
    return newest


async def _facts(connection: Connection) -> dict[str, str]:
    if await connection.fetchval("SELECT to_regclass('meta')") is None:
        return {}
    return {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM meta")}
