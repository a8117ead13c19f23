"""Values as the configuration file writes them: how each kind is read, and how it is shown.

`read` takes what TOML gave and returns the value, or raises `ValueError` whose text says what is wrong
and what to write; `show` returns TOML that reads as the same value. Nothing here knows keys,
files or sections (`relay/config_file.py` does), and nothing touches the system. Hosts and networks
are in `relay/config_addresses.py`.

Durations are "250ms", "30s", "15m", "4h", "5d", "2w", put together ("1h30m") or a number of seconds.
Sizes are "512KiB", "25MiB", "1GiB" (powers of 1024), "10MB" (powers of 1000) or a number of octets.
"""

import importlib.util
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_SIZE_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_LONGEST = 100 * 365 * 86400.0  # seconds; a clock plus a hundred years is still a date
_LARGEST = 2**40  # octets


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of value is read from TOML (or raises ValueError) and shown as TOML."""

    read: Callable[[Any], Any]
    show: Callable[[Any], str]


# Reading


def text(value: object) -> str:
    """A string that says something."""
    if not isinstance(value, str):
        raise ValueError(f"is {_named(value)}, and should be text in quotes")
    if not value.strip():
        raise ValueError("is empty")
    return value


def boolean(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"is {_named(value)}, and should be true or false, without quotes")
    return value


def duration(value: object) -> float:
    """Seconds, 0 or more, to the millisecond."""
    if isinstance(value, str):
        pieces = list(_DURATION.finditer(value.strip()))
        if not pieces or "".join(piece[0] for piece in pieces) != value.strip():
            raise ValueError(f'"{value}" is no duration. Write it like "30s", "15m", "4h", "5d" or "1h30m"')
        seconds = sum(float(piece[1]) * _DURATION_UNITS[piece[2]] for piece in pieces)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= _LONGEST else math.inf
    else:
        raise ValueError(f'is {_named(value)}, and should be a duration like "30s", "4h" or "5d"')
    if math.isnan(seconds) or not 0 <= seconds <= _LONGEST:
        raise ValueError(f"{value} is no duration. It goes from 0 to 100 years")
    return round(seconds, 3)


def some_time(value: object) -> float:
    """A duration above 0."""
    seconds = duration(value)
    if seconds == 0:
        raise ValueError("is 0, and must be a millisecond or more")
    return seconds


def retry_table(value: object) -> tuple[float, ...]:
    """The waits between attempts: at least one, and none shorter than the one before."""
    waits = tuple(some_time(item) for item in list_of(value, '["1m", "5m", "30m", "2h"]'))
    if not waits:
        raise ValueError('is empty: a delivery that is refused for now would never be tried again. Write ["1m", "1h"]')
    for before, after in itertools.pairwise(waits):
        if after < before:
            raise ValueError(
                f'has "{show_duration(after)}" after "{show_duration(before)}". Put the shorter wait first'
            )
    return waits


def size(value: object) -> int:
    """Octets, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f'is {_named(value)}, and should be a size like "25MiB" or "512KiB"')
    octets = value if isinstance(value, int) else _octets(value)
    if not 1 <= octets <= _LARGEST:
        raise ValueError(f'"{value}" is no size that can be used: it goes from 1 octet to 1024GiB')
    return octets


def _octets(written: str) -> int:
    found = _SIZE.fullmatch(written.strip())
    if found is None:
        raise ValueError(f'"{written}" is no size. Write it like "25MiB" or "512KiB"')
    if found[2] not in _SIZE_UNITS:
        raise ValueError(f'"{written}" has an unknown unit. Write {", ".join(list(_SIZE_UNITS)[1:])}')
    return int(min(float(found[1]) * _SIZE_UNITS[found[2]], _LARGEST + 1))


def count(least: int, most: int) -> Kind:
    """A whole number between two others, both included."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"is {_named(value)}, and should be a whole number")
        if not least <= value <= most:
            raise ValueError(f"is {value}, and should be between {least} and {most}")
        return value

    return Kind(read, str)


def choice(*words: str) -> Kind:
    """One of these words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"is {_named(value)}, and should be one of " + ", ".join(f'"{word}"' for word in words))
        return str(value)

    return Kind(read, quoted)


