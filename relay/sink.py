"""A sink: where log lines go, a file or a stream, without ever getting in the way.

Lines are gathered while the event loop turns and written with one `os.write` at the end
of the turn; without a running loop each line is written at once. A full disk, a stuck
reader or a closed pipe never raise into callers and never block them for long: lines
wait in memory up to `LIMIT`, then they are counted, and the count is said when the sink
takes lines again. A file that was renamed or removed (logrotate) is opened anew within
a second, and on `reopen`. Several processes may share one file or one pipe: what is
written in one piece ends at a line's end. Only opening the sink raises `OSError`.
"""

import asyncio
import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

LIMIT = 1024 * 1024  # octets that wait for a sink that does not take them
PIECE = select.PIPE_BUF  # a pipe takes this much in one piece, whoever else is writing to it
TURN = 512  # lines after which a long turn does not wait for its end
LAST = 1.0  # seconds that `close` gives a slow reader to go on reading
AGAIN = 1.0  # seconds until a sink that failed is tried again, and between looks at a file's name


class Sink:
    """Lines to the file at `path`, or to the open file descriptor `stream` where there is no path.

    `warn` makes the line, in the log's own shape, that tells of lines lost.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], str], *, stream: int = 1) -> None:
        self._path = path
        self._warn = warn
        self._lock = threading.Lock()  # a line may come from the database's thread
        self._lines: list[str] = []
        self._waiting = b""
        self._lost = 0
        self._why = ""
        self._retry: asyncio.TimerHandle | None = None
        self._fd = _open(path, stream)
        self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        self._looked = time.monotonic()

    def write(self, line: str) -> None:
        """Take one line; it ends in "\\n"."""
        self._lines.append(line)
        count = len(self._lines)
        if count == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no loop runs in this thread
                self.flush()
        elif count >= TURN:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken, as far as the sink takes it."""
        with self._lock:
            lines, self._lines = self._lines, []
            data = "".join(lines).encode("utf-8", "backslashreplace")
            if self._waiting and len(self._waiting) + len(data) > LIMIT:
                self._lost += len(lines)
            else:
                self._waiting += data
            if self._path and time.monotonic() - self._looked >= AGAIN:
                self._follow(self._path)
            if self._write() and self._lost:
                told = f"{self._lost} lines lost, this log could not be written ({self._why})"
                self._lost, self._waiting = 0, self._warn(told).encode()
                self._write()
            if self._waiting:
                self._try_again()

    def reopen(self) -> None:
        """Open the file anew under its name; what was taken before goes to the old one."""
        self.flush()
        if self._path:
            with self._lock:
                self._open_anew(self._path)

    def close(self) -> None:
        """Write what can be written, last words included, and let go."""
        self.flush()
        left = 0
        while len(self._waiting) != left and not self._regular and _takes(self._fd, LAST):
            left = len(self._waiting)
            self.flush()
        if self._retry:
            self._retry.cancel()
        os.close(self._fd)

    def _write(self) -> bool:
        """Has everything that was waiting been written?"""
        try:
            while self._waiting:
                piece = self._waiting if self._regular else _piece(self._waiting)
                if not self._regular and not _takes(self._fd):
                    raise BlockingIOError(0, "its reader does not read")
                self._waiting = self._waiting[os.write(self._fd, piece) :]
        except OSError as error:
            self._why = error.strerror or str(error)
        return not self._waiting

    def _try_again(self) -> None:
        if self._retry is None:
            try:
                self._retry = asyncio.get_running_loop().call_later(AGAIN, self._tried_again)
            except RuntimeError:  # no loop: the next line tries
                return

    def _tried_again(self) -> None:
        self._retry = None
        self.flush()

    def _follow(self, path: Path) -> None:
        """Does the name still mean the file that is open? logrotate renames without telling."""
        self._looked = time.monotonic()
        try:
            named = path.stat()
        except OSError:
            self._open_anew(path)
            return
        mine = os.fstat(self._fd)
        if (named.st_ino, named.st_dev) != (mine.st_ino, mine.st_dev):
            self._open_anew(path)

    def _open_anew(self, path: Path) -> None:
        try:
            fresh = _open(path, -1)
        except OSError as error:
            self._waiting += self._warn(f"{path} cannot be opened, still writing to the old file ({error})").encode()
            return
        os.close(self._fd)
        self._fd = fresh


def _open(path: Path | None, stream: int) -> int:
    if path:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    if stat.S_ISREG(os.fstat(stream).st_mode):
        # `> file`, not `>>`: who shares it (a shell, our standard error) must not overwrite our lines, nor we theirs.
        fcntl.fcntl(stream, fcntl.F_SETFL, fcntl.fcntl(stream, fcntl.F_GETFL) | os.O_APPEND)
        return os.dup(stream)
    try:
        # Our own opening of the same pipe: not blocking, without making it so for everybody who shares it.
        return os.open(
            f"/proc/self/fd/{stream}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        )
    except OSError:  # a socket (journald), a pipe of another user, no /proc
        return os.dup(stream)


def _takes(fd: int, seconds: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def _piece(data: bytes) -> bytes:
    """The whole lines at the start of `data` that a pipe takes in one piece."""
    if len(data) <= PIECE:
        return data
    end = data.rfind(b"\n", 0, PIECE) + 1
    return data[: end or PIECE]
