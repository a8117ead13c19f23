"""The sink: one write a turn, renamed files, and trouble with the disk or the reader that never reaches the caller."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from relay.config import Config
from relay.log import Log
from relay.sink import LIMIT
from tests.parts.written_log import ID, Written, zone


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    zone(monkeypatch, "UTC")
    return Written(tmp_path)


async def test_a_turn_of_the_loop_is_one_write(written: Written) -> None:
    """While the loop turns, lines are gathered; at the end of the turn they are in the file, without being asked."""
    for _ in range(100):
        written.log.removed(ID)
    assert written.path.read_text() == ""
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()
    assert written.path.read_text().count("removed") == 100
    written.log.close()


def test_without_a_loop_a_line_is_written_at_once(written: Written) -> None:
    """A command or the supervisor has no event loop and loses nothing by it."""
    written.log.removed(ID)
    assert written.path.read_text().count("removed") == 1


def test_a_renamed_log_is_opened_anew(written: Written) -> None:
    """After `reopen` lines go to a file of the configured name, whatever has become of the old one."""
    written.log.removed(ID)
    old = written.path.rename(written.path.with_suffix(".1"))
    written.log.reopen()
    written.log.expired(ID, None)
    assert "removed" in old.read_text()
    assert written.last == "qmgr: 3kq7mvt2z0hy: from=<>, status=expired, returned to sender"


def test_a_rename_is_noticed_without_being_told(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink looks at its file's name from time to time, so logrotate needs no hook."""
    monkeypatch.setattr("relay.sink.AGAIN", 0.0)
    written.log.removed(ID)
    written.path.rename(written.path.with_suffix(".1"))
    written.log.expired(ID, None)
    assert "expired" in written.path.read_text()


def test_a_file_that_others_write_to_as_well_has_everybodys_lines(tmp_path: Path) -> None:
    """`{ echo one; mailtrail serve; echo two; } > file`: one after the other, and nobody writes over anybody."""
    with (tmp_path / "out").open("wb", buffering=0) as out:
        out.write(b"one\n")
        log = Log(Config("mx1.test"), stream=out.fileno())
        log.note("ours")
        out.write(b"two\n")
        log.note("ours again")
        log.close()
    said = [line.rpartition(" ")[2] for line in (tmp_path / "out").read_text().splitlines()]
    assert said == ["one", "ours", "two", "again"]


def test_a_reader_that_does_not_read_blocks_nobody() -> None:
    """Lines wait for a stuck reader up to a limit, then they are counted, and the count is said when he reads again."""
    reader, writer = os.pipe()
    log = Log(Config("mx1.test"), stream=writer)
    text = "x" * 500
    for _ in range(LIMIT // 400):
        log.note(text)
    os.set_blocking(reader, False)
    heard = b""
    while b"lines lost" not in heard:
        heard += os.read(reader, 1 << 20)
        log.flush()
    lines = heard.decode().splitlines()
    assert re.search(r"relay\[\d+\]: warning: \d+ lines lost, this log could not be written \(its reader", lines[-1])
    lost = int(re.findall(r"(\d+) lines lost", lines[-1])[0])
    assert len(lines) - 1 + lost == LIMIT // 400
    assert all(line.endswith(text) for line in lines[:-1])
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone_raises_nothing() -> None:
    """A closed pipe is the log's trouble, not the caller's."""
    reader, writer = os.pipe()
    log = Log(Config("mx1.test"), stream=writer)
    os.close(reader)
    log.note("nobody hears this")
    log.close()
    os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_raises_nothing() -> None:
    """A disk that takes no more keeps nobody from working."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        log = Log(Config("mx1.test"), stream=full.fileno())
        for _ in range(100):
            log.note("nobody can keep this")
        log.close()


def test_processes_that_share_a_pipe_do_not_cut_each_others_lines() -> None:
    """Each piece that goes into a pipe is small enough to go in whole and ends at a line's end."""
    reader, writer = os.pipe()
    children = []
    for name in "ab":
        if (pid := os.fork()) == 0:
            os.close(reader)
            log = Log(Config("mx1.test"), stream=writer)

            async def chat(log: Log, name: str) -> None:
                for turn in range(50):
                    for _ in range(40):
                        log.note(name * 100)
                    await asyncio.sleep(0)  # a turn of the loop
                    log.note("turn", number=turn)

            asyncio.run(chat(log, name))
            log.close()
            os._exit(0)
        children.append(pid)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    assert len(lines) == 2 * 50 * 41
    assert all(re.fullmatch(r"\S+ mx1 \S+: (a{100}|b{100}|turn: number=\d+)", line) for line in lines)
