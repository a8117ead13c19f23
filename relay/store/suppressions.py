"""The suppression list as kept: who must not be mailed, and what that does to mail that waits.

Adding an entry also stops every waiting delivery to that address within the scope, with its counts and
events, in the same commit; more than `STEP` of them in steps, the entry in the first. A delivery that
is in somebody's hand is stopped too: what its attempt says later is late and changes nothing, unless the
mail was really sent, which is told as sent.

Entries for different reasons stand side by side; how two for the same one become one is said in
`suppression/entry.py`. Local parts are compared as written (without their labels where these do not count), domains as
mail goes there. Raises StoreUnavailable; nothing of the step is then kept.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.event import Event
from relay.store import rows
from relay.store.accepted import Accepted
from relay.store.credentials import Credentials
from relay.store.engine import IN_TURN, Statement
from relay.store.listing import (
    MARKS,
    NO_DETAIL,
    Listing,
    list_key,
    mail_row,
    statements,
    text,
    told_row,
    unlabelled,
)
from suppression.entry import Entry, Reason, merged, news, told_order

STEP = 500
RECIPIENT = "recipient"  # the actor of what recipients do themselves


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a delivery's recipient can unsubscribe from. Times are Unix seconds."""

    recipient: str
    sender: str  # the address in From
    sender_domain: str
    tag: str  # "": none
    received_at: float
    unsubscribed_at: float | None  # since when mail of this tag, or all mail, is stopped by the recipient's own wish


