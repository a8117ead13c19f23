"""A message is read as far as it can be, whatever became of it on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.letter import DEEPEST, LOOKED_AT, MOST_PARTS, header_of, read
from tests.suppression.letters import dsn, person


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_line_ends(line_end: str) -> None:
    """Line ends LF, CRLF, CR, and CR CR LF of a twice converted message, say the same."""
    assert read(dsn().replace(b"\n", line_end.encode())) == read(dsn())


@pytest.mark.parametrize(
    "first", [b"From a@b.test Mon Mar  2 10:00:00 2026\n", b">From a@b.test Mon\n", b"\n\n", b"\xef\xbb\xbf"]
)
def test_in_front_of_the_header(first: bytes) -> None:
    """What mailbox files and editors put in front of the header is not the header's end."""
    assert read(first + dsn()) == read(dsn())


def test_parts_in_order() -> None:
    """A report's parts come in order, and the message it encloses is one of them that is not entered."""
    letter = read(dsn())
    assert [part.type for part in letter.parts] == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert [part.enclosed for part in letter.parts] == [False, False, True]
    assert "only talk" not in letter.text
    assert letter.original.get("message-id") == "<original.1@sender.test>"


def test_folded_and_encoded_fields() -> None:
    """Fields are unfolded, and their encoded words decoded without the blanks between them."""
    letter = read(b"Subject: =?utf-8?B?w4Rw?=\n =?iso-8859-1?q?fel_und?= Birnen\nX-Empty:\n\nx")
    assert letter.header.get("subject") == "Äpfel und Birnen"
    assert letter.header.get("x-empty") == ""
    assert "x-empty" in letter.header
    assert letter.header.get("missing") == ""


def test_no_empty_line_after_the_header() -> None:
    """Where the empty line is missing, the first line that is no field begins the text."""
    letter = read(b"From: a@b.test\nSubject: x\nThis is the text: of it.\nMore\n")
    assert letter.header.get("subject") == "x"
    assert letter.text == "This is the text: of it.\nMore\n"


@pytest.mark.parametrize(
    "announced",
    ['boundary="something else"', "", "boundary=", 'boundary="=_b/1'],
    ids=["wrong", "no parameters", "empty", "open quote"],
)
def test_broken_boundaries(announced: str) -> None:
    """A boundary that is missing or wrong is found by its looks."""
    message = dsn().replace(b'boundary="=_b/1"', announced.encode())
    assert [part.type for part in read(message).parts] == [part.type for part in read(dsn()).parts]


def test_lost_content_type() -> None:
    """A gateway has dropped the Content-Type: a body that begins with a boundary is still in parts."""
    _, _, body = dsn().partition(b"This is a MIME-encapsulated message.\n\n")
    letter = read(b"From: MAILER-DAEMON@x.test\n\n" + body)
    assert [part.type for part in letter.parts] == ["text/plain", "message/delivery-status", "message/rfc822"]


def test_original_sent_as_text() -> None:
    """A later part that begins with the header of a message is an enclosed message, whatever it is called."""
    letter = read(dsn().replace(b"message/rfc822", b"text/plain"))
    assert letter.parts[-1].enclosed
    assert "only talk" not in letter.text


@pytest.mark.parametrize(
    ("charset", "encoding", "octets", "text"),
    [
        ("utf-8", "quoted-printable", b"gr=C3=BC=\n=C3=9Fe", "grüße"),
        ("iso-8859-1", "8bit", b"gr\xfc\xdfe", "grüße"),
        ("UTF-8", "base64", b"Z3LDvMOfZQ", "grüße"),
        ("utf-8", "base64", b"Plain words @ a gateway put here", "Plain words @ a gateway put here"),
        ("iso-2022-jp", "7bit", "配信不能".encode("iso-2022-jp"), "配信不能"),
        ("us-ascii", "7bit", "配信不能".encode("iso-2022-jp"), "配信不能"),
        ("us-ascii", "8bit", "grüße".encode(), "grüße"),
        ("x-unknown", "8bit", b"gr\xfc\xdfe", "grüße"),
        ("punycode", "8bit", b"abc-def", "abc-def"),
        ("utf-8", "8bit", b"a\xffb", "a\ufffdb"),
        ("gb2312", "8bit", "退信".encode("gb2312"), "退信"),
    ],
)
def test_charsets(charset: str, encoding: str, octets: bytes, text: str) -> None:
    """Text is decoded by its charset; one that is unknown or plainly wrong is guessed; what is left is replaced."""
    head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n\n".encode()
    assert read(head + octets).text == text


def test_html_only() -> None:
    """Of HTML the words and the lines are read; an address in angle brackets is no tag, and comments say nothing."""
    letter = read(
        b"Content-Type: text/html\n\n<html><style>p {color: <b>}</style><!-- <a@hidden.test> --><p>Not delivered to"
        b"<br><ada@example.test>:&nbsp;550&#32;no <b>user</b></p>"
    )
    assert [line.strip() for line in letter.text.split("\n") if line.strip()] == [
        "Not delivered to",
        "<ada@example.test>: 550 no user",
    ]


def test_plain_before_html() -> None:
    """Of two versions of one text the plain one is read."""
    letter = read(
        b"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\nhtml\n"
        b"--b\nContent-Type: text/plain\n\nplain\n--b--\n"
    )
    assert letter.text == "plain"


def test_nested() -> None:
    """Parts inside of parts are read in order, also where the inner boundary begins with the outer one."""
    letter = read(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=bb\n\n"
        b"--bb\n\none\n--bb--\n--b\n\ntwo\n"
    )
    assert [part.text for part in letter.parts] == ["one", "two\n"]


def test_header_of_quoted() -> None:
    """The fields at the beginning of a text are read as a header; text that is none has no fields."""
    assert header_of("Action: failed\nStatus: 5.1.1\n\nrest").fields == (("action", "failed"), ("status", "5.1.1"))
    assert header_of("no fields here\nAction: failed").fields == ()


def test_bounds() -> None:
    """Parts, levels and octets beyond the caps are as if they had been cut off."""
    many = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * (MOST_PARTS * 3)
    assert len(read(many).parts) == MOST_PARTS
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(DEEPEST * 10))
    assert len(read(deep).parts) == 1
    assert len(read(b"\n" + b"x" * (2 * LOOKED_AT)).parts[0].octets) <= LOOKED_AT


@given(st.binary(max_size=300), st.integers(0, 1200), st.integers(0, 300))
def test_never_raises(noise: bytes, at: int, length: int) -> None:
    """Any bytes, and a report with any bytes in any place of it, are read without an exception."""
    for octets in (noise, dsn()[:at] + noise + dsn()[at + length :]):
        letter = read(octets)
        assert isinstance(letter.text, str)
        assert all(isinstance(part.text, str) for part in letter.parts)
        assert letter.original.get("x") == ""


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_text_survives(text: str) -> None:
    """What a person wrote in UTF-8 is read as it was written."""
    assert read(person(text)).text.rstrip("\n") == text.rstrip("\n")
