"""Child processes by `os.fork`, and signals as something to wait for.

For a parent without event loop and threads (`relay/supervisor.py`). A child never comes
back into the parent's code, has none of its signal handlers, is deaf to the terminal's
SIGINT, and is killed by the kernel when the parent dies (Linux).
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """Signals as something to wait for: their numbers arrive in a pipe. Put back as they were at the end."""

    def __enter__(self) -> "Signals":
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _heard) for number in HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self.reader.close()
        self._writer.close()

    def arrived(self) -> list[int]:
        """The signals that have come since last time."""
        with contextlib.suppress(BlockingIOError):
            return list(self.reader.recv(4096))
        return []

    @staticmethod
    @contextlib.contextmanager
    def held_back() -> Iterator[None]:
        """No signal is delivered inside, so that none meant for a child is taken for ours, or the other way round."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def forget(self) -> None:
        """In a child: nothing of this is ours any more."""
        signal.set_wakeup_fd(-1)
        for number in HEARD:
            signal.signal(number, signal.SIG_DFL)
        # A terminal sends SIGINT to everybody; the supervisor hears it and says SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A reload is the supervisor's affair too.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.reader.close()
        self._writer.close()


def _heard(_number: int, _frame: FrameType | None) -> None:
    """The pipe has it."""


def fork(life: Callable[[], None], name: str, signals: Signals, failed: Callable[[str, BaseException], None]) -> int:
    """Start a child that lives `life`, and ends with 0, or with 1 after `failed(name, error)`.

    The child's pid; `OSError` where the system allows no more processes.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    with signals.held_back():
        pid = os.fork()
        if pid == 0:
            signals.forget()
    if pid:
        return pid
    code = 1
    try:
        _die_with(parent)
        call_me(f"mailtrail {name}")
        life()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException as error:  # the last place where a child's failure can be told
        failed(name, error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # without the parent's exit handlers


def end(status: int) -> str:
    """How a process ended, from its wait status: `exit code 1`, `SIGKILL`."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def call_me(name: str) -> None:
    """What this process is called in ps and top: 15 octets of `name` (Linux)."""
    _prctl(15, name.encode()[:15])  # PR_SET_NAME


def _die_with(parent: int) -> None:
    """Be killed when `parent` dies (Linux)."""
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def _prctl(what: int, value: int | bytes) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(what, value)
