"""What an attempt means for its delivery: the one table.

Pure: `Sent` or `Failure` in, `Verdict` out, or None for "try the next hop". It knows no
clock and no network, and reply codes are judged here and in `evidence`, nowhere else.

  A remote 5yz about the address → hard bounce. 5yz about us, content or policy → soft
  bounce. 4yz, network, TLS → deferred. Unknown → deferred, never worse.

Reasons are worded as Postfix words them: people know them, and their tools read them.
RFC 5321 4.2.1 (reply classes), 5.1 (the next host), RFC 3463 (enhanced codes).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from relay.deliver import evidence
from relay.deliver.exchange import Failure, Kind, Sent, Step
from relay.delivery import Status, Verdict
from relay.reply import Reply
from suppression.rules import Inactive, consequence


class What(Enum):
    """How a step failed, as far as the table distinguishes."""

    TRY_LATER = "4yz"
    CLOSING = "421"
    NEVER = "5yz"
    BROKEN = "connection lost, silence or garbage"
    UNREACHABLE = "no connection"
    TLS = "TLS failed"
    NO_AUTH = "no way to log in"
    TOO_BIG = "over the announced size"
    NO_SMTPUTF8 = "needs SMTPUTF8"


@dataclass(frozen=True, slots=True)
class Rule:
    """`next_hop`: another hop is tried while one is left. `then`: the status after the last one."""

    next_hop: bool
    then: Callable[["Said"], Status]
    reason_class: str | None = None  # None: what the reply is evidence of
    dsn: str | None = None  # where the server gave none: what follows the class digit; None: by reason class
    about_host: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What the reply is evidence of: its reason class at that step, and what an operator's setting makes of it."""

    reason_class: str
    proof: bool  # the address or its domain is dead


def _deferred(_: Said) -> Status:
    return Status.DEFERRED


def _soft_bounce(_: Said) -> Status:
    return Status.SOFT_BOUNCE


def _by_reply(said: Said) -> Status:
    """Hard only if the reply proves something about the address; it is the one place where an address is condemned."""
    return Status.HARD_BOUNCE if said.proof else Status.SOFT_BOUNCE


S, W = Step, What
_HOST_SILENT = Rule(True, _deferred, evidence.NETWORK, "4.1", about_host=True)
_HOST_BUSY = Rule(True, _deferred, dsn="3.2", about_host=True)
_BROKEN = Rule(True, _deferred, evidence.NETWORK, "4.2")
_BUSY_ELSEWHERE_MAYBE = Rule(True, _deferred)
_LATER = Rule(False, _deferred)
_FINAL = Rule(False, _by_reply)
_TLS = Rule(True, _deferred, evidence.TLS, "7.5")
_LOGIN = Rule(True, _deferred, evidence.POLICY, "7.0")

