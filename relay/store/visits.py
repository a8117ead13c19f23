"""Visits as kept: every open and click with its verdict, and the marks that they leave on a delivery.

Visits and marks belong to their delivery and go with its message; the statistics stay. A visit
that is told twice is kept and counted once. Counters are only ever moved, never counted anew, so
that a delivery with a million visits costs as much as one with two; and everything of one call is
one commit, counted off before and on after like every other change (see group.py).

What a machine did counts as an open by a machine; a click counts as an open only when a person made it. When a
verdict changes, the first and the last click by a person stay as they are as long as one is left.
It does not judge: that is `tracker/visitor.py`. Raises StoreUnavailable; nothing of the call is then kept.
"""

from collections.abc import Collection, Sequence
from typing import Any

from relay.store import rows
from relay.store.engine import Row
from relay.store.returned import Returned
from tracker.visit import Facts, Judged, Visit

RECENT = 60.0  # seconds
MOST = 50  # visits of a delivery that are looked at again


class Visits(Returned):
    """Opens and clicks."""

    async def known(self, names: Collection[tuple[str, int]]) -> dict[tuple[str, int], Facts]:
        """What is known of these deliveries (queue id, number); those that are not kept any more are missing.

        `recent` has the newest `MOST` visits of the last `RECENT` seconds, the oldest of them first.
        """
        if not names:
            return {}
        named = rows.to_json([{"queue_id": queue_id, "number": number} for queue_id, number in set(names)])
        recent: dict[tuple[str, int], list[Judged]] = {}
        looked = {"rows": named, "since": self.engine.now() - RECENT, "limit": MOST}
        for row in await self.engine.read("recent_visits", looked):
            recent.setdefault((row["queue_id"], row["number"]), []).append(_judged_from(row))
        for visits in recent.values():
            visits.sort(key=lambda judged: judged.visit.at)
        return {
            (row["queue_id"], row["number"]): Facts(
                row["recipient"],
                row["destination"],
                row["delivered_at"],
                row["links"],
                tuple(recent.get((row["queue_id"], row["number"]), ())),
            )
            for row in await self.engine.read("visited_deliveries", {"rows": named})
        }

    async def record(self, new: Sequence[Judged], changed: Sequence[Judged]) -> None:
        """Keep new visits, and new verdicts on visits that are kept; marks, events and statistics follow.

        Visits of deliveries that are not kept any more are passed over.
        """
        if new or changed:
            await self._write(
                {
                    "add_visits": [_visit_row(judged) for judged in new],
                    "judge_visits": [_visit_row(judged) for judged in changed],
                }
            )


def _visit_row(judged: Judged) -> dict[str, Any]:
    """A row of `visits`, with the event that it is."""
    visit = judged.visit
    detail = {"link": visit.link, "target": visit.target} if visit.kind == "click" else {}
    return {
        "visit_id": visit.visit_id,
        "at": visit.at,
        "kind": visit.kind,
        "queue_id": visit.queue_id,
        "number": visit.number,
        "link": visit.link,
        "target": visit.target,
        "ip": visit.ip,
        "agent": visit.agent,
        "hints": visit.hints,
        "made_by": judged.by,
        "agent_class": judged.agent_class,
        "reason": judged.reason,
        "event": "clicked" if visit.kind == "click" else "opened",
        "detail": rows.detail_text(
            detail
            | {"ip": visit.ip, "agent": visit.agent, "by": judged.by}
            | {"class": judged.agent_class, "reason": judged.reason}
        ),
    }


def _judged_from(row: Row) -> Judged:
    """The value of a row of `visits`."""
    visit = Visit(**{name: row[name] for name in Visit.__slots__})
    return Judged(visit, row["made_by"], row["agent_class"], row["reason"])
