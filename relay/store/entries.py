"""Many entries of the suppression list at once: search, bulk adding and removing, and retrying what was dropped.

Everything goes in steps, each its own commit, so that it holds nobody up, shows how far it is, and can be stopped
and run again: what is done already changes nothing. Lists are read in pages by (time, address, scope), newest first.
Raises StoreUnavailable; the steps before are kept.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from relay.event import Event
from relay.store import rows
from relay.store.engine import IN_TURN, Statement
from relay.store.listing import NO_DETAIL, mail_row
from relay.store.suppressions import STEP, Suppressions
from suppression.entry import Entry, Reason

BATCH = 1000  # entries in one commit
LAST = "\U0010ffff"  # sorts behind every address

Progress = Callable[[int], None]  # entries done so far


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are meant: those for which all that is given is true. Texts are parts, without case."""

    address: str = ""
    domain: str = ""  # its mailboxes, and the domain itself
    reason: Reason | None = None
    source: str = ""  # the whole word
    scope: str | None = None  # exactly; "": those for all mail
    reply: str = ""
    note: str = ""
    since: float | None = None  # Unix seconds: added then or later
    until: float | None = None  # added before

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition as SQL for both engines, and its parameters."""
        parts = {"address": self.address, "reply": self.reply, "note": self.note}
        whole = {"reason": self.reason or "", "source": self.source}
        conditions = [f"lower({name}) LIKE lower(:{name}) ESCAPE '\\'" for name, part in parts.items() if part]
        conditions += [f"{name} = :{name}" for name, value in whole.items() if value]
        params: dict[str, Any] = {name: f"%{_escaped(part)}%" for name, part in parts.items() if part}
        params |= {name: value for name, value in whole.items() if value}
        if self.domain:
            conditions.append("address LIKE :domain ESCAPE '\\'")
            params["domain"] = f"%@{_escaped(self.domain)}"
        for name, sign, value in (("scope", "=", self.scope), ("since", ">=", self.since), ("until", "<", self.until)):
            if value is not None:
                conditions.append(f"{'scope' if name == 'scope' else 'added_at'} {sign} :{name}")
                params[name] = value
        return " AND ".join(conditions) or "1 = 1", params


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding many: entries new, changed or as they were, and waiting deliveries stopped."""

    new: int = 0
    changed: int = 0
    same: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class Dropped:
    """A delivery that an entry stopped. `kept`: its content is still there, so that it can be sent after all."""

    queue_id: str
    number: int
    recipient: str
    destination: str
    at: float  # Unix seconds
    subject: str
    kept: bool


