"""The real program on a rig: started, killed with all its processes at one instant, looked into, started again.

Gone is what the kernel says of every process (pidfd): nothing here guesses by waiting.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from relay.delivery import WAITING, Status
from tests.crash.traffic import DOMAIN, LOOPBACK
from tests.parts.program import PATIENCE, ROOT, Program, write_config


class Rig:
    """One installation of the program: a configuration, and `data`, the directory that it writes. Its port stays."""

    def __init__(self, directory: Path, sink_port: int, data: Path | None = None) -> None:
        self.data = data or directory / "data"
        self.database = self.data / "mailtrail.db"
        self.port = _free_port()
        self.data.mkdir(exist_ok=True)
        self._config = write_config(
            directory,
            {
                "data_dir": self.data,
                "workers": 2,
                "submission": {"listen": [f"{LOOPBACK}:{self.port}"]},
                "delivery": {"routes": {"*": f"{LOOPBACK}:{sink_port}"}, "lease": "2s", "retry": ["1s"]},
            },
        )
        self._program: Program | None = None
        self._doomed: list[int] = []

    @property
    def program(self) -> Program:
        """The program that runs now."""
        assert self._program, "not started"
        return self._program

    async def start(self, before: Collection[str] = ()) -> None:
        """Start the program (`before`: a command that runs it) and wait until it says that it is ready."""
        process = await asyncio.create_subprocess_exec(
            *before,
            *(sys.executable, "-m", "relay", "serve", "--config", str(self._config)),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        self._program = Program(process)
        self._supervisor = 1 if before else 0  # which of `processes`
        await self._program.line(r"/relay\[\d+\]: ready: ")

    def processes(self) -> list[int]:
        """The program and all processes that come from it."""
        return list(_family(self.program.pid))

    @property
    def running(self) -> bool:
        """Has what was started not ended?"""
        return self.program.process.returncode is None

    async def stop(self) -> None:
        """SIGTERM, and a clean end."""
        os.kill(self.processes()[self._supervisor], signal.SIGTERM)
        assert await self.program.exit_code() == 0, self.program.last
        self._program = None

    async def kill(self) -> None:
        """SIGKILL to every process at once; returns when the last one is gone."""
        self.doom()
        await self.gone()

    def doom(self) -> None:
        """SIGKILL to every process: none executes another instruction of its own. Does not wait for their end."""
        self._doomed = [os.pidfd_open(process) for process in self.processes()]
        for process in self._doomed:
            signal.pidfd_send_signal(process, signal.SIGKILL)

    async def gone(self) -> None:
        """After `doom`: wait until the kernel has buried all."""
        while self._doomed:
            await _readable(self._doomed[-1])
            os.close(self._doomed.pop())
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
        with self._left_behind() as database:
            return keys(database, WAITING)

    def known(self) -> set[str]:
        """Keys of all messages in what a kill has left."""
        with self._left_behind() as database:
            return keys(database, tuple(Status))

    def integrity(self) -> str:
        """What SQLite says of what is left: "ok", or what is wrong with it."""
        with self._left_behind() as database, contextlib.closing(sqlite3.connect(database)) as connection:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])

    @contextlib.contextmanager
    def _left_behind(self) -> Iterator[Path]:
        # A copy: whoever opens the database itself first would take the recovery from the program.
        with tempfile.TemporaryDirectory() as place:
            for path in (self.database, Path(f"{self.database}-wal")):
                if path.exists():
                    shutil.copy(path, place)
            yield Path(place) / self.database.name

    async def settled(self) -> None:
        """Wait until no delivery waits any more: look at the public view whenever the program has logged something."""
        while keys(self.database, WAITING):
            await self.program.line("", count=len(self.program.lines) + 1)


def keys(database: Path, statuses: Collection[Status]) -> set[str]:
    """Keys of the messages whose delivery has one of these statuses."""
    reader = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=PATIENCE)
    with contextlib.closing(reader) as connection:
        marks = ", ".join("?" * len(statuses))
        sql = f"SELECT recipient FROM email_status WHERE status IN ({marks}) AND recipient LIKE ?"
        rows = connection.execute(sql, (*statuses, f"%@{DOMAIN}")).fetchall()
        return {row[0].split("@")[0] for row in rows}


def _free_port() -> int:
    # Not port 0: after a kill the clients come back to where they were.
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _family(process: int) -> Iterator[int]:
    yield process
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)
