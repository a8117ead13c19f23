"""Chores: what keeps the database small and its figures quick, off the hot path.

Each chore works in short steps with a commit of its own, so that no message waits for
it. Chores that must run once are done by whoever holds their lease.
"""

import os
import socket
from dataclasses import dataclass

from relay import __version__
from relay.config import Retention
from relay.store.desk import Desk
from relay.store.engine import Statement
from relay.store.rows import to_json

STEP = 200


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many of each kind went."""

    contents: int = 0
    messages: int = 0
    transcripts: int = 0
    refusals: int = 0


class Chores(Desk):
    """Retention, sums, leases and signs of life."""

    _summed: tuple[int, int] = (0, 0)  # rows of status_counts and domain_counts that are sums already

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Is the chore `holder`'s for the next `seconds`?"""
        now = self.engine.now()
        params = {"name": name, "holder": holder, "until": now + seconds, "now": now}
        (taken,) = await self._write(own=[Statement("take_lease", params)])
        return bool(taken)

    async def alive(self, writer: int, started_at: float) -> list[int]:
        """Say that this worker lives; the writers' numbers of all that do."""
        now = self.engine.now()
        params = {
            "writer": writer,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "started_at": started_at,
            "now": now,
        }
        await self._write(own=[Statement("worker_alive", params)])
        return [row["writer"] for row in await self.engine.read("live_workers", {"since": now - 10})]

    async def gone(self, writer: int) -> None:
        """This worker stops."""
        await self._write(own=[Statement("worker_gone", {"writer": writer, "pid": os.getpid()})])

    async def sum_up(self) -> None:
        """Sum the counts of this minute's groups up to one row a box."""
        (last,) = await self.engine.read("last_count", {})
        statuses, domains = ({"first": f, "last": t} for f, t in zip(self._summed, last, strict=True))
        own = [
            Statement("sum_up_statuses", statuses),
            Statement("forget_statuses", statuses),
            Statement("sum_up_domains", domains),
            Statement("forget_domains", domains),
        ]
        await self._write(own=own)
        (now,) = await self.engine.read("last_count", {})
        self._summed = (now["status_counts"], now["domain_counts"])

    async def prune(self, retention: Retention) -> Pruned:
        """Let go of what is older than its retention."""
        now = self.engine.now()
        contents = await self._prune_contents(now - retention.content)
        messages = await self._prune_messages(now - retention.rows)
        transcripts = await self._prune_transcripts(now - retention.transcripts)
        refusals = await self._prune_refusals(now - retention.refused)
        before = {"before": int(now - retention.statistics)}
        await self._write(own=[Statement("prune_status_counts", before), Statement("prune_domain_counts", before)])
        return Pruned(contents, messages, transcripts, refusals)

    async def _prune_contents(self, before: float) -> int:
        """Contents of messages that were decided before."""
        count, after = 0, ""
        while True:
            found = await self.engine.read("old_contents", {"after": after, "before": before, "limit": STEP})
            if not found:
                return count
            rows = [{"queue_id": row["queue_id"]} for row in found]
            await self._write(own=[Statement("drop_contents", {"rows": to_json(rows)})])
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
            names = ("drop_contents", "prune_attempts", "prune_events", "prune_deliveries", "prune_messages")
            await self._write(own=[Statement(name, named) for name in names])
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
