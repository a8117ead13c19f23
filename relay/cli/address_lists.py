"""Reads lists of addresses that must not be mailed: text, CSV and JSON, our own exports and those of other services.

Pure: lines in, `Found` or `Bad` out, each with the place it stands at. Nothing has to be said about the format: a file
that begins with a brace or a bracket is JSON (one value, or one a line), one whose first line names columns is CSV
(comma, semicolon or tab), anything else has an address at the beginning of each line. Columns are known by name,
whatever their order: those of SendGrid, Mailgun, Postmark, Amazon SES and `mailtrail suppression export`.

A row that cannot be understood is `Bad`, with why; it harms no other row. A time that cannot be read is no time.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any

from relay.address import AddressError, parse_address
from suppression.entry import Reason

csv.field_size_limit(1024 * 1024)

# What a column is, by its name in small letters and digits alone.
_ADDRESS = ("address", "email", "emailaddress", "recipient", "mail", "destination")
_REASON = ("reason", "suppressionreason", "type", "suppressiontype", "category")
_SCOPE = ("scope", "tag", "tags")
_SINCE = (
    "addedat",
    "addedts",
    "created",
    "createdat",
    "bouncedat",
    "lastupdatetime",
    "lastupdate",
    "timestamp",
    "date",
)
_EXPIRES = ("expiresat", "expires", "expirests")
_REPLY = ("reply", "error", "details", "description", "diagnostic", "diagnosticcode", "message")
_STATUS = ("status", "code", "enhancedcode")
_NOTE = ("note", "notes", "comment", "remark")
_SOURCE = ("source", "origin")
_COLUMNS = frozenset((*_ADDRESS, *_REASON, *_SCOPE, *_SINCE, *_EXPIRES, *_REPLY, *_STATUS, *_NOTE, *_SOURCE))

# What others call the reasons. Our own words are known too.
_REASONS: Mapping[str, Reason] = {
    **dict.fromkeys(("hardbounce", "hard", "bounce", "bounced", "bounces", "permanent"), "hard_bounce"),
    **dict.fromkeys(("complaint", "complaints", "complained", "spamcomplaint", "spamreport", "abuse"), "complaint"),
    **dict.fromkeys(("spamnotification", "fbl"), "complaint"),
    **dict.fromkeys(("unsubscribe", "unsubscribed", "unsubscribes", "unsubscription", "optout"), "unsubscribe"),
    **dict.fromkeys(("groupunsubscribe", "globalunsubscribe"), "unsubscribe"),
    **dict.fromkeys(("manual", "manualsuppression", "manuallydeactivated", "customer", "blocklist"), "manual"),
    **dict.fromkeys(("invalid", "invalidemail", "bademailaddress", "invalidemailaddress"), "invalid"),
    "spam": "spam",
}

# Kinds of trouble that prove nothing about an address: such rows are left out.
_NO_PROOF = frozenset(
    (
        *("soft", "softbounce", "transient", "temporary", "deferred", "delayed", "block", "blocked", "dnserror"),
        *("undetermined", "unknown", "autoresponder", "addresschange", "challengeverification", "virusnotification"),
        *("smtpapierror", "inboundrecipientfilter", "dmarcpolicy", "templaterenderingfailed", "delivered", "subscribe"),
    )
)

_WORD = re.compile(r"[^a-z0-9]")
_MILLISECONDS = 1e11  # more than this are no seconds: the year 5138


@dataclass(frozen=True, slots=True)
class Found:
    """One address. What the list does not say is None or ""."""

    where: str  # "line 17"
    address: str
    reason: Reason | None = None
    scope: str = ""
    since: float | None = None  # Unix seconds
    expires_at: float | None = None
    reply: str = ""
    note: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that is no address."""

    where: str
    text: str
    why: str


