"""One transaction: what is sent, and what a server's answers become."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Address, parse_address
from relay.config import Timeouts
from relay.deliver.client import Client, Connection, dot_stuffed
from relay.deliver.conversation import Conversation
from relay.deliver.exchange import Failure, Kind, Sent, Step
from relay.delivery import Delivery
from relay.envelope import Message, Notify, Ret, Role
from tests.parts.mx import EXTENSIONS, FakeMx

CONTENT = b"Subject: hello\r\n\r\nHello.\r\n"
CLIENT = Client("relay.test")
IMPATIENT = Client("relay.test", Timeouts(*(0.05,) * 9, quit=0.05))


def delivery(to: str = "a@x.test", *, sender: str | None = "s@y.test", **message: object) -> Delivery:
    path = parse_address(sender) if sender else None
    values = {"queue_id": "0123456789ab", "received_at": 0.0, "reverse_path": path, "size": 0, "sender": sender or ""}
    recipient = parse_address(to)
    return Delivery(Message(**(values | message)), 0, recipient, Role.TO, recipient.destination)  # type: ignore[arg-type]


async def opened(mx: FakeMx, client: Client = CLIENT) -> Connection:
    connection = await client.open(mx.hop(), Conversation())
    assert isinstance(connection, Connection), connection
    return connection


async def send(
    mx: FakeMx, what: Delivery | None = None, content: bytes = CONTENT, client: Client = CLIENT
) -> Sent | Failure:
    """One message over a connection of its own."""
    connection = await opened(mx, client)
    outcome = await connection.send(what or delivery(), content, Conversation())
    await connection.close()
    return outcome


@pytest.fixture(params=["pipelined", "one by one"])
def ehlo(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Every rule holds with PIPELINING and without."""
    return EXTENSIONS if request.param == "pipelined" else tuple(word for word in EXTENSIONS if word != "PIPELINING")


async def test_a_message_arrives_as_it_is(ehlo: tuple[str, ...]) -> None:
    """The content arrives byte for byte, from the reverse-path, to the one recipient, and 250 makes it sent."""
    async with FakeMx(ehlo=ehlo) as mx:
        outcome = await send(mx)
        assert isinstance(outcome, Sent) and outcome.reply.line == "250 2.0.0 Ok: queued"
        [message] = mx.messages
        assert (message.mail_from, message.recipients, message.content) == ("s@y.test", ("a@x.test",), CONTENT)


async def test_pipelining_is_used_where_offered() -> None:
    """RFC 2920: MAIL, RCPT and DATA are said before the first of them is answered."""
    async with FakeMx() as mx:
        connection = await opened(mx)
        conversation = Conversation()
        await connection.send(delivery(), CONTENT, conversation)
        await connection.close()
    assert "".join(line.who for line in conversation.lines) == "CCCSSSCS"


async def test_a_connection_carries_many_messages(ehlo: tuple[str, ...]) -> None:
    """A connection is used again, and each new conversation says so."""
    async with FakeMx(ehlo=ehlo) as mx:
        connection = await opened(mx)
        for _ in range(3):
            conversation = Conversation()
            assert isinstance(await connection.send(delivery(), CONTENT, conversation), Sent)
        await connection.close()
        assert mx.connections == 1 and len(mx.messages) == 3 == connection.messages
        assert conversation.lines[0].text == f"reused connection to mx.test[127.0.0.1]:{mx.port} (message 3)"
        assert conversation.source_ip == "127.0.0.1"


REFUSALS: dict[str, tuple[Step, dict[str, object]]] = {
    "MAIL": (Step.MAIL, {"mail": ["550 5.7.1 not you", "250 ok"]}),
    "RCPT": (Step.RCPT, {"rcpt": {"a@x.test": ["550 5.7.1 not you", "250 ok"]}}),
    "DATA": (Step.DATA, {"data": ["550 5.7.1 not you", "354 ok"]}),
    "DOT": (Step.DOT, {"dot": ["550 5.7.1 not you", "250 ok"]}),
}


