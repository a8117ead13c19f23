"""A letter that came back by mail, and how it goes on to a person where it is for one. Pure.

Rules. It is passed on with the null reverse-path, so that no notice about it can ever go in circles, and with not a
byte changed below the Received field that we put on top, so that its own signatures hold. No key of ours signs it.
Standards: RFC 5321 4.4 (Received) and 4.5.5 (null reverse-path).
"""

from dataclasses import dataclass

from relay.accept import headers, trace
from relay.accept.trace import Client
from relay.address import Address
from relay.delivery import Delivery
from relay.envelope import Message, Origin, Role
from relay.store.accepted import Accepted


class TooEarly(Exception):
    """The delivery that a letter is about is not settled yet: let it come again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it came in. `queue_id` is its name in the log; `content` has CRLF line ends."""

    queue_id: str
    at: float  # Unix seconds
    client: Client
    reverse_path: Address | None
    head: headers.Head
    content: bytes


def forwarded(letter: Letter, recipient: Address, to: Address, *, queue_id: str, hostname: str) -> Accepted:
    """The letter on its way to a person: a Received field on top, and not a byte of it changed."""
    head = letter.head
    top = trace.received(
        letter.client,
        hostname=hostname,
        queue_id=queue_id,
        recipient=recipient,
        now=letter.at,
        smtputf8=not recipient.ascii,
        hide_client=False,
    )
    content = top.encode() + letter.content
    message = Message(
        queue_id=queue_id,
        received_at=letter.at,
        # RFC 5321 4.5.5: whatever becomes of it, nobody is told; a notice could go in circles.
        reverse_path=None,
        size=len(content),
        # A stranger's letter is not ours, whatever its From says: without a sender no key of ours signs it.
        sender="",
        subject=headers.text(head.subject, headers.MAX_SUBJECT) if head.subject else "",
        message_id=headers.text(head.message_id.encode("utf-8", "surrogateescape"), headers.MAX_SUBJECT),
        origin=Origin.NOTICE,
        eight_bit=not content.isascii(),
        smtputf8=not content[: len(top) + head.end].isascii(),
        client_ip=letter.client.ip,
    )
    return Accepted(message, (Delivery(message, 0, to, Role.TO, to.destination),), content)
