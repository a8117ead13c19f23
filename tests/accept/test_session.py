"""A session of an application: its commands, one by one and all at once."""

import asyncio
import socket
from pathlib import Path

import pytest

from relay.address import Address
from relay.envelope import Notify, Ret
from tests.accept.service import HOST, running


async def test_ehlo_announces_what_we_do_and_nothing_else(here: Path) -> None:
    """No STARTTLS without a certificate; AUTH in the clear for trusted networks."""
    async with running(here) as service:
        client = await service.connect()
        assert await client.reply() == f"220 {HOST} ESMTP Mailtrail"
        assert (await client.ask("EHLO app.example.com")).split("\n") == [
            f"250-{HOST}",
            "250-SIZE 26214400",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-PIPELINING",
            "250-ENHANCEDSTATUSCODES",
            "250-DSN",
            "250-CHUNKING",
            "250 AUTH PLAIN LOGIN",
        ]


async def test_a_message_is_accepted_with_its_whole_envelope(here: Path) -> None:
    """MAIL and RCPT with the parameters of RFC 3461 reach the store as they were sent."""
    async with running(here) as service:
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=Qq+2B")
        await client.ask("RCPT TO:<b@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@example.net")
        await client.ask("RCPT TO:<postmaster>")
        reply = await client.data(b"Subject: hi\r\n\r\nhello")
        message, (bob, postmaster) = service.last.message, service.last.deliveries
        assert reply == f"250 2.0.0 Queued as {message.queue_id}"
        assert (message.ret, message.envid, message.eight_bit) == (Ret.HDRS, "Qq+2B", True)
        assert (bob.notify, bob.orcpt) == (frozenset({Notify.SUCCESS, Notify.FAILURE}), "rfc822;Bob@example.net")
        assert (bob.number, bob.destination, postmaster.number) == (0, "example.net", 1)
        assert postmaster.recipient == Address("postmaster", HOST)
        assert await client.ask("QUIT") == "221 2.0.0 Bye"
        assert await client.at_end()


async def test_the_replies_to_pipelined_commands_leave_together(here: Path) -> None:
    """RFC 2920: a client may send its commands in one piece, and gets the replies in order, in one write."""
    async with running(here) as service:
        client = await service.hello()
        await client.send(
            b"MAIL FROM:<a@example.com>\r\nRCPT TO:<bad>\r\n"
            b"RCPT TO:<b@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"
        )
        replies = await asyncio.wait_for(client.reader.read(4096), 10)
        assert [line[:3] for line in replies.split(b"\r\n")] == [b"250", b"501", b"250", b"250", b"354", b""]
        await client.send(b"hello\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n")
        assert [(await client.reply())[:3] for _ in range(4)] == ["250", "250", "250", "221"]
        assert len(service.last.deliveries) == 1


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"NOOP x", "250 2.0.0"),
        (b"noop", "250 2.0.0"),
        (b"HELP", "214 2.0.0"),
        (b"HELP MAIL", "214 2.0.0"),
        (b"HELP \\", "214 2.0.0"),
        (b"RSET", "250 2.0.0"),
        (b"RSET x", "501 5.5.4"),
        (b"VRFY ada", "252 2.5.2"),
        ("VRFY jürgen".encode(), "252 2.5.2"),
        (b"VRFY", "501 5.5.4"),
        (b"EXPN list", "502 5.5.1"),
        (b"ETRN x", "502 5.5.1"),
        (b"STARTTLS", "502 5.5.1"),
        (b"HELO", "501 5.5.4"),
        (b"EHLO a b", "501 5.5.4"),
        (b"EHLO \xc3\xbc", "500 5.5.2"),
        (b"", "500 5.5.1"),
        (b"WHAT", "500 5.5.1"),
        (b"\xff\xfe", "500 5.5.2"),
        (b"NO\0OP", "500 5.5.2"),
        (b"NOOP \x1b[2J", "500 5.5.2"),
        (b"NOOP \t", "500 5.5.2"),
        (b"NOOP a\rb", "500 5.5.2"),
        (b"NOOP " + b"x" * 2050, "500 5.5.6"),
        (b"NOOP " + b"x" * 20000, "500 5.5.6"),
        (b"MAIL TO:<a@example.com>", "501 5.5.4"),
        (b"MAIL FROM:a@example.com", "501 5.5.4"),
        (b"MAIL FROM:<a@example.com> X-UNKNOWN=1", "555 5.5.4"),
        (b"MAIL FROM:<a\x01@example.com>", "500 5.5.2"),
        (b"MAIL FROM:<a(x)@example.com>", "501 5.1.7"),
        ("MAIL FROM:<ä@example.com>".encode(), "501 5.1.7"),
        (b"RCPT TO:<b@example.net>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"DATA x", "501 5.5.4"),
    ],
)
async def test_every_command_has_a_clear_answer(here: Path, line: bytes, reply: str) -> None:
    """Right or wrong; and afterwards the session goes on."""
    async with running(here) as service:
        client = await service.hello()
        answer = await client.ask(line)
        assert answer.startswith(reply + " ")
        assert answer.isprintable()
        assert (await client.ask("NOOP")).startswith("250 ")


