"""A PostgreSQL that may be stopped, for all tests of this folder; a farm on a fresh database for each."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.crash.traffic import Sink
from tests.nodes.farm import Farm
from tests.parts.postgres import TEMPLATE, Server, fresh
from tests.parts.proxy import Proxy


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """Ours alone."""
    with fresh() as server:
        server.run(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        yield server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """A database that the first node brings up."""
    with server.database() as url:
        yield url


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """The only next hop."""
    async with Sink() as sink:
        yield sink


@pytest.fixture
async def farm(tmp_path: Path, sink: Sink, url: str) -> AsyncIterator[Farm]:
    """No node yet."""
    farm = Farm(tmp_path, sink, url)
    yield farm
    await farm.close()


@pytest.fixture
async def line(server: Server) -> AsyncIterator[Proxy]:
    """A node's way to the database, which can be cut."""
    async with Proxy(server.port) as line:
        yield line
