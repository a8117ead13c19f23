"""DATA and BDAT on a real connection: mail that is smuggled, too big, too slow, or cut off."""

import asyncio
from pathlib import Path

import pytest

from tests.accept.service import Service, running


def kept(service: Service) -> bytes:
    """The last message's content below the lines that we add."""
    return service.last.content.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "ending", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n\n.\n\n", b"\r\r\n.\r\r\n", b"\r\n\x00.\r\n"]
)
async def test_nothing_but_crlf_dot_crlf_ends_data(here: Path, ending: bytes) -> None:
    """What follows a false end stays inside the message: no second mail is smuggled in, no bare CR or LF is kept."""
    smuggled = b"MAIL FROM:<eve@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nevil"
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        reply = await client.data(b"A: b\r\n\r\nhello" + ending + smuggled)
        assert reply.startswith("250 2.0.0 Queued as ")
        assert (await client.ask("NOOP")).startswith("250 ")
        assert len(service.store.accepted) == 1
        content = kept(service)
        assert b"MAIL FROM:<eve@example.com>\r\n" in content
        assert b"\r" not in content.replace(b"\r\n", b"") and b"\n" not in content.replace(b"\r\n", b"")


async def test_the_end_of_data_is_found_wherever_it_is_cut(here: Path) -> None:
    """Octet by octet, and with the next command in the same packet."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        for octet in b"A: b\r\n\r\n..\r\n.x\r\n.\r\nNOOP\r\n":
            await client.send(bytes([octet]))
            await asyncio.sleep(0)
        assert (await client.reply()).startswith("250 2.0.0 Queued")
        assert (await client.reply()).startswith("250 2.0.0 Ok")
        assert kept(service) == b".\r\nx\r\n"


async def test_an_empty_message_is_a_message(here: Path) -> None:
    """The dot may come at once."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        assert (await client.ask(".")).startswith("250 2.0.0 Queued")
        assert service.last.content.endswith(b"\r\n\r\n")


async def test_very_long_lines_are_kept_as_they_are(here: Path) -> None:
    """RFC 5321 4.5.3.1.6 asks clients for lines of at most 1000 octets; content is not ours to break."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        line = b"x" * 300_000
        assert (await client.data(b"A: b\r\n\r\n" + line)).startswith("250 ")
        assert kept(service) == line + b"\r\n"


async def test_a_message_announced_too_big_is_refused_at_once(here: Path) -> None:
    """RFC 1870 6.1: at MAIL, before an octet is sent."""
    async with running(here, max_message_size=1024) as service:
        client = await service.hello()
        assert (await client.ask("MAIL FROM:<a@example.com> SIZE=2048")).startswith(
            "552 5.3.4 Message is 2 KiB, limit is 1 KiB. Fix: raise submission.max_message_size or link to the file. "
        )


async def test_a_message_too_big_for_ever_is_not_asked_to_come_again(here: Path) -> None:
    """RFC 1870 6.1: its size is judged before our memory is: 552, and never a 452 that the client would wait out."""
    async with running(here, max_message_size=1024, memory=2000) as service:
        client = await service.hello()
        assert (await client.ask("MAIL FROM:<a@example.com> SIZE=99999999999999999999")).startswith(
            "552 5.3.4 Message is 95367431640625 MiB, limit is 1 KiB. "
        )


async def test_a_message_too_big_is_refused_after_its_end(here: Path) -> None:
    """The limit holds to the octet, while reading; the session goes on with the next command."""
    async with running(here, max_message_size=1024) as service:
        client = await service.hello()
        for size, reply in ((1022, "250 "), (1023, "552 5.3.4 "), (5000, "552 5.3.4 ")):
            await client.envelope()
            content = b"A: b\r\n\r\n" + b"x" * (size - 8)
            assert (await client.data(content)).startswith(reply)
        assert len(service.store.accepted) == 1


async def test_an_endless_line_is_cut_off_as_soon_as_it_is_longer_than_a_message(here: Path) -> None:
    """421 and an end, and no more than the limit was kept."""
    async with running(here, max_message_size=100_000) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        client.writer.write(b"x" * 3_000_000)
        assert (await client.reply()).startswith("421 4.7.0 A line is over its limit of 97.7 KiB")
        assert await client.at_end()
        assert not service.store.accepted


async def test_a_message_many_times_too_big_is_not_waited_for(here: Path) -> None:
    """552 in the middle, and an end."""
    async with running(here, max_message_size=10_000) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        client.writer.write(b"some words on a line\r\n" * 100_000)
        assert (await client.reply()).startswith("552 5.3.4 Message is ")
        assert await client.at_end()


async def test_memory_for_contents_is_limited(here: Path) -> None:
    """Over it: 452 4.3.1, for now, at MAIL where the size is announced, else after the data."""
    async with running(here, memory=5000) as service:
        client = await service.hello()
        assert (await client.ask("MAIL FROM:<a@example.com> SIZE=6000")).startswith(
            "452 4.3.1 Relay is receiving too much"
        )
        await client.envelope()
        assert (await client.data(b"x" * 6000)).startswith("452 4.3.1 ")
        await client.envelope()
        assert (await client.data(b"x" * 4000)).startswith("250 ")
        await client.envelope()
        assert (await client.data(b"x" * 4000)).startswith("250 ")


async def test_a_client_that_stops_in_the_middle_hears_421(here: Path) -> None:
    """RFC 5321 4.5.3.2.5, with a shorter time; nothing is accepted."""
    async with running(here, data_timeout=0.05, min_data_rate=1) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b"A: b\r\n" * 100)
        assert (await client.reply()).startswith("421 4.4.2 Nothing came for too long")
        assert not service.store.accepted
        assert "timeout after DATA from localhost[127.0.0.1]" in service.log_lines()


async def test_a_client_that_only_drips_hears_421(here: Path) -> None:
    """A timer for each chunk is not enough: the whole has a least rate."""
    async with running(here, data_timeout=0.05, min_data_rate=1_000_000) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b"A: b\r\n")
        reply = asyncio.ensure_future(client.reply())
        while not reply.done():
            client.writer.write(b"x\r\n")
            await asyncio.wait([reply], timeout=0.001)
        assert reply.result().startswith("421 4.4.2 Message came slower than 1000000 octets per second. [R4121 ")


async def test_without_a_least_rate_a_client_may_take_its_time(here: Path) -> None:
    """`min_data_rate = 0`: only the timer for each chunk is left."""
    async with running(here, min_data_rate=0) as service:
        client = await service.hello()
        await client.envelope()
        assert (await client.data(b"hello")).startswith("250 ")


async def test_a_message_that_is_cut_off_is_not_accepted(here: Path) -> None:
    """No final dot, no message; the log says where the client went."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.ask("DATA")
        await client.send(b"A: b\r\n\r\nhello\r\n.")
        client.writer.write_eof()
        assert await client.at_end()
        assert not service.store.accepted
        assert "lost connection after DATA from localhost[127.0.0.1]" in service.log_lines()


