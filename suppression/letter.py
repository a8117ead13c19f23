"""A message read for judgement: its header, its parts in order, what people read of it, and the mail it encloses.

`read(octets)` takes whatever came: line ends CRLF, LF or CR; an mbox "From " line in front; boundaries that are
missing or wrong; no empty line after the header; cut off anywhere. An enclosed message (RFC 3462's third part,
a forwarded one) is a part that is not entered: its words are somebody else's, and are never taken for the report's.
What all this says about a delivery is not known here; see `report.py`.

Rules. Never raises. Linear, and bounded: no more than `LOOKED_AT` octets, `MOST_PARTS` parts and `DEEPEST` levels
are looked at; what lies beyond is as if it had been cut off.
Standards: RFC 5322 2.2 (fields), RFC 2045 5.1 (content type), RFC 2046 5.1 (multipart), RFC 6522 (report).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from suppression.decoding import decoded, transferred, without_encoded_words, words_of_html

LOOKED_AT = 1024 * 1024  # octets of a message
LONGEST_HEADER = 128 * 1024  # octets
LONGEST_FIELD = 16 * 1024  # octets of one field
LONGEST_TEXT = 128 * 1024  # characters of what people read
MOST_PARTS = 200
DEEPEST = 20

# Possessive (`++`), so that every octet is read once.
_FIELD = re.compile(rb"([!-9;-~]{1,200}+)[ \t]*+:([^\n]*+(?:\n[ \t]++[^\s][^\n]*+)*+)(?:\n|\Z)")
_LINE = re.compile(rb"[^\n]*+(?:\n|\Z)")
_PARAMETER = re.compile(r";\s*+([^\s=;\"]{1,80}+)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)\"?|([^;\"]*+))", re.DOTALL)
_SOME_BOUNDARY = re.compile(rb"^--([^\n]{1,200}?)[ \t]*\n(?=Content-[A-Za-z-]{1,40}:)", re.MULTILINE | re.IGNORECASE)
_MAIL_FIELDS = {"received", "return-path", "from", "to", "subject", "date", "message-id", "mime-version"}
_ENCLOSED = re.compile(r"(?:message/(?:rfc822\S*|global(?:-headers)?|partial|news)|text/rfc822\S*)\Z")


@dataclass(frozen=True, slots=True)
class Header:
    """Header fields, in order; names in lower case, values unfolded and decoded."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first field of this (lower-case) name, or ""."""
        return next((value for known, value in self.fields if known == name), "")

    def all(self, name: str) -> list[str]:
        """All fields of this (lower-case) name."""
        return [value for known, value in self.fields if known == name]

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.fields)


@dataclass(frozen=True)
class Part:
    """A part that has no parts itself. RFC 2045 5."""

    type: str  # lower-case: "text/plain"
    parameters: MappingProxyType[str, str]  # of Content-Type, names in lower case
    header: Header
    octets: bytes  # without the transfer encoding

    @property
    def enclosed(self) -> bool:
        """Does it carry a message, or the header of one?"""
        return _ENCLOSED.match(self.type) is not None

    @cached_property
    def text(self) -> str:
        """Its text, line ends LF, of HTML the words; "" for what is no text (pictures, archives)."""
        if not self.type.startswith(("text/", "message/")):
            return ""
        text = decoded(self.octets, self.parameters.get("charset", ""))
        return words_of_html(text) if self.type == "text/html" else text

    @cached_property
    def enclosed_header(self) -> Header:
        """The header of the message that it carries."""
        return _header(_tidied(self.octets))[0]


@dataclass(frozen=True)
class Letter:
    """A message, as far as it could be read."""

    header: Header
    type: str  # of the whole: "multipart/report"
    parameters: MappingProxyType[str, str]
    parts: tuple[Part, ...]  # those without parts, in order, enclosed messages as well

    @cached_property
    def text(self) -> str:
        """What people read of it, enclosed messages left out: the plain parts, or where there are none the HTML."""
        plain = [part.text for part in self.parts if part.type == "text/plain"]
        shown = plain if any(map(str.strip, plain)) else [part.text for part in self.parts if part.type == "text/html"]
        return "\n".join(shown)[:LONGEST_TEXT]

    @cached_property
    def enclosed(self) -> tuple[Part, ...]:
        """The messages, or their headers, that it carries."""
        return tuple(part for part in self.parts if part.enclosed)

    @cached_property
    def original(self) -> Header:
        """The header of the first enclosed message; no fields where there is none."""
        return next((part.enclosed_header for part in self.enclosed), Header())


def read(octets: bytes) -> Letter:
    """Read a message. Never raises; bytes that are no message are a text without a header."""
    header, body = _header(_tidied(octets))
    kind, parameters = _content_type(header, "text/plain")
    parts: list[Part] = []
    preambles: list[Part] = []
    for part in _parts(header, kind, parameters, body, DEEPEST, preambles):
        parts.append(part)
        if len(parts) == MOST_PARTS:
            break
    if not any(part.type.startswith("text/") and part.text.strip() for part in parts):
        parts[:0] = preambles  # its words stand where old readers saw them, and nowhere else
    return Letter(header, kind, parameters, tuple(parts))


