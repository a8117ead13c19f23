"""What Content-Type, Content-Disposition and Content-Transfer-Encoding say.

Takes one value apart: its media type or word, and its parameters, quoted, with comments, and
in pieces or percent-encoded (RFC 2231). It decides nothing and looks at no content.

Rules:
 - What other programs could read in another way is not `sound`: a parameter given twice, a quote
   or a comment without its end, something that is no parameter, too many of them.
 - Time is linear, whatever is nested or left open: no step looks back.

Standards: RFC 2045 5.1 (grammar), RFC 2183 2 (disposition), RFC 2231 3 and 4 (pieces).
Never raises: of what cannot be read as much is said as was read, and that it is not sound.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_VALUE = 8192  # characters that are read; nothing that means well has more
MAX_PARAMETERS = 64

_TYPE = re.compile(r"([^\s()<>@,;:\\\"/\[\]?=]++)(?:[ \t]*+/[ \t]*+([^\s()<>@,;:\\\"/\[\]?=]++))?", re.ASCII)
_BLANKS = re.compile(r"[ \t\r\n]++")
_COMMENT = re.compile(r"[^()\\]++|\\.|[()\\]", re.DOTALL)
_NAME = re.compile(r"([^\s()<>@,;:\\\"/\[\]?=]++)[ \t\r\n]*+=[ \t\r\n]*+", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
# More than a token may hold: boundaries with "=" and "?" go unquoted more often than not.
_BARE = re.compile(r'[^\s;"(),]++', re.ASCII)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PIECE = re.compile(r"([^*]+)(?:\*(0|[1-9][0-9]?))?(\*)?")


@dataclass(frozen=True, slots=True)
class Media:
    """A value taken apart. `word`: "text/html", "attachment", "base64"; lower-case, empty if there is none."""

    word: str
    parameters: Mapping[str, str]  # names in lower case
    sound: bool  # can it be read in one way only?


def parse(octets: bytes) -> Media:
    """What an unfolded value of one of the three fields says; octets beyond ASCII come as Latin-1."""
    value = octets[:MAX_VALUE].decode("latin-1")
    position, opened = _skipped(value, 0)
    found = _TYPE.match(value, position)
    if found is None:
        return Media("", {}, False)
    word = (found[1] if found[2] is None else f"{found[1]}/{found[2]}").lower()
    position, closed = _skipped(value, found.end())
    parameters, read = _parameters(value, position)
    joined = _joined(parameters)
    sound = opened and closed and read and joined is not None and len(octets) <= MAX_VALUE
    return Media(word, joined or {}, sound)


def _skipped(value: str, position: int) -> tuple[int, bool]:
    """Where blanks and comments end; False if a comment has no end."""
    depth = 0
    while True:
        if depth == 0:
            if found := _BLANKS.match(value, position):
                position = found.end()
            if not value.startswith("(", position):
                return position, True
        found = _COMMENT.match(value, position)
        if found is None:
            return position, False  # open to the end of the value
        depth += (found[0] == "(") - (found[0] == ")")
        position = found.end()


def _parameters(value: str, position: int) -> tuple[dict[str, str], bool]:
    """All parameters from `position` on, as they are named; False from where on they cannot be read."""
    found: dict[str, str] = {}
    while position < len(value):
        if value[position] != ";":
            return found, False
        position, closed = _skipped(value, position + 1)
        if position == len(value) or value[position] == ";":
            continue  # nothing between two semicolons, or behind the last one
        named = _NAME.match(value, position)
        if named is None or not closed:
            return found, False
        name, position = named[1].lower(), named.end()
        if quoted := _QUOTED.match(value, position):
            said = _ESCAPED.sub(r"\1", quoted[1])
        elif quoted := _BARE.match(value, position):
            said = quoted[0]
        else:
            return found, False
        if name in found or len(found) == MAX_PARAMETERS:
            return found, False
        found[name] = said
        position, closed = _skipped(value, quoted.end())
        if not closed:
            return found, False
    return found, True


def _joined(parameters: dict[str, str]) -> dict[str, str] | None:
    """RFC 2231 3 and 4: pieces `name*0`, `name*1` … put together, `name*` decoded. None: they do not fit together."""
    if not any("*" in name for name in parameters):
        return parameters
    whole: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in parameters.items():
        found = _PIECE.fullmatch(name)
        if found is None:
            return None
        if "*" not in name:
            whole[name] = value
        else:
            numbered = pieces.setdefault(found[1], {})
            if (number := int(found[2] or 0)) in numbered:
                return None
            numbered[number] = (value, bool(found[3]))
    for name, numbered in pieces.items():
        if name in whole or set(numbered) != set(range(len(numbered))):
            return None
        whole[name] = _decoded([numbered[number] for number in range(len(numbered))])
    return whole


def _decoded(pieces: list[tuple[str, bool]]) -> str:
    """RFC 2231 4: `charset'language'text`, percent-encoded; only the first piece names the charset."""
    octets = b""
    for number, (value, encoded) in enumerate(pieces):
        text = (value.split("'", 2)[-1] if encoded and number == 0 else value).encode("latin-1")
        octets += unquote_to_bytes(text) if encoded else text
    return octets.decode("latin-1")
