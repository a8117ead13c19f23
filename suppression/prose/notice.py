"""A bounce in prose, prepared for reading: its own words line by line, without the message that it returns.

Not the judgement what a letter is, and no recipient is found here: that is for the families beside this file.

Rules. A notice's words end where the copy of the original begins, and that is announced in a hundred ways: a line that
says so, or a header that stands there without an announcement. What stands in the copy is never read as the report, but
its header tells who it went to, where a notice names nobody. Lines, and their number, are bounded.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suppression.letter import Letter, header_of
from suppression.prose.addresses import found

MOST_LINES = 1500
LONGEST_LINE = 2000  # characters

# Announcements of a copy, each a whole line, without what frames it (`--- … ---`, `|-- … --|`) and in small letters.
_OLD = r"(?:original|returned|unsent|undelivered|undeliverable|bounced|rejected|failed|old|offending|received)\ "
_WHAT = rf"(?:(?:the|your|my|an?)\ )?(?:{_OLD})?"
_MESSAGE = r"(?:message|e-?mail|mail)s?"
_PIECE = r"(?:headers?|text|body|details|info|information)"
_ANNOUNCED = re.compile(
    rf"""(?: # the first 20 lines of your original message follow, message headers follow, message body suppressed
        (?:the\ )?(?:(?:first\ \w+\ lines?|beginning|start|{_PIECE}|copy)(?:\ and\ .{{1,30}})?\ of\ )?{_WHAT}
        (?:{_MESSAGE}(?:\ {_PIECE})?|headers?)(?:\ \w+){{0,2}}\ (?:is\ |are\ )?(?:now\ )?
        (?:(?:follows?|(?<=is\ )following|suppressed|begins\ (?:as|here|below))\b|below$|attached\b.{{0,12}}$)
      | # here is a copy of, below this line is a copy of, this is a copy of, included is a copy of
        (?:here|below|included|enclosed|attached|this|following)(?:\ (?:this|the\ next)\ line)?\ (?:is|are)\ .{{0,40}}
        \b(?:copy|headers?|original\ message|first\ part)\b
    )""",
    re.VERBOSE,
)
# What announces only in a frame or before a colon, because it is also what prose is made of.
_TITLE = re.compile(
    rf"""(?: (?:{_OLD}|your\ ){_MESSAGE}(?:\ {_PIECE}){{0,2}}
        | (?:start|begin|beginning|copy|headers?|text|body)\ of\ .{{3,60}}
        | (?:message|original|mail)\ (?:headers?|text|body)
        | (?:forwarded|unsent)\ {_MESSAGE}\b.*
    )$""",
    re.VERBOSE,
)
_FRAME = " \t>-=_*+|~#"
# A header that begins without a word: a field that only mail has, or a run of fields that every mail has.
_TRACE = re.compile(
    r"^(?:Received: +(?:from|by|\(|with)|Return-Path: *<|X-Originating-IP:|DKIM-Signature:)", re.IGNORECASE
)
_FIELD = re.compile(r"^([A-Za-z][A-Za-z0-9-]{1,40}):(?: |\t|$)")
_OF_MAIL = {"date", "from", "to", "subject", "message-id", "mime-version", "content-type", "sender", "reply-to", "cc"}
_SURE = {"message-id", "mime-version", "content-type", "received", "return-path"}


@dataclass(frozen=True, slots=True)
class Notice:
    """What a family reads. Nothing in it is longer than the caps above."""

    sender: str  # From as displayed
    subject: str
    fields: tuple[tuple[str, str], ...]  # the letter's own header fields in order, names in lower case
    lines: tuple[str, ...]  # its own words
    sent_to: tuple[str, ...] = ()  # addresses of To in the header of the copy, where there is one

    @property
    def text(self) -> str:
        """All its own words."""
        return "\n".join(self.lines)

    def field(self, name: str) -> str:
        """The first field of that name (lower case), or ""."""
        return next((value for key, value in self.fields if key == name), "")


def prepared(letter: Letter) -> Notice:
    """A letter prepared for reading."""
    lines, copy = divided(letter.text)
    original = letter.original
    if not original.fields:
        start = next((number for number, line in enumerate(copy[:40]) if _FIELD.match(line)), len(copy))
        original = header_of("\n".join(copy[start : start + 200]))
    header = letter.header
    return Notice(header.get("from"), header.get("subject"), header.fields, lines, tuple(found(original.get("to"))))


def divided(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A text as the lines before the copy, and those of the copy."""
    lines = [line[:LONGEST_LINE].rstrip() for line in text.split("\n", MOST_LINES)[:MOST_LINES]]
    end = _end(lines)
    return tuple(lines[:end]), tuple(lines[end:])


def _end(lines: Sequence[str]) -> int:
    """Where the notice's own words end: at the announcement of a copy, or at its first header line."""
    said = False  # something must have been said before a copy can follow
    for number, line in enumerate(lines):
        if said and len(line) < 160 and _announces(line):
            return number
        if said and (_TRACE.match(line) or (_FIELD.match(line) and _header(lines[number : number + 12]))):
            return number
        said = said or bool(line.strip())
    return len(lines)


def _announces(line: str) -> bool:
    """Does this line say that a copy of the original follows?"""
    words = " ".join(line.strip(_FRAME + ".:[]()").lower().split())
    if _ANNOUNCED.match(words):
        return True
    titled = line.rstrip(" .").endswith(":") or line.lstrip(" >|")[:2] in ("--", "==", "__", "**", "++", "##", "~~")
    return titled and _TITLE.match(words) is not None


def _header(lines: Iterable[str]) -> bool:
    """Does a header of mail begin here? Three fields of mail in a row, one of them a field that only machines write."""
    names = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            continue
        field = _FIELD.match(line)
        if not field:
            break
        names.append(field[1].lower())
    return sum(name in _OF_MAIL or name in _SURE for name in names) >= 3 and not _SURE.isdisjoint(names)
