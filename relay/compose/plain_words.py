"""The part of a notice that people read: what happened, to whom, why, what we do, what they can do.

Pure: values in, text out. It knows the reason classes and has one explanation for each;
a class it does not know is explained by whether it is final. The server's words are
quoted as they came and never stand for ours.
"""

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum

from relay.delivery import Attempt, Delivery, Verdict
from relay.reply import printable

_WIDTH = 76


class Kind(StrEnum):
    """What a notice tells; the values are the actions of RFC 3464 2.3.3."""

    FAILURE = "failed"
    DELAY = "delayed"
    SUCCESS = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why it happened, and what the sender can do about it."""

    why: str
    advice: str


_ASK_THEM = "Ask the recipient in another way (telephone, another address) to tell their mail administrator about it."
_ASK_US = "Show this notice to the administrator of the relay or of your domain."

EXPLANATIONS: dict[str, Explanation] = {
    "bad_mailbox": Explanation(
        "There is no such mailbox.",
        "Look for a typing mistake in the address, or ask the recipient for the address that is used now.",
    ),
    "bad_domain": Explanation(
        "The domain of the address does not exist, or it takes no mail.",
        "Look for a typing mistake in the part after the @.",
    ),
    "mailbox_full": Explanation("The recipient's mailbox is full.", "Tell the recipient, and send it again later."),
    "greylisted": Explanation(
        "The recipient's server wants to see mail from servers it does not know more than once.",
        "Nothing, as a rule: this passes by itself.",
    ),
    "throttled": Explanation("The recipient's server takes no more mail from us at the moment.", _ASK_US),
    "network": Explanation(
        "The recipient's mail server could not be reached, or the connection to it broke.",
        "Look for a typing mistake in the part after the @. " + _ASK_THEM,
    ),
    "tls": Explanation("A secure connection to the recipient's mail server could not be made.", _ASK_THEM),
    "dns_temp": Explanation(
        "The recipient's domain could not be looked up.",
        "Look for a typing mistake in the part after the @. " + _ASK_THEM,
    ),
    "blocked_ip": Explanation("The recipient's server refuses mail that comes from this relay's address.", _ASK_US),
    "blocked_content": Explanation(
        "The recipient's server took the message for something unwanted.",
        "Look at its links, its attachments and its wording, and send it again. " + _ASK_US,
    ),
    "auth_dmarc": Explanation("The recipient's server could not verify that the message is really yours.", _ASK_US),
    "too_big": Explanation(
        "The message is larger than the recipient's server accepts.", "Send it smaller, or send a link to the file."
    ),
    "policy": Explanation("A rule of the recipient's server forbids it; its reply says more.", _ASK_US),
}
_UNKNOWN_FINAL = Explanation("The recipient's server said no for good; its reply is all we know.", _ASK_THEM)
_UNKNOWN_FOR_NOW = Explanation(
    "It could not be delivered at the moment; what is quoted above is all we know.", _ASK_THEM
)


def explain(reason_class: str | None, *, final: bool) -> Explanation:
    """The explanation of a reason class."""
    return EXPLANATIONS.get(reason_class or "") or (_UNKNOWN_FINAL if final else _UNKNOWN_FOR_NOW)


def date(at: float) -> str:
    """Unix seconds as RFC 5322 3.3 writes them, in UTC."""
    return format_datetime(datetime.fromtimestamp(int(at), UTC))


def span(seconds: float) -> str:
    """A length of time as people say it, in its largest unit: "5 days", "1 hour", "40 seconds"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{int(seconds)} second" if int(seconds) == 1 else f"{int(seconds)} seconds"


def human_part(
    kind: Kind,
    delivery: Delivery,
    verdict: Verdict,
    attempt: Attempt | None,
    *,
    hostname: str,
    now: float,
    will_retry_until: float | None,
    returned: str | None,
) -> str:
    """The text, lines ended by CRLF. Without an `attempt` it is another server that tells it.

    `returned` says what of the message follows: "whole text", "header" or None.
    """
    message = delivery.message
    explanation = explain(verdict.reason_class, final=kind is Kind.FAILURE)
    blocks = [f"This is the mail relay at {hostname}.", *_opening(kind, delivery), *_quote(verdict, attempt)]
    if kind in (Kind.FAILURE, Kind.DELAY):
        blocks.append(f"Why: {explanation.why}")
    age = None if attempt is None else now - message.received_at
    blocks.append(f"What we do now: {_next(kind, age, will_retry_until)}")
    if kind in (Kind.FAILURE, Kind.DELAY):
        blocks.append(f"What you can do: {explanation.advice}")
    text = "\n\n".join(_wrapped(block) for block in blocks)
    text += "\n\nYour message:\n" + "".join(f"    {name}: {value}\n" for name, value in _facts(delivery))
    if returned is not None:
        text += f"\nIts {returned} is attached.\n"
    return text.replace("\n", "\r\n")


def _opening(kind: Kind, delivery: Delivery) -> tuple[str, str]:
    sentence = {
        Kind.FAILURE: "Your message could not be delivered to",
        Kind.DELAY: "This is only a warning: you need not send your message again. It has not been delivered yet to",
        Kind.SUCCESS: "As you asked, we tell you that your message was delivered to",
        Kind.RELAYED: "As you asked, we tell you that your message was passed on to the mail server of",
        Kind.EXPANDED: "As you asked, we tell you that your message went to everybody behind the address",
    }[kind]
    return sentence, f"    {delivery.recipient}"


def _quote(verdict: Verdict, attempt: Attempt | None) -> tuple[str, str]:
    if attempt is None:
        return "What happened: a mail server had taken it, and reports now", f"    {verdict.reason}"
    if verdict.reply is None:
        return "What happened: no mail server answered us about it.", f"    {verdict.reason}"
    server = "the mail server"
    if attempt.mx_host:
        server += f" {attempt.mx_host}" + (f" [{attempt.mx_ip}]" if attempt.mx_ip else "")
    step = f" to {attempt.in_reply_to}" if attempt.in_reply_to else ""
    return f"What happened: {server} answered{step}", f"    {verdict.reply.line}"


def _next(kind: Kind, age: float | None, will_retry_until: float | None) -> str:
    """`age`: for how many seconds it has been with us; None: it is with another server."""
    if age is None and kind in (Kind.FAILURE, Kind.DELAY):
        return "nothing more. It is no longer with us."
    match kind:
        case Kind.FAILURE:
            return f"nothing more. It was with us for {span(max(age or 0, 0))}, and it will not be tried again."
        case Kind.DELAY if will_retry_until is not None:
            return f"we keep trying until {date(will_retry_until)}. If it fails for good, we tell you."
        case Kind.DELAY:
            return "we keep trying. If it fails for good, we tell you."
        case Kind.SUCCESS | Kind.EXPANDED:
            return "nothing more. Whether it is read, nobody can promise."
        case Kind.RELAYED:
            return "nothing more. That server sends no confirmations, so this may be the last you hear of it."


def _facts(delivery: Delivery) -> list[tuple[str, str]]:
    message = delivery.message
    facts = [
        ("Subject", message.subject[:200]),
        ("Message-ID", message.message_id[:200]),
        ("Accepted", date(message.received_at)),
        ("Our name for it", message.queue_id),
    ]
    return [(name, printable(value)) for name, value in facts if value]


def _wrapped(block: str) -> str:
    """The block without control characters, in lines of `_WIDTH` with its indent; long words (links) stay whole."""
    indent = "    " if block.startswith("    ") else ""
    lines = textwrap.wrap(
        printable(block), _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)