# --- BDAT ----------------------------------------------------------------------------------------------------


async def test_chunks_make_a_message(here: Path) -> None:
    """RFC 3030: dots are content, a CRLF may be cut, the last chunk may be empty, line ends are settled as in DATA."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.send(b"BDAT 12\r\nA: b\r\n\r\n.\r\n\r" + b"BDAT 5\r\n\n.\na\r" + b"BDAT 0 LAST\r\nNOOP\r\n")
        assert await client.reply() == "250 2.0.0 12 octets received"
        assert await client.reply() == "250 2.0.0 5 octets received"
        assert (await client.reply()).startswith("250 2.0.0 Queued as ")
        assert (await client.reply()) == "250 2.0.0 Ok"
        assert kept(service) == b".\r\n\r\n.\r\na\r\n"


@pytest.mark.parametrize("before", ["", "MAIL FROM:<bad>", "MAIL FROM:<a@example.com>"])
async def test_the_octets_of_a_chunk_are_read_whatever_was_refused_before(here: Path, before: str) -> None:
    """Otherwise content would be taken for commands."""
    async with running(here) as service:
        client = await service.hello()
        if before:
            await client.ask(before)
        content = b"RCPT TO:<b@example.net>\r\nQUIT\r\n"
        await client.send(b"BDAT %d LAST\r\n%sNOOP\r\n" % (len(content), content))
        assert (await client.reply()).startswith("503 5.5.1 ")
        assert (await client.reply()).startswith("250 2.0.0 Ok")
        assert not service.store.accepted


async def test_a_chunk_too_big_fails_the_message_and_the_next_chunks_are_503(here: Path) -> None:
    """RFC 3030 2: and all their octets are read."""
    async with running(here, max_message_size=100) as service:
        client = await service.hello()
        await client.envelope()
        await client.send(
            b"BDAT 60\r\n" + b"x" * 60 + b"BDAT 60\r\n" + b"x" * 60 + b"BDAT 5 LAST\r\nQUIT\r" + b"NOOP\r\n"
        )
        assert await client.reply() == "250 2.0.0 60 octets received"
        assert (await client.reply()).startswith("552 5.3.4 ")
        assert (await client.reply()).startswith("503 5.5.1 ")
        assert await client.reply() == "250 2.0.0 Ok"
        await client.envelope()
        assert (await client.data(b"hello")).startswith("250 ")


async def test_bdat_and_data_do_not_mix(here: Path) -> None:
    """RFC 3030 2: after a chunk only chunks, until the last one or RSET."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.send(b"BDAT 3\r\nabc")
        assert await client.reply() == "250 2.0.0 3 octets received"
        assert (await client.ask("DATA")).startswith("503 5.5.1 ")
        assert (await client.ask("RCPT TO:<c@example.net>")).startswith("503 5.5.1 ")
        assert (await client.ask("MAIL FROM:<>")).startswith("503 5.5.1 ")
        assert (await client.ask("RSET")).startswith("250 ")
        assert (await client.ask("BDAT 0 LAST")).startswith("503 5.5.1 ")


@pytest.mark.parametrize("size", ["x", "", "-1", "10 MORE"])
async def test_after_a_chunk_of_unknown_size_we_hang_up(here: Path, size: str) -> None:
    """Nobody knows where the next command begins."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        assert (await client.ask(f"BDAT {size}\r\nQUIT")).startswith("501 5.5.4 ")
        assert await client.at_end()


async def test_a_chunk_of_absurd_size_is_not_waited_for(here: Path) -> None:
    """552 before it comes, and an end."""
    async with running(here, max_message_size=1000) as service:
        client = await service.hello()
        await client.envelope()
        assert (await client.ask("BDAT 99999999999999999999 LAST")).startswith("552 5.3.4 ")
        assert await client.at_end()
