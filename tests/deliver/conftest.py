"""On which event loops the tests run: the client's on both, since a loop's TLS and its transports are its own."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.parts.postgres import postgres

__all__ = ["postgres"]

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What speaks to other servers is tried on both loops; everything else on asyncio's own."""
    return LOOPS if item.path.name.startswith("test_client_") else {"asyncio": LOOPS["asyncio"]}
