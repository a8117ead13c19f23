"""Stops, crashes, upgrades and old age: nothing that was accepted is lost, and nothing waits longer than it must."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import office
from tests.parts.program import running

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_what_waits_at_a_stop_is_delivered_by_the_next_start(internet: Internet, tmp_path: Path) -> None:
    """SIGTERM in the middle of it: what waits is given back at once, so the next start need not wait for a lease."""
    settings = internet.settings(connections_per_destination=1, lease="1h") | {"grace": "1s"}
    async with internet.mx("restart.test", silent_at="DATA") as mx:
        async with office(tmp_path, internet, settings) as here:
            to = [f"bob{number}@restart.test" for number in range(20)]
            queue_id = await here.send(*to)
            await mx.heard("DATA")
            assert await here.program.stop() == 0
        # One plain file, which anybody may read: no WAL, nothing in hand.
        assert here.settled_down
        mx.silent_at = None
        async with office(tmp_path, internet, settings) as here:
            for recipient in to:
                await here.outcome(queue_id, "sent", to=recipient)
            assert sorted(copy.recipients[0] for copy in mx.messages) == sorted(to)
            assert {row["attempts"] for row in here.rows("SELECT attempts FROM email_status")} == {1}


async def test_a_stop_finishes_what_is_in_hand(internet: Internet, tmp_path: Path) -> None:
    """SIGTERM while a server thinks about a message: its answer is waited for, and kept."""
    async with office(tmp_path, internet) as here, internet.mx("finish.test", hold_at="DOT") as mx:
        queue_id = await here.send("bob@finish.test")
        await mx.heard("DATA")
        here.program.send(signal.SIGTERM)
        await here.program.line("stopping")
        mx.release.set()
        await here.outcome(queue_id, "sent")
        assert await here.program.exit_code() == 0
    assert here.rows("SELECT status FROM email_status")[0]["status"] == "sent"


async def test_a_relay_that_stops_begins_nothing_new(internet: Internet, tmp_path: Path) -> None:
    """However long a client takes to end its session: what becomes due meanwhile is for the next start."""
    settings = internet.settings() | {"grace": "3s"}
    async with office(tmp_path, internet, settings) as here, internet.mx("new.test", rcpt="450 4.2.1 later"):
        queue_id = await here.send("bob@new.test")
        await here.outcome(queue_id, "deferred")
        await here.cli("queue", "hold", queue_id, "--yes")
        reader, writer = await asyncio.open_connection(*here.program.submission)
        writer.write(b"EHLO slow\r\nMAIL FROM:<ada@sender.test>\r\nRCPT TO:<bob@new.test>\r\nDATA\r\n")
        await reader.readuntil(b"354 ")
        here.program.send(signal.SIGTERM)
        await here.program.line("stopping")
        await here.cli("queue", "release", queue_id, "--yes")
        await here.program.exit_code()
        writer.close()
    assert len(here.attempts(queue_id)) == 1


async def test_a_killed_worker_is_replaced_and_its_mail_arrives(internet: Internet, tmp_path: Path) -> None:
    """SIGKILL to the worker that has a message in hand: its lease ends, and the next worker tries again."""
    async with office(tmp_path, internet, internet.settings(lease="1s")) as here:
        async with internet.mx("killed.test", silent_at="DATA") as mx:
            queue_id = await here.send("bob@killed.test")
            await mx.heard("DATA")
            (worker,) = here.program.children
            os.kill(worker, signal.SIGKILL)
            await here.program.line("worker died")
            mx.silent_at = None
            await here.outcome(queue_id, "sent")
            assert [copy.recipients for copy in mx.messages] == [("bob@killed.test",)]
        assert worker not in here.program.children
        assert here.delivery(queue_id)["attempts"] == 2


async def test_a_database_of_a_newer_program_is_left_alone(engine: str, internet: Internet, tmp_path: Path) -> None:
    """A newer schema is refused in words, and not touched."""
    async with office(tmp_path, internet) as here:
        assert await here.program.stop() == 0
    if engine == "sqlite":
        here.views.change("PRAGMA user_version = 9999")
    here.views.change("UPDATE meta SET value = '9999' WHERE name IN ('compatible', 'schema')")
    before = here.rows("SELECT * FROM meta ORDER BY name")
    async with running("-m", "relay", "serve", "--config", str(tmp_path / "config.toml")) as program:
        assert await program.exit_code() != 0
        said = "\n".join(program.lines)
    assert "newer" in said and "Traceback" not in said
    assert here.rows("SELECT * FROM meta ORDER BY name") == before
    if engine == "sqlite":
        assert here.rows("PRAGMA user_version")[0]["user_version"] == 9999


async def test_what_is_old_goes(internet: Internet, tmp_path: Path) -> None:
    """Content goes with the last delivery; rows, when their time is over; what still waits stays whole."""
    settings = internet.settings() | {"retention": {"rows": "1ms", "transcripts": "1ms", "refused": "1ms"}}
    async with (
        office(tmp_path, internet, settings) as here,
        internet.mx("old.test", rcpt={"waits@old.test": ["451 try again in 1 hour", "250 Ok"]}) as mx,
    ):
        decided = await here.send("bob@old.test")
        await here.outcome(decided, "sent")
        waiting = await here.send("waits@old.test", body="still here\r\n")
        await here.outcome(waiting, "deferred")
        (kept,) = here.rows("SELECT count(DISTINCT queue_id) AS n FROM contents")
        assert kept["n"] == 1
        await here.cli("db", "prune")
        assert [row["queue_id"] for row in here.rows("SELECT * FROM email_status")] == [waiting]
        assert here.events(decided) == [] and here.attempts(decided) == []
        assert here.attempts(waiting)[0]["transcript"] is None
        (counted,) = here.rows("SELECT sum(requests) AS n FROM daily_stats")
        assert counted["n"] == 2
        await here.cli("queue", "retry", waiting, "--yes")
        await here.outcome(waiting, "sent")
        assert mx.messages[-1].content.endswith(b"still here\r\n")


async def test_a_second_sigterm_leaves_at_once(internet: Internet, tmp_path: Path) -> None:
    """Twice SIGTERM: nobody waits for a silent server, and the message is still ours."""
    async with office(tmp_path, internet) as here, internet.mx("twice.test", silent_at="DATA") as mx:
        await here.send("bob@twice.test")
        await mx.heard("DATA")
        here.program.send(signal.SIGTERM)
        await here.program.line("stopping")
        here.program.send(signal.SIGTERM)
        assert await here.program.exit_code() == 1
    assert here.rows("SELECT status FROM email_status")[0]["status"] in ("creating", "spooled")


async def test_clients_are_served_while_the_relay_is_stopped_and_started(internet: Internet, tmp_path: Path) -> None:
    """Messages accepted up to the last moment before a stop all arrive: what got its 250 is safe."""
    async with internet.mx("burst.test") as mx:
        async with office(tmp_path, internet) as here:
            queue_ids = await asyncio.gather(*(here.send(f"bob{number}@burst.test") for number in range(20)))
            assert await here.program.stop() == 0
        async with office(tmp_path, internet) as here:
            await mx.received(20)
            await here.program.stop()
        assert {row["queue_id"] for row in here.rows("SELECT * FROM email_status")} == set(queue_ids)
        assert {copy.recipients[0] for copy in mx.messages} == {f"bob{number}@burst.test" for number in range(20)}
