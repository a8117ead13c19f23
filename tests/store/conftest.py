"""Every test of the store runs on both engines: `config` is a fresh database, migrated, on one and on the other."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.config import Config, DeliverySection
from relay.store import Store, migrate, open_store
from tests.parts.postgres import Server, fresh

LEASE = DeliverySection(lease=30.0)


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """A relay's configuration with a database that is empty and migrated."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        with server.database() as url:
            yield Config("relay.test", data_dir=tmp_path, database_url=url, delivery=LEASE)
    else:
        config = Config("relay.test", data_dir=tmp_path, delivery=LEASE)
        migrate(config)
        yield config


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """The same before its first migration."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        with server.database(migrated=False) as url:
            yield Config("relay.test", data_dir=tmp_path, database_url=url, delivery=LEASE)
    else:
        yield Config("relay.test", data_dir=tmp_path, delivery=LEASE)


@pytest.fixture
async def store(config: Config) -> AsyncIterator[Store]:
    """A worker's store."""
    store = await open_store(config)
    yield store
    await store.close()


@pytest.fixture
async def other(config: Config) -> AsyncIterator[Store]:
    """Another worker's store, on the same database."""
    store = await open_store(config)
    yield store
    await store.close()


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A PostgreSQL server that the test may stop and start."""
    with fresh() as server:
        yield server
