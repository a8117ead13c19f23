"""Many entries of the suppression list at once: search, bulk adding and removing, and retrying what was dropped.

Everything goes in steps, each its own commit, so that it holds nobody up, shows how far it is, and can be stopped
and run again: what is done already changes nothing. Lists are read in pages by (time, address, scope, reason),
newest first.
Raises StoreUnavailable; the steps before are kept.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from relay.event import Event
from relay.store import rows
from relay.store.engine import IN_TURN, Statement
from relay.store.listing import NO_DETAIL, mail_row
from relay.store.suppressions import STEP, Suppressions
from suppression.entry import Entry, Reason, told_order

BATCH = 1000  # entries in one commit
LAST = "\U0010ffff"  # sorts behind every address
FAR = 1e300  # Unix seconds that never come

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
    """A delivery that an entry forbade. `kept`: its content is still there, so that it can be sent after all."""

    queue_id: str
    number: int
    recipient: str
    destination: str
    tag: str  # "": none
    at: float  # Unix seconds
    subject: str
    kept: bool

    @property
    def name(self) -> tuple[str, int]:
        """Queue id and number."""
        return self.queue_id, self.number


class Retried(NamedTuple):
    """What became of what was dropped: how many deliveries are due again, and how many are not, and why."""

    released: int
    gone: int  # their content is not kept any more
    forbidden: int  # another entry stops them


class Entries(Suppressions):
    """What people do to the list."""

    async def entries(self, selection: Selection, *, limit: int | None = None) -> AsyncIterator[Entry]:
        """The chosen entries, expired ones too, newest first, read in pages."""
        condition, params = selection.where()
        sql = f"""SELECT *
                    FROM suppression_list
                   WHERE {condition}
                     AND (added_at, address, scope, reason)
                         < (:after_added_at, :after_address, :after_scope, :after_reason)
                   ORDER BY added_at DESC, address DESC, scope DESC, reason DESC
                   LIMIT :limit"""
        after = {"after_added_at": FAR, "after_address": LAST, "after_scope": LAST, "after_reason": LAST}
        left = limit
        while left is None or left > 0:
            step = BATCH if left is None else min(BATCH, left)
            _, found = await self.engine.query(sql, params | after | {"limit": step})
            for row in found:
                yield rows.entry_from(row)
            if len(found) < step:
                return
            last = found[-1]
            after = {f"after_{name}": last[name] for name in ("added_at", "address", "scope", "reason")}
            left = None if left is None else left - len(found)

    async def entries_of(self, address: str, *, domain: bool = True) -> list[Entry]:
        """Every entry that speaks of an address, expired or not, in `told_order`; `domain`: those of its domain too."""
        keys = [key for key in self._keys(address) if domain or address.startswith("@") or not key.startswith("@")]
        sql = f"""SELECT *
                    FROM suppression_list
                   WHERE address IN ({", ".join(f":a{n}" for n in range(len(keys)))})"""
        _, found = await self.engine.query(sql, {f"a{n}": key for n, key in enumerate(keys)})
        entries = map(rows.entry_from, found)
        return sorted(entries, key=lambda one: (keys.index(one.address), told_order(one), one.scope))

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
        self, selection: Selection, *, actor: str, because: str | None = None, progress: Progress | None = None
    ) -> AsyncIterator[Entry]:
        """Take the chosen entries off the list, those that are there when it begins; each as it is gone."""
        done = 0
        batch: list[Entry] = []
        async for entry in self.entries(selection):
            batch.append(entry)
            if len(batch) == BATCH:
                done += await self._remove(batch, actor=actor, because=because)
                for one in batch:
                    yield one
                batch = []
                if progress:
                    progress(done)
        if batch:
            await self._remove(batch, actor=actor, because=because)
            for one in batch:
                yield one

    async def dropped(self, entry: Entry) -> AsyncIterator[Dropped]:
        """What was stopped in its scope as long as it counts, by it or beside it for another reason, oldest first."""
        after: tuple[str, int] = ("", -1)
        while page := await self._dropped_page(entry, after):
            for one in page:
                yield one
            after = page[-1].name

    async def _dropped_page(self, entry: Entry, after: tuple[str, int]) -> list[Dropped]:
        until = FAR if entry.expires_at is None else entry.expires_at
        params: dict[str, Any] = {"since": entry.since, "until": until, "limit": STEP}
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
                row["tag"],
                row["status_at"],
                row["subject"],
                bool(row["kept"]),
            )
            for row in found
        ]

    async def retry_dropped(self, *entries: Entry, actor: str) -> Retried:
        """Try again what these forbade, now that they are gone; not what another entry still forbids."""
        released = 0
        gone, forbidden = set[tuple[str, int]](), set[tuple[str, int]]()  # two entries may have dropped the same
        async for entry, free, others in self._free_without(entries):
            forbidden |= {one.name for one in others}
            gone |= {one.name for one in free if not one.kept}
            released += await self._release(entry, [one for one in free if one.kept], actor)
        return Retried(released, len(gone), len(forbidden))

    async def retriable(self, *entries: Entry) -> int:
        """How many deliveries `retry_dropped` will release when these have been taken off the list."""
        kept = {one.name async for _, free, _ in self._free_without(entries) for one in free if one.kept}
        return len(kept)

    async def _free_without(
        self, entries: Sequence[Entry]
    ) -> AsyncIterator[tuple[Entry, list[Dropped], list[Dropped]]]:
        """In pages: an entry, what it has dropped that none but these forbids, and what another one forbids."""
        these = {entry.key for entry in entries}
        for entry in entries:
            after: tuple[str, int] = ("", -1)
            while page := await self._dropped_page(entry, after):
                after = page[-1].name
                stopping = await self.forbidding([(one.recipient, one.tag) for one in page])
                others = [any(still.key not in these for still in some) for some in stopping]
                yield (
                    entry,
                    [one for one, other in zip(page, others, strict=True) if not other],
                    [one for one, other in zip(page, others, strict=True) if other],
                )

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
