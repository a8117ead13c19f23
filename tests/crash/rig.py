"""The real program on a rig: started, killed with all its processes at one instant, looked into, started again."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from relay.delivery import WAITING, Status
from tests.crash.processes import Doomed, family
from tests.crash.traffic import DOMAIN, LOOPBACK
from tests.parts.program import ROOT, Program, write_config
from tests.parts.views import Views


class Rig:
    """One installation of the program: a configuration, and `data`, the directory that it writes. Its port stays.

    `url`: its database is on a server, and not in `data`. `delivery`: settings over ours.
    """

    def __init__(
        self,
        directory: Path,
        sink_port: int,
        data: Path | None = None,
        *,
        url: str = "",
        host: str = LOOPBACK,
        workers: int = 2,
        delivery: Mapping[str, Any] | None = None,
    ) -> None:
        self.data = data or directory / "data"
        self.database = self.data / "mailtrail.db"
        self.views = Views(url or self.database)
        self.host = host
        self.port = _free_port(host)
        self.data.mkdir(parents=True, exist_ok=True)
        usual = {"routes": {"*": f"{LOOPBACK}:{sink_port}"}, "lease": "2s", "retry": ["1s"]}
        self.config = write_config(
            directory,
            {
                "data_dir": self.data,
                "workers": workers,
                "submission": {"listen": [f"{host}:{self.port}"]},
                "delivery": usual | dict(delivery or {}),
            }
            | ({"database": {"url": url}} if url else {}),
        )
        self._program: Program | None = None
        self._doomed = Doomed(())

    @property
    def program(self) -> Program:
        """The program that runs now."""
        assert self._program, "not started"
        return self._program

    async def start(self, ready: str = r"/relay\[\d+\]: ready: ") -> None:
        """Start the program and wait until it says that it is ready."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "serve"),
            *("--config", str(self.config)),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        self._program = Program(process)
        await self._program.line(ready)

    def processes(self) -> list[int]:
        """The program and all processes that come from it."""
        return list(family(self.program.pid))

    @property
    def running(self) -> bool:
        """Has what was started not ended?"""
        return self._program is not None and self._program.process.returncode is None

    async def stop(self) -> None:
        """SIGTERM, and a clean end."""
        os.kill(self.program.pid, signal.SIGTERM)
        assert await self.program.exit_code() == 0, self.program.last
        self._program = None

    async def kill(self) -> None:
        """SIGKILL to every process at once; returns when the last one is gone."""
        self.doom()
        await self.gone()

    def doom(self) -> None:
        """SIGKILL to every process: none executes another instruction of its own. Does not wait for their end."""
        self._doomed = Doomed(self.processes())

    def freeze(self) -> None:
        """SIGSTOP to every process: the machine stands still."""
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on, and has not noticed."""
        for process in self.processes():
            os.kill(process, signal.SIGCONT)

    async def gone(self) -> None:
        """After `doom`: wait until the kernel has buried all."""
        await self._doomed.gone()
        await self.program.exit_code()
        self._program = None

    async def close(self) -> None:
        """Whatever happened, nothing of the program stays. If it still ran the test has failed: show what it said."""
        if self._program:
            print(self._program.last)
            if self.running:
                await self.kill()

    def waiting(self) -> set[str]:
        """Keys of the messages that are not decided, in what a kill has left."""
        with self._left_behind() as views:
            return keys(views, WAITING)

    def known(self) -> set[str]:
        """Keys of all messages in what a kill has left."""
        with self._left_behind() as views:
            return keys(views, tuple(Status))

    def integrity(self) -> str:
        """What SQLite says of what is left: "ok", or what is wrong with it. A server's own files are its own matter."""
        with self._left_behind() as views:
            if isinstance(views.place, Path):
                return str(views.rows("PRAGMA integrity_check")[0]["integrity_check"])
        return "ok"

    @contextlib.contextmanager
    def _left_behind(self) -> Iterator[Views]:
        if not isinstance(self.views.place, Path):
            yield self.views
            return
        # A copy: whoever opens the database itself first would take the recovery from the program.
        with tempfile.TemporaryDirectory() as place:
            for path in (self.database, Path(f"{self.database}-wal")):
                if path.exists():
                    shutil.copy(path, place)
            yield Views(Path(place) / self.database.name)

    async def settled(self) -> None:
        """Wait until no delivery waits any more: look at the public view whenever the program has logged something."""
        while keys(self.views, WAITING):
            await self.program.line("", count=len(self.program.lines) + 1)


def keys(views: Views, statuses: Collection[Status]) -> set[str]:
    """Keys of the messages whose delivery has one of these statuses."""
    marks = ", ".join("?" * len(statuses))
    sql = f"SELECT recipient FROM email_status WHERE status IN ({marks}) AND recipient LIKE ?"
    return {row["recipient"].split("@")[0] for row in views.rows(sql, *map(str, statuses), f"%@{DOMAIN}")}


def _free_port(host: str) -> int:
    # Not port 0: after a kill the clients come back to where they were.
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
