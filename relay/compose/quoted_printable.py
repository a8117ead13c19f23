"""Quoted-printable as others write it: decoded, and changed in places without writing the rest again.

An edit is spliced into the encoded text where its octets stand. Everything outside the edits stays
byte for byte: hexadecimal in small letters, blanks behind a soft line break, "=" that encodes nothing, lines
that are too long.

Rules:
 - What is written in has no line above 76 characters, soft breaks included, ends no line in a
   blank, and begins none with a hyphen, which may look like a boundary.
 - What is written in never becomes part of what stands before or behind it, and joins no two pieces
   of an escape: decoding the splice gives the decoded text with the edits made.
 - "=" before something else than two digits and a line end means itself, as in most mail programs.

Standards: RFC 2045 6.7. Pure, linear, and never raises.
"""

import binascii
import re
from collections.abc import Iterator, Sequence

from tracker.rewrite import Edit

LONGEST = 76  # RFC 2045 6.7 (5): characters in a line, the "=" of a soft break included
_SOFT = b"=\r\n"

# RFC 2045 6.7 (3): blanks at the end of a line were added on the way, behind a soft break's "=" too.
_TOKEN = re.compile(rb"=(?:([0-9A-Fa-f]{2})|[ \t]*+(?:\r?\n|\Z))")
_ODD = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r\n|\Z)")
_UNSAFE = re.compile(rb"[^ \t!-<>-~]")
_LINE_ENDS = (b" ", b"\t", b"\r\n")


def decode(raw: bytes) -> bytes:
    """The octets that `raw` stands for."""
    if not _ODD.search(raw):
        return binascii.a2b_qp(raw)
    return _TOKEN.sub(lambda token: binascii.unhexlify(token[1] or b""), raw)


def splice(raw: bytes, edits: Sequence[Edit]) -> bytes:
    """`raw` with the edits (sorted, disjoint, in offsets of the decoded octets) written in."""
    spans = [*_spans(raw, edits), (len(raw), len(raw))]
    writer = _Writer(raw)
    for edit, (start, end), (again, _) in zip(edits, spans, spans[1:], strict=False):
        writer.keep_to(start)
        writer.write(edit.new, end, again, last=edit is edits[-1])
    writer.keep_to(len(raw))
    return b"".join(writer.out)


def _spans(raw: bytes, edits: Sequence[Edit]) -> Iterator[tuple[int, int]]:
    """Where in `raw` the octets of each edit stand: from the first one's to behind the last one's."""
    tokens = _TOKEN.finditer(raw)
    token = next(tokens, None)
    behind = decoded = 0  # raw[:behind] stands for so many octets
    for edit in edits:
        # Soft breaks before the first octet stay outside; before an insertion they come behind it.
        while token is not None:
            at = decoded + token.start() - behind
            if at > edit.start or (at == edit.start and (token[1] is not None or edit.start == edit.end)):
                break
            behind, decoded = token.end(), at + (token[1] is not None)
            token = next(tokens, None)
        start = behind + edit.start - decoded
        while token is not None:
            at = decoded + token.start() - behind
            if at >= edit.end:
                break
            behind, decoded = token.end(), at + (token[1] is not None)
            token = next(tokens, None)
        yield start, max(start, behind + edit.end - decoded)


class _Writer:
    """The result so far, in pieces, and the column it has come to."""

    def __init__(self, raw: bytes) -> None:
        self.out: list[bytes] = []
        self._raw = raw
        self._kept = 0  # where the last piece of `raw` to be kept began
        self._position = 0  # all of `raw` before this is dealt with
        self._column = 0

    def keep_to(self, end: int) -> None:
        """Take over `raw` up to `end` as it is."""
        line = self._raw.rfind(b"\r\n", self._position, end)
        self._column = end - line - 2 if line >= 0 else self._column + end - self._position
        self.out.append(self._raw[self._position : end])
        self._kept, self._position = self._position, end

    def write(self, new: bytes, end: int, again: int, *, last: bool) -> None:
        """Write `new` in place of `raw` up to `end`; `raw[end:again]` will be kept behind it, `last` of all or not."""
        # 1. Nothing may grow together: an "=" before it with its first characters, a blank with a line end behind it.
        # 2. Lines of 76.
        # 3. A soft break behind it, if the rest of the line finds no room.
        raw, start = self._raw, self._position
        dangling = b"=" in raw[max(self._kept, start - 2) : start]
        at_line_end = end == len(raw) or raw.startswith(_LINE_ENDS, end)
        if new:
            quoted = _UNSAFE.sub(_escape, new).replace(b"--", b"-=2D")
            if at_line_end and new.endswith((b" ", b"\t")):
                quoted = quoted[:-1] + b"=%02X" % new[-1]
            if (dangling or quoted.startswith(b"-")) and not quoted.startswith(b"="):
                quoted = b"=%02X" % quoted[0] + quoted[1:]
            self._wrap(quoted)
        elif dangling or (at_line_end and raw.endswith((b" ", b"\t"), self._kept, start)):
            self._break()
        line_end = raw.find(b"\r\n", end, again)
        rest = (line_end if line_end >= 0 else again) - end
        room = LONGEST if line_end >= 0 or last else LONGEST - 1
        if rest and self._column + rest > room and not raw.startswith(b"--", end):
            self._break()
        self._position = end

    def _wrap(self, quoted: bytes) -> None:
        """Write `quoted` in lines; no line breaks within an escape, or begins with a hyphen."""
        position = 0
        while self._column + len(quoted) - position > LONGEST - 1:
            cut = max(position, position + LONGEST - 1 - self._column)
            if cut > position and quoted.startswith(b"-", cut):
                cut -= 1
            if (escape := quoted.rfind(b"=", max(position, cut - 2), cut)) >= 0:
                cut = escape
            if cut > position:
                self.out.append(quoted[position:cut])
            self._break()
            position = cut
        self.out.append(quoted[position:])
        self._column += len(quoted) - position

    def _break(self) -> None:
        taken = self._last_kept() if self._column == LONGEST else b""
        if taken:
            self.out[-1] = self.out[-1][: -len(taken)]
        self.out += (_SOFT, taken)
        self._column = len(taken)

    def _last_kept(self) -> bytes:
        """What of a full line goes along behind the soft break, for which it has no room: its last character.

        Nothing if that was not kept but written, or the line has nothing else.
        """
        kept = self.out[-1]
        length = 3 if _TOKEN.fullmatch(kept, max(0, len(kept) - 3)) else 1
        while length < len(kept) and kept.startswith(b"-", len(kept) - length):
            length += 1
        return kept[-length:] if length < len(kept) else b""


def _escape(octet: re.Match[bytes]) -> bytes:
    return b"=%02X" % octet[0][0]
