"""The one lock of all processes that write one SQLite database: `flock` on a file beside it.

It is held around every transaction and every checkpoint (see `engine.py` for why). Whoever deletes
the file does not divide us: the lock is that of the file which has the name now.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteLock:
    """The one lock around transactions and checkpoints of all processes."""

    def __init__(self, path: Path) -> None:
        self._name = f"{path}.lock"
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises OSError when the lock's directory has gone."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        while identity(self._name) != identity(self._file):  # deleted since: others lock another file of this name
            fresh = self._open()
            os.close(self._file)
            self._file = fresh
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)


def identity(file: str | Path | int) -> tuple[int, int] | None:
    """Which file this is, whatever its name; None when there is none."""
    try:
        found = os.fstat(file) if isinstance(file, int) else Path(file).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def lock_for(path: Path) -> WriteLock | None:
    """The lock; None for whoever may not write here."""
    try:
        return WriteLock(path)
    except PermissionError:
        return None
