"""Visits on disk: what was seen is there until it is let go, whatever happens to worker, disk or file."""

import asyncio
import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.track.journal import Journal
from relay.track.segment import line_of, read_visit
from tests.parts.written_log import Written
from tests.track.visiting import everything, files, saw, visit
from tracker.visit import LONGEST_AGENT, Visit


async def test_a_visit_is_on_disk_when_the_turn_is_over(journal: Journal, tmp_path: Path) -> None:
    """What one turn of the loop saw stands in this worker's file before the next one begins."""
    seen = [visit(), visit("click", link=2)]
    await saw(journal, seen)
    (name,) = files(tmp_path / "visits")
    lines = (tmp_path / "visits" / name).read_bytes().splitlines()
    assert [read_visit(line) for line in lines] == seen


async def test_visits_come_back_in_order_and_stay_until_they_are_done(journal: Journal) -> None:
    """Whoever takes and does not finish finds the same visits again; what is done is gone."""
    seen = [visit(at=float(n)) for n in range(25)]
    await saw(journal, seen)
    assert journal.take(10).visits == tuple(seen[:10])
    taken = journal.take(10)
    assert taken.visits == tuple(seen[:10])
    journal.done(taken)
    await saw(journal, [last := visit(at=99.0)])
    assert everything(journal) == [*seen[10:], last]
    assert everything(journal) == []


async def test_a_file_that_is_done_holds_nothing(journal: Journal, tmp_path: Path) -> None:
    """What is in the database does not stay on disk: the file is emptied, and removed in the end."""
    await saw(journal, [visit()])
    (name,) = files(tmp_path / "visits")
    everything(journal)
    assert (tmp_path / "visits" / name).stat().st_size == 0
    journal.close()
    assert files(tmp_path / "visits") == []


async def test_under_lasting_load_files_are_removed_one_after_the_other(tmp_path: Path, written: Written) -> None:
    """A journal that is never empty does not grow for ever: files of a certain size are followed by new ones."""
    journal = Journal(tmp_path / "visits", written.log, segment=2_000)
    seen = [visit(at=float(n)) for n in range(100)]
    found: list[Visit] = []
    for each in seen:
        await saw(journal, [each])
        if each.at >= 20:  # always twenty behind
            taken = journal.take(1)
            found += taken.visits
            journal.done(taken)
            size = sum(path.stat().st_size for path in (tmp_path / "visits").iterdir())
            assert size < 22 * len(line_of(each)) + 2 * 2_000
    assert found + everything(journal) == seen
    journal.close()
    assert files(tmp_path / "visits") == []


WORKER = """
import asyncio, os, signal, sys
from pathlib import Path
from relay.config import Config
from relay.log import Log
from relay.track.journal import Journal
from tests.track.visiting import visit

async def work():
    journal = Journal(Path(sys.argv[1]), Log(Config("mx1")))
    for n in range(3):
        journal.saw(visit(at=float(n)))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


async def test_a_killed_worker_loses_nothing_that_it_saw(journal: Journal, tmp_path: Path) -> None:
    """The file of a worker that was killed is taken over by a living one, before its own visits, and removed."""
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, str(tmp_path / "visits"))
    assert await worker.wait() == -signal.SIGKILL
    (left,) = files(tmp_path / "visits")
    await saw(journal, [visit(at=9.0)])
    journal.adopt()
    assert [each.at for each in everything(journal)] == [0.0, 1.0, 2.0, 9.0]
    assert left not in files(tmp_path / "visits")


async def test_the_file_of_a_living_worker_is_left_alone(journal: Journal, tmp_path: Path, written: Written) -> None:
    """Somebody who lives keeps his visits: nobody else takes them."""
    other = Journal(tmp_path / "visits", written.log)
    await saw(other, [theirs := visit()])
    journal.adopt()
    assert everything(journal) == []
    assert everything(other) == [theirs]
    other.close()


async def test_a_dead_worker_s_file_goes_to_one_only(tmp_path: Path, written: Written) -> None:
    """Of several that look at once, one takes it over."""
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "1-dead.visits").write_bytes(line_of(left := visit()))
    workers = [Journal(tmp_path / "visits", written.log) for _ in range(3)]
    for worker in workers:
        worker.adopt()
    assert [everything(worker) for worker in workers] == [[left], [], []]
    for worker in workers:
        worker.close()


async def test_several_dead_workers_are_taken_over_oldest_first(journal: Journal, tmp_path: Path) -> None:
    """What an earlier run left comes in the order of its files, before what this one sees."""
    (tmp_path / "visits").mkdir()
    for n, name in enumerate(("b", "c", "a")):
        path = tmp_path / "visits" / f"{name}.visits"
        path.write_bytes(line_of(visit(at=float(n))))
        os.utime(path, (1000.0 + n, 1000.0 + n))
    await saw(journal, [visit(at=9.0)])
    journal.adopt()
    assert [each.at for each in everything(journal)] == [0.0, 1.0, 2.0, 9.0]


async def test_what_waits_at_the_end_waits_for_the_next(tmp_path: Path, written: Written) -> None:
    """A worker that stops while the database is away leaves its visits to its successor, those of the last turn too."""
    first = Journal(tmp_path / "visits", written.log)
    first.saw(last := visit())
    first.close()
    second = Journal(tmp_path / "visits", written.log)
    second.adopt()
    assert everything(second) == [last]
    second.close()


@pytest.mark.parametrize("damage", [b'{"visit_id":"1', b"\x00" * 70_000, b"{}\n", b'["open"]\n', b"\xff\xfe\n", b"\n"])
async def test_a_damaged_file_costs_only_what_was_damaged(
    journal: Journal, tmp_path: Path, written: Written, damage: bytes
) -> None:
    """Half a line, NULs after a power cut, other people's bytes: left out, said once, and all others come."""
    first, second = visit(at=1.0), visit(at=2.0)
    whole = damage if damage.endswith(b"\n") else damage + b"\n"
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "1-dead.visits").write_bytes(line_of(first) + whole + line_of(second) + damage)
    journal.adopt()
    assert everything(journal) == [first, second]
    assert re.search(
        r"relay: warning: \d+ lines of \S+1-dead.visits are no visits - left out|are no visits", written.last
    )
    assert files(tmp_path / "visits") == []


