"""What comes to the suppression list, and how an address stands there: values, and the statements that keep them.

Pure. Looking up what is there already is `suppressions.py`'s; the rule for two entries that meet is
`suppression/entry.py`'s. Domains are written as mail goes there (`Address.destination`), local parts as they came,
without their label where the configuration says that labels do not count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.address import Address, AddressError, parse_address
from relay.event import Event
from relay.store import rows
from relay.store.engine import Statement
from suppression.entry import Entry, Reason

NO_DETAIL: Mapping[str, object] = {}

# reason → the column of `marks` in which its time stands, and the event of the delivery
MARKS: Mapping[Reason, tuple[str, str]] = {
    "unsubscribe": ("unsubscribed_at", "unsubscribed"),
    "complaint": ("complained_at", "spam"),
}


@dataclass(frozen=True, slots=True)
class Listing:
    """An entry that comes, and what the list has then. `new`: nothing that counts was there."""

    entry: Entry
    kept: Entry
    new: bool
    changed: bool  # is there anything to write?
    told: bool  # is there anything to tell?


def list_key(address: str, *, labels: bool = True) -> str:
    """An address as the list has it; `@example.com` is a whole domain. What is no address comes back as it is."""
    local, at, domain = text(address).rpartition("@")
    try:
        known = parse_address(address) if local else parse_address(f"x@{domain}")
    except AddressError:
        return f"{local}{at}{domain.lower()}"
    if not local:
        return f"@{known.destination}"
    return str(Address(known.local if labels else unlabelled(known.local), known.destination))


def unlabelled(local: str) -> str:
    """`ada` for `ada+news`. A quoted local part has no label."""
    name, plus, _ = local.partition("+")
    return name if plus and name and not local.startswith('"') else local


def text(given: str) -> str:
    """What strangers said, as both engines can keep it."""
    return given.encode("utf-8", "replace").decode()


def mail_row(n: int, entry: Entry, *, labels: bool) -> dict[str, Any]:
    """What finds the deliveries to an entry's mailbox: the row of statements that look for addresses `alike`."""
    local, _, destination = entry.address.rpartition("@")
    return {
        "n": n,
        "address": entry.address,
        "local": f"{local}@",
        "small": entry.address.lower(),
        "destination": destination,
        "scope": entry.scope,
        "labelled": None if labels else f"{local}+",
        "behind": None if labels else f"{local},",  # the character after "+"
    }


def statements(
    listings: Iterable[Listing], *, actor: str, now: float, detail: Mapping[str, object] = NO_DETAIL
) -> list[Statement]:
    """How they are kept and told."""
    listings = list(listings)
    last = {one.kept.key: one.kept for one in listings if one.changed}
    told = [
        told_row(MARKS.get(one.entry.reason, ("", "suppression_add"))[1], one.entry, actor, now, detail)
        for one in listings
        if one.told
    ]
    return [
        *(
            [Statement("save_suppressions", {"rows": rows.to_json([rows.entry_row(e) for e in last.values()])})]
            * bool(last)
        ),
        *([Statement("add_events", {"rows": rows.to_json(told)})] * bool(told)),
    ]


def told_row(event: str, entry: Entry, actor: str, now: float, detail: Mapping[str, object]) -> dict[str, Any]:
    """The event that an entry came or went: a row of `happenings`."""
    known: dict[str, object] = {"address": entry.address, "scope": entry.scope, "reason": entry.reason}
    known |= {"source": entry.source} | ({"expires_at": entry.expires_at} if entry.expires_at else {}) | dict(detail)
    row = rows.event_row(Event(now, event, entry.queue_id, entry.number, actor))
    return row | {"detail": rows.detail_text(known)}
