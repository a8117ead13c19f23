"""What is kept of a conversation, and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from relay.deliver.commands import Offers
from relay.deliver.conversation import MAX_LINES, MAX_TEXT, Conversation


def test_lines_bear_their_time() -> None:
    """Milliseconds since the attempt began."""
    ticks = iter([10.0, 10.0015, 10.25])
    conversation = Conversation(clock=lambda: next(ticks))
    conversation.client("EHLO relay.test")
    conversation.server(250, "mx.test\nSIZE 5\nPIPELINING")
    assert [(line.ms, line.who, line.text) for line in conversation.lines] == [
        (1, "C", "EHLO relay.test"),
        (250, "S", "250-mx.test | 250-SIZE 5 | 250 PIPELINING"),
    ]


def test_content_is_its_size() -> None:
    """The message itself is never in it."""
    conversation = Conversation()
    conversation.content(18_423)
    assert conversation.lines[0].text == "<18,423 bytes>"


def test_every_host_tried_is_in_it() -> None:
    """Each host opens with its name; times and TLS are those of the last one."""
    conversation = Conversation()
    conversation.opens("mx1.test[192.0.2.1]:25")
    conversation.connected("192.0.2.9", 5)
    conversation.encrypted("TLSv1.3 X mx1.test", 7)
    conversation.opens("mx2.test[192.0.2.2]:25")
    assert conversation.lines[0].text == "connecting to mx1.test[192.0.2.1]:25"
    assert conversation.lines[3].text == "connecting to mx2.test[192.0.2.2]:25"
    assert (conversation.tls, conversation.ms_connect, conversation.ms_tls) == (None, None, None)


@given(st.lists(st.text(max_size=2 * MAX_TEXT), max_size=2 * MAX_LINES))
def test_a_hostile_server_cannot_fill_the_database(texts: list[str]) -> None:
    """Lines, their length and their characters are bounded."""
    conversation = Conversation()
    for text in texts:
        conversation.server(250, text)
    assert len(conversation.lines) <= MAX_LINES
    assert all(len(line.text) <= MAX_TEXT and "\x1b" not in line.text for line in conversation.lines)


@given(st.text(max_size=300))
def test_any_ehlo_reply_can_be_read(text: str) -> None:
    """What a server offers is what we recognise; nothing makes the reader stumble."""
    assert Offers.parse(text).size != 0


def test_offers_are_read_whatever_their_case_and_age() -> None:
    """Keywords in any case, SIZE without a limit, the old AUTH=LOGIN."""
    offers = Offers.parse("mx.test\nsize 0\n8bitmime\nAUTH=LOGIN\nAUTH PLAIN\nStartTLS")
    assert offers == Offers(eight_bit=True, starttls=True, auth=frozenset({"LOGIN", "PLAIN"}))