@pytest.mark.parametrize("at", REFUSALS)
async def test_after_a_refusal_the_connection_is_as_good_as_new(at: str, ehlo: tuple[str, ...]) -> None:
    """A refusal names its step and reply, and the next message goes over the same connection."""
    step, data = REFUSALS[at]
    async with FakeMx(ehlo=ehlo, **data) as mx:  # type: ignore[arg-type]
        connection = await opened(mx)
        failure = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(failure, Failure) and failure.reply
        assert (failure.step, failure.kind, failure.reply.line) == (step, Kind.REPLY, "550 5.7.1 not you")
        assert connection.usable
        assert isinstance(await connection.send(delivery(), CONTENT, Conversation()), Sent)
        await connection.close()
        assert mx.connections == 1 and len(mx.messages) == 1


@pytest.mark.parametrize("at", REFUSALS)
async def test_after_421_the_connection_is_over(at: str, ehlo: tuple[str, ...]) -> None:
    """RFC 5321 3.8: 421 at any step is a reply to that step, and ends the connection."""
    step, data = REFUSALS[at]
    async with FakeMx(ehlo=ehlo, **dict.fromkeys(data, "421 4.3.2 closing")) as mx:  # type: ignore[arg-type]
        connection = await opened(mx)
        failure = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(failure, Failure) and failure.reply and not failure.stale
        assert (failure.step, failure.reply.code) == (step, 421)
        assert not connection.usable
        await connection.close()


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize(
    ("misbehaviour", "kind"),
    [
        ("drop_at", Kind.LOST),
        ("silent_at", Kind.TIMEOUT),
        ("garbage_at", Kind.GARBAGE),
        ("endless_reply_at", Kind.GARBAGE),
    ],
)
async def test_every_misbehaviour_is_a_failure_at_its_step(
    misbehaviour: str, kind: Kind, at: str, ehlo: tuple[str, ...]
) -> None:
    """Hanging up, silence and nonsense are values that say where and how; the connection is over."""
    steps = {"MAIL": Step.MAIL, "RCPT": Step.RCPT, "DATA": Step.DATA, "DOT": Step.DOT}
    async with FakeMx(ehlo=ehlo, **{misbehaviour: at}) as mx:  # type: ignore[arg-type]
        connection = await opened(mx, IMPATIENT)
        failure = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(failure, Failure)
        assert (failure.step, failure.kind, failure.stale) == (steps[at], kind, False)
        assert not connection.usable
        await connection.close()
        await mx.closed()


