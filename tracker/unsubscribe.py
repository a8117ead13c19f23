"""Header fields by which mail programs unsubscribe: List-Unsubscribe and List-Unsubscribe-Post.

Writes ours, and reads which addresses an application's own field names, so that its links can
be left alone. It decides neither whether a message gets them nor what a token says.

Rules: two fields, in lines of RFC 5322; the web address comes first (RFC 2369 2: in order of preference).
What they hold can neither end a field nor a bracket.
Standards: RFC 2369 2 and 3.2, RFC 8058 3.1: both fields must be covered by a DKIM signature, and one-click works
only over https; with plain http (a sandbox) mail programs pass it over.
"""

import re

MAX_URLS = 20  # of one field that are read
_URL = re.compile(r"<([^<>]*+)>")
_BLANKS = re.compile(r"\s+")
# RFC 2369 2: what would end the address, or the list's next one.
_UNSAFE = str.maketrans({character: f"%{ord(character):02X}" for character in [*map(chr, range(33)), *'<>,"', "\x7f"]})


def headers(url: str, mailto: str | None) -> bytes:
    """The two fields, CRLF included: `url` takes the POST, `mailto` is an address that takes a mail, if any does."""
    ways = [url] if mailto is None else [url, f"mailto:{mailto}"]
    listed = ",\r\n ".join(f"<{way.translate(_UNSAFE)}>" for way in ways)
    return f"List-Unsubscribe: {listed}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode()


def urls(value: str) -> list[str]:
    """The addresses that a List-Unsubscribe field names, whatever their scheme; never raises."""
    # RFC 2369 2: blanks inside the brackets come from folding, and mean nothing.
    return [_BLANKS.sub("", found[1]) for found, _ in zip(_URL.finditer(value), range(MAX_URLS), strict=False)]
