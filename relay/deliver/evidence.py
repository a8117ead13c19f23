"""What a server's refusal is evidence of: its reason class, and how long it asks us to wait.

Pure. What the words mean is `suppression.replies`'; here it is said in the reason classes that views, logs and notices
have, and held against the step: only where an address was the question (RCPT, or the end of DATA) can an
address be the answer. Everything else is about us, our content or nothing in particular, and condemns none.

RFC 5321 3.3 (what each command asks), RFC 6647 (greylisting).
"""

import re
from collections.abc import Sequence

from relay.deliver.exchange import Step
from relay.reply import Reply
from suppression.replies import Judgement, classify

BAD_MAILBOX, BAD_DOMAIN, MAILBOX_FULL = "bad_mailbox", "bad_domain", "mailbox_full"
GREYLISTED, THROTTLED, NETWORK, TLS, DNS_TEMP = "greylisted", "throttled", "network", "tls", "dns_temp"
BLOCKED_IP, BLOCKED_CONTENT, AUTH_DMARC = "blocked_ip", "blocked_content", "auth_dmarc"
TOO_BIG, POLICY, UNKNOWN = "too_big", "policy", "unknown_permanent"

ABOUT_THE_ADDRESS = frozenset({BAD_MAILBOX, BAD_DOMAIN})

MIN_WAIT, MAX_WAIT = 10.0, 86400.0  # seconds: no hint makes us hammer, none makes us forget

# class → reason class of a 5yz reply
_PERMANENT = {
    "hard": BAD_MAILBOX,
    "inactive": BAD_MAILBOX,
    "full": MAILBOX_FULL,
    "size": TOO_BIG,
    "rate": THROTTLED,
    "block": BLOCKED_IP,
    "auth": AUTH_DMARC,
    "spam": BLOCKED_CONTENT,
    "virus": BLOCKED_CONTENT,
    "policy": POLICY,
    "relay": POLICY,
    "protocol": UNKNOWN,  # they did not understand us: no rule of theirs
}
# class → reason class of a 4yz reply; all others: THROTTLED. What it says about an address is not for good.
_TRANSIENT = {
    "full": MAILBOX_FULL,
    "size": TOO_BIG,
    "block": BLOCKED_IP,
    "auth": AUTH_DMARC,
    "spam": BLOCKED_CONTENT,
    "virus": BLOCKED_CONTENT,
}
_TRANSIENT_KINDS = {"greylisting": GREYLISTED, "network": NETWORK, "dns": DNS_TEMP}


def judged(reply: Reply, *, mx_host: str = "", ours: Sequence[str] = ()) -> Judgement:
    """The class of a reply; `ours` are our own names and addresses, which a refusal of us quotes."""
    return classify(reply.line, mx_host=mx_host, ours=ours)


def class_of(reply: Reply, step: Step, found: Judgement) -> str:
    """The reason class (surfaces: bad_mailbox, throttled, policy, …) of a 4yz or 5yz reply at `step`."""
    if reply.transient:
        return _TRANSIENT_KINDS.get(found.kind) or _TRANSIENT.get(found.cls, THROTTLED)
    said = _PERMANENT.get(found.cls, UNKNOWN)
    if step is Step.GREETING and (said == POLICY or found.cls == "protocol"):
        return BLOCKED_IP  # all that they know of us is the address we come from
    if said not in ABOUT_THE_ADDRESS:
        return said
    if step not in (Step.RCPT, Step.DOT):
        return UNKNOWN
    return BAD_DOMAIN if found.kind == "domain" else said


_NOT_WORDS = re.compile(r"<[^>\s]*>|\S+@\S+|https?:\S+")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SOON = r"(?:again|retry|after|in|wait|until)"
_IN_UNITS = re.compile(
    rf"{_SOON}\D{{0,40}}?(\d{{1,6}}) ?(s|sec|m|min|h|d)(?:s|onds?|ecs?|ins?|utes?|ours?|r|rs|ays?)?\b"
)
_AS_CLOCK = re.compile(rf"{_SOON}\D{{0,40}}?\b(?:(\d{{1,3}}):)?(\d{{1,2}}):(\d{{2}})\b(?!:)")


def retry_after(reply: Reply) -> float | None:
    """The seconds that a 4yz reply asks us to wait ("in 5 minutes", "retry after 00:05:00"), within bounds; or None."""
    if not reply.transient:
        return None
    words = _NOT_WORDS.sub(" ", reply.text.lower().replace("\n", " "))
    if found := _AS_CLOCK.search(words):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        wait = hours * 3600.0 + minutes * 60.0 + seconds
    elif found := _IN_UNITS.search(words):
        wait = int(found[1]) * _UNITS[found[2][0]]
    else:
        return None
    return min(max(wait, MIN_WAIT), MAX_WAIT)
