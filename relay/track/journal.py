"""Visits on disk, from the moment they were answered until they are in the database.

`saw` costs microseconds and never waits or raises: what one turn of the loop saw is appended to
this worker's file in `data_dir/visits/` in one write, at the end of that turn. The recorder
takes visits from there, oldest first, and lets go of them once they are committed; between the
two nothing is lost by a database that is away or a worker that is killed. What is let go of may
come again after a crash: visits have names, and the store counts each once.

Files of workers that have died are taken over by a living one (`adopt`).
Fails: a disk that does not take visits has them wait in memory (`MEMORY`), and the recorder takes
them from there; more than `LIMIT` on disk, or than `MEMORY`, are counted and dropped, which is
logged once a minute.
"""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from relay.log import Log
from relay.track.segment import Segment, line_of, read_visit
from tracker.visit import LONGEST_AGENT, Visit

LIMIT = 256 * 1024 * 1024  # octets on disk that wait for the database, of one worker
SEGMENT = 4 * 1024 * 1024  # octets of one file; then another is begun, so that the first can be removed
MEMORY = 4 * 1024 * 1024  # octets that wait for a disk
AGAIN = 60.0  # seconds until trouble that lasts is told again

SUFFIX = ".visits"


@dataclass(frozen=True, slots=True)
class Taken:
    """Visits in hand, and where they stand: `segment` up to `offset`, or the first `lines` in memory."""

    visits: tuple[Visit, ...]
    segment: Segment | None
    offset: int = 0
    lines: int = 0


class Journal:
    """One worker's visits that are not in the database. `directory` is made when the first one comes."""

    def __init__(
        self, directory: Path, log: Log, *, limit: int = LIMIT, segment: int = SEGMENT, memory: int = MEMORY
    ) -> None:
        self._directory = directory
        self._log = log
        self._limit = limit
        self._segment = segment
        self._memory = memory
        self.seen = 0  # visits so far
        self._seen: list[bytes] = []  # lines of this turn of the loop
        self._segments: list[Segment] = []  # oldest first
        self._mine: Segment | None = None  # the one that is written to; the last of them
        self._unwritten: list[bytes] = []
        self._unwritten_size = 0
        self._lost = 0
        self._told = -AGAIN
        self._here = asyncio.Event()

    def saw(self, visit: Visit) -> None:
        """Keep a visit. For the loop's own thread."""
        # A user agent may hold whatever a stranger sends: NUL and half characters are nothing a database takes.
        if not visit.agent.isprintable() or len(visit.agent) > LONGEST_AGENT:
            visit = replace(visit, agent=_printable(visit.agent[:LONGEST_AGENT]))
        self._seen.append(line_of(visit))
        if len(self._seen) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what this turn saw."""
        lines, self._seen = self._seen, []
        if not lines:
            return
        self.seen += len(lines)
        if self._waiting > self._limit:
            self._drop(len(lines), "too many wait for the database")
            return
        try:
            self._writable().append(b"".join([*self._unwritten, *lines]))
            self._unwritten, self._unwritten_size = [], 0
        except OSError as error:
            self._keep_in_memory(lines, error)
        self._here.set()

    @property
    def crowded(self) -> bool:
        """Is half of the room on disk taken?"""
        return self._waiting > self._limit / 2

    @property
    def _waiting(self) -> int:
        return sum(segment.waiting for segment in self._segments)

    def take(self, most: int) -> Taken:
        """The `most` oldest visits, or all there are. They stay here until `done`."""
        for segment in list(self._segments):
            try:
                bad = segment.unreadable
                visits, offset = segment.read(most)
                if segment.unreadable > bad:
                    self._log.warning(f"{segment.unreadable - bad} lines of {segment.path} are no visits: left out")
                if visits:
                    return Taken(tuple(visits), segment, offset)
                segment.let_go(offset)
                if segment is not self._mine:
                    self._segments.remove(segment)
                    segment.close()
            except OSError as error:
                self._tell(f"visits in {segment.path} cannot be read: {error}")
        lines = self._unwritten[:most]
        return Taken(tuple(visit for line in lines if (visit := read_visit(line))), None, lines=len(lines))

    def done(self, taken: Taken) -> None:
        """These are in the database."""
        if taken.segment is None:
            self._unwritten_size -= sum(map(len, self._unwritten[: taken.lines]))
            del self._unwritten[: taken.lines]
            return
        try:
            taken.segment.let_go(taken.offset)
        except OSError as error:  # it is read again by whoever comes next, and counts no more for that
            self._tell(f"visits in {taken.segment.path} cannot be let go: {error}")

    async def wait(self, seconds: float) -> None:
        """Return when there is something to take that came after the last call, at most `seconds` later."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._here.wait()
        self._here.clear()

    def adopt(self) -> None:
        """Take over the files of workers that have died, here or in an earlier run."""
        mine = {segment.path for segment in self._segments}
        try:
            found = sorted(self._directory.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        except OSError:  # one was removed while we looked: the next look finds the others
            return
        theirs: list[Segment] = []
        for path in found:
            if path not in mine:
                # BlockingIOError: its owner lives. FileNotFoundError: another worker was quicker.
                with suppress(OSError):
                    theirs.append(Segment.take_over(path))
        self._segments[:0] = theirs
        if theirs:
            self._here.set()

    def close(self) -> None:
        """Write what was seen last and let go; what still waits is found by the next worker."""
        self.flush()
        if self._lost:
            self._told = -AGAIN
            self._drop(0, "the worker ends")
        for segment in self._segments:
            with suppress(OSError):
                segment.close()
        self._segments.clear()
        self._mine = None

    # --- the disk --------------------------------------------------------------------------------------------

    def _writable(self) -> Segment:
        if self._mine is None or self._mine.end >= self._segment:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            name = f"{time.time():.0f}-{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
            self._mine = Segment.create(self._directory / name)
            self._segments.append(self._mine)
        return self._mine

    def _keep_in_memory(self, lines: list[bytes], error: OSError) -> None:
        size = sum(map(len, lines))
        if self._unwritten_size + size > self._memory:
            self._drop(len(lines), f"the disk does not take them ({error.strerror})")
            return
        self._unwritten += lines
        self._unwritten_size += size
        self._tell(f"visits wait in memory, the disk does not take them: {error.strerror}")

    def _drop(self, count: int, why: str) -> None:
        self._lost += count
        if self._tell(f"{self._lost} visits were not kept: {why}"):
            self._lost = 0

    def _tell(self, text: str) -> bool:
        now = time.monotonic()
        if now < self._told + AGAIN:
            return False
        self._told = now
        self._log.warning(text)
        return True


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
