"""Reads lists of addresses that must not be mailed: text, CSV and JSON, our own exports and those of other services.

Pure: lines in, `Found`, `Skipped` or `Bad` out, each with the place it stands at. Nothing has to be said about the
format: a file that begins with a brace or a bracket is JSON (one value, or one a line), one whose first line names
columns is CSV (comma, semicolon or tab), anything else has an address at the beginning of each line. What columns
mean: `address_columns.py`.

A row that cannot be understood is `Bad`, with why; it harms no other row. A time that cannot be read is no time.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from relay.cli.address_columns import Bad, Row, bare, name_of, names_an_address, rows
from suppression.rules import Inactive

csv.field_size_limit(1024 * 1024)


def decoded(octets: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 where it begins with a byte order mark, as spreadsheets write it.

    An octet that is neither becomes U+FFFD; a row that has one in its address is `Bad`.
    """
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return octets.decode("utf-16", "replace")
    return octets.decode("utf-8-sig", "replace")


def read(text: str, inactive: Inactive = "suppress") -> Iterator[Row]:
    """Every row of a list, in order; `inactive` is the setting for mailboxes that are closed."""
    if text.lstrip()[:1] in ("{", "["):
        yield from _json(text, inactive)
        return
    lines = io.StringIO(text, newline="")  # ends at CR, LF or both, and nowhere else
    for before, line in enumerate(lines):
        if line.strip() and not line.startswith("#"):
            delimiter = _delimiter(line)
            table = _csv(chain([line], lines), delimiter, before)
            if columns := _columns(line, delimiter):
                next(table)
                for where, values in table:
                    if values:
                        yield from rows(where, dict(zip(columns, values, strict=False)), inactive)
            else:
                yield from (bare(where, values) for where, values in table if values and values[0][:1] != "#")
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
    names = [name_of(value) for value in next(csv.reader([line.replace("\0", "")], delimiter=delimiter))]
    named = any(names_an_address(name) for name in names) and "@" not in line
    return names if named else []


def _json(text: str, inactive: Inactive) -> Iterator[Row]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        for number, line in enumerate(io.StringIO(text, newline=""), 1):
            if line.strip():
                yield from _json_line(f"line {number}", line, inactive)
        return
    for number, item in enumerate(_items(value), 1):
        yield from _item(f"item {number}", item, inactive)


def _json_line(where: str, line: str, inactive: Inactive) -> Iterator[Row]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        yield Bad(where, line[:80], "this is not JSON")
        return
    for item in _items(value):
        yield from _item(where, item, inactive)


def _items(value: Any) -> list[Any]:
    """The list in it: itself, or the one member that is a list of rows."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and not any(names_an_address(name_of(key)) for key in value):
        for member in value.values():
            if isinstance(member, list):
                return member
    return [value]


def _item(where: str, item: Any, inactive: Inactive) -> Iterator[Row]:
    if isinstance(item, str):
        yield bare(where, [item])
    elif isinstance(item, dict):
        yield from rows(where, {name_of(key): value for key, value in item.items()}, inactive)
    else:
        yield Bad(where, str(item)[:80], "there is no address in it")
