"""A journal, and a store of either kind with a delivery or two."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.track.journal import Journal
from tests.parts.written_log import Written
from tests.store.conftest import config, own_postgres, store

__all__ = ["config", "own_postgres", "store"]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A log in a file."""
    return Written(tmp_path)


@pytest.fixture
async def journal(tmp_path: Path, written: Written) -> AsyncIterator[Journal]:
    """A worker's journal."""
    journal = Journal(tmp_path / "visits", written.log)
    yield journal
    journal.close()
