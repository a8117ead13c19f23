"""An entry of the suppression list: an address that must not be mailed, why, and since when.

Pure values; nothing is looked up or kept here. The list has one entry for an address, a scope and a reason.
A scope is a tag, or "" for all mail; an address is a mailbox, or `@example.com` for a whole domain.

Rules. Reasons stand side by side: none takes another's place, and when one expires or is taken off the list the
others stay in force. The same reason once more (`merged`) never makes an entry shorter, and changes nothing but what
was not known yet. Where several forbid the same mail, one is told (`told_order`).
Standards: RFC 5321 2.4 (a local part is its host's own affair: its case counts; a domain's does not), RFC 3463 (codes).
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

Reason = Literal["unsubscribe", "hard_bounce", "complaint", "manual", "spam", "invalid"]

# reason → class of the deliveries it stops, enhanced code, and the words for people
_MEANING: dict[Reason, tuple[str, str, str]] = {
    "unsubscribe": ("suppressed_unsubscribe", "5.7.1", "unsubscribed"),
    "complaint": ("suppressed_complaint", "5.7.1", "called it spam"),
    "manual": ("suppressed_manual", "5.7.1", "added by hand"),
    "hard_bounce": ("suppressed_bounce", "5.1.1", "hard bounce"),
    "spam": ("suppressed_bounce", "5.7.1", "refused again and again"),
    "invalid": ("suppressed_bounce", "5.1.3", "not a valid address"),
}
# What people want before what we were told to do, that before what servers said; proof before a guess.
_STRONGEST_FIRST: tuple[Reason, ...] = ("complaint", "unsubscribe", "manual", "hard_bounce", "invalid", "spam")
_FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, named by its `key`. `queue_id` and `number` name the delivery that caused it, where one did."""

    address: str  # local@domain or @domain
    scope: str  # a tag; "": all mail
    reason: Reason
    source: str  # how it came here: one-click, page, mail, dsn, import, a person's name, …
    since: float  # Unix seconds
    expires_at: float | None = None  # Unix seconds; None: it stays until somebody removes it
    queue_id: str = ""
    number: int | None = None
    reply: str = ""  # what a server said
    note: str = ""  # what a person wants to remember

    @property
    def key(self) -> tuple[str, str, Reason]:
        """What makes it this entry and no other: address, scope and reason."""
        return self.address, self.scope, self.reason

    @property
    def reason_class(self) -> str:
        """The class of deliveries that it stops."""
        return _MEANING[self.reason][0]

    @property
    def dsn(self) -> str:
        """RFC 3463: the enhanced code of deliveries that it stops."""
        return _MEANING[self.reason][1]

    @property
    def words(self) -> str:
        """Why a delivery is stopped, on one line: `unsubscribed from "weekly" on 2026-11-21`."""
        what = _MEANING[self.reason][2]
        of = f' from "{self.scope}"' if self.scope else ""
        whole = f"{self.address} " if self.address.startswith("@") else ""
        because = self.reply or self.note
        day = datetime.fromtimestamp(self.since, UTC).date().isoformat()
        return f"{whole}{what}{of} on {day}{f' ({because})' if because else ''}"

    def live(self, now: float) -> bool:
        """Does it still count at `now` (Unix seconds)?"""
        return now < self._end

    @property
    def _end(self) -> float:
        return _FOR_EVER if self.expires_at is None else self.expires_at


def normalised(address: str) -> str:
    """An address as the list has it: the domain in small letters, the local part as written."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}" if at else domain


def merged(old: Entry | None, new: Entry, now: float) -> Entry:
    """What the list has when `new` comes to `old`, which has the same key; equal to `old` when nothing changes."""
    if old is None or not old.live(now):
        return new
    return replace(
        old,
        expires_at=None if _FOR_EVER in (old._end, new._end) else max(old._end, new._end),
        reply=new.reply or old.reply,
        note=new.note or old.note,
    )


def news(old: Entry | None, kept: Entry, now: float) -> bool:
    """Does anybody have to be told that `kept` is there now, and not only `old`?"""
    return old is None or not old.live(now) or old.expires_at != kept.expires_at


def told_order(entry: Entry) -> tuple[bool, bool, int, float]:
    """A sort key: of several entries that forbid the same mail, the least one is told.

    The address's own before its domain's, those for all mail before those of a tag, then the strongest reason, then
    the oldest.
    """
    return entry.address.startswith("@"), bool(entry.scope), _STRONGEST_FIRST.index(entry.reason), entry.since
