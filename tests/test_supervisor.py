"""The supervisor: workers start, are replaced, reload and stop; and what keeps them from starting is said in words."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.parts.program import ROOT, Program, running

READY = r"postfix-relay/relay\[\d+\]: ready: hostname=relay\.test, submission=127\.0\.0\.1:(\d+), workers=2$"


@asynccontextmanager
async def little_relay(env: dict[str, str] | None = None, **settings: object) -> AsyncIterator[Program]:
    with tempfile.TemporaryDirectory() as data_dir:
        described = json.dumps({"data_dir": data_dir} | settings)
        async with running("-m", "tests.parts.little_relay", described, env=env) as program:
            yield program


async def port_of(program: Program) -> int:
    found = re.search(READY, await program.line(READY))
    assert found
    return int(found[1])


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Which worker is at the other end: its number and its pid."""
    writer.write(b"who?\n")
    number, pid = (await reader.readline()).split()
    return int(number), int(pid)


async def test_all_workers_share_the_port_that_the_ready_line_names() -> None:
    """One ready line comes when every worker listens; port 0 is chosen once, for all of them."""
    async with little_relay() as program:
        port = await port_of(program)
        seen: dict[int, int] = {}
        while len(seen) < 2:  # the kernel spreads connections by their ports
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            number, pid = await ask(reader, writer)
            seen[number] = pid
            writer.close()
        assert set(seen) == {0, 1}
        assert set(seen.values()) == set(program.children)
        assert await program.stop() == 0
        assert len(program.matching("ready: ")) == 1


async def test_a_killed_worker_is_replaced() -> None:
    """A worker that dies is named and replaced, under a new number; the others go on; ready is said once."""
    async with little_relay() as program:
        await port_of(program)
        victim, other = program.children
        os.kill(victim, signal.SIGKILL)
        died = await program.line("warning: worker died")
        replaced = await program.line("worker replaced")
        assert f"worker_pid={victim}" in died
        assert "end=SIGKILL" in died
        assert re.search(r"number=[01], ", died)
        assert "number=2, " in replaced
        assert other in program.children
        assert victim not in program.children
        assert len(program.children) == 2
        assert await program.stop() == 0
        assert len(program.matching("ready: ")) == 1


async def test_sigterm_lets_workers_finish_what_is_in_hand() -> None:
    """After SIGTERM an open session is served to its end, no new one is accepted, and the exit code is 0."""
    async with little_relay() as program:
        port = await port_of(program)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number, pid = await ask(reader, writer)
        program.send(signal.SIGTERM)
        await program.line("worker finishes", count=2)
        assert await ask(reader, writer) == (number, pid)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        assert await program.exit_code() == 0
        assert len(program.matching("worker ends")) == 2
        assert program.matching("stopped: clean=yes")


async def test_a_second_sigterm_leaves_at_once() -> None:
    """Whoever says SIGTERM twice does not wait for the grace time; the exit code tells that it was not clean."""
    async with little_relay(behaviour="busy", grace=3600) as program:
        await port_of(program)
        program.send(signal.SIGTERM)
        await program.line("worker finishes", count=2)
        program.send(signal.SIGTERM)
        assert await program.exit_code() == 1
        assert program.matching("leaving at once, SIGTERM came again: workers=2")


async def test_the_grace_time_ends() -> None:
    """A worker that does not end within the grace time is killed."""
    async with little_relay(behaviour="busy", grace=0) as program:
        await port_of(program)
        assert await program.stop() == 1
        assert program.matching("leaving at once, the grace time of 0 s is over")


async def test_ctrl_c_is_a_stop_like_any_other() -> None:
    """A terminal sends SIGINT to the supervisor and the workers alike: all end cleanly, without a traceback."""
    async with little_relay() as program:
        await port_of(program)
        program.send_group(signal.SIGINT)
        assert await program.exit_code() == 0
        assert not program.matching("Traceback|KeyboardInterrupt|error")


async def test_workers_do_not_outlive_the_supervisor() -> None:
    """When the supervisor is killed its workers die too, so that the next start finds the ports free."""
    async with little_relay(behaviour="busy") as program:
        port = await port_of(program)
        await program.kill()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    async with little_relay(listen=f"127.0.0.1:{port}") as program:
        assert await port_of(program) == port


async def test_workers_that_cannot_start_make_it_give_up() -> None:
    """Several quick deaths before the first readiness end the program with 1, and with the reason."""
    async with little_relay(behaviour="failing", workers=1) as program:
        assert await program.exit_code() == 1
        assert program.matching(r'error: worker 0 failed: exception="ValueError: the cellar is flooded", at="little_')
        assert program.matching("error: giving up, a worker ended 3 times before it was ready, .* exit code 1")
        assert not program.matching("ready: |Traceback")


async def test_nothing_starts_when_the_preparation_fails() -> None:
    """`prepare` comes before any worker; if it fails the program ends with 1 and says why."""
    async with little_relay(prepare="failing") as program:
        assert await program.exit_code() == 1
        assert program.matching("error: prepare failed: .*the database is newer than this program")
        assert program.matching("error: cannot start, the preparation failed")
        assert not program.matching("worker")


async def test_sigterm_during_the_preparation_is_a_clean_stop() -> None:
    """A long migration can be interrupted: no worker starts, the exit code is 0."""
    async with little_relay(prepare="waiting") as program:
        await program.line("preparing")
        assert await program.stop() == 0
        assert not program.matching("worker")


