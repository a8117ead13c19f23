"""Visits on their way from the journal to the database: in groups, judged, logged.

One task per worker. A group is at most `GROUP` visits and waits `GATHER` seconds for company, so
that a burst costs one transaction. While visits come faster than they are written, the worker is the
visitors', and what they did waits in the journal, as long as there is room. A visit of a mail that has been
purged is left out: nothing is known of it any more. A HEAD says something of the visits beside it, and is
logged; it is no visit that counts, not even as a machine's, and is not kept.

What several workers saw of one delivery at the same moment is judged together a little later:
a delivery whose visits may look different by then is looked at once more.
Fails: while the database is away visits stay in the journal and are told about once a minute; a
visit that cannot be written at all is logged and left out, and keeps no other from being written.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from relay.log import Log
from relay.store.errors import StoreUnavailable
from relay.track.journal import Journal, Taken
from tracker.bursts import SWEEP
from tracker.visit import HEAD, Facts, Judged, Visit
from tracker.visitor import judge

GROUP = 500  # visits in one transaction
GATHER = 0.2  # seconds
RUSH = 1.0  # seconds between groups while visits come faster than they are written: they can wait, visitors cannot
AGAIN = 1.0  # seconds until a database that is away is asked again
LATER = SWEEP + 2.0  # seconds after which a delivery is looked at once more
LOOKED_AT = 10_000  # deliveries that wait for that; beyond it they go without
ADOPT = 10.0  # seconds between two looks for the files of workers that have died

Name = tuple[str, int]


class Store(Protocol):
    """What the recorder needs of the store."""

    async def known(self, names: Collection[Name]) -> dict[Name, Facts]:
        """What is known of these deliveries; those that have been purged are missing."""

    async def record(self, new: Sequence[Judged], changed: Sequence[Judged]) -> None:
        """Keep verdicts, each visit once, and move the counts of those that have changed."""


class Recorder:
    """Takes visits out of `journal` and puts them into `store`. `later`: seconds until a second look."""

    def __init__(self, journal: Journal, store: Store, log: Log, *, later: float = LATER) -> None:
        self._journal = journal
        self._store = store
        self._log = log
        self._later = later
        self._look_again: dict[Name, float] = {}  # when (monotonic seconds); the next one first
        self._adopt_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began, seen = time.monotonic(), self._journal.seen
            try:
                written = await self.step()
                await self.look_again()
            except StoreUnavailable as error:
                self._log.database_trouble("visits wait for the database", error)
                await asyncio.sleep(AGAIN)
                continue
            if not written:
                await self._journal.wait(self._pause())
            came = 0 if self._journal.crowded else self._journal.seen - seen
            await asyncio.sleep(rest(written, came, time.monotonic() - began))

    async def finish(self, grace: float) -> None:
        """After `run` was cancelled: write what waits, for at most `grace` seconds. The rest stays in the journal."""
        self._journal.flush()
        with suppress(TimeoutError, StoreUnavailable):
            async with asyncio.timeout(grace):
                while await self.step():
                    pass

    async def step(self) -> int:
        """Write one group: how many visits it had. Raises StoreUnavailable; the group then waits."""
        if time.monotonic() >= self._adopt_at:
            self._adopt_at = time.monotonic() + ADOPT
            self._journal.adopt()
        taken: Taken = self._journal.take(GROUP)
        if taken.visits:
            await self._keep(taken.visits)
        self._journal.done(taken)
        return len(taken.visits)

    async def look_again(self) -> None:
        """Judge deliveries whose time has come once more, with what is known now. Raises StoreUnavailable."""
        now = time.monotonic()
        due = [name for name, at in self._look_again.items() if at <= now][:GROUP]
        if not due:
            return
        try:
            await self._record((), due)
        except StoreUnavailable:
            raise
        except Exception as error:  # the visits are kept; that their verdicts stay as they are must not end the task
            self._log.error("visits cannot be judged again", error)
        for name in due:
            self._look_again.pop(name, None)

    async def _keep(self, visits: Sequence[Visit]) -> None:
        try:
            await self._record(visits, {(visit.queue_id, visit.number) for visit in visits})
        except StoreUnavailable:
            raise
        except Exception as error:  # one visit that cannot be written must not keep the others from it
            if len(visits) == 1:
                self._log.error(f"{visits[0].queue_id}: a visit cannot be written and is left out", error)
                return
            middle = len(visits) // 2
            await self._keep(visits[:middle])
            await self._keep(visits[middle:])

    async def _record(self, visits: Sequence[Visit], names: Collection[Name]) -> None:
        known = await self._store.known(names)
        theirs: dict[Name, list[Visit]] = {name: [] for name in names if name in known}
        for visit in visits:
            if (visit.queue_id, visit.number) in theirs:
                theirs[visit.queue_id, visit.number].append(visit)
        new: list[Judged] = []
        changed: list[Judged] = []
        for name, seen in theirs.items():
            fresh, other = judge(seen, known[name])
            new += fresh
            changed += other
            if seen and _may_look_different(fresh, known[name]) and len(self._look_again) < LOOKED_AT:
                self._look_again.pop(name, None)
                self._look_again[name] = time.monotonic() + self._later
        counted = [judged for judged in new if HEAD not in judged.visit.hints.split(",")]
        if counted or changed:
            await self._store.record(counted, changed)
        for judged in new:
            self._log.track(judged, known[judged.visit.queue_id, judged.visit.number].recipient)

    def _pause(self) -> float:
        """Seconds until there is something to do without a visit."""
        next_look = min(next(iter(self._look_again.values()), self._adopt_at), self._adopt_at)
        return max(0.0, next_look - time.monotonic())


def rest(written: int, came: int, took: float) -> float:
    """Seconds between a group and the next. `took`: seconds for this one; `came`: visits that came meanwhile."""
    if written < GROUP:
        return GATHER
    return RUSH if came > written else took  # a backlog takes half of the time: the worker has other work too


def _may_look_different(judged: Iterable[Judged], facts: Facts) -> bool:
    """A person's click may turn out to be one of a burst; without the time of delivery nothing is certain."""
    return facts.sent_at is None or any(each.visit.kind == "click" and each.by == "person" for each in judged)
