"""Progress on standard error, for what takes longer than two seconds, and only on a terminal.

One line, rewritten in place at most five times a second and taken away at the end: the final
one-line summary is the command's own. In a pipe it writes nothing.
"""

import sys
import time

AFTER = 2.0  # seconds until the first line
EVERY = 0.2  # seconds between two


class Progress:
    """How far one long operation has come. `total` 0: unknown."""

    def __init__(self, what: str, total: int = 0) -> None:
        self._what = what
        self._total = total
        self._started = time.monotonic()
        self._next = self._started + AFTER
        self._tty = sys.stderr.isatty()
        self._shown = False

    def __call__(self, done: int, total: int | None = None) -> None:
        """`done` units are done so far (of `total`, where it is known only now)."""
        now = time.monotonic()
        if not self._tty or now < self._next:
            return
        self._next = now + EVERY
        self._shown = True
        of = total or self._total
        share = f" of {of:,} ({100 * done // of} %)" if of else ""
        rate = done / (now - self._started)
        left = f", {(of - done) / rate:.0f} s left" if of and rate else ""
        sys.stderr.write(f"\r\x1b[K{self._what}: {done:,}{share}{left}")
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
