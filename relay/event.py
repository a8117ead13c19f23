"""Events: something happened to a delivery, at a time; never changed afterwards.

Plain values without behaviour. The names are the ones that the `events` view, the live
tail and the JSON log lines show. A refusal is its own kind: no delivery exists yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """`event` is a status word (creating, spooled, sent, …) or a verb of an operator (hold, release, retry, cancel)."""

    at: float  # Unix seconds
    event: str
    queue_id: str
    number: int | None  # the delivery; None: the whole message
    actor: str = "relay"  # who: "relay", or the user of a command
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator did to one message, or to nothing in the queue (`queue_id` empty), as the log tells it."""

    event: str  # the verb
    queue_id: str
    actor: str
    deliveries: int
    last: int  # event id of the last of its events
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What we said no to at SMTP time; `ref` is in the reply, in the log line and here."""

    ref: str
    at: float
    client_ip: str
    stage: str  # CONNECT, EHLO, AUTH, MAIL, RCPT, DATA
    code: int
    dsn: str
    rule: str  # R4101 …: one rule, one number
    text: str  # the whole reply line
    credential: str | None = None
    mail_from: str | None = None
    rcpt_to: str | None = None
