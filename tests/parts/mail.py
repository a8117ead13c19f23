"""Messages and deliveries for tests, as plain data."""

import time
from collections.abc import Iterable

from relay.address import Address, parse_address
from relay.delivery import Attempt, Delivery, Line, Status, Verdict
from relay.envelope import Message, Role
from relay.queue_id import QueueIds
from relay.reply import Reply
from relay.store import Accepted

IDS = QueueIds(1023)

SENT = Verdict(Status.SENT, None, "2.0.0", "250 2.0.0 Ok", Reply(250, "2.0.0", "Ok"))
BUSY = Verdict(Status.DEFERRED, "throttled", "4.2.1", "450 4.2.1 busy", Reply(450, "4.2.1", "busy"))
UNKNOWN_USER = Verdict(Status.HARD_BOUNCE, "bad_mailbox", "5.1.1", "550 5.1.1 no", Reply(550, "5.1.1", "no"))


def message(**changes: object) -> Message:
    """A message from ada@sender.test, received now."""
    fields: dict[str, object] = {
        "queue_id": IDS.next(),
        "received_at": time.time(),
        "reverse_path": Address("ada", "sender.test"),
        "size": 4000,
        "sender": "ada@sender.test",
        "subject": "Your receipt",
        "message_id": "<1@sender.test>",
    }
    return Message(**(fields | changes))  # type: ignore[arg-type]


def accepted(
    recipients: Iterable[str] = ("bob@x.test",), content: bytes = b"Subject: hi\r\n\r\nhi\r\n", **changes: object
) -> Accepted:
    """A message to these recipients, ready for the store."""
    sent = message(**changes)
    deliveries = []
    for number, text in enumerate(recipients):
        address = parse_address(text)
        deliveries.append(Delivery(sent, number, address, Role.TO, address.destination))
    return Accepted(sent, tuple(deliveries), content)


def attempt(at: float | None = None) -> Attempt:
    """An attempt made at `at` (Unix seconds; now)."""
    at = time.time() if at is None else at
    return Attempt(
        at - 0.1, at, "mx.x.test", "192.0.2.1", 25, transcript=(Line(0, "S", "220 mx.x.test"), Line(1, "C", "EHLO a"))
    )
