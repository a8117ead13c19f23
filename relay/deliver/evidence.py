"""What a server's refusal is evidence of: its reason class, and how long it asks us to wait.

Pure. A reply proves something about an address only if it says so, by an enhanced code
or in plain words, and says nothing about us at the same time. Everything else is
about us, our content or nothing in particular, and never condemns an address.

RFC 3463 and RFC 7372 (enhanced codes), RFC 5321 4.2.3 (bare codes), RFC 6647 (greylisting).
"""

import re

from relay.deliver.exchange import Step
from relay.reply import Reply

BAD_MAILBOX, BAD_DOMAIN, MAILBOX_FULL = "bad_mailbox", "bad_domain", "mailbox_full"
GREYLISTED, THROTTLED, NETWORK, TLS, DNS_TEMP = "greylisted", "throttled", "network", "tls", "dns_temp"
BLOCKED_IP, BLOCKED_CONTENT, AUTH_DMARC = "blocked_ip", "blocked_content", "auth_dmarc"
TOO_BIG, POLICY, UNKNOWN = "too_big", "policy", "unknown_permanent"

ABOUT_THE_ADDRESS = frozenset({BAD_MAILBOX, BAD_DOMAIN})

MIN_WAIT, MAX_WAIT = 10.0, 86400.0  # seconds: no hint makes us hammer, none makes us forget


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


# Said about us or about the message, in this order; the first that fits wins. Addresses and links are taken out before.
_ABOUT_US = (
    (AUTH_DMARC, _words(r"\bdmarc\b", r"\bspf\b", r"\bdkim\b", r"unauthenticated (e?-?mail|sender)")),
    (
        BLOCKED_CONTENT,
        _words(r"\bspam(my|ming)?\b", r"\bvirus", r"malware", r"phish", r"content (is )?(re|not )", r"\burl\b"),
    ),
    (
        BLOCKED_IP,
        _words(
            r"spamhaus|barracuda|spamcop|sorbs|\brbl|dnsbl|block ?-?list|black ?-?list",
            r"\b(blocked|banned|listed|reputation|ptr|reverse dns|rdns|dynamic)\b",
            r"\b(your|client) (ip|host|server)\b",
        ),
    ),
    (DNS_TEMP, _words(r"sender.{0,80}(not found|not resolve|not exist)")),
    (
        POLICY,
        _words(
            r"\bsender\b|\bpolicy\b|\bhelo\b|\behlo\b|authentication|\bfrom (address|header)",
            r"relay(ing)? (access )?(denied|not)|to relay\b|not (allowed|permitted)",
        ),
    ),
)
_GREYLISTING = _words(r"gr[ae]y ?-?list", r"\bpostgrey\b")
_FULL = _words(
    r"(mailbox|inbox|account|user|storage|recipient).{0,40}\b(full|quota|exceed)", r"(over|exceed\w*).{0,20}quota"
)
_BIG = _words(r"(message|e?-?mail|size).{0,40}(too (big|large|long)|exceed)", r"too (big|large)")
_NO_SUCH_DOMAIN = _words(
    r"(domain|host).{0,20}(not found|unknown|does not exist|doesn't exist|invalid)", r"no such domain"
)
_NO_SUCH_USER = _words(
    r"(no such|unknown|invalid|non-?existent|unrouteable) (user|recipient|mailbox|address|account|local|person)",
    r"(user|recipient|mailbox|address|account)( \w+)?( is| was)? "
    r"(unknown|not found|invalid|disabled|inactive|suspended)",
    r"(user|recipient|mailbox|account|address).{0,60}(does not|doesn't|do not|not) (exist|have an? .{0,30}account)",
    r"no (mailbox|user|account) (here|by that name|with that name)",
    r"not (a valid|our) (mailbox|user|recipient|customer)",
)
_NOT_WORDS = re.compile(r"<[^>\s]*>|\S+@\S+|https?:\S+")

# RFC 3463 and 7372: codes that need no words. "*" stands for any detail.
_BY_CODE = {
    "1.1": BAD_MAILBOX,
    "1.2": BAD_DOMAIN,
    "1.3": BAD_MAILBOX,
    "1.6": BAD_MAILBOX,
    "1.10": BAD_DOMAIN,
    "2.1": BAD_MAILBOX,
    "2.2": MAILBOX_FULL,
    "2.3": TOO_BIG,
    "3.4": TOO_BIG,
    "4.*": NETWORK,
    "6.*": BLOCKED_CONTENT,
    "7.20": AUTH_DMARC,
    "7.21": AUTH_DMARC,
    "7.22": AUTH_DMARC,
    "7.23": AUTH_DMARC,
    "7.24": AUTH_DMARC,
    "7.25": BLOCKED_IP,
    "7.26": AUTH_DMARC,
    "7.*": POLICY,
}


def class_of(reply: Reply, step: Step) -> str:
    """The reason class (surfaces: bad_mailbox, throttled, policy, …) of a 4yz or 5yz reply at `step`.

    Plan: what is said about us; then the enhanced code; then words about the address, which count
    only where an address was the question (RCPT, or the end of DATA); then the bare code.
    """
    words = _NOT_WORDS.sub(" ", reply.text.lower().replace("\n", " "))
    coded = _by_code(reply.enhanced)
    if reply.transient:
        return _transient(words, coded)
    about_us = next((said for said, pattern in _ABOUT_US if pattern.search(words)), None)
    if about_us is not None and coded not in (MAILBOX_FULL, TOO_BIG):
        return POLICY if about_us == DNS_TEMP else about_us  # 5yz is not temporary, whatever it is about
    asked_for_address = step in (Step.RCPT, Step.DOT)
    if coded is not None and coded != NETWORK and (asked_for_address or coded not in ABOUT_THE_ADDRESS):
        return coded
    if _FULL.search(words):
        return MAILBOX_FULL
    if _BIG.search(words) or (reply.code == 552 and step is Step.DOT):
        return TOO_BIG
    if asked_for_address and _NO_SUCH_USER.search(words):
        return BAD_MAILBOX
    if asked_for_address and _NO_SUCH_DOMAIN.search(words):
        return BAD_DOMAIN
    # RFC 5321 4.2.3: 552 is exceeded storage.
    return MAILBOX_FULL if reply.code == 552 else UNKNOWN


def _transient(words: str, coded: str | None) -> str:
    if _GREYLISTING.search(words):
        return GREYLISTED
    if coded == MAILBOX_FULL or _FULL.search(words):
        return MAILBOX_FULL
    said = next((said for said, pattern in _ABOUT_US if pattern.search(words)), None)
    if said in (AUTH_DMARC, BLOCKED_CONTENT, BLOCKED_IP, DNS_TEMP):
        return said
    return NETWORK if coded == NETWORK else THROTTLED


def _by_code(enhanced: str | None) -> str | None:
    if enhanced is None:
        return None
    subject = enhanced.partition(".")[2]
    return _BY_CODE.get(subject) or _BY_CODE.get(subject.partition(".")[0] + ".*")


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
