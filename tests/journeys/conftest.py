"""What the journeys share: one Internet, and one relay with its database for all that need nothing special.

Every journey is made on both engines.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.journeys.internet import Internet
from tests.journeys.office import Office, installed, office
from tests.journeys.providers import settings
from tests.parts.postgres import Server
from tests.parts.reader import TRACKING


@pytest.fixture(scope="package", params=["sqlite", "postgres"], autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where all offices keep their databases from now on."""
    server: Server | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with installed(server):
        yield request.param


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def internet() -> AsyncIterator[Internet]:
    async with Internet() as internet:
        yield internet


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def here(engine: str, internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One worker, small limits; every story has domains of its own."""
    settings = internet.settings(messages_per_connection=3, connections_per_destination=2)
    async with office(tmp_path_factory.mktemp("relay"), internet, settings) as here:
        yield here


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def tracked(engine: str, internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One that tracks what it sends; every story has a sender's domain of its own."""
    settings = internet.settings() | {
        "tracking": TRACKING | {"streams": {"weekly": "Weekly offers – about one a week"}}
    }
    async with office(tmp_path_factory.mktemp("tracked"), internet, settings) as tracked:
        yield tracked


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def back(engine: str, internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """One to which mail comes back, and which keeps contents; every story has domains of its own."""
    async with office(
        tmp_path_factory.mktemp("back"), internet, settings(internet, retention={"content": "1d"})
    ) as back:
        yield back