def header_of(text: str, *, encoded_words: bool = True) -> Header:
    """The fields that `text` begins with: a quoted header, or a group of a delivery report (without encoded words)."""
    octets = text[:LONGEST_HEADER].lstrip("\n").encode("utf-8", "replace")
    return _header(octets, encoded_words=encoded_words)[0]


def _tidied(octets: bytes) -> bytes:
    """No more than is looked at, every line end LF, nothing in front of the header."""
    seen = octets[:LOOKED_AT].replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return seen.removeprefix(b"\xef\xbb\xbf").lstrip(b"\n")


def _header(octets: bytes, *, encoded_words: bool = True) -> tuple[Header, bytes]:
    """The fields at the beginning, and what follows them."""
    fields, position, end = [], 0, min(len(octets), LONGEST_HEADER)
    while position < end:
        if found := _FIELD.match(octets, position):
            fields.append((found[1].decode("ascii").lower(), _value(found[2], encoded_words=encoded_words)))
            position = found.end()
            continue
        line_end = _LINE.match(octets, position).end()  # type: ignore[union-attr]  # it matches everywhere
        line = octets[position:line_end]
        if line.startswith((b"From ", b">From ")) or (line[:1] in b" \t" and _FIELD.match(octets, line_end)):
            position = line_end  # what mbox files put into headers; a fold with nothing in it
            continue
        # RFC 5322 2.1: an empty line ends the header; where it is missing, the first line that is no field does.
        position = position if line.strip() else line_end
        break
    return Header(tuple(fields)), octets[position:]


def _value(raw: bytes, *, encoded_words: bool) -> str:
    """RFC 5322 2.2.3: what a field says, unfolded."""
    text = decoded(raw[:LONGEST_FIELD]).strip().replace("\n", " ")
    return without_encoded_words(text) if encoded_words else text


def _content_type(header: Header, default: str) -> tuple[str, MappingProxyType[str, str]]:
    """RFC 2045 5.1: type and parameters; what is missing or no type at all is `default`."""
    value = header.get("content-type")
    kind = value.split(";", 1)[0].strip().lower()
    parameters = {found[1].lower(): (found[2] or found[3] or "").strip() for found in _PARAMETER.finditer(value)}
    if kind.count("/") != 1:
        kind = {"text": "text/plain", "html": "text/html", "multipart": "multipart/mixed"}.get(kind, default)
    return kind, MappingProxyType(parameters)


def _parts(
    header: Header,
    kind: str,
    parameters: MappingProxyType[str, str],
    body: bytes,
    depth: int,
    preambles: list[Part],
) -> Iterator[Part]:
    """The parts of an entity that have no parts themselves."""
    boundary = _boundary(kind, parameters, body) if depth else b""
    if not boundary:
        octets = transferred(body, header.get("content-transfer-encoding"))
        kind = "text/plain" if kind.startswith("multipart/") else kind
        yield Part(kind, parameters, header, octets)
        return
    preamble, *sections = _sections(body, boundary)
    preambles.append(Part("text/plain", MappingProxyType({}), Header(), preamble))
    for number, section in enumerate(sections):
        part_header, part_body = _header(section)
        if not any(name.startswith(("content-", "mime-", "x-")) for name, _ in part_header.fields):
            part_header, part_body = (
                Header(),
                section.removeprefix(b"\n"),
            )  # RFC 2046 5.1: a part may have no header at all
        part_kind, part_parameters = _content_type(part_header, "text/plain")
        if number and part_kind == "text/plain" and _begins_a_message(part_body):
            part_kind = "message/rfc822"
        yield from _parts(part_header, part_kind, part_parameters, part_body, depth - 1, preambles)


def _boundary(kind: str, parameters: MappingProxyType[str, str], body: bytes) -> bytes:
    """What divides `body`: what is announced, or else what looks like it; b"" where nothing does."""
    if not kind.startswith("multipart/"):
        # A header lost on the way: the body begins with a boundary.
        found = _SOME_BOUNDARY.match(body.lstrip(b"\n")) if kind == "text/plain" else None
        return found[1] if found else b""
    announced = parameters.get("boundary", "").encode("utf-8", "replace")
    if announced and (body.startswith(b"--" + announced) or b"\n--" + announced in body):
        return announced
    found = _SOME_BOUNDARY.search(body)
    return found[1] if found else b""


def _sections(body: bytes, boundary: bytes) -> list[bytes]:
    """RFC 2046 5.1.1: what lies between the boundaries, the preamble first; the epilogue is left out."""
    divider = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\n|\Z)", re.MULTILINE)
    sections, start = [], 0
    for found in divider.finditer(body):
        sections.append(body[start : found.start()].removesuffix(b"\n"))
        start = found.end()
        if found[1] or len(sections) > MOST_PARTS:
            return sections
    return [*sections, body[start:]]


def _begins_a_message(body: bytes) -> bool:
    """Is this the header of a message, sent as if it were text?"""
    if not _FIELD.match(body):
        return False
    names = {name for name, _ in _header(body[:8192])[0].fields}
    return len(names & _MAIL_FIELDS) >= 3
