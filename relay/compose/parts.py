"""Walks a message's MIME parts by their bytes, and names the texts that may be changed.

It finds where each HTML or plain text lies and how it is written; it decodes nothing and
changes nothing.

Never entered: what is signed or encrypted (its seal would break), attachments and whatever has a
file name, enclosed messages, reports, and every type but text/html and text/plain (text/x-amp-html
has its own rules of what is valid).

Rules:
 - On doubt a part is left: a boundary missing or without its end, a header that is none, a field given
   twice, a type that can be read in two ways. `doubts` says why, in words for people.
 - Depth, number of parts and length of headers are capped; above a cap no part is named at all (`closed`).
 - An outer boundary ends all inner parts. A line is a delimiter only if it is nothing but one, so that
   "--x" does not end in "--xy".
 - Time is linear: each level looks at an octet once, and there are at most `MAX_DEPTH` levels.

Standards: RFC 2045, RFC 2046 5.1.1 (boundaries), RFC 1847 (signed, encrypted), RFC 2183 (attachments).
Never raises.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.compose.media import Media, parse
from relay.compose.mime import MAX_HEADER, Field, fields_between

MAX_DEPTH = 20
MAX_PARTS = 200
ENCODINGS = frozenset({"7bit", "8bit", "binary", "quoted-printable", "base64"})

_SEALED = frozenset(
    {
        "multipart/signed",
        "multipart/encrypted",
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "application/pgp-encrypted",
        "application/pgp-signature",
        "application/pgp",
    }
)
# RFC 2046 5.1.7: a multipart that nobody knows is read as mixed; these are known to hold no text of this message.
_UNENTERED = frozenset(
    {
        "multipart/report",
        "multipart/digest",
        "multipart/appledouble",
        "multipart/byteranges",
        "multipart/form-data",
        "multipart/x-mixed-replace",
    }
)
_TEXTS = frozenset({"text/html", "text/plain"})
_MIME = frozenset({"content-type", "content-transfer-encoding", "content-disposition"})
_PLAIN = Media("text/plain", {}, True)  # RFC 2045 5.2: what a part without Content-Type is
_ALONE = Media("", {}, True)
_REST = re.compile(rb"(--)?[ \t]*+(?:\r\n|\Z)")


class Part(NamedTuple):
    """A text that may be changed: its header is at `content[start:body]`, its body at `content[body:end]`."""

    media: Media
    encoding: str  # one of ENCODINGS
    start: int
    body: int
    end: int
    depth: int  # 0: it is the whole message
    around: Media  # the multipart it lies in


@dataclass(slots=True)
class Walked:
    """What was found. `closed` says why no part may be entered at all, "" if some may."""

    parts: list[Part] = field(default_factory=list)
    closed: str = ""
    doubts: list[str] = field(default_factory=list)
    calendar: bool = False  # an invitation is somewhere in it
    sealed: bool = False  # something signed or encrypted is somewhere in it


class _AboveCap(Exception):
    """Too much of something; the text says of what."""


def walk(content: bytes, header: Iterable[Field], end: int) -> Walked:
    """The parts of a message whose header has these fields and ends at `end` (before the empty line)."""
    walked = Walked()
    if end < len(content) and not content.startswith(b"\r\n", end):
        walked.closed = "its header is too long"
        return walked
    try:
        _Walk(content, walked).enter(_head(header), 0, min(end + 2, len(content)), len(content), 0, _ALONE)
    except _AboveCap as cap:
        walked.parts.clear()
        walked.closed = str(cap)
    return walked


@dataclass(slots=True)
class _Head:
    media: Media = _PLAIN
    encoding: str = "7bit"
    attached: bool = False
    doubt: str = ""


def _head(header: Iterable[Field]) -> _Head:
    """What the fields of a message or part say of its body."""
    head = _Head()
    seen = set()
    for one in header:
        if one.name not in _MIME:
            continue
        if one.name in seen:
            head.doubt = f"a part has two fields {one.name}"
        seen.add(one.name)
        said = parse(one.value)
        if one.name == "content-type":
            head.media = said
            head.attached |= "name" in said.parameters
        elif one.name == "content-transfer-encoding":
            head.encoding = said.word if said.sound else ""
        else:
            # RFC 2183 2.8: a disposition that nobody knows is an attachment.
            head.attached |= said.word != "inline" or "filename" in said.parameters or not said.sound
    return head


class _Walk:
    def __init__(self, content: bytes, walked: Walked) -> None:
        self._content = content
        self._walked = walked
        self._count = 0

    def enter(self, head: _Head, start: int, body: int, end: int, depth: int, around: Media) -> None:
        """Look at one part, and at those within it."""
        self._count += 1
        if self._count > MAX_PARTS:
            raise _AboveCap(f"it has more than {MAX_PARTS} parts")
        if depth > MAX_DEPTH:
            raise _AboveCap(f"its parts are nested deeper than {MAX_DEPTH}")
        kind, walked = head.media.word, self._walked
        walked.calendar |= kind in ("text/calendar", "application/ics")
        if kind in _SEALED:
            walked.sealed = True
        if kind in _SEALED or kind in _UNENTERED:
            if depth == 0:
                walked.closed = "it is signed or encrypted" if kind in _SEALED else f"it is {kind}"
        elif not head.attached:
            if doubt := head.doubt or _doubt(head):
                walked.doubts.append(doubt)
            elif kind in _TEXTS:
                walked.parts.append(Part(head.media, head.encoding, start, body, end, depth, around))
            elif kind.startswith("multipart/"):
                self._enter_multipart(head.media, body, end, depth)

    def _enter_multipart(self, media: Media, body: int, end: int, depth: int) -> None:
        pieces = self._pieces(media.parameters.get("boundary", ""), body, end)
        if pieces is None:
            self._walked.doubts.append("the parts of a multipart cannot be told apart")
            return
        for start, stop in pieces:
            head, inner = self._part(start, stop)
            self.enter(head, start, inner, stop, depth + 1, media)

    def _pieces(self, boundary: str, body: int, end: int) -> list[tuple[int, int]] | None:
        """Where the parts of a multipart lie, headers included; None without a proper beginning and end."""
        marker = b"--" + boundary.rstrip().encode("latin-1")
        if marker == b"--":
            return None
        pieces: list[tuple[int, int]] = []
        start = -1
        for at, after, last in self._delimiters(marker, body, end):
            if start >= 0:
                # RFC 2046 5.1.1: the line end before a delimiter belongs to the delimiter.
                pieces.append((start, max(start, at - 2)))
                if len(pieces) > MAX_PARTS:
                    raise _AboveCap(f"it has more than {MAX_PARTS} parts")
            if last:
                return pieces or None
            start = after
        return None

    def _delimiters(self, marker: bytes, body: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Each delimiter line: where it begins, where the next line does, and whether it is a closing one."""
        content = self._content
        at = content.find(marker, body, end)
        while at >= 0:
            after = at + len(marker)
            if at == body or content.startswith(b"\r\n", at - 2):
                found = _REST.match(content, after, end)
                if found:
                    yield at, found.end(), found[1] is not None
            at = content.find(marker, after, end)

    def _part(self, start: int, end: int) -> tuple[_Head, int]:
        """The head of the part at `start`, and where its body begins."""
        content = self._content
        if content.startswith(b"\r\n", start, end):
            return _Head(), start + 2
        empty_line = content.find(b"\r\n\r\n", start, min(end, start + MAX_HEADER))
        if empty_line < 0 and end - start > MAX_HEADER:
            raise _AboveCap("the header of a part is too long")
        header_end = empty_line + 2 if empty_line >= 0 else end
        found = list(fields_between(content, start, header_end))
        head = _head(found)
        if sum(one.end - one.start for one in found) != header_end - start:
            head.doubt = "a part has lines in its header that are no fields"
        return head, min(header_end + 2, end)


def _doubt(head: _Head) -> str:
    """Why a text or multipart with this head is left alone, "" if there is no reason."""
    kind = head.media.word
    if "/" not in kind:
        return "a part has a Content-Type that cannot be read"
    if kind in _TEXTS or kind.startswith("multipart/"):
        if not head.media.sound:
            return "a part has a Content-Type that can be read in two ways"
        # RFC 2045 6.4: a multipart is never encoded itself.
        if head.encoding not in (ENCODINGS if kind in _TEXTS else ("7bit", "8bit", "binary")):
            return "a part has an encoding that is not known"
    return ""