# (step, what happened) → another hop if one is left? and after the last one: what.
TABLE: dict[tuple[Step, What], Rule] = {
    (S.CONNECT, W.UNREACHABLE): _HOST_SILENT,
    (S.CONNECT, W.BROKEN): _HOST_SILENT,
    (S.GREETING, W.TRY_LATER): _HOST_BUSY,
    (S.GREETING, W.CLOSING): _HOST_BUSY,
    (S.GREETING, W.NEVER): Rule(True, _soft_bounce, about_host=True),
    (S.GREETING, W.BROKEN): _HOST_SILENT,
    (S.EHLO, W.TRY_LATER): _HOST_BUSY,
    (S.EHLO, W.CLOSING): _HOST_BUSY,
    (S.EHLO, W.NEVER): Rule(True, _soft_bounce),
    (S.EHLO, W.BROKEN): _BROKEN,
    (S.STARTTLS, W.TLS): _TLS,
    # A login that fails is a mistake in our configuration: mail waits for the operator, it does not bounce.
    (S.AUTH, W.TRY_LATER): _LOGIN,
    (S.AUTH, W.CLOSING): _LOGIN,
    (S.AUTH, W.NEVER): _LOGIN,
    (S.AUTH, W.NO_AUTH): _LOGIN,
    (S.AUTH, W.BROKEN): _BROKEN,
    (S.MAIL, W.TRY_LATER): _BUSY_ELSEWHERE_MAYBE,
    (S.MAIL, W.CLOSING): _BUSY_ELSEWHERE_MAYBE,
    (S.MAIL, W.NEVER): _FINAL,
    (S.MAIL, W.BROKEN): _BROKEN,
    (S.MAIL, W.TOO_BIG): Rule(False, _soft_bounce, evidence.TOO_BIG, "3.4"),
    # RFC 6531 3.4: mail that needs the extension cannot go where it is not offered; 5.6.7 is its code.
    (S.MAIL, W.NO_SMTPUTF8): Rule(False, _soft_bounce, evidence.POLICY, "6.7"),
    # The recipient's own "later" (greylisting, a full box) is the same on every host: asking them all would only annoy.
    (S.RCPT, W.TRY_LATER): _LATER,
    (S.RCPT, W.CLOSING): _BUSY_ELSEWHERE_MAYBE,
    (S.RCPT, W.NEVER): _FINAL,
    (S.RCPT, W.BROKEN): _BROKEN,
    (S.DATA, W.TRY_LATER): _LATER,
    (S.DATA, W.CLOSING): _BUSY_ELSEWHERE_MAYBE,
    (S.DATA, W.NEVER): _FINAL,
    (S.DATA, W.BROKEN): _BROKEN,
    (S.BODY, W.TRY_LATER): _LATER,
    (S.BODY, W.CLOSING): _BUSY_ELSEWHERE_MAYBE,
    (S.BODY, W.NEVER): _FINAL,
    (S.BODY, W.BROKEN): _BROKEN,
    # RFC 1047: after the dot the message may be theirs already; at another hop now it would arrive twice.
    (S.DOT, W.TRY_LATER): _LATER,
    (S.DOT, W.CLOSING): _LATER,
    (S.DOT, W.NEVER): _FINAL,
    (S.DOT, W.BROKEN): Rule(False, _deferred, evidence.NETWORK, "4.2"),
}
_UNFORESEEN = Rule(True, _deferred, evidence.NETWORK)  # unknown is temporary


def judge(
    exchange: Sent | Failure, *, more_hops: bool, inactive: Inactive = "suppress", ours: Sequence[str] = ()
) -> Verdict | None:
    """The verdict on one exchange; None: try the next hop (only while there are `more_hops`).

    `inactive` is the setting for mailboxes that are closed; `ours` are our own addresses and names.
    """
    if isinstance(exchange, Sent):
        return Verdict(Status.SENT, None, exchange.reply.enhanced or "2.0.0", exchange.reply.line, exchange.reply)
    rule = TABLE.get((exchange.step, what_happened(exchange)), _UNFORESEEN)
    if rule.next_hop and more_hops:
        return None
    reply = exchange.reply
    said = _said(exchange, reply, inactive, ours) if reply else Said(evidence.NETWORK, False)
    status, reason_class = rule.then(said), rule.reason_class or said.reason_class
    deferred = status is Status.DEFERRED
    return Verdict(
        status,
        reason_class,
        _dsn("4" if deferred else "5", rule, exchange, reason_class),
        reason(exchange),
        reply,
        retry_after=evidence.retry_after(reply) if reply and deferred else None,
        about_host=rule.about_host,
    )


def _said(failure: Failure, reply: Reply, inactive: Inactive, ours: Sequence[str]) -> Said:
    found = evidence.judged(reply, mx_host=failure.peer.partition("[")[0], ours=ours)
    reason_class = evidence.class_of(reply, failure.step, found)
    about_address = reason_class in evidence.ABOUT_THE_ADDRESS
    return Said(reason_class, about_address and consequence(found, inactive=inactive).status == "hard_bounce")


