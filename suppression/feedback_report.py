"""Feedback reports: somebody pressed "this is spam", and the provider tells us.

Reads the form of RFC 5965, and the older ones of providers that only send the message back, with a word of who they
are. Not what follows from it: an `auth-failure` report (RFC 6591) tells of forged mail and an `opt-out` of a wish;
neither is a complaint, see `is_complaint`.

Rules. The address that complained is the one that the report names; where it is left out for the sake of privacy, the
one recipient of the enclosed message, unless that too is veiled. Several are given where several are named.
Never raises.
Standards: RFC 5965 3 (fields), RFC 6591 (auth-failure), RFC 6650 (what is done with reports), RFC 2369 (unsubscribing).
"""

import re

from suppression.found import Recipient, line
from suppression.letter import Header, Letter, header_of

_NO_COMPLAINT = {"auth-failure", "opt-out", "not-spam", "dmarc"}
_ACTUAL = ("x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "envelope-to", "x-rcpt-to")
_OLD_SUBJECT = re.compile(
    r"^\s*(?:complaint about message from\b|e?mail feedback report for ip\b|.*\bspam complaint\b)", re.I
)
_OLD_TEXT = re.compile(
    r"\s*this is an? (?:e-?mail )?(?:abuse|spam) (?:report|complaint) (?:for|about) an? e-?mail", re.I
)
_OLD_SENDER = re.compile(
    r"\b(?:staff@(?:hotmail|live|outlook)\.|scomp@aol\.|feedback@|feedbackloop@|complaints?@|fbl@|abuse@)", re.I
)
# RFC 5322 3.4: addresses in a field; names in quotes and comments are passed over. (Python's reader recurses.)
_MAILBOX = re.compile(
    r"""
    "(?:[^"\\]|\\.)*"(?!@) | \([^()]*\) | <\s*([^<>\s]*)\s*>
    | ((?:"[^"\s]{1,64}"|[^\s<>(),;:"]{1,64})@[^\s<>(),;:"]{1,255})
    """,
    re.VERBOSE,
)
# Names that stand for a name, and digests of one.
_VEILED = re.compile(
    r"(?:[0-9a-f]{32,64}@|(?:redacted|removed|unknown|undisclosed|hidden)(?:@(?:redacted|removed|unknown)|\Z))", re.I
)


def read(letter: Letter) -> tuple[str, tuple[Recipient, ...]] | None:
    """The type (`abuse`, `fraud`, …) and who complained; None where this is no feedback report."""
    for part in letter.parts:
        if part.type == "message/feedback-report":
            return _read_fields(letter, header_of(part.text))
    if letter.parameters.get("report-type", "").lower() == "feedback-report":
        return _read_fields(letter, Header())
    if _is_old_form(letter):
        return "abuse", _told(letter, [])
    if _is_opt_out(letter):
        return "opt-out", _told(letter, [letter.header.get("from")])
    return None


def is_complaint(feedback_type: str) -> bool:
    """RFC 5965 7.3: does this type say that somebody does not want our mail?"""
    return feedback_type not in _NO_COMPLAINT


def _read_fields(letter: Letter, fields: Header) -> tuple[str, tuple[Recipient, ...]]:
    # RFC 5965 3.1: Feedback-Type is required; a report without it is read as the commonest.
    feedback_type = fields.get("feedback-type").lower().split(";")[0].strip() or "abuse"
    named = [*fields.all("original-rcpt-to"), *fields.all("removal-recipient")]
    return line(feedback_type)[:40], _told(letter, named)


def _told(letter: Letter, named: list[str]) -> tuple[Recipient, ...]:
    """Who it was: as the report says, or else the enclosed message."""
    found = addresses(named)
    for field in () if found else (*_ACTUAL, "to"):
        # More than one in To: which of them complained cannot be told.
        if len(found := addresses([letter.original.get(field)])) == 1:
            break
        found = ()
    said = line(next((row for row in letter.text.splitlines() if row.strip()), ""))
    return tuple(Recipient(one, "failed", "", said) for one in dict.fromkeys(found))


def addresses(values: list[str]) -> tuple[str, ...]:
    """The addresses that can be read in fields of addresses; veiled ones are none."""
    found = (one[1] or one[2] for value in values[:100] for one in _MAILBOX.finditer(value[:2000]))
    return tuple(one for one in found if one and "@" in one and not _VEILED.match(one))


def _is_old_form(letter: Letter) -> bool:
    """A message sent back whole, with words that only complaints have."""
    subject, sender = letter.header.get("subject"), letter.header.get("from")
    known = _OLD_SUBJECT.match(subject) and _OLD_SENDER.search(sender)
    return bool(letter.enclosed and (known or _OLD_TEXT.match(letter.text)))


def _is_opt_out(letter: Letter) -> bool:
    """RFC 2369 3.2: what a mail client sends for "unsubscribe"."""
    if letter.header.get("x-apple-unsubscribe").lower() == "true":
        return True
    return letter.header.get("subject").strip().lower() == "unsubscribe" and len(letter.text.split()) < 20
