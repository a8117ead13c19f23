"""The order of system calls: write, sync, and only then 250."""

import shutil
from pathlib import Path

import pytest

from tests.crash.rig import Rig
from tests.crash.trace import COMMAND, calls, promised, unsynced
from tests.crash.traffic import Clients, Sink, body


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
async def test_every_250_follows_the_sync_of_its_message(rig: Rig, sink: Sink, tmp_path: Path) -> None:
    """Between the write that holds the end of a message and its 250 there is a whole, successful sync of the log."""
    trace = tmp_path / "trace"
    await rig.start(before=(*COMMAND, "-o", str(trace)))
    async with Clients(rig.port, count=5) as clients:
        await clients.accept_more(60)
    await sink.wait_for(clients.accepted)
    await rig.stop()

    seen = calls(trace.read_text(errors="replace").splitlines())
    assert promised(seen).keys() >= set(clients.accepted.values())
    ends = {queue_id: last_line(key) for key, queue_id in clients.accepted.items()}
    assert unsynced(seen, ends) == []


def last_line(key: str) -> str:
    """What a message's body ends with."""
    return body(key).splitlines()[-1].decode()


WRITTEN = '7 pwrite64(5</d/mailtrail.db-wal>, "…1a2b3c…", 4096, 56) = 4096'
ENDED = '7 pwrite64(5</d/mailtrail.db-wal>, "…last line…", 4096, 4152) = 4096'
SYNC = "7 fdatasync(5</d/mailtrail.db-wal>) = 0"
REPLY = '9 sendto(8<TCP:[1]>, "250 2.0.0 Queued as 1a2b3c\\r\\n", 28, 0, NULL, 0) = 28'
BEGIN, END = "7 fdatasync(5</d/mailtrail.db-wal> <unfinished ...>", "7 <... fdatasync resumed>) = 0"


@pytest.mark.parametrize(
    ("trace", "early"),
    [
        ([WRITTEN, ENDED, SYNC, REPLY], False),
        ([WRITTEN, ENDED, BEGIN, END, REPLY], False),
        ([WRITTEN, ENDED, REPLY, SYNC], True),
        ([WRITTEN, ENDED, BEGIN, REPLY, END], True),
        ([WRITTEN, BEGIN, ENDED, END, REPLY], True),
        ([WRITTEN, SYNC, ENDED, REPLY], True),
        ([SYNC, REPLY], True),
        ([WRITTEN, ENDED, SYNC.replace("= 0", "= -1 EIO (Input/output error)"), REPLY], True),
        ([WRITTEN, ENDED, SYNC.replace("-wal", ""), REPLY], True),
    ],
)
def test_the_judge_of_traces_sees_a_250_that_is_too_early(trace: list[str], early: bool) -> None:
    """A 250 counts as safe only if a successful sync of the log lies wholly between the last write and the reply."""
    assert unsynced(calls(trace), {"1a2b3c": "last line"}) == (["1a2b3c"] if early else [])
