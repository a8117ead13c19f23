"""What people ask of the store and do to the queue: the command line's side of it.

Everything works on the database itself, whether or not a relay is running; a running one
notices within its next look. Big verbs go in steps of `STEP` deliveries, each its own
commit, so that they hold nobody up and can be stopped at any point.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relay.delivery import Status
from relay.event import Event
from relay.filters import Filter
from relay.store import rows
from relay.store.engine import IN_TURN, Row, Statement
from relay.store.search import where
from relay.store.signing import Signing

STEP = 500
LAST_ID = "~"  # sorts behind every queue id
# What lies beyond a page, and its order.
_OLDER_FIRST = ("(queue_id, number) > (:after_id, :after_number)", "queue_id, number")
_NEWER_FIRST = (
    "queue_id <= :after_id AND (queue_id < :after_id OR number > :after_number)",
    "queue_id DESC, number",
)
WAITING = ("creating", "spooled", "deferred", "held")
# verb → the statuses it applies to
VERBS: Mapping[str, tuple[str, ...]] = {
    "retry": ("creating", "spooled", "deferred"),
    "hold": ("creating", "spooled", "deferred"),
    "release": ("held",),
    "cancel": WAITING,
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a filter chooses: shown before anything is done to it. Times are Unix seconds."""

    deliveries: int
    messages: int
    oldest_at: float | None
    newest_at: float | None
    domains: list[tuple[str, int]] = field(default_factory=list)  # the five largest