async def test_systemd_is_told() -> None:
    """READY=1 comes after the last worker is ready, STOPPING=1 with the time that stopping may take."""
    name = f"\0mailtrail-test-{os.getpid()}"
    door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    door.setblocking(False)
    door.bind(name)
    async with little_relay({"NOTIFY_SOCKET": "@" + name[1:]}, grace=10) as program:
        assert "STATUS=accepting mail with 2 workers" in await told(door, "READY=1")
        assert await program.stop() == 0
        assert "EXTEND_TIMEOUT_USEC=14000000" in await told(door, "STOPPING=1")
    door.close()


async def test_a_port_in_use_is_an_error_in_words() -> None:
    """Who listens there already, its pid and the fix are named; nothing was prepared."""
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        async with little_relay(listen=f"127.0.0.1:{port}", prepare="waiting") as program:
            assert await program.exit_code() == 1
            words = rf'error: cannot listen on 127.0.0.1:{port} — already used by "[^"]+" \(pid {os.getpid()}[,)]'
            assert program.matching(words)
            assert "Fix: stop it, or listen on another port" in program.last
            assert not program.matching("preparing|Traceback")


async def test_a_second_relay_does_not_share_the_port_of_the_first() -> None:
    """SO_REUSEPORT is for our own workers: another relay of the same user is refused like any other program."""
    async with little_relay() as first:
        port = await port_of(first)
        async with little_relay(listen=f"127.0.0.1:{port}") as second:
            assert await second.exit_code() == 1
            assert second.matching(f'cannot listen on 127.0.0.1:{port} — already used by "mailtrail" ')


async def test_an_address_of_another_machine_is_an_error_in_words() -> None:
    """An address that this machine does not have cannot be listened on, and the text says so."""
    async with little_relay(listen="203.0.113.1:2587") as program:
        assert await program.exit_code() == 1
        assert program.matching(r"cannot listen on 203\.0\.113\.1:2587 — this machine has no such address")


async def test_a_log_that_cannot_be_opened_is_an_error_in_words(tmp_path: Path) -> None:
    """Without a log there is no relay: the path and the cause go to the terminal."""
    async with little_relay(log=str(tmp_path / "missing" / "mail.log")) as program:
        assert await program.exit_code() == 1
        assert program.lines == [
            f"mailtrail: cannot open the log {tmp_path}/missing/mail.log: No such file or directory"
        ]


async def test_a_second_relay_does_not_work_in_the_same_data_directory(tmp_path: Path) -> None:
    """Of two relays with one data_dir the second ends in words, whatever their ports; a crash locks nobody out."""
    async with little_relay(data_dir=str(tmp_path)) as first:
        await port_of(first)
        async with little_relay(data_dir=str(tmp_path), prepare="waiting") as second:
            assert await second.exit_code() == 1
            assert second.matching(
                rf"error: another relay \(pid {first.pid}\) already works in {tmp_path}\. Fix: stop it"
            )
            assert len(second.lines) == 1
        await first.kill()
    async with little_relay(data_dir=str(tmp_path)) as third:
        await port_of(third)


async def test_a_data_directory_that_cannot_be_used_is_an_error_in_words(tmp_path: Path) -> None:
    """Where data_dir cannot be made the program ends with 1 and says why."""
    (tmp_path / "file").touch()
    async with little_relay(data_dir=str(tmp_path / "file" / "data")) as program:
        assert await program.exit_code() == 1
        assert program.matching(rf"error: cannot use data_dir {tmp_path}/file/data: Not a directory")
        assert len(program.lines) == 1


async def test_a_worker_that_hangs_is_killed_and_replaced() -> None:
    """A worker whose event loop stands still gives no sign of life: it is killed; who knocks meanwhile is served."""
    async with little_relay(workers=1, hang=2) as program:
        port = int((await program.line("ready: ")).partition("127.0.0.1:")[2].partition(",")[0])
        (pid,) = program.children
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hang\n")
        await program.line("worker stands still")
        reader, late = await asyncio.open_connection("127.0.0.1", port)
        late.write(b"who?\n")
        await program.line(f"error: worker hangs, killing it: number=0, worker_pid={pid}")
        await program.line("worker died: .*end=SIGKILL")
        assert (await reader.readline()).startswith(b"1 ")
        writer.close()
        late.close()
        assert await program.stop() == 0


async def test_systemd_hears_that_all_workers_live(tmp_path: Path) -> None:
    """WATCHDOG=1 comes while every place has a worker that gives signs of life, and stays away while one hangs."""
    door = notify_socket(tmp_path)
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    async with little_relay(env, workers=1, hang=4) as program:
        port = int((await program.line("ready: ")).partition("127.0.0.1:")[2].partition(",")[0])
        await told(door, "WATCHDOG=1")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        writer.write(b"hang\n")
        await program.line("worker hangs")
        heard = 0
        while True:  # what came before it hung, and hardly more
            try:
                heard += b"WATCHDOG=1" in door.recv(4096)
            except BlockingIOError:
                break
        assert heard < 10
        await program.line("worker replaced")
        await told(door, "WATCHDOG=1")
        writer.close()
        assert await program.stop() == 0
    door.close()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_unit_trusts_nobody() -> None:
    """systemd's own judgement of the unit's exposure is under 1.5 of 10, and it finds nothing wrong in the file."""
    unit = ROOT / "systemd" / "mailtrail.service"
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert judged.returncode == 0, judged.stdout[-600:] + judged.stderr


def notify_socket(directory: Path) -> socket.socket:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    door.setblocking(False)
    door.bind(str(directory / "notify"))
    return door


async def told(door: socket.socket, wanted: str) -> list[str]:
    """The next message to systemd that says `wanted`."""
    async with asyncio.timeout(60):
        while wanted not in (said := (await asyncio.get_running_loop().sock_recv(door, 4096)).decode().split("\n")):
            pass
    return said
