"""Reads the header of a message from its bytes: the few fields that accepting needs. Pure.

Changes nothing: what must go (Bcc) is reported as spans. Content is normalised already, so
every line ends in CRLF. Each octet is looked at a fixed number of times, and no more than
the limit: a header of 256 KiB of brackets, quotes or blanks costs what any other costs.
A line that is no field ends the header, as in Postfix; the rest is body.
Standards: RFC 5322 2.2 (fields), 3.4 (addresses, old forms included), 3.6.3 (Bcc),
RFC 2047 (encoded words), RFC 6532 (UTF-8).
Fails with `HeaderTooBig`; everything else in a header is somebody's business, not ours.
"""

import base64
import binascii
import quopri
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from relay import controls

MAX_SUBJECT = 500  # characters kept of a subject
MAX_TAG = 100
MAX_PAIRS = 32  # X-Mailtrail-Metadata fields
MAX_KEY = 64
MAX_VALUE = 500
MAX_DECODED = 4000  # octets of a field that are decoded
MAX_WORD = 1000  # octets of an address in a header

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\r]*+(?:\r\n[ \t][^\r]*+)*+)(?:\r\n|\Z)")
_Found = re.Match[bytes]
_LINE_END = b"\r\n"


class HeaderTooBig(Exception):
    """It is longer than allowed."""


@dataclass(slots=True)
class Head:
    """What a header says. Field values are as they stand, folds included; of repeated fields the first counts."""

    end: int = 0  # where the header's last line ends
    separated: bool = False  # does an empty line follow?
    hops: int = 0  # Received fields
    dated: bool = False
    message_id: str = ""
    subject: bytes = b""
    senders: list[bytes] = field(default_factory=list)  # From fields
    to: list[bytes] = field(default_factory=list)
    cc: list[bytes] = field(default_factory=list)
    tag: bytes = b""
    metadata: list[bytes] = field(default_factory=list)
    controls: list[tuple[bytes, bytes]] = field(default_factory=list)  # what asks about tracking: relay/controls.py
    foreign_tag: bytes = b""  # as another service's fields say it
    dropped: list[tuple[int, int]] = field(default_factory=list)  # spans that must not be kept


def read(content: bytes, limit: int) -> Head:
    """The head of `content`. A header of more than `limit` octets raises `HeaderTooBig`."""
    head = Head()
    position = 0
    match = _FIELD.match
    while (found := match(content, position)) and found.end() <= limit:
        keep = _FIELDS.get(found[1].lower())
        if keep:
            keep(head, found)
        position = found.end()
    if found:
        raise HeaderTooBig
    head.end = position
    head.separated = content.startswith(_LINE_END, position) or (position == len(content) > 0)
    return head


def _received(head: Head, _: _Found) -> None:
    head.hops += 1


def _date(head: Head, found: _Found) -> None:
    head.dated = head.dated or bool(found[2].strip())


def _message_id(head: Head, found: _Found) -> None:
    # An empty Message-ID is none: it goes, and ours comes.
    value = _unfolded(found[2])
    if value:
        head.message_id = head.message_id or value
    else:
        _drop(head, found)


def _subject(head: Head, found: _Found) -> None:
    head.subject = head.subject or found[2]


def _tag(head: Head, found: _Found) -> None:
    head.tag = head.tag or found[2]


def _from(head: Head, found: _Found) -> None:
    head.senders.append(found[2])


def _to(head: Head, found: _Found) -> None:
    head.to.append(found[2])


def _cc(head: Head, found: _Found) -> None:
    head.cc.append(found[2])


def _metadata(head: Head, found: _Found) -> None:
    head.metadata.append(found[2])


def _control(head: Head, found: _Found) -> None:
    head.controls.append((found[1].lower(), found[2]))


def _foreign_tag(head: Head, found: _Found) -> None:
    head.foreign_tag = head.foreign_tag or found[2]


def _drop(head: Head, found: _Found) -> None:
    head.dropped.append(found.span())


_FIELDS: dict[bytes, Callable[[Head, _Found], None]] = {
    b"received": _received,
    b"date": _date,
    b"message-id": _message_id,
    b"subject": _subject,
    b"from": _from,
    b"to": _to,
    b"cc": _cc,
    # RFC 5322 3.6.3: who stands in Bcc is nobody else's business.
    b"bcc": _drop,
    b"resent-bcc": _drop,
    b"x-mailtrail-tag": _tag,
    b"x-mailtrail-metadata": _metadata,
    b"x-pm-tag": _foreign_tag,
    b"x-mailgun-tag": _foreign_tag,
    **dict.fromkeys(controls.READERS, _control),
}