async def test_a_full_disk_has_visits_wait_in_memory(
    journal: Journal, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes half a line takes nothing; what waits is taken from memory, and written when there is room."""
    await saw(journal, [first := visit(at=1.0)])
    (name,) = files(tmp_path / "visits")
    before = (tmp_path / "visits" / name).read_bytes()
    room = 30

    def full(fd: int, data: bytes, write: object = os.write) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        room -= (taken := min(room, len(data)))
        return int(write(fd, data[:taken]))  # type: ignore[operator]

    with monkeypatch.context() as disk:
        disk.setattr("relay.track.segment.os.write", full)
        await saw(journal, [second := visit(at=2.0)])
        assert (tmp_path / "visits" / name).read_bytes() == before
    assert "No space left on device" in written.last
    assert journal.take(5).visits == (first,)
    await saw(journal, [third := visit(at=3.0)])
    assert everything(journal) == [first, second, third]


async def test_a_directory_that_cannot_be_made_does_not_stop_visits(tmp_path: Path, written: Written) -> None:
    """With no place on disk at all the recorder still gets what was seen."""
    (tmp_path / "visits").write_text("in the way")
    journal = Journal(tmp_path / "visits", written.log)
    seen = [visit(at=1.0), visit(at=2.0)]
    await saw(journal, seen)
    journal.adopt()
    assert everything(journal) == seen
    journal.close()


async def test_beyond_the_limit_visits_are_counted_and_dropped(tmp_path: Path, written: Written) -> None:
    """A journal that nobody empties stays within its limit, and says so once a minute and not for each visit."""
    journal = Journal(tmp_path / "visits", written.log, limit=10_000)
    for n in range(200):
        await saw(journal, [visit(at=float(n))])
    (name,) = files(tmp_path / "visits")
    assert 10_000 <= (tmp_path / "visits" / name).stat().st_size < 11_000
    kept = everything(journal)
    assert [each.at for each in kept] == [float(n) for n in range(len(kept))]
    dropped = [line for line in written.lines if "were not kept" in line]
    assert len(dropped) == 1
    await saw(journal, [visit(at=500.0)])
    assert [each.at for each in everything(journal)] == [500.0]
    journal.close()
    assert re.search(rf"{200 - len(kept) - 1} visits were not kept", written.last)


async def test_memory_is_bounded_too(tmp_path: Path, written: Written) -> None:
    """When the disk takes nothing for long, no more than a certain size waits in memory."""
    (tmp_path / "visits").write_text("in the way")
    journal = Journal(tmp_path / "visits", written.log, memory=5_000)
    for n in range(200):
        await saw(journal, [visit(at=float(n))])
    assert 0 < sum(len(line_of(each)) for each in everything(journal)) <= 5_000
    journal.close()


async def test_whoever_waits_is_woken_by_a_visit(journal: Journal) -> None:
    """The recorder sleeps until there is something, and is told of it."""
    waiting = asyncio.create_task(journal.wait(60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await saw(journal, [visit()])
    await asyncio.wait_for(waiting, 5.0)


@given(st.text(max_size=400))
async def test_whatever_calls_itself_anything_is_kept(agent: str) -> None:
    """A user agent of NULs, half characters or line ends is one line in the file and text that a database takes."""
    read = None

    class Only(Journal):
        def flush(self) -> None:
            nonlocal read
            (line,) = self._seen
            read = read_visit(line.removesuffix(b"\n"))

    journal = Only(Path("/nonexistent"), None)  # type: ignore[arg-type]
    await saw(journal, [seen := visit(agent=agent)])
    assert read is not None and replace(read, agent="") == replace(seen, agent="")
    assert len(read.agent) <= LONGEST_AGENT and read.agent.isprintable()
    assert read.agent == agent[:LONGEST_AGENT] or not agent.isprintable()


@given(st.binary(max_size=200) | st.just(line_of(visit())).flatmap(lambda line: st.permutations(list(line)).map(bytes)))
def test_no_line_raises(line: bytes) -> None:
    """A line is a visit or None."""
    found = read_visit(line)
    assert found is None or read_visit(line_of(found)) == found


def test_a_newer_program_s_line_is_understood() -> None:
    """After going back to this program, what a newer one wrote comes without what only that one knows."""
    seen = visit()
    line = line_of(seen).rstrip()[:-1] + b',"weather":"fine"}'
    assert read_visit(line) == seen
