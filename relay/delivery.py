"""A delivery: one message to one recipient, its status, and the only moves it may make.

Pure values. `MOVES` is the whole state machine: the store's statements make these moves and no
others, and the views count by these words and no others.
"""

from dataclasses import dataclass
from enum import StrEnum

from relay.address import Address
from relay.envelope import Message, Notify, Role
from relay.reply import Reply


class Status(StrEnum):
    """What has become of a delivery."""

    CREATING = "creating"  # accepted and safe; this recipient's copy is not made yet
    SPOOLED = "spooled"  # the copy is made and waits for a connection
    DEFERRED = "deferred"  # refused for now; tried again at a known time
    HELD = "held"  # stopped by a person or a rule until released
    SENT = "sent"  # the recipient's server answered 2yz after the message
    HARD_BOUNCE = "hard_bounce"  # permanent, and about this address or its domain
    SOFT_BOUNCE = "soft_bounce"  # given up, but no proof that the address is dead
    REJECTED = "rejected"  # never tried: the address is on the suppression list
    CANCELLED = "cancelled"  # taken out of the queue by an operator


S = Status
OPEN = frozenset({S.CREATING, S.SPOOLED, S.DEFERRED})  # an attempt will come
WAITING = OPEN | {S.HELD}  # not yet decided: what the queue holds
BOUNCED = frozenset({S.HARD_BOUNCE, S.SOFT_BOUNCE})

MOVES: dict[Status, frozenset[Status]] = {
    S.CREATING: frozenset({S.SPOOLED, S.DEFERRED, S.HELD, S.SENT, S.REJECTED, S.CANCELLED} | BOUNCED),
    S.SPOOLED: frozenset({S.DEFERRED, S.HELD, S.SENT, S.REJECTED, S.CANCELLED} | BOUNCED),
    S.DEFERRED: frozenset({S.DEFERRED, S.HELD, S.SENT, S.REJECTED, S.CANCELLED} | BOUNCED),
    # An attempt that was on its way when a person held or cancelled the delivery still tells the truth.
    S.HELD: frozenset({S.CREATING, S.DEFERRED, S.SENT, S.REJECTED, S.CANCELLED} | BOUNCED),
    S.CANCELLED: frozenset({S.SENT} | BOUNCED),
    S.SENT: frozenset(BOUNCED),  # a late bounce
    S.HARD_BOUNCE: frozenset(),
    S.SOFT_BOUNCE: frozenset(),
    # Released after its suppression was removed; or stopped when it was on its way, and sent all the same.
    S.REJECTED: frozenset({S.DEFERRED, S.SENT}),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient, in hand for the attempt that it names.

    `attempt` counts from 1 and was spent when the delivery was claimed: a settlement
    that names another attempt is late and changes nothing.
    """

    message: Message
    number: int  # position among the message's recipients, from 0
    recipient: Address
    role: Role
    destination: str  # the recipient's domain, lower-case A-labels, or an address literal
    status: Status = Status.CREATING
    attempt: int = 1
    notify: frozenset[Notify] = frozenset()
    orcpt: str | None = None
    warned: bool = False  # the sender has had a delay warning


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipient's copy has become: can its opens be seen, and how many of its links lead through us?"""

    trackable: bool
    links: int
    note: str = ""  # why it, or a part of it, is not tracked; "": nothing to say


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an attempt's conversation: when (ms from the start), who ("C", "S", or "=": our own remark), what."""

    ms: int
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a delivery: where it went, how long each step took (ms; None: not reached), and what was said."""

    started_at: float
    finished_at: float
    mx_host: str | None = None
    mx_ip: str | None = None
    mx_port: int | None = None
    source_ip: str | None = None
    tls: str | None = None  # "TLSv1.3 TLS_AES_256_GCM_SHA384 mx.example.net"
    in_reply_to: str | None = None  # "RCPT TO", "end of DATA", …
    ms_queue: int = 0  # from due (or accepted) to started
    ms_dns: int | None = None
    ms_connect: int | None = None
    ms_tls: int | None = None
    ms_data: int | None = None
    transcript: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt means for its delivery."""

    status: Status  # sent, deferred, hard_bounce, soft_bounce, rejected
    reason_class: str | None  # surfaces: bad_mailbox, network, throttled, …; None when sent
    dsn: str  # the enhanced code that log lines, views and DSNs show: the server's, or ours where it gave none
    reason: str  # one line in words: the reply itself, or what happened
    reply: Reply | None = None  # None: no server answered
    retry_after: float | None = None  # seconds the server asked us to wait
    about_host: bool = False  # the host did not answer at all: a reason to leave it alone for a while
