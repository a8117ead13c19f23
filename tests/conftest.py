"""What all tests may ask for, one PostgreSQL server, started when the first one does; and what all must keep to."""

import threading
from collections.abc import Iterator

import pytest

from tests.parts.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """A test closes what it opens: a thread that it leaves would keep this whole process from ending."""
    before = set(threading.enumerate())
    yield
    # The event loop's own (asyncio_0, …) end with it, later than this.
    left = [t for t in threading.enumerate() if t not in before and not t.daemon and not t.name.startswith("asyncio_")]
    for thread in left:
        thread.join(5)
    assert not [thread.name for thread in left if thread.is_alive()]
