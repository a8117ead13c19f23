"""Where a command's words go: standard output for data, standard error for everything else.

On a terminal: aligned columns, colours, relative times, long values cut with "…". In a pipe: one
row a line, tab between columns, nothing cut, no colour, RFC 3339 times in UTC, no header unless
asked for. JSON carries a schema name and only grows. What came from strangers (subjects, replies)
is made printable before it reaches a terminal or a line. Colours are off with NO_COLOR, TERM=dumb
or --color=never; symbols become ASCII where the locale cannot show them.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from relay.cli.failures import Usage
from relay.cli.wording import ASCII_SYMBOLS, COLORS, SYMBOLS, clock, rfc3339
from relay.reply import printable

MODES = ("table", "wide", "ids", "json", "jsonl", "csv", "tsv")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, the field of the row, and how a person reads the value."""

    title: str
    field: str
    show: Callable[[Any], str] = str
    wide: bool = False  # only with -o wide, csv and tsv
    right: bool = False
    most: int = 60  # characters on a terminal


@dataclass(frozen=True, slots=True)
class Listing:
    """How one kind of list is shown. `schema` is the name that its JSON bears, without prefix and version."""

    schema: str
    columns: tuple[Column, ...]
    id_field: str
    more: tuple[str, ...] = ()  # fields that only JSON shows

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field that an item has."""
        return tuple(column.field for column in self.columns) + self.more


class Screen:
    """Standard output and standard error, and what they can show."""

    def __init__(self, color: str = "auto", now: float | None = None) -> None:
        self.now = time.time() if now is None else now
        self.tty = sys.stdout.isatty()
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self.color = color == "always" or (color == "auto" and self.tty and not plain)
        self.unicode = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") == "utf8"
        self.width = shutil.get_terminal_size().columns if self.tty else 0

    @property
    def zone(self) -> tzinfo:
        """The zone in which people here read and write times."""
        here = datetime.fromtimestamp(self.now).astimezone().tzinfo
        assert here is not None
        return here

    def clock(self, at: str) -> str:
        """A moment of a view, as a person here reads it in a table."""
        return clock(datetime.fromisoformat(at).timestamp(), self.now, self.zone)

    # What is written

    def line(self, text: str = "") -> None:
        """A line of data."""
        sys.stdout.write(self._shown(text) + "\n")

    def note(self, text: str) -> None:
        """A line for the person, which no program should read."""
        sys.stdout.flush()
        sys.stderr.write(self._shown(text) + "\n")
        sys.stderr.flush()

    def json(self, schema: str, value: Mapping[str, Any], fields: str = "") -> None:
        """One JSON object on a line; `fields` (comma-separated) picks some of its members."""
        body = {"schema": f"mailtrail/{schema}/1"} | pick(value, fields, tuple(value))
        sys.stdout.write(_json(body) + "\n")

    def mark(self, status: str) -> str:
        """The symbol of a status, padded where symbols are ASCII."""
        return SYMBOLS.get(status, "·") if self.unicode else ASCII_SYMBOLS.get(status, "[--]")

    def paint(self, text: str, color: str) -> str:
        """`text` in the colour of a status or of a word of `COLORS`."""
        return f"\x1b[{COLORS[color]}m{text}\x1b[0m" if self.color and color in COLORS else text

    def _shown(self, text: str) -> str:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        return text if self.unicode else text.encode(encoding, "replace").decode(encoding)

    # Lists

    async def rows(
        self,
        listing: Listing,
        rows: AsyncIterator[Row],
        mode: str,
        *,
        fields: str = "",
        header: bool = False,
        total: int = 0,
    ) -> int:
        """Writes `rows` as they come and returns how many there were. Only a table for a terminal is held in memory."""
        chosen(fields, listing.fields)  # a wrong name is told before anything is written
        if mode == "json":
            return await self._json_list(listing, rows, fields, total)
        if mode in ("table", "wide") and self.tty:
            return await self._table(listing, rows, wide=mode == "wide")
        write = _row_writer(listing, mode, fields, header)
        shown = 0
        async for row in rows:
            write(row)
            shown += 1
        return shown

    async def _json_list(self, listing: Listing, rows: AsyncIterator[Row], fields: str, total: int) -> int:
        head = {"schema": f"mailtrail/{listing.schema}/1", "generated_at": rfc3339(self.now), "total": total}
        sys.stdout.write(_json(head)[:-1] + ',"items":[')
        shown = 0
        async for row in rows:
            sys.stdout.write((",\n" if shown else "\n") + _json(pick(row, fields, listing.fields)))
            shown += 1
        sys.stdout.write("]}\n")
        return shown

    async def _table(self, listing: Listing, rows: AsyncIterator[Row], *, wide: bool) -> int:
        columns = [column for column in listing.columns if wide or not column.wide]
        table = [[column.title for column in columns]]
        states = [""]
        async for row in rows:
            table.append([_cell(column, row) for column in columns])
            states.append(str(row.get("status", "")))
        if len(table) > 1:
            self._align(columns, table, states)
        return len(table) - 1

    def _align(self, columns: Sequence[Column], table: list[list[str]], states: list[str]) -> None:
        widths = [max(columns_of(row[i]) for row in table) for i in range(len(columns))]
        for row, state in zip(table, states, strict=True):
            cells = [pad(text, width, c.right) for text, width, c in zip(row, widths, columns, strict=True)]
            line = cut("  ".join(cells).rstrip(), self.width or sys.maxsize, self.unicode)
            if row is table[0]:
                line = self.paint(line, "head")
            elif state in COLORS:
                line = line.replace(f" {state} ", f" {self.paint(state, state)} ", 1)
            self.line(line)


def _row_writer(listing: Listing, mode: str, fields: str, header: bool) -> Callable[[Row], None]:
    """What writes one row in the modes that need no other row."""
    out = sys.stdout
    if mode == "ids":
        last = [""]  # rows of one message stand together; its id is written once

        def write_id(row: Row) -> None:
            if row[listing.id_field] != last[0]:
                last[0] = row[listing.id_field]
                out.write(f"{last[0]}\n")

        return write_id
    if mode == "jsonl":
        return lambda row: _ignore(out.write(_json(pick(row, fields, listing.fields)) + "\n"))
    columns = [column for column in listing.columns if mode != "table" or not column.wide]
    if mode == "csv":
        import csv

        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.field for column in columns])
        return lambda row: _ignore(writer.writerow([plain(row.get(column.field)) for column in columns]))
    if header:
        out.write("\t".join(column.field for column in columns) + "\n")
    return lambda row: _ignore(out.write("\t".join(plain(row.get(column.field)) for column in columns) + "\n"))


def _ignore(_: object) -> None:
    """The number of characters written is of no use."""


def pick(row: Row, fields: str, known: tuple[str, ...]) -> dict[str, Any]:
    """The members of `row` that `fields` names, in that order; all of them if it names none. Raises `Usage`."""
    names = chosen(fields, known)
    return {name: row.get(name) for name in names} if names else dict(row)


def chosen(fields: str, known: tuple[str, ...]) -> list[str]:
    """The names in `fields`, each of them known. Raises `Usage`."""
    names = [name.strip() for name in fields.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise Usage(f"there is no field {name!r}", f"fields: {', '.join(known)}")
    return names


def plain(value: Any) -> str:
    """A value in a line for programs: empty for nothing, one line, no control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return printable(str(value).replace("\t", " ").replace("\n", " "))


def columns_of(text: str) -> int:
    """How many columns of a terminal `text` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text: str, width: int, right: bool = False) -> str:
    """`text` filled with blanks to `width` columns."""
    blanks = " " * (width - columns_of(text))
    return blanks + text if right else text + blanks


def cut(text: str, width: int, unicode: bool = True) -> str:
    """`text` in at most `width` columns, with "…" where something is missing."""
    if columns_of(text) <= width:
        return text
    end = "…" if unicode else "."
    room = width - len(end)
    for position, char in enumerate(text):
        room -= columns_of(char)
        if room < 0:
            return text[:position] + end
    return text + end


def _cell(column: Column, row: Row) -> str:
    value = row.get(column.field)
    return "" if value is None else cut(plain(column.show(value)), column.most)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
