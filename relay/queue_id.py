"""Queue ids: our names for messages.

Twelve characters 0-9 and a-z: 41 bits of milliseconds since 2020, 10 bits of writer, 11
bits of counter, in base 36. They sort by time, match `\\w+` (pflogsumm and fail2ban ask
for that), survive a change of case, and are never used again: the clock of one writer
never goes back within a process, and no two living writers bear the same number.
"""

import time
from collections.abc import Callable

EPOCH = 1_577_836_800_000  # 2020-01-01, ms; 41 bits last until 2089
WRITERS = 1024
_PER_MS = 2048
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]


def _base36(value: int) -> str:
    pairs = []
    for _ in range(6):
        value, pair = divmod(value, 1296)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))


class QueueIds:
    """Makes queue ids for one writer (0 to 1023)."""

    def __init__(self, writer: int, clock: Callable[[], float] = time.time) -> None:
        self._writer = writer % WRITERS
        self._clock = clock
        self._ms = 0
        self._counter = 0

    def belong_to(self, writer: int) -> None:
        """From now on they are this writer's."""
        self._writer = writer % WRITERS

    def next(self) -> str:
        """A new queue id; when one millisecond's numbers are used up it borrows from the next."""
        ms = int(self._clock() * 1000) - EPOCH
        if ms > self._ms:
            self._ms, self._counter = ms, 0
        else:
            self._counter += 1
            if self._counter == _PER_MS:
                self._ms, self._counter = self._ms + 1, 0
        return _base36(((self._ms << 10) + self._writer) * _PER_MS + self._counter)