def path(value: object) -> Path:
    """A file or directory; relative ones are seen from the configuration file."""
    written = text(value)
    if "\0" in written:
        raise ValueError("has a NUL in it")
    if written.startswith("~"):
        raise ValueError(f'"{written}" leaves open whose home it is. Write the whole path')
    return Path(written)


def syslog_name(value: object) -> str:
    """One word, as log readers expect it."""
    name = text(value)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise ValueError(f'"{name}" is no name for log lines: letters, digits, dots, hyphens and underscores')
    return name


def database_url(value: object) -> str:
    """sqlite:///FILE, or postgresql://…"""
    url = text(value)
    scheme, found, rest = url.partition(":///")
    if re.match(r"postgres(ql)?://", url):
        # The URL is not repeated: it may hold a password.
        if importlib.util.find_spec("asyncpg") is None:
            raise ValueError(
                "names a PostgreSQL server, and what speaks to one is an extra: pip install 'mailtrail[postgres]'"
            )
        return url
    if scheme != "sqlite" or not found or not rest or re.search(r"[?#\0]", rest):
        raise ValueError(
            'is no database we know. Write "sqlite:///mailtrail.db" (beside data_dir), "sqlite:////path/to/file" or '
            '"postgresql://user:password@host/database"'
        )
    return url


def sentences(value: object) -> dict[str, str]:
    """Names and what is said of each: a table of texts."""
    table = table_of(value, '{ weekly = "Weekly offers" }')
    said = {}
    for name, words in table.items():
        try:
            said[text(name)] = text(words)
        except ValueError as error:
            raise ValueError(f'has "{name}", which {error}') from None
    return said


def table_of(value: object, example: str) -> dict[str, Any]:
    """A table, whatever is in it; `example` is shown where there is none."""
    if not isinstance(value, dict):
        raise ValueError(f"is {_named(value)}, and should be a table: {example}")
    return value


def list_of(value: object, example: str) -> list[Any]:
    """A list, whatever is in it; `example` is shown where there is none."""
    if not isinstance(value, list):
        raise ValueError(f"is {_named(value)}, and should be a list: {example}")
    return value


def _named(value: object) -> str:
    """The value in a sentence."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else str(value)


# Showing


def quoted(value: object) -> str:
    """A TOML string."""
    # JSON's escapes are all TOML's too, but for DEL, which JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def listed(items: tuple[Any, ...], show: Callable[[Any], str] = quoted) -> str:
    """A TOML list on one line."""
    return "[" + ", ".join(show(item) for item in items) + "]"


def tabled(items: Mapping[str, str]) -> str:
    """A TOML inline table of texts."""
    return (
        "{ " + ", ".join(f"{quoted(name)} = {quoted(said)}" for name, said in items.items()) + " }" if items else "{}"
    )


def show_duration(seconds: float) -> str:
    """Seconds in the largest unit that gives a whole number: "5d", "90s", "1500ms"."""
    milliseconds = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        number, rest = divmod(milliseconds, round(_DURATION_UNITS[unit] * 1000))
        if number and not rest:
            return f"{number}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def show_size(octets: int) -> str:
    """Octets in the largest unit that gives a whole number: "25MiB", "10MB", "1001B"."""
    by_size = sorted(_SIZE_UNITS.items(), key=lambda item: -item[1])
    return next(f"{octets // factor}{unit}" for unit, factor in by_size if octets % factor == 0)


TEXT = Kind(text, quoted)
BOOLEAN = Kind(boolean, lambda value: str(value).lower())
DURATION = Kind(duration, lambda value: quoted(show_duration(value)))
SOME_TIME = Kind(some_time, lambda value: quoted(show_duration(value)))
RETRY_TABLE = Kind(retry_table, lambda value: listed(value, lambda item: quoted(show_duration(item))))
SIZE = Kind(size, lambda value: quoted(show_size(value)))
PATH = Kind(path, quoted)
SENTENCES = Kind(sentences, tabled)
SYSLOG_NAME = Kind(syslog_name, quoted)
DATABASE_URL = Kind(database_url, quoted)
