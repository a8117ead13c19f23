"""A statement with names as PostgreSQL takes it: $1, $2, …, and its arguments in that order.

Our statements have named parameters in both dialects (`:queue_id`); asyncpg knows numbers only. Names
within strings, quoted names, comments and casts stay as they are. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""(?P<other>'(?:[^']|'')*' | "[^"]*" | --[^\n]* | ::) | :(?P<name>[a-z_]\w*) (?P<json>::jsonb)?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u0000|.)", re.DOTALL)


class Prepared(NamedTuple):
    """A statement as the server takes it: $1, $2, …, and the names these stand for."""

    text: str
    names: tuple[str, ...]
    json: frozenset[str]  # of these, the ones that are JSON

    def arguments(self, params: Mapping[str, Any]) -> list[Any]:
        """The values in order. PostgreSQL keeps no NUL in text: it becomes U+FFFD, as in every other decoder."""
        return [_without_nul(params[name], name in self.json) for name in self.names]


def prepared(text: str) -> Prepared:
    """Named parameters as numbers, wherever they are not part of a string, a comment or a cast."""
    names: dict[str, int] = {}
    json: set[str] = set()

    def number(found: re.Match[str]) -> str:
        name = found["name"]
        if name is None:
            return found[0]
        if found["json"]:
            json.add(name)
        return f"${names.setdefault(name, len(names) + 1)}{found['json'] or ''}"

    return Prepared(_TOKEN.sub(number, text), tuple(names), frozenset(json))


def _without_nul(value: Any, json: bool) -> Any:
    if not isinstance(value, str):
        return value
    if json:
        return _ESCAPE.sub(lambda m: "\ufffd" if m[1] == "u0000" else m[0], value) if "\\u0000" in value else value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
