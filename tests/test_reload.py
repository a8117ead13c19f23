"""SIGHUP: a new configuration reaches every worker, one after the other, and there is always one that listens."""

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.parts.program import PATIENCE, Program
from tests.test_supervisor import ask, little_relay, notify_socket, port_of, told


def reloading(program: Program, file: Path, **settings: object) -> None:
    """Change the configuration and say so."""
    file.write_text(json.dumps(settings))
    program.send(signal.SIGHUP)


async def answered(port: int) -> tuple[int, int]:
    """Who lets in somebody who knocks now: number and pid."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def gone(pid: int) -> None:
    """Return when the process has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def test_every_worker_is_replaced_and_reloaded_is_said_once(tmp_path: Path) -> None:
    """New workers bear new numbers, the old ones end, and one line says when the last is replaced."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program:
        port = await port_of(program)
        before = set(program.children)
        reloading(program, file)
        await program.line(rf"reloaded: hostname=relay\.test, submission=127\.0\.0\.1:{port}, workers=2$")
        await asyncio.gather(*map(gone, before))
        numbers: set[int] = set()
        while len(numbers) < 2:
            number, pid = await answered(port)
            assert pid not in before
            numbers.add(number)
        assert numbers == {2, 3}
        assert await program.stop() == 0
        assert len(program.matching("reloaded")) == 1
        assert not program.matching("worker replaced|worker died")


async def test_reloaded_is_said_when_no_old_worker_lets_anybody_in(tmp_path: Path) -> None:
    """Who waits for that line and sends is served with the new configuration; fewer workers than before included."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file), workers=3) as program:
        await program.line("ready: ")
        for times, workers in ((1, 3), (2, 1)):
            reloading(program, file, workers=workers)
            await program.line("reloaded", count=times)
            said = [line for line in program.lines if "worker finishes" in line or "reloaded" in line]
            assert "reloaded" in said[-1]
            assert len(said) == 4 * times  # three old workers each time


