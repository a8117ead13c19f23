"""How values are worded for people: lengths of time, moments, sizes, counts, statuses.

Pure. Machines get numbers and RFC 3339 (`rfc3339`); only terminals get these.
"""

from datetime import UTC, datetime, tzinfo

SYMBOLS = {
    "creating": "◔",
    "spooled": "◑",
    "deferred": "↻",
    "held": "⏸",
    "sent": "✓",
    "hard_bounce": "✗",
    "soft_bounce": "⚠",
    "rejected": "⊘",
    "cancelled": "—",
    "ok": "✓",
    "failed": "✗",
}
ASCII_SYMBOLS = {
    "creating": "[..]",
    "spooled": "[..]",
    "deferred": "[..]",
    "held": "[||]",
    "sent": "[ok]",
    "hard_bounce": "[!!]",
    "soft_bounce": "[!]",
    "rejected": "[xx]",
    "cancelled": "[--]",
    "ok": "[ok]",
    "failed": "[!!]",
}
COLORS = {  # SGR parameters; never the only sign of anything
    "sent": "32",
    "deferred": "33",
    "held": "35",
    "hard_bounce": "31",
    "soft_bounce": "33",
    "rejected": "31",
    "cancelled": "90",
    "ok": "32",
    "failed": "31",
    "head": "1",
    "faint": "90",
}
MEANINGS = {
    "creating": "Accepted and safe on disk; this recipient's copy is not made yet.",
    "spooled": "The copy is made and waits for a connection.",
    "deferred": "Refused for now; it will be tried again at the time shown.",
    "held": "Stopped by a person or a rule; goes nowhere until it is released.",
    "sent": "The recipient's server answered 2xx after the message. Not proof of the inbox.",
    "hard_bounce": "Permanent, and the address or its domain is dead.",
    "soft_bounce": "Given up, but no proof that the address is dead: expired, full, blocked, policy.",
    "rejected": "Never tried: the address is on our suppression list.",
    "cancelled": "Taken out of the queue by an operator.",
}


def rfc3339(at: float | None) -> str | None:
    """A moment for machines, in UTC."""
    return None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def moment(at: float, zone: tzinfo) -> str:
    """A moment for people: `2026-11-21 09:14:02 CET`."""
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S %Z}"


def clock(at: float, now: float, zone: tzinfo) -> str:
    """A moment near `now`: the time of day alone where the day is today's."""
    when = datetime.fromtimestamp(at, zone)
    return f"{when:%H:%M:%S}" if when.date() == datetime.fromtimestamp(now, zone).date() else f"{when:%m-%d %H:%M}"


def age(seconds: float) -> str:
    """A length of time in a table: `4s`, `27m`, `2h41m`, `12d4h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def span(seconds: float) -> str:
    """A length of time in a sentence: `4 s`, `27 min`, `2 h 41 min`, `12 d 4 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(octets: int) -> str:
    """`812 B`, `18.4 kB`, `25.0 MB`."""
    if octets < 1000:
        return f"{octets} B"
    return f"{octets / 1000:.1f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 recipient`, `1,263 recipients`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def status(word: str) -> str:
    """A status in a sentence: `hard bounce`."""
    return word.replace("_", " ")
