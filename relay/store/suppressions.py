"""The suppression list as kept: who must not be mailed, and what that does to mail that waits.

Adding an entry also stops every waiting delivery to that address within the scope, with its counts and
events, in the same commit; a whole domain's in steps of `STEP` deliveries, the entry in the first. A delivery that
is in somebody's hand is stopped too: what its attempt says later is late and changes nothing, unless the
mail was really sent, which is told as sent.

Which of two entries counts is said in `suppression/entry.py`. Local parts are compared as written, domains as mail
goes there (`Address.destination`). Raises StoreUnavailable; nothing of the step is then kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.address import Address, AddressError, parse_address
from relay.event import Event
from relay.store import rows
from relay.store.credentials import Credentials
from relay.store.engine import Statement
from suppression.entry import Entry, merged, news

STEP = 500
RECIPIENT = "recipient"  # the actor of what recipients do themselves
NO_DETAIL: Mapping[str, object] = {}

# reason → the column of `marks` in which its time stands, and the event of the delivery
_MARKS = {"unsubscribe": ("unsubscribed_at", "unsubscribed"), "complaint": ("complained_at", "spam")}


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
        found = await self._matching(asked)
        return [next((entry for entry in some if entry.reason == "unsubscribe"), None) for some in found]

    async def suppressed(self, asked: Sequence[tuple[str, str]]) -> list[Entry | None]:
        """Of each address and tag ("": none), the entry that stops mail there now, if there is one. One query for all.

        The address's own entries come before its domain's, those for all mail before those of a tag.
        """
        return [some[0] if some else None for some in await self._matching(asked)]

    async def _matching(self, asked: Sequence[tuple[str, str]]) -> list[list[Entry]]:
        """All live entries for each, in that order."""
        keys = []
        for at, (address, tag) in enumerate(asked):
            mailbox = list_key(address)
            keys.append({"n": at, "address": mailbox, "tag": tag})
            keys.append({"n": at, "address": mailbox[mailbox.rfind("@") :], "tag": tag})
        found: list[list[Entry]] = [[] for _ in asked]
        if keys:
            for row in await self.engine.read("suppressed", {"rows": rows.to_json(keys), "now": self.engine.now()}):
                found[row["n"]].append(rows.entry_from(row))
        for some in found:
            if len(some) > 1:
                some.sort(key=lambda entry: (entry.address.startswith("@"), entry.scope != ""))
        return found

    async def suppress(
        self,
        entry: Entry,
        *,
        actor: str,
        delivery: tuple[str, int] | None = None,
        detail: Mapping[str, object] = NO_DETAIL,
    ) -> int:
        """Put an entry on the list, or merge it with the one that is there; how many waiting deliveries it stopped.

        `delivery` is the one from which the recipient unsubscribed or complained: it is marked so. `detail` goes into
        the event beside what the entry says (ip, agent, …). The same once more changes nothing.
        """
        now = self.engine.now()
        if delivery and not entry.queue_id:
            entry = replace(entry, queue_id=delivery[0], number=delivery[1])
        entry = replace(entry, address=list_key(entry.address), reply=_text(entry.reply), note=_text(entry.note))
        old = await self.entry(entry.address, entry.scope)
        kept = merged(old, entry, now)
        changes = [Statement("save_suppression", rows.entry_row(kept))] if kept != old else []
        marked = await self._fresh_marks(entry, delivery)
        if marked or news(old, kept, now):
            changes.append(_told(_MARKS.get(entry.reason, ("", "suppression_add"))[1], entry, actor, now, detail))
        waiting = await self._waiting(kept) if kept.live(now) else []
        stopped = 0
        while changes or marked or waiting:
            stopped += await self._stop(kept, actor, changes, marked, waiting)
            changes, marked = [], []
            waiting = await self._waiting(kept) if len(waiting) == STEP else []
        return stopped

    async def entry(self, address: str, scope: str) -> Entry | None:
        """The entry of exactly this address (or `@domain`) and scope, expired or not."""
        found = await self.engine.read("suppression", {"address": list_key(address), "scope": scope})
        return rows.entry_from(found[0]) if found else None

    async def unsuppress(
        self,
        address: str,
        scope: str,
        *,
        actor: str,
        reason: str | None = None,
        detail: Mapping[str, object] = NO_DETAIL,
    ) -> bool:
        """Take an entry off the list, and leave an event; False: there was none. What was stopped stays stopped.

        The event is `resubscribed` where the recipient takes back what it wished, else `suppression_remove`.
        """
        old = await self.entry(address, scope)
        if old is None:
            return False
        back = actor == RECIPIENT and old.reason == "unsubscribe"
        told = dict(detail) | ({"because": reason} if reason else {})
        event = _told("resubscribed" if back else "suppression_remove", old, actor, self.engine.now(), told)
        (gone, _) = await self._write(
            own=[Statement("remove_suppression", {"address": old.address, "scope": scope}), event]
        )
        return bool(gone)

    async def happened(self, event: Event) -> None:
        """Leave an event that changes nothing else: what a recipient said, for example."""
        await self._write({"add_events": [rows.event_row(event)]})

    async def _fresh_marks(self, entry: Entry, delivery: tuple[str, int] | None) -> list[dict[str, Any]]:
        """The mark that the delivery gets now; none where it has it, or the reason leaves none."""
        if delivery is None or entry.reason not in _MARKS:
            return []
        column, _ = _MARKS[entry.reason]
        name = {"queue_id": delivery[0], "number": delivery[1]}
        found = await self.engine.read("delivery_wishes", name)
        fresh = {"unsubscribed_at": None, "complained_at": None, column: entry.since}
        return [name | fresh] if found and found[0][column] is None else []

    async def _waiting(self, entry: Entry) -> list[dict[str, Any]]:
        """At most `STEP` waiting deliveries that the entry stops."""
        local, _, destination = entry.address.rpartition("@")
        name = "waiting_for_address" if local else "waiting_for_domain"
        params = {"destination": destination, "scope": entry.scope, "limit": STEP}
        if local:
            params |= {"address": entry.address, "local": f"{local}@"}
        return [dict(row) for row in await self.engine.read(name, params)]

    async def _stop(
        self,
        entry: Entry,
        actor: str,
        changes: list[Statement],
        marked: list[dict[str, Any]],
        waiting: list[dict[str, Any]],
    ) -> int:
        """One commit: the list, the delivery's mark, and what waits becomes `rejected`; how many did."""
        now = self.engine.now()
        touched = rows.names_json([*marked, *waiting])
        stopped = {"rows": rows.to_json(waiting), "now": now}
        fate = {"class": entry.reason_class, "dsn": entry.dsn, "reason": entry.words}

        def count(sign: int) -> list[Statement]:
            names = ("count_statuses", "count_domains", "count_complaints")
            return [Statement(name, {"rows": touched, "sign": sign}) for name in names]

        own = [
            Statement("tell", {"topic": "stop"}),
            *changes,
            Statement("lock_deliveries", {"rows": touched}),
            *count(-1),
            Statement("mark_wishes", {"rows": rows.to_json(marked)}),
            Statement("reject_deliveries", stopped | fate),
            *count(1),
            Statement("tell_rejected", stopped | {"actor": actor, "detail": rows.detail_text(fate)}),
        ]
        if not self._keep_content:
            own.append(Statement("drop_contents", {"rows": rows.to_json(waiting)}))
        done = dict(zip([name for name, _, _ in own], await self._write(own=own), strict=True))
        return len(done["reject_deliveries"])


def list_key(address: str) -> str:
    """An address as the list has it: the local part as written, the domain as mail goes there (A-labels, small)."""
    local, at, domain = _text(address).rpartition("@")
    try:
        known = parse_address(address) if local else parse_address(f"x@{domain}")
    except AddressError:
        return f"{local}{at}{domain.lower()}"
    return str(Address(known.local, known.destination)) if local else f"@{known.destination}"


def _text(given: str) -> str:
    """What strangers said, as both engines can keep it."""
    return given.encode("utf-8", "replace").decode()


def _told(event: str, entry: Entry, actor: str, now: float, detail: Mapping[str, object]) -> Statement:
    known: dict[str, object] = {"address": entry.address, "scope": entry.scope, "reason": entry.reason}
    known |= {"source": entry.source} | ({"expires_at": entry.expires_at} if entry.expires_at else {}) | dict(detail)
    row = rows.event_row(Event(now, event, entry.queue_id, entry.number, actor))
    return Statement("add_events", {"rows": rows.to_json([row | {"detail": rows.detail_text(known)}])})
