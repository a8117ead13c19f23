"""Reads PostgreSQL's log out of the writes that a trace saw: which of them made a message's transaction whole?

The log is one long file in segments of 16 MiB, written in pages. A page that is not full is written again when there is
more for it. Records run over the ends of pages, past the header that each page begins with (PostgreSQL's
access/xlog_internal.h and xlogrecord.h, alike in 15 and 18). No segment is left unfilled here, so that one
record follows the other.
"""

import ast
import re
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.crash.trace import Call

PAGE = 8192
SEGMENT = 16 * 1024 * 1024

_WRITE = re.compile(
    r"\d+<[^>]*/pg_wal/[0-9A-F]{8}(?P<high>[0-9A-F]{8})(?P<segment>[0-9A-F]{8})>, "
    r'(?P<octets>".*"), \d+, (?P<offset>\d+) ?\) += (?P<count>\d+)$',
    re.DOTALL,
)
_PAGE_HEADER = struct.Struct("<HHIQI")  # magic, flags, timeline, address, octets of a record from the page before
_GOES_ON, _LONG = 0x0001, 0x0002  # flags
_RECORD = struct.Struct("<IIQBBxxI")  # length, transaction, address of the one before, kind, whose, checksum
_TRANSACTIONS, _KIND, _COMMIT = 1, 0x70, 0x00  # whose; of its kinds

Pages = dict[int, bytes]  # by address


class Record(NamedTuple):
    """A record of the log: octets from `begin` to `end`."""

    begin: int
    end: int
    transaction: int
    commits: bool
    data: bytes


def committed(trace: list[Call], ends: Mapping[str, str]) -> dict[str, Call]:
    """Queue id → the write after which the log had its message, and the commit of the transaction that it is in.

    `ends`: queue ids, each with text from the very end of its content. Those that were never committed are missing.
    """
    writes = [(call, pages) for call in trace if (pages := _pages(call))]
    log: Pages = {}
    for _, pages in writes:
        log |= pages
    wanted = _spans(list(_records(log)), ends)
    done: dict[str, Call] = {}
    seen: Pages = {}
    for call, pages in writes:
        seen |= pages
        for queue_id, (begin, end) in wanted.items():
            if queue_id not in done and _same(seen, log, begin, end):
                done[queue_id] = call
    return done


def _pages(call: Call) -> Pages:
    """What the call wrote to the log."""
    found = _WRITE.match(call.text) if call.name == "pwrite64" else None
    if found is None:
        return {}
    octets: bytes = ast.literal_eval(f"b{found['octets']}")
    assert len(octets) == int(found["count"]), "strace has cut it off, or it was not written whole"
    address = (int(found["high"], 16) << 32) + int(found["segment"], 16) * SEGMENT + int(found["offset"])
    return {address + at: octets[at : at + PAGE] for at in range(0, len(octets), PAGE)}


def _spans(records: list[Record], ends: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Queue id → where its content begins in the log, and where the commit after it ends."""
    spans = {}
    for queue_id, end in ends.items():
        content = next((r for r in records if queue_id.encode() in r.data and end.encode() in r.data), None)
        if content is None:
            continue
        commits = (r for r in records if r.commits and r.transaction == content.transaction and r.begin > content.begin)
        commit = next(commits, None)
        if commit is not None:
            spans[queue_id] = content.begin, commit.end
    return spans


def _records(log: Pages) -> Iterator[Record]:
    """The records from the first one that begins in `log`."""
    at = min(log)
    _, flags, _, _, rest = _PAGE_HEADER.unpack_from(log[at])
    if flags & _GOES_ON:
        _, at = _take(log, at, rest)
    while True:
        begin = -(-at // 8) * 8
        try:
            head, at = _take(log, begin, _RECORD.size)
            length, transaction, _, kind, whose, _ = _RECORD.unpack(head)
            if not length:
                return
            data, at = _take(log, at, length - _RECORD.size)
        except KeyError:  # the page was never written
            return
        yield Record(begin, at, transaction, whose == _TRANSACTIONS and kind & _KIND == _COMMIT, data)


def _take(log: Pages, at: int, count: int) -> tuple[bytes, int]:
    """`count` octets of records from `at` on, and where they end."""
    parts = []
    while count:
        page, offset = at - at % PAGE, at % PAGE
        if not offset:
            offset = 40 if _PAGE_HEADER.unpack_from(log[page])[1] & _LONG else 24
        part = log[page][offset : offset + count]
        parts.append(part)
        count -= len(part)
        at = page + offset + len(part)
    return b"".join(parts), at


def _same(one: Pages, other: Pages, begin: int, end: int) -> bool:
    """Do both have the same octets from `begin` to `end`?"""
    for page in range(begin - begin % PAGE, end, PAGE):
        part = slice(max(begin - page, 0), end - page)
        if page not in one or one[page][part] != other[page][part]:
            return False
    return True