async def test_the_order_of_commands_is_kept(here: Path) -> None:
    """RFC 5321 4.1.4: EHLO, MAIL, RCPT, DATA; EHLO in between begins anew; HELO alone is enough for plain mail."""
    async with running(here) as service:
        client = await service.connect()
        await client.reply()
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith("503 5.5.1 ")
        assert await client.ask("HELO app") == f"250 {HOST}"
        assert (await client.ask("MAIL FROM:<a@example.com> SIZE=1")).startswith("555 ")
        assert (await client.ask("AUTH PLAIN AGEAYg==")).startswith("503 ")
        await client.envelope()
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith("503 ")
        assert (await client.ask("EHLO app")).startswith("250-")
        assert (await client.ask("RCPT TO:<b@example.net>")).startswith("503 ")
        assert (await client.ask("MAIL FROM:<>")).startswith("250 ")
        assert (await client.ask("DATA")).startswith("503 5.5.1 Send RCPT first")
        assert (await client.ask("RCPT TO:<>")).startswith("501 5.1.3 ")
        assert (await client.ask("RCPT TO:<bad>")).startswith('501 5.1.3 Recipient "bad" is not a valid address')


async def test_a_refused_recipient_is_kept_with_its_sender(here: Path) -> None:
    """Log and `refused` say whose message it was: that is whom one asks."""
    async with running(here) as service:
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com>")
        assert (await client.ask("RCPT TO:<b..c@example.net>")).startswith("501 5.1.3 ")
        assert service.store.refusals[-1].mail_from == "a@example.com"
        assert "; from=<a@example.com> " in service.log_lines()


async def test_smtputf8_addresses_are_taken_where_they_were_asked_for(here: Path) -> None:
    """RFC 6531 3.4: the parameter holds for the whole transaction."""
    async with running(here) as service:
        client = await service.hello()
        assert (await client.ask("MAIL FROM:<jürgen@bücher.example> SMTPUTF8")).startswith("250 ")
        assert (await client.ask("RCPT TO:<ana@ñandú.example>")).startswith("250 ")
        assert (await client.data(b"hello")).startswith("250 ")
        assert service.last.deliveries[0].destination == "xn--and-6ma2c.example"
        assert b"with UTF8SMTP id" in service.last.content
        assert b"for <ana@xn--and-6ma2c.example>" in service.last.content


async def test_our_own_header_lines_need_smtputf8_only_where_the_address_does(here: Path) -> None:
    """RFC 6531 3.2: a domain has A-labels, so an address beyond ASCII in its domain alone keeps the header ASCII."""
    async with running(here) as service:
        client = await service.hello()
        for recipient, ascii_alone in (("ana@ñandú.example", True), ("aña@ñandú.example", False)):
            assert (await client.ask("MAIL FROM:<a@example.com> SMTPUTF8")).startswith("250 ")
            assert (await client.ask(f"RCPT TO:<{recipient}>")).startswith("250 ")
            assert (await client.data(b"Subject: hello\r\n\r\nhello")).startswith("250 ")
            assert service.last.content.isascii() is ascii_alone
        assert "for <aña@ñandú.example>".encode() in service.last.content


async def test_a_command_that_ends_in_lf_alone_is_refused(here: Path) -> None:
    """Clearly, and without taking what follows for something else."""
    async with running(here) as service:
        client = await service.hello()
        await client.send(b"NOOP\nNOOP\r\n")
        assert (await client.reply()).startswith("500 5.5.2 A command line ends in CRLF")
        assert (await client.reply()).startswith("250 ")


