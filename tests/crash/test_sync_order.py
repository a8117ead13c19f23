"""The order of system calls: write, sync, and only then 250."""

from pathlib import Path

import pytest

from tests.crash import wal
from tests.crash.machine import machine
from tests.crash.trace import SYNCS, calls, promised, traced, unsynced, why_not, written
from tests.crash.traffic import Clients, Sink, body

LOGGED = {"sqlite": written, "postgres": wal.committed}


@pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
async def test_every_250_follows_the_sync_of_its_message(engine: str, place: Path, sink: Sink) -> None:
    """Between the write that completes a message in the log and its 250 there is a whole, successful sync of it."""
    trace = place / "trace"
    async with machine(engine, place, place, sink.port) as here:
        await here.rig.start()
        async with traced(here.processes(), trace):
            async with Clients(here.rig.port, count=5) as clients:
                await clients.accept_more(60)
            await sink.wait_for(clients.accepted)
        await here.rig.stop()

    seen = calls(trace.read_text(errors="replace").splitlines())
    ends = {queue_id: last_line(key) for key, queue_id in clients.accepted.items()}
    assert promised(seen).keys() >= ends.keys()
    logged = LOGGED[engine](seen, ends)
    assert unsynced(seen, logged, ends) == []
    # And whoever does not sync is found out.
    assert unsynced([call for call in seen if call.name not in SYNCS], logged, ends) == list(ends)


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
    seen = calls(trace)
    logged = written(seen, {"1a2b3c": "last line"})
    assert unsynced(seen, logged, ["1a2b3c"]) == (["1a2b3c"] if early else [])
