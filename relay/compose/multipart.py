"""Writing a multipart message of our own: fields, parts, boundary.

For messages that we make. Messages of others are never taken apart and written again.

Rules: lines end in CRLF and have 998 octets at most; a value can neither end its field
nor add one; a boundary is in no part. Standards: RFC 5322 2.1.1, 2.2.3; RFC 2045; RFC 2046 5.1.1.
Pure, and never raises.
"""

import binascii
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from relay.reply import printable

_LONGEST_LINE = 998  # RFC 5322 2.1.1: octets, without CRLF
_WIDTH = 78


@dataclass(frozen=True, slots=True)
class Part:
    """One part: media type with parameters, its name in mail programs, and its body, already in `encoding`."""

    type: str
    description: str
    encoding: str  # 7bit, 8bit, quoted-printable, base64
    body: bytes


def lines_fit(body: bytes) -> bool:
    """Is no line longer than a message may have?"""
    return all(len(line) <= _LONGEST_LINE for line in body.split(b"\r\n"))


def text_part(media_type: str, description: str, body: bytes, *, eight_bit: bool) -> Part:
    """A part that may be encoded: as it is where the way allows it, else quoted-printable."""
    fits = lines_fit(body)
    if fits and body.isascii():
        return Part(media_type, description, "7bit", body)
    if fits and eight_bit:
        return Part(media_type, description, "8bit", body)
    return Part(media_type, description, "quoted-printable", binascii.b2a_qp(body, istext=True))


def boundary_for(seed: str, parts: Sequence[Part]) -> str:
    """RFC 2046 5.1.1: a boundary that is in no part, made from `seed` (`=_` is in no encoded text)."""
    number = 0
    while any(f"=_{seed}_{number}".encode() in part.body for part in parts):
        number += 1
    return f"=_{seed}_{number}"


def multipart(boundary: str, parts: Sequence[Part]) -> bytes:
    """The body of a multipart message, from the empty line behind its header on."""
    chunks = [b"\r\n"]
    for part in parts:
        chunks.append(
            f"--{boundary}\r\nContent-Type: {part.type}\r\nContent-Description: {part.description}\r\n"
            f"Content-Transfer-Encoding: {part.encoding}\r\n\r\n".encode()
        )
        chunks += [part.body, b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode())
    return b"".join(chunks)


def field(name: str, value: str) -> str:
    """One field, folded at its blanks; a word that no line can hold is cut."""
    lines = textwrap.wrap(
        printable(value),
        _WIDTH,
        initial_indent=f"{name}: ",
        subsequent_indent=" ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(_cut(line) + "\r\n" for line in lines or [f"{name}:"])


def _cut(line: str) -> str:
    return line.encode("utf-8", "replace")[:_LONGEST_LINE].decode("utf-8", "ignore")