@pytest.mark.parametrize("at", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_reply_whose_line_never_ends_is_no_reply(at: str, ehlo: tuple[str, ...]) -> None:
    """Without CRLF a reply is missing, or in a pipeline runs into the next one."""
    async with FakeMx(ehlo=ehlo, no_crlf_at=at) as mx:
        failure = await send(mx, client=IMPATIENT)
        assert isinstance(failure, Failure) and failure.kind in (Kind.TIMEOUT, Kind.GARBAGE)


async def test_a_reply_that_has_no_place_here_is_garbage() -> None:
    """250 to DATA is no leave to send, and 999 is no reply at all."""
    async with FakeMx(data="250 2.0.0 fine") as mx:
        failure = await send(mx)
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (Step.DATA, Kind.GARBAGE)
    async with FakeMx(mail="999 beep") as mx:
        failure = await send(mx)
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (Step.MAIL, Kind.GARBAGE)


async def test_control_bytes_in_a_reply_are_made_printable() -> None:
    """What a server says is shown on screens: escape sequences and broken UTF-8 do not reach them."""
    async with FakeMx(rcpt="550 5.1.1 \x1b[2J bell\x07 \udcff") as mx:
        connection = await opened(mx)
        conversation = Conversation()
        failure = await connection.send(delivery(), CONTENT, conversation)
        await connection.close()
    assert isinstance(failure, Failure) and failure.reply and failure.reply.text == "?[2J bell? ?"
    assert all(line.text.isprintable() for line in conversation.lines)


async def test_replies_that_end_in_lf_alone_are_understood() -> None:
    """Be liberal in what you accept: LF ends a line of a reply too."""
    async with FakeMx(lone_lf_at="RCPT") as mx:
        assert isinstance(await send(mx), Sent)


async def test_a_surplus_reply_is_never_taken_for_another_one() -> None:
    """A server that answers the dot twice is not trusted with the next message: it might get the wrong answer."""
    async with FakeMx(extra_reply_at="DOT") as mx:
        connection = await opened(mx)
        assert isinstance(await connection.send(delivery(), CONTENT, Conversation()), Sent)
        outcome = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(outcome, Failure) and outcome.stale
        assert len(mx.messages) == 1


@pytest.mark.parametrize("ending", [{"closes_after": 1}, {"idle_421": True}])
async def test_a_kept_connection_that_died_says_nothing_about_the_delivery(ending: dict[str, object]) -> None:
    """Whether by 421 or without a word: the failure is stale, the delivery unjudged, and the caller opens a new one."""
    async with FakeMx(**ending) as mx:  # type: ignore[arg-type]
        connection = await opened(mx)
        await connection.send(delivery(), CONTENT, Conversation())
        failure = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(failure, Failure) and failure.stale and not connection.usable
        await connection.close()
        assert len(mx.messages) == 1


async def test_a_reset_that_is_refused_makes_the_connection_stale(ehlo: tuple[str, ...]) -> None:
    """RSET comes after somebody else's refusal: the delivery in hand is not judged by its reply."""
    async with FakeMx(ehlo=ehlo, rcpt={"a@x.test": "550 no"}, rset="502 never heard of it") as mx:
        connection = await opened(mx)
        await connection.send(delivery(), CONTENT, Conversation())
        failure = await connection.send(delivery("b@x.test"), CONTENT, Conversation())
        assert isinstance(failure, Failure) and failure.stale and not connection.usable


async def test_a_lost_reply_to_the_dot_is_told_apart() -> None:
    """The server took the message and its 250 was lost: the step says that a duplicate is possible."""
    async with FakeMx(drop_at="DOT") as mx:
        failure = await send(mx)
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (Step.DOT, Kind.LOST)
        assert len(await mx.received(1)) == 1


async def test_data_accepted_for_nobody_is_ended_by_an_empty_message() -> None:
    """RFC 2920 3.1: RCPT refused, DATA accepted: a lone dot ends it, the refusal counts, the connection stays."""
    async with FakeMx(rcpt={"a@x.test": "550 5.1.1 no"}, accepts_data_for_nobody=True) as mx:
        connection = await opened(mx)
        failure = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(failure, Failure) and failure.step is Step.RCPT and failure.kind is Kind.REPLY
        assert isinstance(await connection.send(delivery("b@x.test"), CONTENT, Conversation()), Sent)
        await connection.close()
        assert [message.recipients for message in mx.messages] == [("b@x.test",)]


async def test_a_refusal_counts_although_the_connection_breaks_after_it() -> None:
    """In a pipeline the first refusal is the answer, even if the server hangs up before answering the rest."""
    async with FakeMx(rcpt="550 5.1.1 no", drop_after="RCPT") as mx:
        failure = await send(mx)
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (Step.RCPT, Kind.REPLY)


# What is written on the MAIL and RCPT lines.


async def test_only_what_is_offered_is_used() -> None:
    """A server without extensions gets bare commands."""
    async with FakeMx(ehlo=()) as mx:
        await send(mx, delivery(eight_bit=True, ret=Ret.HDRS, envid="e1"))
        assert mx.messages[0].mail_parameters == "" and mx.messages[0].rcpt_parameters == ("",)


async def test_size_and_eight_bit_are_announced() -> None:
    """RFC 1870 and 6152: SIZE is that of this copy, BODY only for a message that came with it."""
    async with FakeMx(ehlo=("SIZE", "8BITMIME")) as mx:
        await send(mx, delivery(eight_bit=True))
        await send(mx, delivery())
    assert [message.mail_parameters for message in mx.messages] == ["BODY=8BITMIME", ""]
    async with FakeMx(ehlo=("SIZE 1000",)) as mx:
        await send(mx)
        assert mx.messages[0].mail_parameters == f"SIZE={len(CONTENT)}"


async def test_a_message_over_the_announced_size_is_not_sent() -> None:
    """RFC 1870 6.1: nothing is sent, and the connection is untouched."""
    async with FakeMx(ehlo=("SIZE 20",)) as mx:
        connection = await opened(mx)
        failure = await connection.send(delivery(), CONTENT, Conversation())
        assert isinstance(failure, Failure) and failure.kind is Kind.TOO_BIG and connection.usable
        await connection.close()
        assert not any(command.startswith("MAIL") for command in mx.commands)


async def test_dsn_parameters_go_on_as_they_came() -> None:
    """RFC 3461 5.2.1: RET, ENVID, NOTIFY and ORCPT are handed on unchanged, xtext and all."""
    asked = replace(
        delivery(ret=Ret.FULL, envid="Case+2BSensitive"),
        notify=frozenset({Notify.SUCCESS, Notify.FAILURE}),
        orcpt="rfc822;Other+2BOne@z.test",
    )
    async with FakeMx(ehlo=("DSN",)) as mx:
        outcome = await send(mx, asked)
        assert isinstance(outcome, Sent) and outcome.dsn
        assert mx.messages[0].mail_parameters == "RET=FULL ENVID=Case+2BSensitive"
        assert mx.messages[0].rcpt_parameters == ("NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;Other+2BOne@z.test",)


async def test_an_original_recipient_beyond_ascii_goes_to_any_server() -> None:
    """RFC 6533 3: where the transaction is without SMTPUTF8, ORCPT says it in ASCII."""
    async with FakeMx(ehlo=("DSN", "SMTPUTF8")) as mx:
        await send(mx, replace(delivery(smtputf8=True), orcpt="utf-8;jörg@bücher.test"))
        assert mx.messages[0].mail_parameters == ""
        assert mx.messages[0].rcpt_parameters == (r"ORCPT=utf-8;j\x{F6}rg@b\x{FC}cher.test",)


async def test_the_original_recipient_is_named_where_the_client_named_none() -> None:
    """RFC 3461 5.2.1: ORCPT may be supplied, in xtext; NOTIFY may not."""
    async with FakeMx(ehlo=("DSN",)) as mx:
        await send(mx, delivery("a+b=c@x.test"))
        assert mx.messages[0].rcpt_parameters == ("ORCPT=rfc822;a+2Bb+3Dc@x.test",)


async def test_the_null_reverse_path_is_sent_as_it_is() -> None:
    """RFC 5321 4.5.5: our own notices come from <>."""
    async with FakeMx(ehlo=()) as mx:
        await send(mx, delivery(sender=None))
        assert "MAIL FROM:<>" in mx.commands


async def test_odd_addresses_are_sent_as_written() -> None:
    """Quoted local parts, commas and upper case reach the server unchanged."""
    async with FakeMx(ehlo=()) as mx:
        await send(mx, delivery('"a,b c"@X.test'))
        assert mx.messages[0].recipients == ('"a,b c"@X.test',)


async def test_an_address_that_smuggles_a_command_is_our_own_mistake() -> None:
    """A control character in a command raises: no parser of ours lets one through."""
    smuggler = replace(delivery(), recipient=Address("a>\r\nDATA", "x.test"))
    async with FakeMx() as mx:
        connection = await opened(mx)
        with pytest.raises(ValueError, match="control character"):
            await connection.send(smuggler, CONTENT, Conversation())
        assert not connection.usable


async def test_smtputf8_is_used_only_where_it_is_needed() -> None:
    """RFC 6531 3.4: a local part or a header beyond ASCII needs it; a domain goes out in A-labels instead."""
    header = "Subject: grüße\r\n\r\n".encode()
    async with FakeMx(ehlo=("SMTPUTF8",)) as mx:
        await send(mx, delivery("jörg@x.test", smtputf8=True))
        await send(mx, delivery("a@bücher.test", smtputf8=True))
        await send(mx, delivery(smtputf8=True), header)
        assert [message.mail_parameters for message in mx.messages] == ["SMTPUTF8", "", "SMTPUTF8"]
        assert mx.messages[1].recipients == ("a@xn--bcher-kva.test",)


async def test_what_needs_smtputf8_is_not_sent_without_it() -> None:
    """RFC 6531 3.4: nothing is sent to a server that cannot read it; a domain in A-labels needs nothing."""
    async with FakeMx(ehlo=()) as mx:
        failure = await send(mx, delivery("jörg@x.test", smtputf8=True))
        assert isinstance(failure, Failure) and failure.kind is Kind.NO_SMTPUTF8
        assert isinstance(await send(mx, delivery("a@bücher.test", smtputf8=True)), Sent)


# The content.


async def test_lines_that_begin_with_a_dot_arrive_unchanged(ehlo: tuple[str, ...]) -> None:
    """RFC 5321 4.5.2: dots are doubled on the way and single again on arrival; a lone dot ends nothing."""
    content = b".first\r\n\r\n.\r\n..\r\n.x\r\n.\r\n"
    async with FakeMx(ehlo=ehlo) as mx:
        await send(mx, content=content)
        assert mx.messages[0].content == content


async def test_a_large_message_arrives_whole() -> None:
    """Content is written in pieces, as fast as the server reads."""
    content = b"Subject: big\r\n\r\n" + b".0123456789abcdef\r\n" * 300_000
    async with FakeMx() as mx:
        assert isinstance(await send(mx, content=content), Sent)
        assert mx.messages[0].content == content


async def test_a_server_that_stops_reading_ends_the_time_of_a_block() -> None:
    """RFC 5321 4.5.3.2.5: a block that cannot be written in its time is a failure of the message body."""
    content = b"x" * 78 + b"\r\n"
    async with FakeMx(stops_reading_at_data=True) as mx:
        failure = await send(mx, content=content * 500_000, client=IMPATIENT)
        assert isinstance(failure, Failure) and (failure.step, failure.kind) == (Step.BODY, Kind.TIMEOUT)


async def test_a_refusal_in_the_middle_of_the_content_is_heard() -> None:
    """ "552 too big" before the end, and a closed door: the reply is reported, not the broken line."""
    content = b"x" * 78 + b"\r\n"
    async with FakeMx(refuse_in_body="552 5.3.4 too big") as mx:
        failure = await send(mx, content=content * 500_000)
        assert isinstance(failure, Failure) and failure.reply and failure.reply.line == "552 5.3.4 too big"


@given(st.lists(st.sampled_from([b".", b"..", b"", b"a", b"a.", b".a", b"\r", b"\n"]), max_size=12))
def test_stuffed_content_comes_back(lines: list[bytes]) -> None:
    """Whatever the lines are, taking the dots off again gives the content, and no line but the last is a lone dot."""
    content = b"".join(line + b"\r\n" for line in lines)
    *stuffed, dot, rest = dot_stuffed(content).split(b"\r\n")
    assert (dot, rest) == (b".", b"")
    assert b"." not in stuffed
    assert b"".join(line.removeprefix(b".") + b"\r\n" for line in stuffed) == content