def decoded(octets: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 where it begins with a byte order mark, as spreadsheets write it."""
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return octets.decode("utf-16", "replace")
    return octets.decode("utf-8-sig", "replace")


def read(text: str) -> Iterator[Found | Bad]:
    """Every row of a list, in order."""
    start = text.lstrip()[:1]
    if start in ("{", "["):
        yield from _json(text)
        return
    lines = iter(text.splitlines(keepends=True))
    for before, line in enumerate(lines):
        if line.strip() and not line.startswith("#"):
            delimiter = _delimiter(line)
            rows = _csv(chain([line], lines), delimiter, before)
            if columns := _columns(line, delimiter):
                next(rows)
                yield from (_row(where, dict(zip(columns, values, strict=False))) for where, values in rows if values)
            else:
                yield from (_bare(where, values) for where, values in rows if values and not values[0].startswith("#"))
            return


def _csv(lines: Iterable[str], delimiter: str, before: int) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader((line.replace("\0", "\ufffd") for line in lines), delimiter=delimiter)
    while True:
        first = reader.line_num + before + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            values = [f"({error})"]
        yield f"line {first}", values if any(value.strip() for value in values) else []


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _columns(line: str, delimiter: str) -> list[str]:
    """The names of the columns, if the first line has them; else none."""
    names = [_name(value) for value in next(csv.reader([line.replace("\0", "")], delimiter=delimiter))]
    named = any(name in _ADDRESS for name in names) and "@" not in line
    return names if named else []


def _json(text: str) -> Iterator[Found | Bad]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield from _json_line(f"line {number}", line)
        return
    for number, item in enumerate(_items(value), 1):
        yield from _item(f"item {number}", item)


def _json_line(where: str, line: str) -> Iterator[Found | Bad]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        yield Bad(where, line[:80], "this is not JSON")
        return
    for item in _items(value):
        yield from _item(where, item)


def _items(value: Any) -> list[Any]:
    """The list in it: itself, or the one member that is a list of rows."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and not any(_name(key) in _ADDRESS for key in value):
        for member in value.values():
            if isinstance(member, list):
                return member
    return [value]


def _item(where: str, item: Any) -> Iterator[Found | Bad]:
    if isinstance(item, str):
        yield _bare(where, [item])
    elif isinstance(item, dict):
        row = {_name(key): "" if value is None else str(value) for key, value in item.items()}
        tags = [(_name(key), value) for key, value in item.items() if isinstance(value, list) and value]
        # One address that unsubscribed from several tags.
        for row_of_tag in [row | {name: str(tag)} for name, values in tags[:1] for tag in values] or [row]:
            yield _row(where, row_of_tag)
    else:
        yield Bad(where, str(item)[:80], "there is no address in it")


def _bare(where: str, values: list[str]) -> Found | Bad:
    """A row without names: the address, and perhaps one word for the reason (as Amazon SES exports it)."""
    reason = _REASONS.get(_name(values[1])) if len(values) > 1 else None
    return _found(where, values[0], reason=reason)


def _row(where: str, row: Mapping[str, str]) -> Found | Bad:
    """A row with names."""

    def first(names: Iterable[str]) -> str:
        return next((row[name].strip() for name in names if row.get(name, "").strip()), "")

    said = first(_REASON)
    word = _name(said)
    reason = _REASONS.get(word)
    if word in _NO_PROOF:
        return Bad(where, first(_ADDRESS)[:80], f"{said!r} is no proof about the address")
    if said and reason is None and not re.search(r"[\s\d]", said):
        return Bad(where, first(_ADDRESS)[:80], f"unknown reason {said[:40]!r}")
    # Some call the server's words the reason.
    reply = " ".join(part for part in (first(_STATUS), first(_REPLY) or ("" if reason else said)) if part)
    if reason is None and reply:
        reason = "hard_bounce"
    scope = first(_SCOPE)
    return _found(
        where,
        first(_ADDRESS),
        reason=reason,
        scope="" if scope == "*" else scope,
        since=_time(first(_SINCE)),
        expires_at=_time(first(_EXPIRES)),
        reply=reply,
        note=first(_NOTE),
        source=first(_SOURCE),
    )


def _found(where: str, written: str, **known: Any) -> Found | Bad:
    address = written.strip()
    if address.endswith(">") and "<" in address:
        address = address[address.rindex("<") + 1 : -1]  # Ada <ada@example.org>
    try:
        parse_address(f"x{address}" if address.startswith("@") else address)
    except AddressError as error:
        return Bad(where, written[:80], str(error))
    return Found(where, address, **known)


def _name(text: str) -> str:
    return _WORD.sub("", text.lower())


def _time(text: str) -> float | None:
    """Unix seconds or milliseconds, ISO 8601, or RFC 5322; None: none of these."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return _date(text)
    return (number / 1000 if number > _MILLISECONDS else number) if 0 < number < 1e15 else None


def _date(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, IndexError, OverflowError):
            return None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
