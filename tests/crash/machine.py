"""A relay and its database on one machine, with all that they keep on one disk: what a lost disk or power concerns.

The database is the engine's own: SQLite's file, or a PostgreSQL server that syncs as one in use does. Tests say which
engine, and then no more about it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from tests.crash.images import MIB
from tests.crash.processes import Doomed, family
from tests.crash.rig import Rig
from tests.parts.postgres import DURABLE, Server, fresh

ENGINES = ("sqlite", "postgres")
LEAST_DISK = {"sqlite": 32 * MIB, "postgres": 128 * MIB}  # an empty database and some work
NAME = "mailtrail"


class Machine:
    """A rig, and the server of its database where the engine has one."""

    def __init__(self, rig: Rig, server: Server | None, disk: Path) -> None:
        self.rig = rig
        self.disk = disk
        self._server = server
        self._doomed = Doomed(())

    def processes(self) -> list[int]:
        """All of the relay and of the database."""
        return [*self.rig.processes(), *self._servers()]

    def log(self) -> list[Path]:
        """The files that a commit is written to."""
        if self._server is None:
            return [self.rig.database, Path(f"{self.rig.database}-wal")]
        assert self._server.data
        return [path for path in (self._server.data / "pg_wal").iterdir() if path.is_file()]

    def doom(self) -> None:
        """The power is off: nobody executes another instruction."""
        self._doomed = Doomed(self._servers())
        self.rig.doom()

    async def gone(self) -> None:
        """After `doom`: wait until the kernel has buried all."""
        await self.rig.gone()
        await self._doomed.gone()

    def look_after(self) -> None:
        """What a service manager does: start a server again that has ended. The relay has to help itself."""
        if self._server is not None:
            try:
                self._server.wait()
            except RuntimeError:
                self._server.start()

    def begin_log(self) -> None:
        """PostgreSQL needs a new file for its log with the next commit."""
        assert self._server, "SQLite has one file"
        self._server.run("SELECT pg_switch_wal()")

    def _servers(self) -> list[int]:
        return list(family(self._server.pid)) if self._server is not None and self._server.pid else []


@asynccontextmanager
async def machine(engine: str, directory: Path, disk: Path, sink_port: int) -> AsyncIterator[Machine]:
    """Its relay is not started yet; its database is new, or as it was left on `disk`.

    `directory`: for the configuration.
    """
    with _server(engine, disk) as server:
        url = server.url_of(NAME) if server else ""
        rig = Rig(directory, sink_port, data=disk / "data", url=url)
        try:
            yield Machine(rig, server, disk)
        finally:
            await rig.close()


def _server(engine: str, disk: Path) -> AbstractContextManager[Server | None]:
    return nullcontext() if engine == "sqlite" else _postgres(disk / "postgresql")


@contextmanager
def _postgres(data: Path) -> Iterator[Server]:
    with fresh(DURABLE, data) as server:
        if not server.run(f"SELECT FROM pg_database WHERE datname = '{NAME}'"):
            server.run(f"CREATE DATABASE {NAME} TEMPLATE template0")
        yield server