def _dsn(digit: str, rule: Rule, failure: Failure, reason_class: str) -> str:
    """The server's enhanced code if it agrees with our verdict, else what its words mean."""
    if failure.reply and failure.reply.enhanced and failure.reply.enhanced[0] == digit:
        return failure.reply.enhanced
    return f"{digit}.{rule.dsn or _DETAIL.get(reason_class, '0.0')}"


# RFC 3463: what follows the class digit, where a server gave a bare code but said what it means.
_DETAIL = {
    evidence.BAD_MAILBOX: "1.1",
    evidence.BAD_DOMAIN: "1.2",
    evidence.MAILBOX_FULL: "2.2",
    evidence.TOO_BIG: "3.4",
    evidence.GREYLISTED: "7.1",
    evidence.BLOCKED_IP: "7.1",
    evidence.BLOCKED_CONTENT: "7.1",
    evidence.AUTH_DMARC: "7.1",
    evidence.POLICY: "7.1",
}

_WITHOUT_REPLY = {
    Kind.UNREACHABLE: What.UNREACHABLE,
    Kind.TIMEOUT: What.BROKEN,
    Kind.LOST: What.BROKEN,
    Kind.GARBAGE: What.BROKEN,
    Kind.TLS: What.TLS,
    Kind.NO_AUTH: What.NO_AUTH,
    Kind.TOO_BIG: What.TOO_BIG,
    Kind.NO_SMTPUTF8: What.NO_SMTPUTF8,
}


def what_happened(failure: Failure) -> What:
    """The row of the table that a failure belongs to."""
    if failure.kind is not Kind.REPLY or failure.reply is None:
        return _WITHOUT_REPLY.get(failure.kind, What.BROKEN)
    if failure.reply.code == 421:
        return What.CLOSING
    return What.NEVER if failure.reply.permanent else What.TRY_LATER if failure.reply.transient else What.BROKEN


_WHILE = {
    Step.GREETING: "receiving the initial server greeting",
    Step.EHLO: "performing the EHLO handshake",
    Step.STARTTLS: "starting TLS",
    Step.AUTH: "logging in",
    Step.MAIL: "sending MAIL FROM",
    Step.RCPT: "sending RCPT TO",
    Step.DATA: "sending DATA command",
    Step.BODY: "sending message body",
    Step.DOT: "sending end of data -- message may be sent more than once",
}


def reason(failure: Failure) -> str:
    """What happened, on one line, in Postfix's words."""
    host = failure.peer.rpartition(":")[0]
    said = failure.reply.line if failure.reply else ""
    if failure.kind is Kind.REPLY:
        if failure.step in (Step.GREETING, Step.EHLO):
            return f"host {host} refused to talk to me: {said}"
        if failure.step is Step.AUTH:
            return f"SASL authentication failed; server {host} said: {said}"
        step = Step.DOT if failure.step is Step.BODY else failure.step
        return f"host {host} said: {said} (in reply to {step} command)"
    doing = _WHILE.get(failure.step, "connecting")
    if failure.step is Step.CONNECT:
        words = "Connection timed out" if failure.kind is Kind.TIMEOUT else failure.text
        return f"connect to {failure.peer}: {words}"
    if failure.kind is Kind.TIMEOUT:
        return f"conversation with {host} timed out while {doing}"
    if failure.kind is Kind.LOST:
        return f"lost connection with {host} while {doing}"
    if failure.kind is Kind.GARBAGE:
        return f"protocol error in conversation with {host} while {doing}: {said or failure.text}"
    if failure.kind is Kind.TLS:
        return f"Cannot start TLS with {host}: {said or failure.text}"
    return f"{failure.text} by host {host}" if failure.kind is Kind.NO_SMTPUTF8 else f"{failure.text} of host {host}"
