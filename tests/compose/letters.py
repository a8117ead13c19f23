"""Messages and deliveries for the tests of this folder."""

from dataclasses import replace
from typing import Any

from relay.address import parse_address
from relay.delivery import Attempt, Delivery, Status, Verdict
from relay.envelope import Message, Role
from relay.reply import Reply

NOON = 1_795_262_400.0  # 2026-11-21 12:00:00 UTC

MESSAGE = Message(
    queue_id="0abcdef12345",
    received_at=NOON,
    reverse_path=parse_address("billing@example.com"),
    size=100,
    sender="billing@example.com",
    subject="Your invoice",
    message_id="<1@example.com>",
)
ORIGINAL = (
    b"Received: from app by relay.example.com\r\nFrom: billing@example.com\r\nTo: gone@example.org\r\n"
    b"Subject: Your invoice\r\nMessage-ID: <1@example.com>\r\n\r\nPlease pay.\r\n"
)
REFUSED = Verdict(
    Status.HARD_BOUNCE, "bad_mailbox", "5.1.1", "550 5.1.1 User unknown", Reply(550, "5.1.1", "User unknown")
)
BUSY = Verdict(Status.DEFERRED, "throttled", "4.2.1", "450 4.2.1 Too busy", Reply(450, "4.2.1", "Too busy"))
TAKEN = Verdict(Status.SENT, None, "2.0.0", "250 2.0.0 OK", Reply(250, "2.0.0", "OK"))
UNREACHABLE = Verdict(Status.SOFT_BOUNCE, "network", "4.4.7", "gave up after 5 days: connection refused")
ATTEMPT = Attempt(NOON + 1, NOON + 2, mx_host="mx.example.org", mx_ip="198.51.100.4", in_reply_to="RCPT TO")


def delivery(recipient: str = "gone@example.org", *, message: Message = MESSAGE, **changes: Any) -> Delivery:
    """A delivery of `message` (or of one like it) to `recipient`."""
    address = parse_address(recipient)
    return replace(Delivery(message, 0, address, Role.TO, address.destination), **changes)
