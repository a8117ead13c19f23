"""Reads what strace saw, and judges: was every 250 sent after its message was synced?

The trace has a line for each system call of every thread, in the order of the kernel; a call that others overtook has a
line for its start (`<unfinished ...>`) and one for its end (`<... resumed>`). Descriptors bear file names (`-y`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CALLS = "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync"
COMMAND = ("strace", "--follow-forks", "-y", "-s", "65536", "-e", f"trace={CALLS}", "-e", "signal=none")
LOG = "-wal>"  # the file that a commit goes to
SYNCS = ("fsync", "fdatasync")
SENDS = ("write", "writev", "sendto", "sendmsg")

_START = re.compile(r"(\d+) +(\w+)\((.*)", re.DOTALL)
_END = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_UNFINISHED = "<unfinished ...>"
_QUEUED = re.compile(r"250 2\.0\.0 Queued as (\w+)")


class Call(NamedTuple):
    """One completed system call; `began` and `ended` are numbers of lines."""

    name: str
    began: int
    ended: int
    text: str  # arguments and result


def calls(lines: Iterable[str]) -> list[Call]:
    """The completed calls of a trace, in the order of their ends."""
    begun: dict[tuple[str, str], tuple[int, str]] = {}
    done = []
    for number, line in enumerate(lines):
        line = line.rstrip()
        if found := _END.match(line):
            began, first = begun.pop((found[1], found[2]))
            done.append(Call(found[2], began, number, first + found[3]))
        elif found := _START.match(line):
            if line.endswith(_UNFINISHED):
                begun[found[1], found[2]] = number, found[3].removesuffix(_UNFINISHED)
            else:
                done.append(Call(found[2], number, number, found[3]))
    return done


def promised(trace: list[Call]) -> dict[str, Call]:
    """Queue id → the call that sent its 250."""
    return {queue_id: call for call in trace if call.name in SENDS for queue_id in _QUEUED.findall(call.text)}


def unsynced(trace: list[Call], ends: Mapping[str, str]) -> list[str]:
    """Queue ids whose 250 was sent before a sync of the log that began after the message was in it had ended well.

    `ends`: the queue ids to judge, each with text from the very end of its content; both must have been written.
    """
    writes = [call for call in trace if call.name.startswith("pwrite") and LOG in call.text]
    syncs = [call for call in trace if call.name in SYNCS and LOG in call.text and call.text.endswith("= 0")]
    replies = promised(trace)
    early = []
    for queue_id, last in ends.items():
        reply = replies[queue_id]
        row = next((call.ended for call in writes if queue_id in call.text), reply.began)
        end = next((call.ended for call in writes if last in call.text), reply.began)
        if not any(max(row, end) < sync.began and sync.ended < reply.began for sync in syncs):
            early.append(queue_id)
    return early
