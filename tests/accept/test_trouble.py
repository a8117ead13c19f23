"""When something fails: the store, our own code, the client, or the day is over."""

import asyncio
from pathlib import Path

import pytest

from relay.accept import server
from relay.accept.body import Body
from tests.accept.service import PATIENCE, running


async def test_a_store_that_cannot_be_written_is_4yz_and_recovers_by_itself(here: Path) -> None:
    """451 4.3.1: nothing is lost, the client tries again; so does the same session."""
    async with running(here) as service:
        client = await service.hello()
        service.store.full = True
        await client.envelope()
        assert (await client.data(b"hello")).startswith(
            "451 4.3.1 Relay cannot store mail right now, please retry. [R4110 "
        )
        service.store.full = False
        await client.envelope()
        assert (await client.data(b"hello")).startswith("250 ")


async def test_our_own_failure_is_451_and_never_tells_why(here: Path) -> None:
    """Fixed text with a reference; the log has the exception under the same one."""
    async with running(here) as service:
        client = await service.hello()
        service.store.trouble = RuntimeError("secret innards")
        await client.envelope()
        reply = await client.data(b"hello")
        ref = service.store.refusals[-1].ref
        assert reply == f"451 4.3.0 Something went wrong in the relay, please retry. [R4124 {ref}]"
        logged = service.log_lines()
        assert "RuntimeError" in logged and "secret innards" in logged and f"ref={ref}" in logged
        service.store.trouble = None
        await client.envelope()
        assert (await client.data(b"hello")).startswith("250 ")


@pytest.mark.parametrize("command", ["DATA", "BDAT 1000 LAST"])
async def test_after_our_own_failure_in_the_middle_content_is_not_taken_for_commands(
    here: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """What still comes of the message may look like another one: 451, and the session is over."""

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Body, "feed", no_memory)
    monkeypatch.setattr(Body, "add", no_memory)
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.send(command.encode() + b"\r\n")
        if command == "DATA":
            assert (await client.reply()).startswith("354 ")
        await client.send(b"hello\r\nMAIL FROM:<eve@example.com>\r\n")
        assert (await client.reply()).startswith("451 4.3.0 ")
        assert await client.at_end()


async def test_a_client_that_hangs_up_after_the_dot_does_not_undo_the_commit(here: Path) -> None:
    """It has sent everything; the message is kept, logged and handed over."""
    async with running(here, room=1) as service:
        client = await service.hello()
        await client.envelope()
        service.store.gate.clear()
        await client.ask("DATA")
        await client.send(b"hello\r\n.\r\n")
        await service.store.committing.wait()
        client.writer.transport.abort()
        service.store.gate.set()
        await service.store.committed.wait()
        assert service.last.deliveries[0].recipient.local == "b"
    assert service.hand.given == [service.last]
    assert f"{service.last.message.queue_id}: from=<a@example.com>" in (here / "mail.log").read_text()


async def test_no_reply_before_the_commit(here: Path) -> None:
    """Accepted means safe: while the store has not committed there is no 250."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        service.store.gate.clear()
        await client.ask("DATA")
        await client.send(b"hello\r\n.\r\n")
        reply = asyncio.ensure_future(client.reply())
        await service.store.committing.wait()
        await asyncio.wait([reply], timeout=0.05)
        assert not reply.done()
        service.store.gate.set()
        assert (await reply).startswith("250 ")


async def test_at_the_end_of_the_day_idle_sessions_hear_421(here: Path) -> None:
    """RFC 5321 3.8: at once, where they had their message; and nobody new is let in."""
    async with running(here) as service:
        idle = await service.hello()
        await idle.envelope()
        await idle.data(b"hello")
        closing = asyncio.ensure_future(service.server.close(grace=PATIENCE))
        assert (await idle.reply()).startswith("421 4.3.2 Relay is shutting down")
        assert await idle.at_end()
        await closing
        assert service.server.sessions == 0
        try:
            late = await service.connect()
        except ConnectionRefusedError:
            return
        assert await late.at_end()


async def test_at_the_end_of_the_day_who_has_just_come_may_send_a_message(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found a relay that looked well; after its message it hears 421, in the middle of an envelope it does not."""
    monkeypatch.setattr(server, "CHANCE", PATIENCE)
    async with running(here) as service:
        early = await service.hello()
        just_now = await service.connect()
        begun = await service.hello()
        assert (await begun.ask("MAIL FROM:<a@example.com>")).startswith("250 ")
        assert (await just_now.reply()).startswith("220 ")
        closing = asyncio.ensure_future(service.server.close(grace=3 * PATIENCE))
        for client in (early, just_now, begun):
            if client is just_now:
                assert (await client.ask("EHLO app.example.com")).startswith("250-")
            if client is begun:
                assert (await client.ask("RCPT TO:<b@example.net>")).startswith("250 ")
            else:
                await client.envelope()
            assert (await client.data(b"hello")).startswith("250 2.0.0 Queued as ")
            assert (await client.reply()).startswith("421 4.3.2 ")
            assert await client.at_end()
        await closing
        assert len(service.store.accepted) == 3


async def test_at_the_end_of_the_day_who_has_just_come_and_is_silent_hears_421(here: Path) -> None:
    """Its chance is over long before the grace time is: nobody is cut off without a word."""
    async with running(here) as service:
        silent = await service.hello()
        await service.server.close(grace=0.2)
        assert (await silent.reply()).startswith("421 4.3.2 Relay is shutting down")
        assert await silent.at_end()


async def test_at_the_end_of_the_day_a_command_in_hand_is_finished(here: Path) -> None:
    """A message whose dot is on its way gets its 250, and then 421."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b"hello")
        closing = asyncio.ensure_future(service.server.close(grace=30.0))
        await client.send(b"\r\n.\r\n")
        assert (await client.reply()).startswith("250 2.0.0 Queued as ")
        assert (await client.reply()).startswith("421 4.3.2 ")
        await closing


async def test_after_the_grace_time_the_rest_is_cut_off(here: Path) -> None:
    """A client in the middle of DATA that does not come to an end."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b"hello")
        await service.server.close(grace=0.05)
        assert await client.at_end()
        assert not service.store.accepted


async def test_a_client_that_reads_no_replies_is_given_up(here: Path) -> None:
    """Replies nobody takes are not kept for ever: the session ends when its time is over."""
    async with running(here, command_timeout=0.2) as service:
        client = await service.hello()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"EHLO app.example.com\r\n" * 200_000)
        await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name().startswith("smtp ")])
        assert service.server.sessions == 0


async def test_hundreds_of_sessions_at_once_are_all_served(here: Path) -> None:
    """Each its own message, none mixed up."""
    async with running(here, max_sessions_per_client=300) as service:

        async def one(number: int) -> None:
            client = await service.hello()
            await client.envelope("a@example.com", f"b{number}@example.net")
            assert (await client.data(b"Subject: %d\r\n\r\nhello %d" % (number, number))).startswith("250 ")
            await client.ask("QUIT")

        await asyncio.gather(*(one(number) for number in range(200)))
        assert len(service.store.accepted) == 200
        for accepted in service.store.accepted:
            assert str(accepted.deliveries[0].recipient) == f"b{accepted.message.subject}@example.net"
            assert accepted.content.endswith(b"hello " + accepted.message.subject.encode() + b"\r\n")
