"""A file of visits: one line each, appended by one worker, read by whoever has it.

A line is the visit as JSON. The lock (`flock`) on the open file says that somebody living has
it: the kernel lets go of it when a worker dies, however it dies. Whoever then locks the file
reads it to its end and removes it.

It is not synced: killed workers lose nothing, a machine that loses its power loses the visits
of the last seconds. A half line (the disk was full, the machine went down) and lines that are
no visits are left out and counted. Raises OSError where the disk does not do its part.
"""

import fcntl
import os
from pathlib import Path
from typing import Any, Self

import orjson

from tracker.visit import Visit

PIECE = 64 * 1024  # octets read at once
LONGEST = 256 * 1024  # octets; what is longer is no line of ours

_TEXT, _WHOLE = (str,), (int,)
_NEEDED = {"visit_id": _TEXT, "at": (float, int), "kind": _TEXT, "queue_id": _TEXT, "number": _WHOLE}
_TYPES = _NEEDED | {"link": _WHOLE, "target": _TEXT, "ip": _TEXT, "agent": _TEXT, "hints": _TEXT}


class Segment:
    """An open and locked file of visits. `read_to` and `end` are offsets: what lies between waits."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.read_to = 0
        self.end = os.fstat(fd).st_size
        self.unreadable = 0  # lines so far
        self._fd = fd

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new file. Raises FileExistsError, BlockingIOError (somebody was quicker to lock it), OSError."""
        return cls._locked(path, os.O_CREAT | os.O_EXCL)

    @classmethod
    def take_over(cls, path: Path) -> Self:
        """The file of a worker that has died. Raises BlockingIOError while its owner lives, OSError."""
        return cls._locked(path, 0)

    @classmethod
    def _locked(cls, path: Path, how: int) -> Self:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | how, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(fd).st_nlink:
                raise FileNotFoundError(f"{path} was removed by another worker")
            return cls(path, fd)
        except OSError:
            os.close(fd)
            raise

    @property
    def waiting(self) -> int:
        """Octets that have not been let go."""
        return self.end - self.read_to

    def append(self, lines: bytes) -> None:
        """Add whole lines, or nothing. Raises OSError."""
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError:
            # A full disk takes a part: the next line must not stand behind half a one.
            os.ftruncate(self._fd, self.end)
            raise
        self.end += written

    def read(self, most: int) -> tuple[list[Visit], int]:
        """At most `most` of the visits that wait, and the offset behind them. Raises OSError."""
        visits: list[Visit] = []
        at, rest = self.read_to, b""
        while len(visits) < most and at + len(rest) < self.end:
            piece = os.pread(self._fd, PIECE, at + len(rest))
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if len(visits) >= most:
                    return visits, at
                at += len(line) + 1
                visit = read_visit(line)
                if visit:
                    visits.append(visit)
                else:
                    self.unreadable += 1
            if len(rest) > LONGEST:
                self.unreadable += 1
                at, rest = at + len(rest), b""
        if rest and len(visits) < most:  # half a line, and nothing comes after it
            self.unreadable += 1
            at += len(rest)
        return visits, at

    def let_go(self, offset: int) -> None:
        """What stands before `offset` is in the database; a file that is done is emptied. Raises OSError."""
        self.read_to = offset
        if self.read_to >= self.end:
            os.ftruncate(self._fd, 0)
            self.read_to = self.end = 0

    def close(self) -> None:
        """Give it back, and remove it if nothing waits in it."""
        try:
            if not self.waiting:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._fd)


def line_of(visit: Visit) -> bytes:
    """A visit as its line."""
    return orjson.dumps(visit, option=orjson.OPT_APPEND_NEWLINE)


def read_visit(line: bytes) -> Visit | None:
    """The visit of a line; None if it is none. Names that we do not know are a newer program's."""
    try:
        said: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or not _NEEDED.keys() <= said.keys():
        return None
    known = {name: value for name, value in said.items() if name in _TYPES}
    if not all(type(value) in _TYPES[name] for name, value in known.items()):
        return None
    return Visit(**known) if known["kind"] in ("open", "click") and known["number"] >= 0 else None