async def test_nobody_who_knocks_during_a_reload_is_turned_away(tmp_path: Path) -> None:
    """Whoever connects while workers come and go is answered: none is refused and none cut off."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program:
        port = await port_of(program)
        over = asyncio.Event()

        async def knock() -> int:
            count = 0
            while not over.is_set():
                await answered(port)
                count += 1
            return count

        knocking = [asyncio.create_task(knock()) for _ in range(8)]
        for times in range(1, 6):
            reloading(program, file)
            await program.line("reloaded", count=times)
        over.set()
        assert sum(await asyncio.gather(*knocking)) > 5
        assert await program.stop() == 0


async def test_an_old_worker_finishes_what_it_has_in_hand(tmp_path: Path) -> None:
    """A session that was open before the reload is served to its end by the worker that has it."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file), workers=1) as program:
        port = int((await program.line("ready: ")).partition("127.0.0.1:")[2].partition(",")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        old = await ask(reader, writer)
        reloading(program, file)
        await program.line("reloaded")
        assert await ask(reader, writer) == old
        await program.line("worker finishes: number=0")
        assert (await answered(port))[0] == 1
        assert len(program.children) == 2
        writer.close()
        await program.line("worker ends")
        assert await program.stop() == 0


async def test_an_old_worker_is_killed_when_its_grace_time_is_over(tmp_path: Path) -> None:
    """What is not finished within the grace time is given up; the relay goes on and later stops cleanly."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file), workers=1, grace=0, behaviour="busy") as program:
        await program.line("ready: ")
        (old,) = program.children
        reloading(program, file, behaviour="polite")
        await program.line("reloaded")
        await program.line("worker did not finish within its grace time, killed: number=0")
        await gone(old)
        assert await program.stop() == 0


async def test_workers_and_addresses_come_and_go(tmp_path: Path) -> None:
    """A reload applies the number of workers and the addresses; what is no longer listened on is refused."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program:
        port = await port_of(program)
        two = program.children
        reloading(program, file, workers=3, listen="127.0.0.1:0 127.0.0.1:0")
        found = re.search(
            r'submission="127\.0\.0\.1:(\d+) 127\.0\.0\.1:(\d+)", workers=3', await program.line("reloaded")
        )
        assert found
        assert int(found[1]) == port
        await asyncio.gather(*map(gone, two))
        three = set(program.children) - set(two)
        assert len(three) == 3
        assert await answered(int(found[2]))
        reloading(program, file, workers=1, listen=f"127.0.0.1:{found[2]}")
        await program.line(rf"reloaded: hostname=relay\.test, submission=127\.0\.0\.1:{found[2]}, workers=1", count=1)
        await asyncio.gather(*map(gone, three))
        assert (await answered(int(found[2])))[0] == 5
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert await program.stop() == 0


async def test_a_configuration_with_mistakes_changes_nothing(tmp_path: Path) -> None:
    """Every mistake is a line of the log; the workers are the same as before, and systemd hears that we are ready."""
    file = tmp_path / "settings.json"
    door = notify_socket(tmp_path)
    async with little_relay({"NOTIFY_SOCKET": str(tmp_path / "notify")}, reload=str(file)) as program:
        await told(door, "READY=1")
        before = program.children
        file.write_text("{")
        program.send(signal.SIGHUP)
        assert any(word.startswith("MONOTONIC_USEC=") for word in await told(door, "RELOADING=1"))
        await told(door, "READY=1")
        await program.line("error: not reloaded, the old configuration stays: ", count=2)
        assert program.children == before
        assert not program.matching("Traceback")
        reloading(program, file)
        await told(door, "RELOADING=1")
        await told(door, "READY=1")
        await program.line("relay.*: reloaded: ")
        assert await program.stop() == 0
    door.close()


async def test_an_address_that_cannot_be_had_changes_nothing(tmp_path: Path) -> None:
    """A new address that is in use is an error in words, and the old ones go on."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program, little_relay() as other:
        port, taken = await port_of(program), await port_of(other)
        before = program.children
        reloading(program, file, listen=f"127.0.0.1:{port} 127.0.0.1:{taken}")
        await program.line(
            f"not reloaded, the old configuration stays: cannot listen on 127.0.0.1:{taken} — already used"
        )
        assert (await answered(port))[1] in before
        assert program.children == before
        assert await program.stop() == 0


async def test_a_configuration_that_no_worker_can_start_with_is_taken_back(tmp_path: Path) -> None:
    """If the first new worker fails, the old ones are still there; a later reload finds everything in order."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program:
        port = await port_of(program)
        before = program.children
        reloading(program, file, behaviour="failing")
        await program.line(r"error: worker 2 failed: .*the cellar is flooded")
        await program.line(r"not reloaded, the old configuration stays: worker 2 ended with exit code 1 before it was")
        assert program.children == before
        reloading(program, file, behaviour="polite")
        await program.line("reloaded: ")
        await asyncio.gather(*map(gone, before))
        assert (await answered(port))[1] not in before
        assert await program.stop() == 0
        assert len(program.matching("reloaded: ")) == 1


async def test_addresses_stay_ours_when_a_configuration_is_taken_back(tmp_path: Path) -> None:
    """A worker that dies after that is replaced at the old address."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program:
        port = await port_of(program)
        before = program.children
        reloading(program, file, listen="127.0.0.2:0", workers=3, too_many=3)
        await program.line(r"not reloaded, the old configuration stays: worker \d ended with exit code 1 before it was")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await program.line("worker replaced", count=2)
        assert (await answered(port))[1] not in before
        assert await program.stop() == 0


async def test_what_only_a_restart_can_change_is_said(tmp_path: Path) -> None:
    """A new data_dir stays unused until the restart, and a warning says so; everything else is applied."""
    file = tmp_path / "settings.json"
    async with little_relay(reload=str(file)) as program:
        await port_of(program)
        reloading(program, file, data_dir=str(tmp_path / "elsewhere"), workers=1)
        await program.line("warning: data_dir has changed, and stays as it was until the relay is restarted")
        await program.line("reloaded: .*workers=1")
        assert not (tmp_path / "elsewhere").exists()
        assert await program.stop() == 0


async def test_the_log_moves_with_the_configuration(tmp_path: Path) -> None:
    """A new log.file has what comes after the reload; one that cannot be opened changes nothing."""
    file, old, new = tmp_path / "settings.json", tmp_path / "old.log", tmp_path / "new.log"
    door = notify_socket(tmp_path)
    async with little_relay({"NOTIFY_SOCKET": str(tmp_path / "notify")}, reload=str(file), log=str(old)) as program:
        await told(door, "READY=1")
        reloading(program, file, log=str(tmp_path / "missing" / "mail.log"))
        await told(door, "RELOADING=1")
        await told(door, "READY=1")
        reloading(program, file, log=str(new))
        await told(door, "RELOADING=1")
        await told(door, "READY=1")
        assert await program.stop() == 0
        assert not program.lines
    door.close()
    assert (
        f"not reloaded, the old configuration stays: cannot open the log {tmp_path}/missing/mail.log" in old.read_text()
    )
    assert "reloaded: " not in old.read_text()
    assert re.search(r"reloaded: [^\0]*stopped: clean=yes", new.read_text())


async def test_without_anything_to_reload_sighup_is_a_stop() -> None:
    """The sandbox ends with its terminal."""
    async with little_relay() as program:
        await port_of(program)
        program.send(signal.SIGHUP)
        assert await program.exit_code() == 0
        assert program.matching("stopping: signal=SIGHUP")
