"""Edits in HTML that is sent as it stands: no line of it grows beyond what SMTP carries.

Breaks lines only inside tags that are edited anyway, around the attribute that grew: there
a line end means what a blank means. A line that was too long before is not mended.
Standards: RFC 5321 4.5.3.1.6 (998 octets and CRLF).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the bytes from `start` to `end` by `new`."""

    start: int
    end: int
    new: bytes


@dataclass(frozen=True, slots=True)
class Value(Edit):
    """The new value of an attribute, which stands from `attribute` to `attribute_end`."""

    attribute: int
    attribute_end: int


@dataclass(frozen=True, slots=True)
class Tag(Edit):
    """Tags that are added; every blank in them stands between attributes."""


def fitted(html: bytes, edits: Sequence[Edit], longest: int) -> list[Edit | None]:
    """The same edits, with line ends where they are needed; None where one does not fit a line by itself."""
    fits: list[Edit | None] = []
    tails = _tails(html, edits)
    at = column = 0
    for edit, tail in zip(edits, tails, strict=True):
        column = _column(html, at, edit.start, column)
        fit: Edit | None = edit
        if column + len(edit.new) + tail > longest:
            fit = _broken(html, edit, at, column, tail, longest)
        fits.append(fit)
        if fit is None:
            column += edit.end - edit.start
        else:
            column = _column(fit.new, 0, len(fit.new), column)
        at = edit.end if fit is None else fit.end
    return fits


def _tails(html: bytes, edits: Sequence[Edit]) -> list[int]:
    """How much of each edit's line is left after it, up to the next place where it can be broken."""
    tails = []
    place = len(html)
    for edit in reversed(edits):
        line_end = html.find(b"\n", edit.end, place)
        tails.append((place if line_end < 0 else line_end) - edit.end)
        if isinstance(edit, Value | Tag):
            place = edit.start
    return tails[::-1]


def _column(text: bytes, start: int, end: int, column: int) -> int:
    """How long the last line is when `text[start:end]` follows on a line of `column` octets."""
    line_end = text.rfind(b"\n", start, end)
    return column + end - start if line_end < 0 else end - line_end - 1


def _broken(html: bytes, edit: Edit, at: int, column: int, tail: int, longest: int) -> Edit | None:
    """`edit` with line ends around what is new; `at` is where the one before ends."""
    if isinstance(edit, Tag):
        new = edit.new.replace(b" ", b"\r\n").replace(b'">', b'"\r\n>')
        lines = new.split(b"\r\n")
        fits = column + len(lines[0]) <= longest and len(lines[-1]) + tail <= longest
        return Edit(edit.start, edit.end, new) if fits and max(map(len, lines)) <= longest else None
    if not isinstance(edit, Value):
        return edit
    new = html[edit.attribute : edit.start] + edit.new + html[edit.end : edit.attribute_end]
    if len(new) > longest:
        return None
    before = edit.attribute - 1
    start = before if before >= at and html[before] in b" \t" else edit.attribute
    after = b"\r\n" if len(new) + tail > longest else b""
    return Edit(start, edit.attribute_end, b"\r\n" + new + after)