class Entries(Suppressions):
    """What people do to the list."""

    async def entries(self, selection: Selection, *, limit: int | None = None) -> AsyncIterator[Entry]:
        """The chosen entries, expired ones too, newest first, read in pages."""
        condition, params = selection.where()
        sql = f"""SELECT *
                    FROM suppression_list
                   WHERE {condition}
                     AND (added_at, address, scope) < (:after_at, :after_address, :after_scope)
                   ORDER BY added_at DESC, address DESC, scope DESC
                   LIMIT :limit"""
        after = {"after_at": 1e300, "after_address": LAST, "after_scope": LAST}
        left = limit
        while left is None or left > 0:
            step = BATCH if left is None else min(BATCH, left)
            _, found = await self.engine.query(sql, params | after | {"limit": step})
            for row in found:
                yield rows.entry_from(row)
            if len(found) < step:
                return
            last = found[-1]
            after = {"after_at": last["added_at"], "after_address": last["address"], "after_scope": last["scope"]}
            left = None if left is None else left - len(found)

    async def entries_of(self, address: str, *, domain: bool = True) -> list[Entry]:
        """Every entry that speaks of an address, in any scope, expired or not; `domain`: those of its domain too."""
        keys = [key for key in self._keys(address) if domain or address.startswith("@") or not key.startswith("@")]
        sql = f"""SELECT *
                    FROM suppression_list
                   WHERE address IN ({", ".join(f":a{n}" for n in range(len(keys)))})
                   ORDER BY address DESC, scope"""
        _, found = await self.engine.query(sql, {f"a{n}": key for n, key in enumerate(keys)})
        return [rows.entry_from(row) for row in found]

    async def count_entries(self, selection: Selection) -> int:
        """How many it chooses."""
        condition, params = selection.where()
        _, (found,) = await self.engine.query(f"SELECT count(*) AS n FROM suppression_list WHERE {condition}", params)
        return int(found["n"])

    async def suppress_many(
        self,
        entries: Iterable[Entry],
        *,
        actor: str,
        detail: Mapping[str, object] = NO_DETAIL,
        progress: Progress | None = None,
        dry_run: bool = False,
    ) -> Added:
        """Put them all on the list; `dry_run` only says what that would do."""
        coming = iter(entries)
        new = changed = same = stopped = 0
        while batch := list(islice(coming, BATCH)):
            listings = await self.listings(batch)
            if not dry_run:
                stopped += await self._enforce(listings, actor=actor, detail=detail)
            new += sum(one.new for one in listings)
            changed += sum(one.changed and not one.new for one in listings)
            same += sum(not one.changed for one in listings)
            if progress:
                progress(new + changed + same)
        return Added(new, changed, same, stopped)

    async def unsuppress_many(
        self, selection: Selection, *, actor: str, reason: str | None = None, progress: Progress | None = None
    ) -> AsyncIterator[Entry]:
        """Take the chosen entries off the list, those that are there when it begins; each as it is gone."""
        done = 0
        batch: list[Entry] = []
        async for entry in self.entries(selection):
            batch.append(entry)
            if len(batch) == BATCH:
                done += await self._remove(batch, actor=actor, reason=reason)
                for one in batch:
                    yield one
                batch = []
                if progress:
                    progress(done)
        if batch:
            await self._remove(batch, actor=actor, reason=reason)
            for one in batch:
                yield one

    async def dropped(self, entry: Entry) -> AsyncIterator[Dropped]:
        """What it has stopped since it is on the list, oldest first."""
        after: tuple[str, int] = ("", -1)
        while page := await self._dropped_page(entry, after):
            for one in page:
                yield one
            after = page[-1].queue_id, page[-1].number

    async def _dropped_page(self, entry: Entry, after: tuple[str, int]) -> list[Dropped]:
        params: dict[str, Any] = {"class": entry.reason_class, "since": entry.since, "limit": STEP}
        params |= {"after_id": after[0], "after_number": after[1]}
        if entry.address.startswith("@"):
            params |= {"destination": entry.address[1:], "scope": entry.scope}
            found = await self.engine.read("dropped_for_domain", params)
        else:
            mailbox = rows.to_json([mail_row(0, entry, labels=self._plus_labels)])
            found = await self.engine.read("dropped_for_address", params | {"rows": mailbox})
        return [
            Dropped(
                row["queue_id"],
                row["number"],
                row["recipient"],
                row["destination"],
                row["status_at"],
                row["subject"],
                bool(row["kept"]),
            )
            for row in found
        ]

    async def retry_dropped(self, entry: Entry, *, actor: str) -> tuple[int, int]:
        """Try again what this entry stopped since, now that it is gone: how many, and how many have no content left."""
        released = seen = 0
        after: tuple[str, int] = ("", -1)
        while page := await self._dropped_page(entry, after):
            after = page[-1].queue_id, page[-1].number
            seen += len(page)
            released += await self._release(entry, [one for one in page if one.kept], actor)
        return released, seen - released

    async def _release(self, entry: Entry, dropped: list[Dropped], actor: str) -> int:
        """One commit: they are due now, with their counts and events."""
        if not dropped:
            return 0
        now = self.engine.now()
        named = {"rows": rows.names_json({"queue_id": one.queue_id, "number": one.number} for one in dropped)}
        why = f"{entry.address} was taken off the suppression list"
        events = [
            rows.event_row(Event(now, "release", one.queue_id, one.number, actor, {"reason": why})) for one in dropped
        ]
        work = [{"destination": name, "next_at": now} for name in sorted({one.destination for one in dropped})]
        own = [
            IN_TURN,
            Statement("tell", {"topic": "work"}),
            Statement("lock_deliveries", named),
            *self._count(named["rows"], -1),
            Statement("release_dropped", named | {"now": now, "lease": self.lease, "reason": why}),
            *self._count(named["rows"], 1),
            Statement("add_events", {"rows": rows.to_json(events)}),
            Statement("wake_destinations", {"rows": rows.to_json(work)}),
        ]
        done = dict(zip([name for name, _, _ in own], await self._write(own=own), strict=True))
        return len(done["release_dropped"])


def _escaped(part: str) -> str:
    """Characters that LIKE would take for patterns."""
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
