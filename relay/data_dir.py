"""One relay for one data directory: who has it, and how a second one is told.

The supervisor holds `relay.lock` in it for as long as any of its processes lives: the
children inherit the lock (`flock` belongs to the open file), and the kernel lets go of it
with the last of them, however they end. The file stays; only the lock counts. In it stands
the pid of whoever has it. Commands may work beside a relay; they do not ask for this lock.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

NAME = "relay.lock"


class InUse(Exception):
    """The directory cannot be ours; the text says why, and what to do."""


@contextlib.contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Have `data_dir` (made if need be) for ourselves. Raises `InUse`."""
    path = data_dir / NAME
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise InUse(f"cannot use data_dir {data_dir}: {error.strerror} ({error.filename})") from error
    try:
        _lock(fd, data_dir)
        os.truncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, data_dir: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        who = f"another relay (pid {holder})" if holder else "another relay"
        raise InUse(f"{who} already works in {data_dir}. Fix: stop it, or give this one another data_dir") from None
    except OSError as error:
        raise InUse(f"cannot lock {data_dir / NAME}: {error.strerror}. Fix: put data_dir on a local disk") from error
