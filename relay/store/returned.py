"""What comes back to deliveries that were sent: which one it is, late bounces, and bounces in a row.

A late bounce turns `sent` into `hard_bounce` or `soft_bounce`, with its event, the counts, a mark and perhaps an entry
of the suppression list and a notice, in one commit. A report that comes twice changes nothing the second time. Whether
a report is to be believed, and what it means, is `relay/feedback.py`'s affair. Raises StoreUnavailable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from relay.delivery import BOUNCED, Delivery, Status, Verdict
from relay.store import rows
from relay.store.accepted import Accepted
from relay.store.engine import Row, Statement
from relay.store.entries import Entries
from relay.store.listing import NO_DETAIL, list_key, mail_row, statements
from relay.store.spool import marked_as_spam
from suppression.entry import Entry


class Late(Enum):
    """What became of a late bounce."""

    DONE = "done"
    ALREADY = "the delivery had bounced before"
    TOO_EARLY = "the delivery is not decided yet: its sending may be settled in a moment"
    NOT_OURS = "there is no such delivery, or it was never sent"


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery as reports are matched with it."""

    queue_id: str
    number: int
    recipient: str
    destination: str
    status: Status
    in_hand: bool
    message_id: str
    sender: str
    sender_domain: str
    tag: str  # "": none
    origin: str
    received_at: float
    recipients: int  # of its message

    @property
    def delivered(self) -> bool:
        """Did a server take it, whatever came later?"""
        return self.status is Status.SENT or self.status in BOUNCED


class Returned(Entries):
    """Reports on what was sent."""

    async def delivery(self, queue_id: str, number: int) -> Sent | None:
        """The delivery of that name; None: it is not kept, or never was."""
        return _one(await self.engine.read("sent_delivery", {"queue_id": queue_id, "number": number}))

    async def whole_delivery(self, queue_id: str, number: int) -> Delivery | None:
        """The same with its message, as attempts have it in hand; nobody claims it by that."""
        found = await self.engine.read("whole_delivery", {"queue_id": queue_id, "number": number})
        messages = await self._messages({queue_id}) if found else {}
        return rows.delivery_from(found[0], messages[queue_id]) if queue_id in messages else None

    async def has_happened(self, event: str, queue_id: str, number: int) -> bool:
        """Is there such an event of the delivery?"""
        asked = {"event": event, "queue_id": queue_id, "number": number}
        return bool(await self.engine.read("has_happened", asked))

    async def find_sent(self, *, recipient: str, message_id: str = "", queue_id: str = "") -> Sent | None:
        """The delivery to `recipient` of the message with that Message-ID, or that queue id; the newest one.

        Only what was sent. The case of the address does not matter here: reports do not keep it. Without a recipient
        (some providers hide it) the queue id decides, if that message had one recipient alone.
        """
        if not recipient:
            found = await self.engine.read("sent_of_message", {"queue_id": queue_id}) if queue_id else []
            one = _one(found) if len(found) == 1 else None
            return one if one and one.delivered else None
        if not (message_id or queue_id):
            return None
        address = list_key(recipient)
        params = {
            "address": address,
            "small": address.lower(),
            "message_id": f"<{message_id.strip().strip('<>')}>" if message_id else None,
            "queue_id": queue_id or None,
        }
        return _one(await self.engine.read("find_sent", params))

    async def late_bounce(
        self,
        queue_id: str,
        number: int,
        verdict: Verdict,
        *,
        entry: Entry | None = None,
        spam: str = "",
        about_mailbox: bool = False,
        detail: Mapping[str, object] = NO_DETAIL,
        notices: Sequence[Accepted] = (),
    ) -> Late:
        """A report says that what was sent has bounced after all; `verdict` is a hard or a soft bounce.

        `entry` comes to the list, `spam` says who marks the delivery as spam, `about_mailbox` counts it against the
        mailbox; `detail` goes into the event; `notices` are accepted with it. What already waits for a listed address
        is stopped in the next commits.
        """
        assert verdict.status in BOUNCED
        known = await self.delivery(queue_id, number)
        if known is None or known.status in (Status.REJECTED, Status.CANCELLED):
            return Late.NOT_OURS
        if known.status is not Status.SENT:
            return Late.ALREADY if known.status in BOUNCED else Late.TOO_EARLY
        listings = await self.listings([entry] if entry else [])
        now = self.engine.now()
        own = [
            *_bounce(queue_id, number, verdict, now, about_mailbox, spam, detail),
            *statements(listings, actor="relay", now=now),
        ]
        told = [rows.event_row(marked_as_spam(queue_id, number, now, spam))] if spam else []
        written = await self._write(*self._with_notices({"add_events": told}, notices), own)
        done = dict(zip([name for name, _, _ in own], written, strict=True))
        for listing in listings:
            await self.stop_waiting(listing.kept, actor="relay")
        return Late.DONE if done["late_bounce"] else Late.ALREADY

    async def soft_bounce_days(self, address: str, *, apart_from: tuple[str, int] = ("", -1)) -> set[int]:
        """The days (Unix seconds / 86400) on which mail to it bounced softly, because of the mailbox, in a row.

        In a row: since the last of it that was delivered, and since the address was last taken off the list.
        `apart_from` is a delivery that bounces only now, and was no success therefore.
        """
        entry = Entry(list_key(address, labels=self._plus_labels), "", "spam", "", 0.0)
        asked = {
            "rows": rows.to_json([mail_row(0, entry, labels=self._plus_labels)]),
            "queue_id": apart_from[0],
            "number": apart_from[1],
        }
        return {row["day"] for row in await self.engine.read("soft_bounces", asked)}


def _bounce(
    queue_id: str,
    number: int,
    verdict: Verdict,
    now: float,
    about_mailbox: bool,
    spam: str,
    detail: Mapping[str, object],
) -> list[Statement]:
    """The statements of a late bounce, those of the list left out."""
    name: dict[str, Any] = {"queue_id": queue_id, "number": number}
    touched = rows.to_json([name])
    told: dict[str, object] = {
        "late": True,
        "dsn": verdict.dsn,
        "reason": verdict.reason,
        "class": verdict.reason_class,
    }
    told |= {"smtp_code": verdict.reply.code} if verdict.reply else {}
    change = {
        "status": verdict.status,
        "now": now,
        "class": verdict.reason_class,
        "code": verdict.reply.code if verdict.reply else None,
        "dsn": verdict.dsn,
        "reason": verdict.reason,
        "about_mailbox": int(about_mailbox and verdict.status is Status.SOFT_BOUNCE),
    }
    counted = ("count_statuses", "count_domains", "count_complaints")
    return [
        Statement("lock_deliveries", {"rows": touched}),
        *(Statement(which, {"rows": touched, "sign": -1}) for which in counted),
        Statement("late_bounce", name | change),
        *(
            [Statement("mark_wishes", {"rows": rows.to_json([rows.spam_row(queue_id, number, now, spam)])})]
            * bool(spam)
        ),
        *(Statement(which, {"rows": touched, "sign": 1}) for which in counted),
        Statement(
            "tell_late_bounce",
            name | {"status": verdict.status, "now": now, "detail": rows.detail_text(told | dict(detail))},
        ),
    ]


def _one(found: list[Row]) -> Sent | None:
    if not found:
        return None
    row = dict(found[0])
    return Sent(**row | {"status": Status(row["status"]), "in_hand": bool(row["in_hand"])})
