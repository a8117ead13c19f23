"""The one form of a message that a signature is about: `relaxed` canonicalisation of DKIM.

What mail servers do to a message on its way (folding again, blanks at line ends, empty lines at
its end) does not change it; anything else does.

Rules: lines end in CRLF, without any other CR or LF; acceptance has seen to that. A blank is a
space or a tab and nothing else. Linear in the text, whatever is in it.
Standards: RFC 6376 3.4.2 (header fields), 3.4.4 (body). Pure, and never raises.
"""

import re

_BLANKS = re.compile(rb"  ++")
_TABS = bytes.maketrans(b"\t", b" ")


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4: the body, from behind the empty line on."""
    text = _single_blanks(body).replace(b" \r\n", b"\r\n")
    # No empty lines at the end; a body that is not empty ends in CRLF. The last line may lack its own.
    text = text.rstrip(b"\r\n").removesuffix(b" ").rstrip(b"\r\n")
    return text + b"\r\n" if text else b""


def relaxed_field(name: str, raw: bytes) -> bytes:
    """RFC 6376 3.4.2: a field with its CRLF. `raw` is all after the colon as written, folds and final CR included."""
    return name.lower().encode("ascii") + b":" + _single_blanks(raw.replace(b"\r\n", b"")).strip(b" \r") + b"\r\n"


def _single_blanks(text: bytes) -> bytes:
    """One space for every run of blanks."""
    return _BLANKS.sub(b" ", text.translate(_TABS))