# --- values --------------------------------------------------------------------------------------------------


def _unfolded(value: bytes) -> str:
    """RFC 5322 2.2.3: folds undone; bytes that are no UTF-8 stay recognisable."""
    return value.replace(_LINE_END, b"").strip(b" \t").decode("utf-8", "surrogateescape")


def text(value: bytes, limit: int) -> str:
    """An unstructured value as people read it: encoded words decoded, on one line, at most `limit` characters."""
    unfolded = value[:MAX_DECODED].replace(_LINE_END, b"").strip(b" \t").decode("utf-8", "replace")
    if "=?" in unfolded:
        unfolded = _decoded(unfolded)
    if not unfolded.isprintable():
        unfolded = _UNPRINTABLE.sub(" ", unfolded)
    return unfolded[:limit]


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ENCODED = re.compile(r"=\?([!-)+->@-~]{1,40})(?:\*[!-)+->@-~]*)?\?([BbQq])\?([!->@-~]*)\?=")
_BETWEEN = re.compile(r"(\?=)[ \t]+(?==\?)")


def _decoded(value: str) -> str:
    """RFC 2047 6.2: white space between two encoded words goes; a word that cannot be decoded is shown as it stands."""
    return _ENCODED.sub(_decode_word, _BETWEEN.sub(r"\1", value))


def _decode_word(found: re.Match[str]) -> str:
    charset, encoding, payload = found[1], found[2], found[3]
    try:
        if encoding in "Bb":
            octets = base64.b64decode(payload + "=" * (-len(payload) % 4))
        else:
            octets = quopri.decodestring(payload.encode("ascii"), header=True)
        return octets.decode(charset, "replace")
    except (LookupError, ValueError, binascii.Error):
        return found[0]


def metadata(values: list[bytes]) -> dict[str, str]:
    """`key=value` of each X-Mailtrail-Metadata field; one without a key says nothing."""
    pairs: dict[str, str] = {}
    for value in values[:MAX_PAIRS]:
        key, equals, said = text(value, MAX_KEY + 1 + MAX_VALUE).partition("=")
        if equals and (key := key.strip()[:MAX_KEY]):
            pairs[key] = said.strip()[:MAX_VALUE]
    return pairs


_TOKEN = re.compile(
    rb"""(?P<text>[^\s"(),:;<>]++) | (?P<blank>\s++) | (?P<quoted>"(?:[^"\\]++|\\.)*+"?)
    | <(?P<angle>(?:[^"<>]++|"(?:[^"\\]++|\\.)*+"?)*+)>? | (?P<mark>[(),:;>])""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(rb"[^()\\]++|\\.|[()]|\\", re.DOTALL)


def addresses(value: bytes) -> Iterator[str]:
    """The addr-specs in a list of mailboxes and groups (RFC 5322 3.4), without comments and source routes."""
    word = b""  # an address without brackets, as far as it has come
    gap = False
    position = 0
    while found := _TOKEN.match(value, position):
        position = found.end()
        kind = found.lastgroup
        if kind == "text" or kind == "quoted":
            part = found[0]
            # RFC 5322 4.4: blanks may stand around "@" and "."; anywhere else they begin a new word.
            if gap and word and word[-1:] not in b"@." and part[:1] not in b"@.":
                word = b""
            word = (word + part)[:MAX_WORD]
            gap = False
        elif kind == "blank":
            gap = True
        elif kind == "angle":
            yield from _address(found["angle"])
            word = b""  # what stood before it was a name
        elif found[0] == b"(":
            position = _after_comment(value, position)
            gap = True
        else:
            if found[0] != b":":  # that would be the name of a group
                yield from _address(word)
            word = b""
    yield from _address(word)


def _address(spec: bytes) -> Iterator[str]:
    spec = b"".join(spec.split()) if b'"' not in spec else spec.replace(_LINE_END, b"").strip()
    if spec.startswith(b"@"):
        spec = spec.partition(b":")[2]
    if b"@" in spec:
        yield spec.decode("utf-8", "surrogateescape")


def _after_comment(value: bytes, position: int) -> int:
    """Where the comment that opened before `position` is over; comments nest, and we only count."""
    depth = 1
    while depth and (found := _COMMENT.match(value, position)):
        depth += (found[0] == b"(") - (found[0] == b")")
        position = found.end()
    return position