class Desk(Signing):
    """Searching, counting, showing and operating."""

    async def search(
        self, filter: Filter, *, statuses: tuple[str, ...] = (), limit: int | None = None, newest_first: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """Rows of `delivery_status` that the filter chooses, by age, read in pages; a message's recipients in order."""
        after = (LAST_ID, -1) if newest_first else ("", -1)
        left = limit
        while left is None or left > 0:
            step = STEP if left is None else min(STEP, left)
            page = await self._page(filter, statuses, after, step, newest_first=newest_first)
            for row in page:
                yield row
            if len(page) < step:
                return
            after = (page[-1]["queue_id"], page[-1]["number"])
            left = None if left is None else left - len(page)

    async def _page(
        self,
        filter: Filter,
        statuses: tuple[str, ...],
        after: tuple[str, int],
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[dict[str, Any]]:
        condition, params = _condition(filter, statuses)
        beyond, order = _NEWER_FIRST if newest_first else _OLDER_FIRST
        _, found = await self.engine.query(
            f"""SELECT *
                  FROM delivery_status
                 WHERE {condition}
                   AND {beyond}
                 ORDER BY {order}
                 LIMIT :limit""",
            params | {"after_id": after[0], "after_number": after[1], "limit": limit},
        )
        return [dict(row) for row in found]

    async def count(self, filter: Filter, *, statuses: tuple[str, ...] = ()) -> Summary:
        """How many a filter chooses, how old, and of which domains."""
        condition, params = _condition(filter, statuses)
        _, (total,) = await self.engine.query(
            f"""SELECT count(*) AS deliveries, count(DISTINCT queue_id) AS messages,
                       min(received_ts) AS oldest_at, max(received_ts) AS newest_at
                  FROM delivery_status WHERE {condition}""",
            params,
        )
        _, domains = await self.engine.query(
            f"""SELECT recipient_domain, count(*) AS deliveries
                  FROM delivery_status WHERE {condition}
                 GROUP BY recipient_domain ORDER BY deliveries DESC, recipient_domain LIMIT 5""",
            params,
        )
        return Summary(
            total["deliveries"],
            total["messages"],
            total["oldest_at"],
            total["newest_at"],
            [(row["recipient_domain"], row["deliveries"]) for row in domains],
        )

    async def operate(
        self,
        verb: str,
        filter: Filter,
        *,
        actor: str,
        reason: str | None = None,
        spread: float = 0.0,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """`retry`, `hold`, `release` or `cancel` what the filter chooses; how many deliveries changed.

        `spread`: seconds over which the next attempts of retry and release are spread.
        """
        total = (await self.count(filter, statuses=VERBS[verb])).deliveries
        detail = {"reason": reason} if reason else {}
        changed = seen = 0
        after = ("", -1)
        while page := await self._page(filter, VERBS[verb], after, STEP):
            after = (page[-1]["queue_id"], page[-1]["number"])
            delays = [spread * (seen + index) / total for index in range(len(page))]
            changed += await self._apply(verb, page, delays, Event(self.engine.now(), verb, "", None, actor, detail))
            seen += len(page)
            if progress:
                progress(seen)
        return changed

    async def _apply(self, verb: str, page: list[dict[str, Any]], delays: list[float], event: Event) -> int:
        """One step, in one transaction: the boxes, the deliveries, their events, and the work they make."""
        now = event.at
        chosen = [
            {"queue_id": row["queue_id"], "number": row["number"], "due_at": now + delay}
            for row, delay in zip(page, delays, strict=True)
        ]
        named = {"rows": rows.to_json(chosen)}
        events = [rows.event_row(replace(event, queue_id=c["queue_id"], number=c["number"])) for c in chosen]
        own = [
            IN_TURN,
            Statement("tell", {"topic": "work" if verb in ("retry", "release") else "stop"}),
            Statement("lock_deliveries", named),
            Statement("count_statuses", named | {"sign": -1}),
            Statement("count_domains", named | {"sign": -1}),
            Statement(
                f"{verb}_deliveries", named | {"now": now, "reason": event.detail.get("reason"), "lease": self.lease}
            ),
            Statement("count_statuses", named | {"sign": 1}),
            Statement("count_domains", named | {"sign": 1}),
            Statement("add_events", {"rows": rows.to_json(events)}),
        ]
        if verb in ("retry", "release"):
            work = sorted({row["recipient_domain"] for row in page})
            due = [{"destination": destination, "next_at": now} for destination in work]
            own.append(Statement("wake_destinations", {"rows": rows.to_json(due)}))
        if verb == "cancel" and not self._keep_content:
            own.append(Statement("drop_contents", named))
        done = dict(zip([name for name, _, _ in own], await self._write(own=own), strict=True))
        return len(done[f"{verb}_deliveries"])

    async def message(self, queue_id: str) -> dict[str, Any] | None:
        """One message with its recipients, events and attempts (transcripts included); None when unknown."""
        one = {"queue_id": queue_id}
        _, found = await self.engine.query("SELECT * FROM messages WHERE queue_id = :queue_id", one)
        if not found:
            return None
        parts = {
            "recipients": "SELECT * FROM delivery_status WHERE queue_id = :queue_id ORDER BY number",
            "events": "SELECT * FROM events WHERE queue_id = :queue_id ORDER BY event_id",
            "attempts": "SELECT * FROM attempts WHERE queue_id = :queue_id ORDER BY transcript_ref",
        }
        message: dict[str, Any] = dict(found[0])
        for name, sql in parts.items():
            message[name] = [dict(row) for row in (await self.engine.query(sql, one))[1]]
        _, (kept,) = await self.engine.query("SELECT count(*) AS pages FROM contents WHERE queue_id = :queue_id", one)
        message["content_kept"] = kept["pages"] > 0
        return message

    async def query(self, sql: str, *, seconds: float = 5.0) -> tuple[list[str], list[Row]]:
        """SQL of the caller's on a connection that cannot write. TimeoutError after `seconds`."""
        return await self.engine.query(sql, {}, seconds)

    async def refusals(self, *, limit: int = 50, ref: str | None = None) -> list[dict[str, Any]]:
        """What was refused at SMTP time, newest first; or the ones with that reference."""
        condition = "ref = :ref" if ref else "1 = 1"
        _, found = await self.engine.query(
            f"SELECT * FROM refused WHERE {condition} ORDER BY ts DESC LIMIT :limit", {"ref": ref, "limit": limit}
        )
        return [dict(row) for row in found]

    async def status(self) -> dict[str, Any]:
        """What a person asks first: what waits, what happened in the last hour, what was sent last."""
        hour_ago = self.engine.now() - 3600
        _, waiting = await self.engine.query(
            "SELECT status, count(*) AS n, max(age_s) AS oldest_s FROM queue_now GROUP BY status",
            {},
        )
        _, happened = await self.engine.query(
            "SELECT event, count(*) AS n FROM happenings WHERE event_id > :after AND at > :since GROUP BY event",
            {"after": await self._first_event_since(hour_ago), "since": hour_ago},
        )
        _, (refused,) = await self.engine.query(
            "SELECT count(*) AS n FROM refusals WHERE at > :since", {"since": hour_ago}
        )
        _, last = await self.engine.query(
            "SELECT at, recipient FROM events WHERE event = :sent ORDER BY event_id DESC LIMIT 1", {"sent": Status.SENT}
        )
        live = await self.engine.read("live_workers", {"since": self.engine.now() - 10})
        return {
            "queue": {row["status"]: row["n"] for row in waiting},
            "oldest_s": max((row["oldest_s"] for row in waiting), default=None),
            "last_hour": {row["event"]: row["n"] for row in happened} | {"refused": refused["n"]},
            "last_sent": dict(last[0]) if last else None,
            "workers": [dict(row) for row in live],
        }

    async def _first_event_since(self, at: float) -> int:
        """An event id just before `at`, found by halving: events have no index by time."""
        _, (ends,) = await self.engine.query(
            "SELECT coalesce(min(event_id), 0) AS low, coalesce(max(event_id), 0) AS high FROM happenings", {}
        )
        low, high = ends["low"] - 1, ends["high"]
        while high - low > 1:
            middle = (low + high) // 2
            _, found = await self.engine.query(
                "SELECT at FROM happenings WHERE event_id >= :id ORDER BY event_id LIMIT 1", {"id": middle}
            )
            low, high = (middle, high) if found and found[0]["at"] < at else (low, middle)
        return int(low)

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the whole database, while it is in use, to a new file."""
        await self.engine.backup(path, progress)

    async def check(self) -> list[str]:
        """What is wrong with the database, in words; an empty list is good."""
        return await self.engine.check()


def _condition(filter: Filter, statuses: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    condition, params = where(filter)
    if statuses:
        condition += f" AND status IN ({', '.join(repr(str(status)) for status in statuses)})"
    return condition, dict(params)
