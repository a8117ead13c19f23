"""Chores: what keeps the database small and its figures quick, off the hot path.

Each chore works in short steps with a commit of its own, so that no message waits for
it. Chores that must run once are done by whoever holds their lease.
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

from relay import __version__
from relay.config import Retention
from relay.event import Action
from relay.queue_id import WRITERS
from relay.store.desk import Desk
from relay.store.engine import IN_TURN, Statement
from relay.store.errors import StoreUnavailable
from relay.store.rows import to_json

STEP = 200
SIGN_OF_LIFE = 3.0  # seconds between two
ALIVE = 10.0  # seconds without a sign of life until a worker counts as gone

# What goes with a message. Its deliveries first: a visit or an event that comes at this moment finds none any more, and
# is not kept, or was kept before and goes with the others.
_OF_MESSAGES = (
    "prune_deliveries",
    "drop_contents",
    "prune_attempts",
    "prune_events",
    "prune_visits",
    "prune_marks",
    "prune_messages",
)

_TOLD = (IN_TURN, Statement("tell", {"topic": "workers"}))


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker of one node: no two living ones have the same `writer` (0 to 1023), and no other one has all four."""

    writer: int
    host: str
    pid: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Peer:
    """A worker that lives, as all see it: the how many-th that `joined`, and up to which one it `knows` all.

    Whoever knows of a worker has made room for it in every limit.
    """

    writer: int
    host: str
    pid: int
    joined: int
    knows: int

    @property
    def silent(self) -> bool:
        """Will it never say what it knows? It is of schema 1, or gone, though its last sign of life is young."""
        return not self.joined or vanished(self.host, self.pid)


def vanished(host: str, pid: int) -> bool:
    """Is it known that this process is not there any more? Only of those of this machine it is."""
    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's, and there
        return False
    return False


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many of each kind went."""

    contents: int = 0
    messages: int = 0
    transcripts: int = 0
    refusals: int = 0


class Chores(Desk):
    """Retention, sums, leases and signs of life."""

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Is the chore `holder`'s for the next `seconds`?"""
        now = self.engine.now()
        params = {"name": name, "holder": holder, "until": now + seconds, "now": now}
        (taken,) = await self._write(own=[Statement("take_lease", params)])
        return bool(taken)

    async def join(self) -> Worker:
        """This worker begins: the smallest number that no living one has, on any node, is its own. All others hear."""
        for _ in range(WRITERS):
            now = self.engine.now()
            who: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid()}
            params = who | {"version": __version__, "now": now, "since": now - ALIVE, "last": WRITERS - 1}
            *_, joined = await self._write(own=[*_TOLD, Statement("join_workers", params)])
            if joined:
                return Worker(joined[0]["writer"], **who, started_at=now)
        raise StoreUnavailable(f"{WRITERS} workers live already: no number is left for another one")

    async def alive(self, worker: Worker, *, in_hand: int = 0, sessions: int = 0, again: bool = False) -> list[Peer]:
        """Say that it lives, and how much it has to do: all that do. `again`: it may have been silent for too long.

        None at all: it was silent for so long that its own number is another worker's now.
        """
        now = self.engine.now()
        load = {"now": now, "since": now - ALIVE, "in_hand": in_hand, "sessions": sessions}
        told = _TOLD if again else ()
        *_, here = await self._write(own=[*told, Statement("worker_alive", asdict(worker) | load)])
        if not here:
            return []
        return [Peer(**row) for row in await self.engine.read("peers", {"since": now - ALIVE})]

    async def knows(self, worker: Worker, joined: int) -> None:
        """It has made room for all up to the one that `joined` as that."""
        await self._write(own=[Statement("worker_knows", asdict(worker) | {"knows": joined})])

    async def workers(self) -> list[dict[str, Any]]:
        """All workers that are remembered, living or not, by node and number."""
        found = await self.engine.read("workers", {"since": self.engine.now() - ALIVE})
        return [dict(row) | {"alive": bool(row["alive"])} for row in found]

    async def gone(self, worker: Worker) -> None:
        """This worker stops. The others hear it."""
        await self._write(own=[*_TOLD, Statement("worker_gone", asdict(worker) | {"now": self.engine.now()})])

    async def unlogged_actions(self, limit: int) -> list[Action]:
        """What operators did that is not in the log yet, oldest first: at most `limit` events."""
        return [
            Action(
                row["event"],
                row["queue_id"],
                row["actor"],
                row["deliveries"],
                row["last"],
                json.loads(row["detail"]) if row["detail"] else {},
            )
            for row in await self.engine.read("unlogged_actions", {"limit": limit})
        ]

    async def action_logged(self, last: int) -> None:
        """Actions up to this event id are in the log."""
        await self._write(own=[Statement("action_logged", {"last": last})])

    async def sum_up(self) -> None:
        """Add what has changed since the last time to the sums: one row a box."""
        names = ("sum_up_statuses", "forget_statuses", "sum_up_domains", "forget_domains")
        await self._write(own=[Statement(name, {}) for name in names])

    async def prune(self, retention: Retention) -> Pruned:
        """Let go of what is older than its retention."""
        now = self.engine.now()
        contents = await self._prune_contents(now - retention.content, now - retention.dropped)
        messages = await self._prune_messages(now - retention.rows)
        transcripts = await self._prune_transcripts(now - retention.transcripts)
        refusals = await self._prune_refusals(now - retention.refused)
        before = {"before": int(now - retention.statistics)}
        await self._write(own=[Statement("prune_status_counts", before), Statement("prune_domain_counts", before)])
        return Pruned(contents, messages, transcripts, refusals)

    async def _prune_contents(self, before: float, dropped_before: float) -> int:
        """Contents of messages that were decided before; of what was dropped, before another time."""
        limits = {"before": before, "dropped_before": dropped_before}
        count, after = 0, ""
        while True:
            found = await self.engine.read("old_contents", {"after": after, "limit": STEP} | limits)
            if not found:
                return count
            rows = [{"queue_id": row["queue_id"]} for row in found]
            await self._write(own=[Statement("prune_contents", {"rows": to_json(rows)} | limits)])
            count, after = count + len(rows), rows[-1]["queue_id"]

    async def _prune_messages(self, before: float) -> int:
        """Whole messages: rows of every table."""
        count, after = 0, ""
        while True:
            found = await self.engine.read("old_messages", {"after": after, "before": before, "limit": STEP})
            if not found:
                return count
            rows = [{"queue_id": row["queue_id"]} for row in found]
            named = {"rows": to_json(rows)}
            await self._write(own=[Statement(name, named) for name in _OF_MESSAGES])
            count, after = count + len(rows), rows[-1]["queue_id"]

    async def _prune_transcripts(self, before: float) -> int:
        count = after = 0
        while True:
            params = {"after": after, "before": before, "limit": STEP}
            (gone,) = await self._write(own=[Statement("prune_transcripts", params)])
            if not gone:
                return count
            count, after = count + len(gone), max(row["attempt_id"] for row in gone)

    async def _prune_refusals(self, before: float) -> int:
        count = 0
        while True:
            (gone,) = await self._write(own=[Statement("prune_refusals", {"before": before, "limit": STEP})])
            if not gone:
                return count
            count += len(gone)

    async def tidy(self) -> None:
        """The engine's own housekeeping."""
        await self.engine.tidy()
