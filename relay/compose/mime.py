"""Header fields of a message, found by their bytes.

Where the header ends, which fields it has and where each one lies, so that others can cut
some out and leave the rest byte for byte. Nothing is decoded, re-folded or written back.
Parts and their encodings are not looked at.

Rules:
 - Lines end in CRLF; acceptance has seen to that.
 - The header ends at the first empty line. A line in it that is no field is passed over.
 - Time is linear in the header, and no more than `MAX_HEADER` octets are ever looked at.

Standards: RFC 5322 2.2 (fields), 2.2.3 (folding), 4.5.3 (a blank before the colon).
Never raises: bytes that are no message have no fields.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# What acceptance lets through (`submission.max_header_size` is 256 KiB at most), and what it adds in front.
MAX_HEADER = 256 * 1024 + 4096  # octets

# Possessive (`++`), so that a line that is no field is read once and not backed out of.
# RFC 5322 2.2: a name is printable US-ASCII without the colon.
# RFC 5322 2.2.3: a line that begins with a blank continues the field.
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)", re.MULTILINE)


class Field(NamedTuple):
    """One header field; `content[start:end]` is all of it, its line end included."""

    name: str  # lower-case
    start: int
    end: int
    raw: bytes  # all after the colon as it is written, folds and final CR included

    @property
    def value(self) -> bytes:
        """What it says: unfolded (RFC 5322 2.2.3), without the blanks around it."""
        return self.raw.replace(b"\r\n", b"").strip(b" \t\r\n")


def header_end(content: bytes) -> int:
    """The offset behind the last header field: that of the empty line, or of the end where there is none.

    In a header above `MAX_HEADER` it is the end of the last whole field before that.
    """
    if content.startswith(b"\r\n"):
        return 0
    empty_line = content.find(b"\r\n\r\n", 0, MAX_HEADER)
    if empty_line >= 0:
        return empty_line + 2
    if len(content) <= MAX_HEADER:
        return len(content)
    line_end = content.rfind(b"\r\n", 0, MAX_HEADER)
    while line_end >= 0 and content[line_end + 2 : line_end + 3] in (b" ", b"\t"):
        line_end = content.rfind(b"\r\n", 0, line_end)
    return line_end + 2 if line_end >= 0 else 0


def fields(content: bytes) -> Iterator[Field]:
    """The header's fields in order."""
    return fields_between(content, 0, header_end(content))


def fields_between(content: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of a header that lies at `content[start:end]`, for parts."""
    for found in _FIELD.finditer(content, start, end):
        yield Field(found[1].lower().decode("ascii"), found.start(), found.end(), found[2])
