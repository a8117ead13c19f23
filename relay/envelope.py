"""The envelope and the message it carries, as accepted from a client.

RFC 5321 2.3.1 (envelope and content), RFC 3461 (RET, ENVID, NOTIFY, ORCPT).
The content itself is bytes beside these values, never inside: it may be 25 MiB.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from relay.address import Address

NO_METADATA: Mapping[str, str] = MappingProxyType({})


class Role(StrEnum):
    """Where the headers name a recipient; `bcc` where they do not."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"


class Notify(StrEnum):
    """RFC 3461 4.1: when the sender wants to be told. `NEVER` stands alone."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


class Ret(StrEnum):
    """RFC 3461 4.3: how much of the message a failure notice brings back."""

    FULL = "FULL"
    HDRS = "HDRS"


class Origin(StrEnum):
    """Who made the message: only `application` counts in the boxes."""

    APPLICATION = "application"
    NOTICE = "notice"  # our own DSN to a sender


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT command. Without `notify` (RFC 3461 4.1) the sender is told of failures, and of delays if we like."""

    address: Address
    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None  # as the client wrote it, xtext and all


@dataclass(frozen=True, slots=True)
class Envelope:
    """What MAIL and RCPT said. `reverse_path` is None for the null reverse-path `<>`."""

    reverse_path: Address | None
    recipients: tuple[Recipient, ...]
    ret: Ret | None = None
    envid: str | None = None  # as the client wrote it, xtext and all
    eight_bit: bool = False  # BODY=8BITMIME
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message as we keep it: the sender's side of the envelope, and what lists and searches show."""

    queue_id: str
    received_at: float  # Unix seconds
    reverse_path: Address | None
    size: int  # octets of the content as kept, our Received line included
    sender: str  # the address in From, or the reverse-path
    subject: str = ""
    message_id: str = ""
    origin: Origin = Origin.APPLICATION
    ret: Ret | None = None
    envid: str | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    tag: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)  # shared and read-only
    credential: str | None = None
    client_ip: str | None = None
    # What message and credential together allow and ask for; whether the relay does it is settled with the copy.
    track_opens: bool = True
    track_clicks: bool = True
    unsubscribe: bool = False  # give the copies List-Unsubscribe fields
