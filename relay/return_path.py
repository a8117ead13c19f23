"""Addresses at `bounce_domain`: what each of them is for, and the signed tokens in them.

    b-TOKEN    the reverse-path of one delivery: what comes back there is about that delivery
    u-TOKEN    where a mail unsubscribes one delivery's recipient (RFC 2369)
    fbl        where mailbox providers send complaints (RFC 5965)
    postmaster, abuse        people (RFC 2142)

The local part of the reverse-path also stands in the copy itself, in the field `X-Delivery-ID`: a report that brings
the message back names the delivery by it, wherever it is sent.

Pure. Does not ask whether the delivery exists, and sends nothing.

Rules. The token says whose bounce it is, never the text of the bounce. It survives a change of case, as mail
servers do not promise to leave local parts alone, and fits a local part of 64 octets. Whatever else stands
before the @ is nobody's. The null reverse-path stays null: what has it is a notice, and asks for no answer
(RFC 5321 4.5.5).
Standards: RFC 5321 4.5.3.1.1 (64 octets), 4.5.1 (postmaster), RFC 2142 4 (abuse).
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from relay.address import Address
from relay.delivery import Delivery
from tracker.token import Keyring, Purpose, Token

FEEDBACK = "fbl"
FIELD = "X-Delivery-ID"
_PEOPLE = ("postmaster", "abuse")


class Use(Enum):
    """What one of our addresses is for."""

    BOUNCE = auto()
    UNSUBSCRIBE = auto()
    FEEDBACK = auto()
    PEOPLE = auto()


_PREFIXES = {"b-": (Use.BOUNCE, Purpose.BOUNCE), "u-": (Use.UNSUBSCRIBE, Purpose.MAIL_UNSUBSCRIBE)}


@dataclass(frozen=True, slots=True)
class Own:
    """An address of ours; `queue_id` and `number` name the delivery, where the address is one delivery's."""

    use: Use
    queue_id: str = ""
    number: int = 0


def bounce_local(keyring: Keyring, queue_id: str, number: int) -> str:
    """The local part to which bounces of this delivery come."""
    return f"b-{keyring.write(Purpose.BOUNCE, Token(queue_id, number))}"


def unsubscribe_local(keyring: Keyring, queue_id: str, number: int) -> str:
    """The local part that unsubscribes this delivery's recipient."""
    return f"u-{keyring.write(Purpose.MAIL_UNSUBSCRIBE, Token(queue_id, number))}"


def read(keyring: Keyring, local: str) -> Own | None:
    """What a local part, in any case, is for; None: it is none of ours, or a forged one."""
    if not local.isascii():
        return None
    local = local.lower()
    if local == FEEDBACK:
        return Own(Use.FEEDBACK)
    if local in _PEOPLE:
        return Own(Use.PEOPLE)
    use, purpose = _PREFIXES.get(local[:2], (None, None))
    token = keyring.read(purpose, local[2:]) if purpose else None
    return Own(use, token.queue_id, token.number) if use and token else None


@dataclass(frozen=True, slots=True)
class ReturnPaths:
    """The reverse-paths of what goes out, as one keyring writes them."""

    keyring: Keyring
    domain: str

    def outgoing(self, delivery: Delivery) -> Delivery:
        """The delivery as the next server is to see it: with a reverse-path of its own, if it has any."""
        message = delivery.message
        if message.reverse_path is None:
            return delivery
        own = Address(bounce_local(self.keyring, message.queue_id, delivery.number), self.domain)
        return replace(delivery, message=replace(message, reverse_path=own))
