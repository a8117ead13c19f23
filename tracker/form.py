"""Reads the body of a POST: what a form, or a mail program, sent.

Does not read from a socket: whoever calls has bounded the body. Rules: of a name that comes
twice the values are kept in their order; files are fields like others; what is not UTF-8 is
read with replacement characters, because no field of ours has any other text.
Standards: application/x-www-form-urlencoded (WHATWG URL 5), multipart/form-data (RFC 7578).
Fails: never; a body that cannot be understood has no fields.
"""

import re
from urllib.parse import parse_qsl

MOST = 200  # fields; a page of ours has one for each stream, and some

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)


def fields(content_type: str, body: bytes) -> dict[str, list[str]]:
    """Names and values; a content type that is missing or unknown is read as the ordinary one."""
    kind = content_type.partition(";")[0].strip().lower()
    pairs = _multipart(content_type, body) if kind == "multipart/form-data" else _urlencoded(body)
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST)
    except ValueError:  # more fields than any page of ours has
        return []


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    boundary = _BOUNDARY.search(content_type)
    if not boundary:
        return []
    # RFC 2046 5.1.1: the line end before a boundary belongs to it; what stands before the first is nothing to us.
    delimiter = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    pairs = []
    for part in (b"\r\n" + body).split(delimiter, MOST + 1)[1 : MOST + 1]:
        head, blank, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if blank and name:
            pairs.append(((name[1] or name[2] or b"").decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    return pairs
