"""What one SMTP transaction came to: `Sent` or `Failure`.

Plain values between the client (or the simulator), which makes them, and `outcome`,
which says what they mean. They tell what happened and judge nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from relay.reply import Reply


class Step(StrEnum):
    """How far the conversation had come; the words are Postfix's."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    RSET = "RSET"  # only where the transaction before was left half-way
    MAIL = "MAIL FROM"
    RCPT = "RCPT TO"
    DATA = "DATA"
    BODY = "message body"  # content is on its way, the final dot is not
    DOT = "end of DATA"  # everything is sent; only the reply is missing


class Kind(StrEnum):
    """What went wrong at that step."""

    REPLY = "reply"  # the server said no
    UNREACHABLE = "unreachable"  # no connection: refused, no route, …
    TIMEOUT = "timeout"  # RFC 5321 4.5.3.2 was kept, the server kept silent
    LOST = "lost"  # the connection ended
    GARBAGE = "garbage"  # what came is not SMTP, or not in its place
    TLS = "tls"  # TLS failed, or is demanded and not offered
    NO_AUTH = "no_auth"  # a login is configured that cannot be made here
    TOO_BIG = "too_big"  # larger than the server's SIZE; nothing was sent
    NO_SMTPUTF8 = "no_smtputf8"  # needs SMTPUTF8, which is not offered; nothing was sent


@dataclass(frozen=True, slots=True)
class Sent:
    """The server answered 2yz after the message: it is theirs now."""

    reply: Reply
    dsn: bool = False  # the server took over NOTIFY (RFC 3461): a success is its to report


@dataclass(frozen=True, slots=True)
class Failure:
    """The delivery was not made. `peer` is "host[ip]:port"."""

    step: Step
    kind: Kind
    peer: str
    text: str = ""  # what happened in words, where there is no reply
    reply: Reply | None = None
    stale: bool = False  # a kept connection died before MAIL was answered: says nothing, open a new one