async def test_recipients_are_limited_and_the_rest_can_be_sent_later(here: Path) -> None:
    """RFC 5321 4.5.3.1.10: 452 for those above the limit, and the message goes to the others."""
    async with running(here, max_recipients=2) as service:
        client = await service.hello()
        await client.envelope("a@example.com", "b@example.net", "c@example.net", "B@example.net".lower())
        assert (await client.ask("RCPT TO:<d@example.net>")).startswith(
            "452 4.5.3 Too many recipients, limit 2 per message. [R4107 "
        )
        assert (await client.data(b"hello")).startswith("250 ")
        assert [str(delivery.recipient) for delivery in service.last.deliveries] == ["b@example.net", "c@example.net"]


async def test_a_client_that_only_errs_is_sent_away(here: Path) -> None:
    """After max_errors commands in error: 421, and we hang up."""
    async with running(here, max_errors=3) as service:
        client = await service.hello()
        for _ in range(2):
            assert (await client.ask("WHAT")).startswith("500 ")
        assert (await client.ask("WHAT")).startswith("500 ")
        assert (await client.reply()).startswith("421 4.7.0 Too many commands in error, limit 3. [R4116 ")
        assert await client.at_end()


async def test_sessions_are_limited_per_client_and_in_all(here: Path) -> None:
    """421 at the door; whoever leaves makes room."""
    async with running(here, max_sessions_per_client=2) as service:
        first = await service.hello()
        await service.hello()
        third = await service.connect()
        assert (await third.reply()).startswith("421 4.7.0 Too many sessions from your address, limit 2. [R4115 ")
        assert await third.at_end()
        await first.ask("QUIT")
        assert await first.at_end()
        await service.hello()
    async with running(here, max_sessions=1) as service:
        await service.hello()
        assert (await (await service.connect()).reply()).startswith("421 4.3.2 Too many sessions, limit 1")
        assert service.store.refusals[0].stage == "CONNECT"


async def test_a_silent_client_hears_421(here: Path) -> None:
    """RFC 5321 4.5.3.2.7, with a shorter time."""
    async with running(here, command_timeout=0.05) as service:
        client = await service.connect()
        await client.reply()
        assert (await client.reply()).startswith("421 4.4.2 ")
        assert await client.at_end()
        assert "timeout after CONNECT from localhost[127.0.0.1]" in service.log_lines()


async def test_an_endless_command_line_is_cut_off(here: Path) -> None:
    """421 after 64 KiB without a line end, and the client can read it although it was still sending."""
    async with running(here) as service:
        client = await service.hello()
        client.writer.write(b"x" * 300_000)
        assert (await client.reply()).startswith("421 4.7.0 A line is over its limit of 64 KiB")
        assert await client.at_end()


async def test_what_was_refused_is_kept_with_the_reference_of_the_reply(here: Path) -> None:
    """Reply, log line and refusal carry the same one."""
    async with running(here) as service:
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com>")
        reply = await client.ask("RCPT TO:<bad address>")
        refusal = service.store.refusals[-1]
        assert reply.endswith(f"[R4106 {refusal.ref}]")
        assert (refusal.rule, refusal.code, refusal.dsn, refusal.stage) == ("R4106", 501, "5.1.3", "RCPT")
        assert refusal.text == reply
        assert f"[R4106 {refusal.ref}]" in service.log_lines()
        assert len(refusal.ref) >= 4 and refusal.ref.isalnum()


async def test_the_log_tells_the_session_in_the_words_of_postfix(here: Path) -> None:
    """connect, client=, message-id=, from=, disconnect with its counts; client= before from=."""
    async with running(here) as service:
        client = await service.hello()
        await client.envelope()
        await client.data(b"Message-ID: <1@example.com>\r\n\r\nhello")
        await client.ask("WHAT")
        await client.ask("QUIT")
        assert await client.at_end()
    lines = (here / "mail.log").read_text()
    queue_id = service.last.message.queue_id
    wanted = [
        "submission/smtpd",
        "connect from localhost[127.0.0.1]",
        f"{queue_id}: client=localhost[127.0.0.1]",
        f"{queue_id}: message-id=<1@example.com>",
        f"{queue_id}: from=<a@example.com>, size=",
        "disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 unknown=0/1 quit=1 commands=5/6",
    ]
    positions = [lines.index(words) for words in wanted]
    assert positions == sorted(positions)


async def test_a_half_closed_client_still_gets_its_replies(here: Path) -> None:
    """Whoever sends everything, closes its side and listens, hears everything."""
    async with running(here) as service:
        client = await service.connect()
        await client.send(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nhello\r\n.\r\n")
        client.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        replies = [(await client.reply())[:3] for _ in range(6)]
        assert replies == ["220", "250", "250", "250", "354", "250"]
        assert await client.at_end()
        assert len(service.store.accepted) == 1
