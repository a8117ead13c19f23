"""Load and its end: smtp-source sends, smtp-sink receives and counts. Both come with Postfix.

The same two programs serve every peer, so that what they cost is the same for all.
A sink counts what it has answered 250 to; it keeps nothing.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

LOOPBACK = "127.0.0.1"
POLL = 0.01  # seconds between two looks at a counter


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of traffic."""

    name: str
    clients: int  # at once
    keep: bool  # one connection for many messages
    messages: int
    octets: int = 4096  # of the body
    content: Path | None = None  # a whole message to send instead, CRLF or not


class Late(Exception):
    """Something that was waited for did not happen in time, or cannot happen any more."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], what: str, seconds: float = 300.0, pause: float = POLL) -> None:
    """Look again and again until `true()`, every `pause` seconds; raise `Late` after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise Late(what)
        time.sleep(pause)


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A directory for a run, open to Postfix's daemons, which have their own user; gone afterwards, SIGTERM or not."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    place = Path(tempfile.mkdtemp(prefix="mailtrail-bench-", dir=parent))
    try:
        place.chmod(0o755)
        yield place
    finally:
        shutil.rmtree(place)


def answers(port: int) -> bool:
    """Does an SMTP server greet on this port?"""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            greeted = connection.recv(4) == b"220 "
            connection.sendall(b"QUIT\r\n")
            while connection.recv(1024):
                pass
            return greeted
    except OSError:
        return False


def listens(port: int) -> bool:
    """Does anybody let us in on this port?"""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def send(load: Load, port: int, recipient: str = "user@sink.test") -> None:
    """Send the whole load to `port`, return after the last 250. Raises CalledProcessError on any refusal."""
    what = ["-F", str(load.content)] if load.content else ["-l", str(load.octets), "-S", "race"]
    command = ["smtp-source", "-4", "-s", str(load.clients), "-m", str(load.messages), *what]
    command += ["-d"] if load.keep else []
    command += ["-f", "app@bench.test", "-t", recipient, "-M", "bench.test", f"{LOOPBACK}:{port}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


class Sink:
    """smtp-sink on a port of its own, as a context manager; `count()` is how many messages it has taken."""

    _COUNTER = re.compile(rb"mesg=(\d+)")

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._count = 0

    def __enter__(self) -> "Sink":
        command = ["smtp-sink", "-4", "-c", "-m", "1000", *self._options, f"{LOOPBACK}:{self.port}", "1000"]
        if os.geteuid() == 0:
            command[1:1] = ["-u", "nobody"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        wait_until(lambda: answers(self.port), "smtp-sink does not answer", 10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def count(self) -> int:
        """Messages since the start. Raises `Late` if smtp-sink has ended."""
        assert self._process.stdout
        if self._process.poll() is not None:
            raise Late(f"smtp-sink has ended with {self._process.returncode}")
        while chunk := self._process.stdout.read(1 << 20):
            if found := self._COUNTER.findall(chunk):
                self._count = int(found[-1])
        return self._count

    def wait_for(self, messages: int, seconds: float = 300.0) -> None:
        """Until `messages` have come since the start."""
        wait_until(lambda: self.count() >= messages, f"the sink has {self.count()} of {messages} messages", seconds)