class Suppressions(Credentials):
    """The list, and what it stops."""

    async def subscription(self, queue_id: str, number: int) -> Subscription | None:
        """The delivery as an unsubscribe page needs it; None: it is not kept any more."""
        found = await self.engine.read("subscription", {"queue_id": queue_id, "number": number})
        if not found:
            return None
        row = found[0]
        (entry,) = await self._by_wish([(row["recipient"], row["tag"])])
        return Subscription(**dict(row), unsubscribed_at=entry.since if entry else None)

    async def _by_wish(self, asked: Sequence[tuple[str, str]]) -> list[Entry | None]:
        found = await self.forbidding(asked)
        return [next((entry for entry in some if entry.reason == "unsubscribe"), None) for some in found]

    async def suppressed(self, asked: Sequence[tuple[str, str]]) -> list[Entry | None]:
        """Of each address and tag ("": none), the entry that is told as what stops mail there now, if there is one."""
        return [some[0] if some else None for some in await self.forbidding(asked)]

    async def forbidding(self, asked: Sequence[tuple[str, str]]) -> list[list[Entry]]:
        """Of each address and tag, all entries that stop mail there now, in `told_order`. One query for all."""
        keys = [
            {"n": at, "address": key, "tag": tag}
            for at, (address, tag) in enumerate(asked)
            for key in self._keys(address)
        ]
        found: list[list[Entry]] = [[] for _ in asked]
        if keys:
            for row in await self.engine.read("suppressed", {"rows": rows.to_json(keys), "now": self.engine.now()}):
                found[row["n"]].append(rows.entry_from(row))
        for some in found:
            if len(some) > 1:
                some.sort(key=told_order)
        return found

    def _keys(self, address: str) -> list[str]:
        """Under which an address may stand on the list: as it is, without its label, its domain."""
        mailbox = list_key(address)
        local, at, domain = mailbox.rpartition("@")
        bare = local if self._plus_labels else unlabelled(local)
        return [mailbox, *([f"{bare}{at}{domain}"] if bare != local else []), *([f"@{domain}"] if local else [])]

    async def suppress(
        self,
        entry: Entry,
        *,
        actor: str,
        delivery: tuple[str, int] | None = None,
        detail: Mapping[str, object] = NO_DETAIL,
    ) -> int:
        """Put an entry on the list, or merge it with the same that is there; how many waiting deliveries it stopped.

        `delivery` is the one from which the recipient unsubscribed or complained: it is marked so. `detail` goes into
        the event beside what the entry says (ip, agent, …). The same once more changes nothing.
        """
        if delivery and not entry.queue_id:
            entry = replace(entry, queue_id=delivery[0], number=delivery[1])
        (listing,) = await self.listings([entry])
        marked = await self._fresh_marks(listing.entry, delivery)
        if marked:
            listing = replace(listing, told=True)
        return await self._enforce([listing], actor=actor, detail=detail, marked=marked)

    async def listings(self, entries: Iterable[Entry]) -> list[Listing]:
        """What each of them changes, in this order. Nothing is written."""
        now = self.engine.now()
        coming = [
            replace(
                entry,
                address=list_key(entry.address, labels=self._plus_labels),
                reply=text(entry.reply),
                note=text(entry.note),
            )
            for entry in entries
        ]
        named = [{"address": entry.address, "scope": entry.scope} for entry in coming]
        found = await self.engine.read("suppressions_named", {"rows": rows.to_json(named)}) if named else []
        there = {one.key: one for one in map(rows.entry_from, found)}
        listings = []
        for entry in coming:
            old = there.get(entry.key)
            kept = merged(old, entry, now)
            new = old is None or not old.live(now)
            listings.append(Listing(entry, kept, new, kept != old, news(old, kept, now)))
            there[entry.key] = kept
        return listings

    async def named(self, address: str, scope: str, reason: Reason | None = None) -> list[Entry]:
        """The entries of exactly this address (or `@domain`) and scope, expired or not; of all reasons, or of one."""
        keys = list(dict.fromkeys((list_key(address), list_key(address, labels=self._plus_labels))))
        asked = [{"address": key, "scope": scope} for key in keys]
        found = map(rows.entry_from, await self.engine.read("suppressions_named", {"rows": rows.to_json(asked)}))
        wanted = [one for one in found if reason in (None, one.reason)]
        return sorted(wanted, key=lambda one: (keys.index(one.address), told_order(one)))

    async def unsuppress(
        self,
        address: str,
        scope: str,
        reason: Reason | None = None,
        *,
        actor: str,
        because: str | None = None,
        detail: Mapping[str, object] = NO_DETAIL,
    ) -> bool:
        """Take the entry for that reason off the list, or those for all; False: there was none.

        What was stopped stays stopped. Each leaves an event: `resubscribed` where the recipient takes back what it
        wished, else `suppression_remove`.
        """
        old = await self.named(address, scope, reason)
        return bool(old) and bool(await self._remove(old, actor=actor, because=because, detail=detail))

    async def _remove(
        self, entries: Sequence[Entry], *, actor: str, because: str | None, detail: Mapping[str, object] = NO_DETAIL
    ) -> int:
        """Take these off in one commit; how many were still there."""
        now = self.engine.now()
        told = dict(detail) | ({"because": because} if because else {})
        events = []
        for old in entries:
            back = actor == RECIPIENT and old.reason == "unsubscribe"
            events.append(told_row("resubscribed" if back else "suppression_remove", old, actor, now, told))
        # Whoever takes an address off the list wants its bounces to be counted anew.
        full = [mail_row(n, old, labels=self._plus_labels) for n, old in enumerate(entries) if old.reason == "spam"]
        named = [{"address": old.address, "scope": old.scope, "reason": old.reason} for old in entries]
        own = [
            IN_TURN,
            Statement("remove_suppressions", {"rows": rows.to_json(named)}),
            Statement("add_events", {"rows": rows.to_json(events)}),
        ]
        if full:
            own.append(Statement("forgive_soft_bounces", {"rows": rows.to_json(full)}))
        _, gone, *_ = await self._write(own=own)
        return len(gone)

    async def happened(self, event: Event, notices: Sequence[Accepted] = ()) -> None:
        """Leave an event that changes nothing else: what a recipient said, for example; with `notices` that tell it."""
        own = [IN_TURN, Statement("add_events", {"rows": rows.to_json([rows.event_row(event)])})]
        await self._write(*self._with_notices({}, notices), own)

    async def _fresh_marks(self, entry: Entry, delivery: tuple[str, int] | None) -> list[dict[str, Any]]:
        """The mark that the delivery gets now; none where it has it, or the reason leaves none."""
        if delivery is None or entry.reason not in MARKS:
            return []
        column, event = MARKS[entry.reason]
        name = {"queue_id": delivery[0], "number": delivery[1]}
        found = await self.engine.read("delivery_wishes", name)
        if not found or found[0][column] is not None:
            return []
        fresh = {
            "unsubscribed_at": None,
            "complained_at": None,
            "spam_source": entry.source if event == "spam" else None,
        }
        return [name | fresh | {column: entry.since}]

    async def stop_waiting(self, entry: Entry, *, actor: str) -> int:
        """Stop what waits and an entry that is on the list already forbids; how many deliveries that were."""
        return await self._enforce([Listing(entry, entry, False, False, False)], actor=actor)

    async def _enforce(
        self,
        listings: Sequence[Listing],
        *,
        actor: str,
        detail: Mapping[str, object] = NO_DETAIL,
        marked: Sequence[dict[str, Any]] = (),
    ) -> int:
        """The list, and what waits for those who are on it now, in steps; how many deliveries were stopped."""
        now = self.engine.now()
        changes = statements(listings, actor=actor, now=now, detail=detail)
        live = sorted({one.kept.key: one.kept for one in listings if one.kept.live(now)}.values(), key=told_order)
        waiting = await self._waiting(live)
        stopped = 0
        while changes or marked or waiting:
            stopped += await self._stop(actor, changes, marked, waiting)
            changes, marked = [], []
            waiting = await self._waiting(live) if len(waiting) == STEP else []
        return stopped

    async def _waiting(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """At most `STEP` waiting deliveries that one of the entries stops, with what is told of them: the first one."""
        mailboxes = [
            mail_row(n, entry, labels=self._plus_labels)
            for n, entry in enumerate(entries)
            if not entry.address.startswith("@")
        ]
        found: dict[tuple[str, int], int] = {}  # delivery → the entry that stops it
        if mailboxes:
            asked = {"rows": rows.to_json(mailboxes), "limit": STEP}
            for row in await self.engine.read("waiting_for_addresses", asked):
                name = row["queue_id"], row["number"]
                found[name] = min(row["n"], found.get(name, row["n"]))
        for n, entry in enumerate(entries):
            if entry.address.startswith("@") and len(found) < STEP:
                asked = {"destination": entry.address[1:], "scope": entry.scope, "limit": STEP - len(found)}
                for row in await self.engine.read("waiting_for_domain", asked):
                    found.setdefault((row["queue_id"], row["number"]), n)
        fates = [{"class": e.reason_class, "dsn": e.dsn, "reason": e.words} for e in entries]
        return [
            {"queue_id": queue_id, "number": number, **fates[n], "detail": rows.detail_text(fates[n])}
            for (queue_id, number), n in found.items()
        ]

    async def _stop(
        self,
        actor: str,
        changes: Sequence[Statement],
        marked: Sequence[dict[str, Any]],
        waiting: Sequence[dict[str, Any]],
    ) -> int:
        """One commit: the list, the delivery's mark, and what waits becomes `rejected`; how many did."""
        touched = rows.names_json([*marked, *waiting])
        stopped = {"rows": rows.to_json(waiting), "now": self.engine.now()}
        own = [IN_TURN, Statement("tell", {"topic": "stop"}), *changes]
        if marked or waiting:
            own += [
                Statement("lock_deliveries", {"rows": touched}),
                *self._count(touched, -1),
                Statement("mark_wishes", {"rows": rows.to_json(marked)}),
                Statement("reject_deliveries", stopped),
                *self._count(touched, 1),
                Statement("tell_rejected", stopped | {"actor": actor}),
            ]
        done = dict(zip([name for name, _, _ in own], await self._write(own=own), strict=True))
        return len(done.get("reject_deliveries", ()))

    @staticmethod
    def _count(touched: str, sign: int) -> list[Statement]:
        """Off before a change, and on after it."""
        names = ("count_statuses", "count_domains", "count_complaints")
        return [Statement(name, {"rows": touched, "sign": sign}) for name in names]
