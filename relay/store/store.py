"""The store: one interface over the engines, and how to open it.

`Store` is made of rooms that build on each other: `spool` (a message's way), `credentials`,
`desk` (what people ask and do), `chores`. `migrate` comes first and once; `settle_down`
last, after everybody has closed.
"""

from relay.config import Config
from relay.event import Refusal
from relay.store.chores import Chores
from relay.store.engine import Engine
from relay.store.errors import StoreUnavailable
from relay.store.group import Group
from relay.store.sqlite import migrate as sqlite_migrate
from relay.store.sqlite.engine import SqliteEngine


class Store(Chores):
    """Everything that is kept."""

    def refuse_later(self, refusal: Refusal) -> None:
        """Keep a refusal with the next group; one that cannot be kept is in the log anyway."""
        try:
            self.refusal_write(refusal).add_done_callback(lambda done: done.cancelled() or done.exception())
        except StoreUnavailable:
            return

    async def flush(self) -> None:
        """Return when every write so far is in the database, or has failed."""
        await self.group.flush()

    async def close(self) -> None:
        """Write what waits and close the database."""
        await self.group.close()
        await self.engine.close()


def migrate(config: Config) -> int:
    """Create the database or bring it up; its schema version. Raises SchemaTooNew, StoreUnavailable."""
    if on_server(config):
        from relay.store.postgres import migrate as postgres_migrate

        return postgres_migrate.migrate(config.database_url)
    return sqlite_migrate.migrate(config.database_path)


def settle_down(config: Config) -> None:
    """Leave the database as one plain file that anybody may read; a server's needs nothing."""
    if not on_server(config):
        sqlite_migrate.settle_down(config.database_path)


async def open_store(config: Config) -> Store:
    """Open a database that `migrate` has brought up. Raises StoreUnavailable, SchemaTooNew."""
    engine = await _open_engine(config)
    return Store(
        engine,
        Group(engine),
        lease=config.delivery.lease,
        keep_content=config.retention.content > 0,
        plus_labels=config.suppression.plus_labels,
    )


async def _open_engine(config: Config) -> Engine:
    if on_server(config):
        from relay.store.postgres.engine import PostgresEngine

        return await PostgresEngine.open(config.database_url)
    return await SqliteEngine.open(config.database_path)


def on_server(config: Config) -> bool:
    """PostgreSQL's modules are only loaded then: asyncpg is an extra."""
    return not config.database_url.startswith("sqlite:")
