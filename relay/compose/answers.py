"""What the simulator's recipients write back: a delivery report, a complaint, an out-of-office answer.

Real ones, as the servers and people of the Internet send them, each as a message to the reverse-path of the
delivery that it is about. The delivery report is written by the same hand as our own notices (`dsn.py`).
It sends nothing.

Rules: nothing is answered where the reverse-path is null. Only the header of the copy is brought back.
Standards: RFC 3464 (delivery report), RFC 5965 (feedback report), RFC 3834 (automatic answer; 2: to the reverse-path).
Pure: `now` is an argument.
"""

from relay.compose.dsn import Kind, notice
from relay.compose.mime import header_end
from relay.compose.multipart import Part, boundary_for, field, multipart, text_part
from relay.compose.plain_words import date
from relay.delivery import Attempt, Delivery, Status, Verdict
from relay.envelope import Message, Origin, Role
from relay.reply import Reply, printable

MAX_HEADER = 16 * 1024  # octets of a copy's header that go back

_SAID = "550 5.1.1 The mailbox was closed after the message had been accepted (simulated)"
_CLOSED = Verdict(Status.HARD_BOUNCE, "bad_mailbox", "5.1.1", f"host said: {_SAID}", Reply.parse(550, _SAID[4:]))
_COMPLAINT = "This is a simulated complaint about a message that its recipient did not want.\r\n"
_AWAY = "I am out of office (simulated). Your message has arrived and will be read when I am back.\r\n"

Answer = tuple[Delivery, bytes]  # to whom, and the content


def late_bounce(delivery: Delivery, copy: bytes, *, host: str, now: float) -> Answer:
    """The delivery report of `host`, which has accepted the copy and cannot deliver it. ValueError: to nobody."""
    _, to_sender, content = notice(
        Kind.FAILURE,
        delivery,
        _CLOSED,
        Attempt(now, now, mx_host=host),
        hostname=host,
        now=now,
        queue_id=_name(delivery, "bounce"),
        original=_header(copy),
    )
    return to_sender, content


def complaint(delivery: Delivery, copy: bytes, *, host: str, now: float) -> Answer:
    """The feedback report of `host`, whose user has pressed "this is spam". ValueError: to nobody."""
    message = delivery.message
    # RFC 5965 3.1: three fields that must be there, once each; then what helps to find the delivery.
    report = [
        field("Feedback-Type", "abuse"),
        field("User-Agent", "Simulator/1"),
        field("Version", "1"),
        field("Original-Mail-From", f"<{message.reverse_path or ''}>"),
        field("Original-Rcpt-To", f"<{delivery.recipient}>"),
        field("Arrival-Date", date(now)),
        field("Reporting-MTA", f"dns; {host}"),
    ]
    parts = [
        text_part("text/plain; charset=us-ascii", "Notification", _COMPLAINT.encode(), eight_bit=False),
        text_part("message/feedback-report", "Feedback report", "".join(report).encode(), eight_bit=True),
        _enclosed(copy),
    ]
    boundary = boundary_for(_name(delivery, "complaint"), parts)
    kind = f'multipart/report; report-type=feedback-report; boundary="{boundary}"'
    head = _head(delivery, "complaint", f"Complaints <fbl@{host}>", "Complaint about a message", kind, host, now)
    return _addressed(delivery, head + multipart(boundary, parts), now)


def auto_reply(delivery: Delivery, copy: bytes, *, host: str, now: float) -> Answer:
    """The recipient's out-of-office answer. ValueError: to nobody."""
    subject = f"Out of office: {printable(delivery.message.subject)}"
    if not subject.isascii():
        subject = "Out of office"
    kind = "text/plain; charset=us-ascii"
    head = _head(delivery, "reply", f"<{delivery.recipient}>", subject, kind, host, now)
    # RFC 3834 3.1.7
    return _addressed(delivery, head + field("Auto-Submitted", "auto-replied").encode() + f"\r\n{_AWAY}".encode(), now)


def _head(delivery: Delivery, what: str, sender: str, subject: str, kind: str, host: str, now: float) -> bytes:
    lines = [
        field("From", sender),
        field("To", f"<{delivery.message.reverse_path or ''}>"),
        field("Subject", subject),
        field("Date", date(now)),
        field("Message-ID", f"<{_name(delivery, what)}@{host}>"),
        field("MIME-Version", "1.0"),
        field("Content-Type", kind),
    ]
    return "".join(lines).encode("utf-8")


def _addressed(delivery: Delivery, content: bytes, now: float) -> Answer:
    to = delivery.message.reverse_path
    if to is None:
        raise ValueError("a message with the null reverse-path is not answered")
    # RFC 3834 3.3 and RFC 5965 2: with the null reverse-path, so that nobody answers in turn.
    message = Message(
        queue_id=_name(delivery, "answer"),
        received_at=now,
        reverse_path=None,
        size=len(content),
        sender=str(delivery.recipient),
        origin=Origin.NOTICE,
        eight_bit=not content.isascii(),
    )
    return Delivery(message, 0, to, Role.TO, to.destination), content


def _enclosed(copy: bytes) -> Part:
    # RFC 5965 2: the message itself, or its header where the rest is not given away.
    return text_part("text/rfc822-headers", "Header of the message", _header(copy), eight_bit=True)


def _header(copy: bytes) -> bytes:
    """The header of a copy, up to the last whole line that may go back."""
    header = copy[: header_end(copy)]
    return header if len(header) <= MAX_HEADER else header[: header.rfind(b"\r\n", 0, MAX_HEADER) + 2]


def _name(delivery: Delivery, what: str) -> str:
    return f"{what}-{delivery.message.queue_id}-{delivery.number}"
