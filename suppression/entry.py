"""An entry of the suppression list: an address that must not be mailed, why, and since when.

Pure values; nothing is looked up or kept here. The list has one entry for an address and a scope.
A scope is a tag, or "" for all mail; an address is a mailbox, or `@example.com` for a whole domain.

Rules (`merged`). What a person wants is not forgotten for what a server said: an entry is never made shorter
by a newer one, and of two that last equally long the complaint stays before the unsubscription, and that before the
others. The same reason once more changes nothing but what was not known yet.
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
_WEIGHT: dict[Reason, int] = {"complaint": 2, "unsubscribe": 1}  # the others 0
_FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `queue_id` and `number` name the delivery that caused it, where one did."""

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
    """What the list has for an address and a scope when `new` comes to `old`; `old` itself when nothing changes."""
    if old is None or not old.live(now):
        return new
    if old.reason == new.reason:
        return replace(
            old,
            expires_at=None if _FOR_EVER in (old._end, new._end) else max(old._end, new._end),
            reply=new.reply or old.reply,
            note=new.note or old.note,
        )
    stays = (old._end, _WEIGHT.get(old.reason, 0)) > (new._end, _WEIGHT.get(new.reason, 0))
    return old if stays else new


def news(old: Entry | None, kept: Entry, now: float) -> bool:
    """Does anybody have to be told that `kept` is there now, and not only `old`?"""
    return old is None or not old.live(now) or (old.reason, old.expires_at) != (kept.reason, kept.expires_at)
