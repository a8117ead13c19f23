"""Content-Transfer-Encodings: a body decoded, and edits of what it says written into it as it stands.

Bodies are never encoded again as a whole. 7bit, 8bit and binary: the octets are exchanged.
Quoted-printable: see quoted_printable.py. Base64: the groups from the first change on are written again, in
lines as long as before; what comes before it stays byte for byte.

Rules: `decoded(splice(raw, edits))` is `decoded(raw)` with the edits made. Base64 that is not one clean
run (other characters, text behind its padding) is not read: programs differ in what they make of it.
Standards: RFC 2045 6. Pure and linear. Fails with None.
"""

import binascii
import re
from collections.abc import Sequence

from relay.compose import quoted_printable
from tracker.rewrite import Edit

LONGEST_LINE = 998  # RFC 5322 2.1.1: octets, without CRLF
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*+(?:=\s*+){0,2}+")
_BLANKS = b" \t\r\n\v\f"
_EACH_BLANK = [_BLANKS[at : at + 1] for at in range(len(_BLANKS))]
_LINE = 76  # RFC 2045 6.8


def decoded(encoding: str, raw: bytes) -> bytes | None:
    """What a body in this encoding (lower-case) says, or None if it cannot be read in one way only."""
    if encoding == "quoted-printable":
        return quoted_printable.decode(raw)
    if encoding != "base64":
        return raw
    if not _BASE64.fullmatch(raw):
        return None
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        return None


def splice(encoding: str, raw: bytes, edits: Sequence[Edit]) -> bytes:
    """`raw` with the edits (sorted, disjoint, in offsets of the decoded octets) made in it."""
    if not edits:
        return raw
    if encoding == "quoted-printable":
        return quoted_printable.splice(raw, edits)
    if encoding == "base64":
        return _base64(raw, edits)
    return applied(raw, edits)


def applied(octets: bytes, edits: Sequence[Edit]) -> bytes:
    """`octets` with the edits made."""
    out: list[bytes] = []
    position = 0
    for edit in edits:
        out += (octets[position : edit.start], edit.new)
        position = edit.end
    out.append(octets[position:])
    return b"".join(out)


def _base64(raw: bytes, edits: Sequence[Edit]) -> bytes:
    # 1. All groups before the first edit's stay; 2. from there on what is said is encoded again,
    # 3. first to the end of the line that has begun, then in lines like the first one;
    # 4. and whatever blanks ended the body end it again.
    group = edits[0].start // 3
    octets = binascii.a2b_base64(raw)
    said = applied(octets, edits)[group * 3 :]
    start, column = _place(raw, group * 4)
    fresh = binascii.b2a_base64(said, newline=False)
    length = _line_length(raw)
    cut = max(0, length - column)
    lines = [fresh[:cut], *(fresh[at : at + length] for at in range(cut, len(fresh), length))]
    tail = raw[len(raw.rstrip(_BLANKS)) :]
    return raw[:start] + b"\r\n".join(lines) + tail


def _place(raw: bytes, count: int) -> tuple[int, int]:
    """Where the character of base64 number `count` (from 0) stands, or would stand, and in which column."""
    end = len(raw.rstrip(_BLANKS))
    position = 0
    while True:
        line_end = raw.find(b"\r\n", position, end)
        line = raw[position : line_end if line_end >= 0 else end]
        characters = len(line) - sum(map(line.count, _EACH_BLANK))
        if count < characters or line_end < 0:
            break
        count -= characters
        position = line_end + 2
    column = count
    if characters != len(line):
        column = 0
        while count:
            count -= line[column] not in _BLANKS
            column += 1
        column += len(line) - column - len(line[column:].lstrip(_BLANKS))
    return position + column, column


def _line_length(raw: bytes) -> int:
    """How long the lines are, in a body of several; as RFC 2045 6.8 has them where that cannot be told."""
    line_end = raw.find(b"\r\n")
    if line_end < 4 or line_end > LONGEST_LINE or not raw[line_end:].strip(_BLANKS):
        return _LINE
    return line_end
