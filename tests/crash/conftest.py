"""A next hop and an installation for each test; whatever happens, nothing of them stays behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.rig import Rig
from tests.crash.traffic import Sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """The only next hop."""
    async with Sink() as sink:
        yield sink


@pytest.fixture
async def rig(tmp_path: Path, sink: Sink) -> AsyncIterator[Rig]:
    """An installation that is not started yet."""
    rig = Rig(tmp_path, sink.port)
    yield rig
    await rig.close()
