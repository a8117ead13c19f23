"""A next hop and an installation for each test, on each engine; whatever happens, nothing of them stays behind."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.crash.machine import ENGINES
from tests.crash.rig import Rig
from tests.crash.traffic import Sink
from tests.parts.postgres import Server


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Every test here runs on both."""
    engine: str = request.param
    return engine


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """The only next hop."""
    async with Sink() as sink:
        yield sink


@pytest.fixture
async def rig(request: pytest.FixtureRequest, engine: str, tmp_path: Path, sink: Sink) -> AsyncIterator[Rig]:
    """An installation that is not started yet, on the server of all tests where there is one."""
    if engine == "sqlite":
        rig = Rig(tmp_path, sink.port)
        yield rig
        await rig.close()
    else:
        server: Server = request.getfixturevalue("postgres")
        with server.database() as url:
            rig = Rig(tmp_path, sink.port, url=url)
            yield rig
            await rig.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can go to (pytest's own are closed): PostgreSQL does not run as root."""
    place = Path(tempfile.mkdtemp(prefix="mailtrail-crash-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)
