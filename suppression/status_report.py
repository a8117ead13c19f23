"""Delivery reports in the form of RFC 3464: fields, a group for the message and one for each recipient.

Reads them from where they belong (`message/delivery-status`) and, where a gateway has flattened the report, from the
text that people read. Not what a diagnostic means (`replies`), and not bounces that are prose only (`prose`).

Rules. A group ends at an empty line, or where a field comes that it already has. A group that names nobody is more
about the one before it. A diagnostic whose lines are not folded goes on to the next field. A vague Status (5.0.0,
4.0.0, 5.5.0, …) gives way to a precise code inside the diagnostic; no code is ever invented, and numbers of an IP
address are no code. Never raises.
Standards: RFC 3464 2 (fields), RFC 3463 (codes), RFC 3461 4.2 (xtext), RFC 6533 3 (addresses in UTF-8).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import get_args

from suppression import reply
from suppression.found import Action, Recipient, line
from suppression.letter import Header, Letter, Part, header_of

MOST_RECIPIENTS = 1000
_OF_A_RECIPIENT = {"final-recipient", "original-recipient", "x-actual-recipient"}
_ONCE = _OF_A_RECIPIENT | {"action", "status"}
_KNOWN = _ONCE | {"reporting-mta", "diagnostic-code", "remote-mta", "x-display-name", "x-supplementary-info"}
_BARE = re.compile(r"^(?:Final-Recipient|Original-Recipient)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_FIRST = re.compile(r"^(?:Reporting-MTA|(?:Final|Original)-Recipient|Action)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_COPY = re.compile(r"^(?:--|Received:|Return-Path:|Message-ID:|MIME-Version:|Content-Type:)", re.IGNORECASE | re.M)
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9]{0,30}-[A-Za-z0-9-]{1,60}|Action|Status)[ \t]*:", re.IGNORECASE)
_GROUPS = re.compile(r"\n(?:[ \t]*\n)+")

_PREFIX = re.compile(r"[A-Za-z0-9-]{1,30} ?;")
_ADDRESS = re.compile(r"<([^<>\s]{1,320})>|(\"[^\"\n]{1,64}\"@[^\s<>;,()]{1,255}|[^\s<>;,()\"]{1,320})")
_ROUTE = re.compile(r"(<?)@[\w.-]{1,255}(?:,@[\w.-]{1,255}){0,9}:")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UTF8 = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
# RFC 3463 3.1: x.0.0 says no more than the class. 5.5.0, 5.3.0 and 5.1.0 are what servers say that know no better.
_VAGUE = {"0.0", "1.0", "2.0", "3.0", "4.0", "5.0", "6.0", "7.0"}


@dataclass
class _Group:
    """The fields of one recipient, or of the message."""

    fields: dict[str, str] = field(default_factory=dict)

    @property
    def named(self) -> bool:
        return not _OF_A_RECIPIENT.isdisjoint(self.fields)


def is_status(part: Part) -> bool:
    """RFC 3464 2: is this where the fields belong? (RFC 6533: or the one for UTF-8.)"""
    return part.type in ("message/delivery-status", "message/global-delivery-status")


def read(letter: Letter) -> tuple[Recipient, ...]:
    """The recipients that its fields name, in order; () where it has no such fields."""
    recipients: dict[tuple[str, Action], Recipient] = {}
    failed = letter.header.get("x-failed-recipients")
    for group in islice(_groups(letter), MOST_RECIPIENTS):
        recipient = _recipient(group.fields)
        if recipient is None:
            continue
        if "@" not in recipient.address and (mailbox := address(failed)) and "," not in failed:
            recipient = replace(recipient, address=mailbox)  # Exim names the file or the pipe that failed
        recipients.setdefault((recipient.address.lower(), recipient.action), recipient)
    return tuple(recipients.values())


def reporter(letter: Letter) -> str:
    """RFC 3464 2.2.2: the host that reports, or ""."""
    for part in letter.parts:
        if is_status(part):
            return _value(header_of(part.text[:4096]).get("reporting-mta"))[:255]
    return ""


def precise(status: str, diagnostic: str) -> str:
    """`status`, or the code in `diagnostic` where it says more; "" where neither has one."""
    if status and status[2:] not in _VAGUE:
        return status
    codes = [code for code in reply.read(diagnostic).enhanced if not status or code[0] == status[0]]
    return next((code for code in codes if code[2:] not in _VAGUE), status or (codes[0] if codes else ""))


def codes_of(diagnostic: str, status: str = "") -> tuple[str, int | None]:
    """The enhanced code and the reply code of a failure, as `diagnostic` or `status` give them."""
    code = reply.read(diagnostic).code
    return precise(status, diagnostic), int(code) if code[:1] in ("4", "5") else None


def address(value: str) -> str:
    """An address as a field gives it: without its type, brackets, comment and xtext; "" where there is none."""
    kind, separator, rest = value.partition(";")
    value = rest if separator and "@" not in kind else value
    # RFC 5321 4.1.2: a source route in front is of no use to anybody.
    value = _ROUTE.sub(r"\1", value)
    found = _ADDRESS.search(value.strip())
    text = (found[1] or found[2] or "") if found else ""
    if separator and kind.strip().lower() == "utf-8":
        text = _UTF8.sub(lambda code: chr(min(int(code[1], 16), 0x10FFFF)), text)
    return text.strip("'").removeprefix("mailto:")


def _groups(letter: Letter) -> Iterator[_Group]:
    """The groups of the report that name a recipient, what belongs to them brought together."""
    named: _Group | None = None
    for text in _texts(letter):
        loose = _Group()
        for group in _split(text):
            if group.named:
                if named is not None:
                    yield named
                group.fields = {**loose.fields, **group.fields}
                named, loose = group, _Group()
            elif named is not None:
                named.fields = {**group.fields, **named.fields}
            elif "action" in group.fields or "status" in group.fields:
                loose.fields.update(group.fields)  # they stand before the name they belong to
        if named is not None:
            yield named
            named = None


def _texts(letter: Letter) -> Iterator[str]:
    """Where fields are: in their own parts, or else flattened into the text, up to the copy of the original."""
    own = [part.text for part in letter.parts if is_status(part)]
    if any(map(_BARE.search, own)):
        yield from own
        return
    for part in letter.parts:
        text = part.text if part.type.startswith("text/") and not part.enclosed else ""
        if _BARE.search(text) and (first := _FIRST.search(text)):
            end = _COPY.search(text, first.end())
            yield text[first.start() : end.start() if end else None]


def _split(text: str) -> Iterator[_Group]:
    """The groups of `text`: RFC 3464 2.1 divides them by empty lines, others by nothing."""
    for block in _GROUPS.split(_folded(text.replace("\r", ""))):
        group = _Group()
        for name, value in _known(header_of(block, encoded_words=False)):
            if name in _ONCE and name in group.fields:
                yield group
                group = _Group()
            if value or name not in group.fields:
                group.fields.setdefault(name, value)
        if group.fields:
            yield group


def _folded(text: str) -> str:
    """RFC 5322 2.2.3: a blank begins a line that continues a field. Servers that copy a reply as it came forget it."""
    lines, diagnostic = [], False
    for row in text.split("\n"):
        if field_name := _FIELD.match(row):
            diagnostic = field_name[1].lower() == "diagnostic-code"
        elif not row.strip() or row.startswith("--"):
            diagnostic = False
        lines.append(f" {row}" if diagnostic and not field_name else row)
    return "\n".join(lines)


def _known(header: Header) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in header.fields if name in _KNOWN)


def _recipient(fields: dict[str, str]) -> Recipient | None:
    """RFC 3464 2.3: one recipient, its address "" where what is there is none; None where nothing is there."""
    written = [
        address(fields.get(name, "")) for name in ("final-recipient", "original-recipient", "x-actual-recipient")
    ]
    if not any(written):
        return None
    written[1] = _XTEXT.sub(lambda code: chr(int(code[1], 16)), written[1])
    names = list(dict.fromkeys(name for name in written if name and name[0] != "@")) or [""]
    names.sort(key=lambda name: "@" not in name)  # an address before a local name
    diagnostic = line(_value(fields.get("diagnostic-code", "")))
    status = found[1] if (found := _STATUS.match(fields.get("status", ""))) else ""
    said = diagnostic or line(fields.get("x-supplementary-info", ""))
    exact, code = codes_of(f"{said} {fields.get('status', '')}", status)
    return Recipient(
        address=names[0],
        action=_action(fields.get("action", ""), status),
        status=exact,
        diagnostic=said,
        also=tuple(names[1:]),
        code=code,
        mta=_value(fields.get("remote-mta", ""))[:255].split(" ")[0],
    )


def _action(written: str, status: str) -> Action:
    """RFC 3464 2.3.3. A word that is not of the five is read by the status: 4 waits, 2 went well."""
    word = written.strip().lower().split(" ")[0].strip(";(),.")
    actions: tuple[Action, ...] = get_args(Action)
    for action in actions:
        if word == action:
            return action
    if word.startswith("delay"):
        return "delayed"
    return "delivered" if status.startswith("2") else "failed"


def _value(written: str) -> str:
    """`dns; mx.example.com` without its type."""
    prefix = _PREFIX.match(written)
    return written[prefix.end() :].strip() if prefix else written.strip()
