"""A text-only message gets an HTML twin, so that it can be seen to be opened.

The text becomes the first part of a multipart/alternative, byte for byte and with its own
Content-* fields; the twin is the second. It is done to a message that is one text, or to the
first text of a multipart/mixed or multipart/related.

Never done where the text is more than text: where something is enclosed in it (PGP, uuencode),
beside an invitation (calendars are particular about their neighbours), beside signed parts, or where
the text cannot be read for certain. `give_twin` then says why.
Standards: RFC 2046 5.1.4 (alternative), RFC 2045 4 (MIME-Version) and 6.4, RFC 3676 (flowed).
Pure, and never raises.
"""

import binascii
import re

from relay.compose.draft import Draft
from relay.compose.parts import Part, Walked
from relay.compose.transfer import applied, decoded
from tracker import charset as charsets
from tracker.rewrite import Policy, rewrite
from tracker.twin import twin

MAX_TEXT = 512 * 1024  # octets; nobody reads more than that
PGP = b"-----BEGIN PGP"
_UUENCODED = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} \S", re.MULTILINE)
_PLAIN_POLICY = Policy()


def give_twin(draft: Draft, walked: Walked, pixel: str, seed: str) -> str:
    """Give the message of `draft` a twin with this pixel; the reason if it can have none, else "".

    `seed` (the queue id) is what the boundary is made from.
    """
    part = next((part for part in walked.parts if _may_have_one(part)), None)
    if part is None or draft.end == len(draft.content):
        return "it has no HTML part, and no text that could have one"
    if walked.calendar:
        return "it holds an invitation"
    if walked.sealed:
        return "a part of it is signed or encrypted"
    html, charset, doubt = _twin(draft.content[part.body : part.end], part, pixel)
    if doubt:
        return doubt
    if part.depth:
        _wrap_part(draft, part, html, seed)
    else:
        _wrap_message(draft, part, html, charset, seed)
    return ""


def _may_have_one(part: Part) -> bool:
    if part.media.word != "text/plain":
        return False
    # RFC 2387 3.2: a start parameter names the root by its Content-ID, which the root must keep.
    return part.depth == 0 or (
        part.depth == 1
        and part.around.word in ("multipart/mixed", "multipart/related")
        and "start" not in part.around.parameters
    )


def _twin(raw: bytes, part: Part, pixel: str) -> tuple[bytes, str, str]:
    """The twin, the charset of the text, and why there can be none."""
    octets = decoded(part.encoding, raw)
    if octets is None:
        return b"", "", "its text has an encoding with errors"
    if len(octets) > MAX_TEXT:
        return b"", "", f"its text is larger than {MAX_TEXT // 1024} KiB"
    if PGP in octets:
        return b"", "", "its text is signed or encrypted"
    if _UUENCODED.search(octets):
        return b"", "", "its text encloses a file"
    said = _text(octets, part.media.parameters.get("charset", ""))
    if said is None:
        return b"", "", "its text is not in the charset it names, or in one that is not read"
    flowed = part.media.parameters.get("format", "").lower() == "flowed"
    delsp = part.media.parameters.get("delsp", "").lower() == "yes"
    html = twin(said, flowed=flowed, delsp=delsp).encode()
    rewritten = rewrite(html, "utf-8", link=None, pixel=pixel, policy=_PLAIN_POLICY)
    if not rewritten.pixel:
        return b"", "", rewritten.doubt or "its HTML twin would be too large"
    return applied(html, rewritten.edits), "us-ascii" if octets.isascii() else "utf-8", ""


def _text(octets: bytes, charset: str) -> str | None:
    """`octets` in a charset by name ("": none was given), or None if that is not certain."""
    # Old programs send UTF-8 and do not say so. What is well-formed UTF-8 beyond ASCII is hardly ever something else.
    codec = charsets.codec(charset) if charset or octets.isascii() else "utf-8"
    if codec is None:
        return None
    try:
        return octets.decode(codec)
    except UnicodeDecodeError:
        return None


def _wrap_part(draft: Draft, part: Part, html: bytes, seed: str) -> None:
    """One part of a multipart becomes the alternative; the text's header stays with the text."""
    text = draft.content[part.start : part.end]
    boundary = _boundary(seed, draft.content)
    head = _type_field(boundary) + _encoding_field(part, draft.content)
    draft.replace(part.start, part.end, head + b"\r\n" + _alternative(boundary, text, html))


def _wrap_message(draft: Draft, part: Part, html: bytes, charset: str, seed: str) -> None:
    """The whole body becomes the alternative; the Content-* fields of the header go to the text."""
    own = [field for field in draft.fields if field.name.startswith("content-")]
    typed = next((field for field in own if field.name == "content-type"), None)
    text_head = b"".join(draft.content[field.start : field.end] for field in own)
    if typed is None:
        # What was a message of before MIME says now what it was read as.
        text_head = f"Content-Type: text/plain; charset={charset}\r\n".encode() + text_head
        if charset != "us-ascii" and not draft.named("content-transfer-encoding"):
            text_head += b"Content-Transfer-Encoding: 8bit\r\n"
    boundary = _boundary(seed, draft.content)
    head = _type_field(boundary) + _encoding_field(part, draft.content)
    if not draft.named("mime-version"):
        head = b"MIME-Version: 1.0\r\n" + head
        draft.touched.add("mime-version")
    draft.drop(lambda name: name.startswith("content-"))
    draft.add(head, "content-type", "content-transfer-encoding", at=typed.start if typed else None)
    text = text_head + b"\r\n" + draft.content[part.body :]
    draft.replace(part.body, len(draft.content), _alternative(boundary, text, html))


def _type_field(boundary: bytes) -> bytes:
    return b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n'


def _encoding_field(part: Part, content: bytes) -> bytes:
    # RFC 2045 6.4: what encloses 8-bit text is 8bit itself.
    if part.encoding == "binary":
        return b"Content-Transfer-Encoding: binary\r\n"
    if part.encoding == "8bit" or not content[part.start : part.end].isascii():
        return b"Content-Transfer-Encoding: 8bit\r\n"
    return b""


def _alternative(boundary: bytes, text: bytes, html: bytes) -> bytes:
    """Both parts with their delimiters; RFC 2046 5.1.4: the best one last."""
    encoding, body = _encoded(html)
    return b"".join(
        (
            b"--" + boundary + b"\r\n",
            text,
            b"\r\n--" + boundary + b"\r\nContent-Type: text/html; charset=utf-8\r\n",
            b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n",
            body,
            b"\r\n--" + boundary + b"--\r\n",
        )
    )


def _encoded(html: bytes) -> tuple[bytes, bytes]:
    """Quoted-printable for what is mostly ASCII, base64 where that is shorter."""
    quoted = binascii.b2a_qp(html, istext=True)
    if 3 * len(quoted) < 4 * len(html):
        return b"quoted-printable", quoted
    line = 57  # octets in 76 characters, RFC 2045 6.8
    lines = (binascii.b2a_base64(html[at : at + line], newline=False) for at in range(0, len(html), line))
    return b"base64", b"\r\n".join(lines)


def _boundary(seed: str, content: bytes) -> bytes:
    """RFC 2046 5.1.1: one that is nowhere in the message; `=_` is in no encoded text, the twin's included."""
    number = 0
    while (boundary := f"=_{seed}_{number}".encode()) in content:
        number += 1
    return boundary
