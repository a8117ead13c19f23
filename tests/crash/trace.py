"""Looks on with strace, and judges what it saw: was every 250 sent after its message was synced?

The trace has a line for each system call of every thread, in the order of the kernel; a call that others overtook has a
line for its start (`<unfinished ...>`) and one for its end (`<... resumed>`). Descriptors bear file names (`-y`).
"""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.parts.program import Program

CALLS = "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync"
LONGEST = 4 * 1024 * 1024  # octets of one write that are kept
COMMAND = ("strace", "--follow-forks", "-y", "-s", str(LONGEST), "-e", f"trace={CALLS}", "-e", "signal=none")
LOG = "-wal"  # how the name of the file ends that a commit of SQLite goes to
SYNCS = ("fsync", "fdatasync")
SENDS = ("write", "writev", "sendto", "sendmsg")

_START = re.compile(r"(\d+) +(\w+)\((.*)", re.DOTALL)
_END = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_UNFINISHED = "<unfinished ...>"
_FILE = re.compile(r"\d+<([^>]*)>")
_QUEUED = re.compile(r"250 2\.0\.0 Queued as (\w+)")


class Call(NamedTuple):
    """One completed system call; `began` and `ended` are numbers of lines."""

    name: str
    began: int
    ended: int
    text: str  # arguments and result

    @property
    def file(self) -> str:
        """The name behind its descriptor."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


def why_not() -> str | None:
    """What keeps us from looking on; None if nothing does."""
    if not shutil.which("strace"):
        return "strace is not installed"
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() != 0 and yama.exists() and yama.read_text() != "0\n":
        return "tracing what runs already wants root (kernel.yama.ptrace_scope)"
    return None


@asynccontextmanager
async def traced(processes: Collection[int], file: Path) -> AsyncIterator[None]:
    """What these processes, and those that come from them, do meanwhile is written to `file`."""
    command = (*COMMAND, "-o", str(file), *(word for process in processes for word in ("-p", str(process))))
    tracer = Program(
        await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    )
    try:
        for process in processes:
            await tracer.line(rf"\b{process} attached")
        yield
    finally:
        tracer.send(signal.SIGINT)  # it lets go of them all, and ends
        await tracer.exit_code()


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


def written(trace: list[Call], ends: Mapping[str, str]) -> dict[str, Call]:
    """Queue id → the write after which SQLite's log had the message.

    `ends`: queue ids, each with text from the very end of its content. Those that were never written are missing.
    """
    writes = [call for call in trace if call.name.startswith("pwrite") and call.file.endswith(LOG)]
    done = {}
    for queue_id, last in ends.items():
        row = next((call for call in writes if queue_id in call.text), None)
        end = next((call for call in writes if last in call.text), None)
        if row and end:
            done[queue_id] = max(row, end, key=lambda call: call.ended)
    return done


def unsynced(trace: list[Call], logged: Mapping[str, Call], queue_ids: Iterable[str]) -> list[str]:
    """Those of `queue_ids` whose 250 did not follow a whole, successful sync of the log that had the message.

    `logged`: queue id → the write after which the log had it.
    """
    syncs = [call for call in trace if call.name in SYNCS and call.text.endswith("= 0")]
    replies = promised(trace)

    def safe(write: Call | None, reply: Call) -> bool:
        return write is not None and any(
            sync.file == write.file and write.ended < sync.began and sync.ended < reply.began for sync in syncs
        )

    return [queue_id for queue_id in queue_ids if not safe(logged.get(queue_id), replies[queue_id])]
