"""Text-only mail gets an HTML twin with a pixel, and the text stays as it was."""

import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compose.copies import HEAD, copy_of, html_of, leaves, making, parsed, pixels
from tests.compose.letters import MESSAGE, ORIGINAL
from tracker.token import Token

MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\nfor old programs\r\n"
TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-ID: <t@a.example>\r\n\r\nSee https://a.example/1\r\n"
PICTURE = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"


def part(*parts: bytes, head: bytes = MIXED) -> bytes:
    return head + b"".join(b"--x\r\n" + one + b"\r\n" for one in parts) + b"--x--\r\nepilogue\r\n"


def test_a_plain_message_becomes_an_alternative() -> None:
    """The text comes first and is the same, the twin second; its link can be clicked and leads where it led."""
    copy = copy_of(HEAD + TEXT, number=3)
    assert parsed(copy.content).get_content_type() == "multipart/alternative"
    (kind, text), (html_kind, html) = leaves(copy.content)
    assert (kind, html_kind) == ("text/plain", "text/html")
    assert text == b"See https://a.example/1\r\n"
    assert b'<a href="https://a.example/1">' in html
    assert pixels(html) == [Token(MESSAGE.queue_id, 3)]
    assert (copy.trackable, copy.links, copy.note) == (True, 0, "")
    assert not parsed(copy.content).defects


def test_the_header_keeps_its_order() -> None:
    """Content-* fields go to the text, and the new Content-Type stands where the old one stood."""
    content = (
        b"Content-Language: de\r\nFrom: a@b.example\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
        b"Subject:  x \r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0 (old)\r\n\r\nGr\xfc\xdfe\r\n"
    )
    message = parsed(copy_of(content).content)
    assert message.keys() == ["From", "Content-Type", "Content-Transfer-Encoding", "Subject", "MIME-Version"]
    assert message["Content-Transfer-Encoding"] == "8bit"  # RFC 2045 6.4: what encloses 8-bit text is 8bit
    text = message.get_payload(0)
    assert text.items() == [  # type: ignore[union-attr]  # a multipart's parts are messages
        ("Content-Language", "de"),
        ("Content-Type", "text/plain; charset=iso-8859-1"),
        ("Content-Transfer-Encoding", "8bit"),
    ]
    assert "Grüße" in html_of(copy_of(content)).decode()


def test_a_message_of_before_mime_gets_its_fields() -> None:
    """RFC 2045 4: MIME-Version is added once, and the text says what it is."""
    message = parsed(copy_of(ORIGINAL).content)
    assert message.get_all("MIME-Version") == ["1.0"]
    assert b"Content-Type: text/plain; charset=us-ascii\r\n\r\nPlease pay.\r\n" in copy_of(ORIGINAL).content
    assert b"MIME-Version" not in ORIGINAL


def test_eight_bits_without_a_charset_are_utf_8_if_they_are_nothing_else() -> None:
    """Well-formed UTF-8 is read as that; anything else is left alone, and it is said."""
    copy = copy_of(b"From: a@b.example\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n")
    assert b"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" in copy.content
    assert "Grüße" in html_of(copy).decode()
    latin = b"From: a@b.example\r\n\r\nGr\xfc\xdfe\r\n"
    assert copy_of(latin).content is latin
    assert "charset" in copy_of(latin).note


@pytest.mark.parametrize("around", [b"mixed", b"related"])
def test_the_first_text_of_a_multipart_is_wrapped(around: bytes) -> None:
    """The text part, header and all, goes into an alternative in its place; all other bytes stay."""
    content = part(PICTURE, TEXT, TEXT, head=MIXED.replace(b"mixed", around))
    copy = copy_of(content)
    assert [kind for kind, _ in leaves(copy.content)] == ["image/png", "text/plain", "text/html", "text/plain"]
    before, after = content.split(TEXT, 1)
    assert copy.content.startswith(before + b"Content-Type: multipart/alternative")
    assert copy.content.endswith(b"--\r\n" + after)
    assert TEXT in copy.content.removeprefix(before).removesuffix(after)


@pytest.mark.parametrize(
    "content",
    [
        part(TEXT, b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n"),
        part(TEXT, b"Content-Type: application/ics; name=a.ics\r\nContent-Disposition: attachment\r\n\r\nBEGIN:\r\n"),
        part(TEXT, b"Content-Type: application/pkcs7-mime\r\n\r\nMII\r\n"),
        part(TEXT.replace(b"charset", b"name=a.txt; charset")),
        part(TEXT, b"Content-Type: text/html\r\nContent-Transfer-Encoding: x-unknown\r\n\r\n<p>\r\n"),
        part(TEXT, head=MIXED.replace(b"mixed;", b'related; start="<t@a.example>";')),
        part(TEXT, head=MIXED.replace(b"mixed", b"alternative")),
        part(PICTURE),
        HEAD + TEXT.replace(b"See", b"-----BEGIN PGP MESSAGE-----\r\n"),
        HEAD + TEXT.replace(b"See", b"Hi\r\nbegin 644 a.gz\r\nM"),
        HEAD + TEXT.replace(b"utf-8", b"utf-7"),
        HEAD + TEXT.replace(b"utf-8", b"us-ascii").replace(b"See", b"S\xc3\xa9e"),
        HEAD + TEXT.replace(b"See", b"S\xe9e"),
        HEAD + b"Content-Transfer-Encoding: base64\r\n" + TEXT,
        HEAD + TEXT + b"A line of text.\r\n" * 40_000,
        HEAD + b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\n",
        HEAD + b"Content-Type: text/x-amp-html\r\n\r\n<html amp4email>\r\n",
        HEAD.removesuffix(b"\r\n"),
    ],
)
def test_on_doubt_there_is_no_twin(content: bytes) -> None:
    """Invitations, files within the text, charsets that do not fit, broken parts: left alone, and it is said."""
    copy = copy_of(content)
    assert copy.content is content
    assert not copy.trackable
    assert copy.note


def test_a_twin_is_for_opens_alone() -> None:
    """Where opens are not tracked, or text is to be left, nothing changes; that is no reason for a note."""
    content = HEAD + TEXT
    assert copy_of(content, track_opens=False).content is content
    assert copy_of(content, making(plain_text="leave")).content is content
    assert copy_of(content, making(opens=False)).note == ""


def test_a_flowed_text_is_read_as_one() -> None:
    """RFC 3676: the text part stays as it is, the twin has whole paragraphs."""
    content = HEAD + TEXT.replace(b"utf-8", b"utf-8; format=flowed").replace(b"See", b"One \r\ntwo.\r\nSee")
    copy = copy_of(content)
    assert b"One two.<br>" in html_of(copy)
    assert b"One \r\ntwo.\r\n" in copy.content


def test_the_boundary_is_nowhere_in_the_message() -> None:
    """RFC 2046 5.1.1: even if the text holds the one that would have been taken."""
    taken = f"--=_{MESSAGE.queue_id}_0\r\n".encode()
    copy = copy_of(HEAD + TEXT + taken)
    assert len(leaves(copy.content)) == 2
    assert taken in leaves(copy.content)[0][1]


TEXTS = st.text(st.sampled_from("aé漢 <>&.=-\t\n😀"), max_size=300)
CHARSETS = st.sampled_from(["utf-8", "iso-8859-15", "windows-1252", "shift_jis", "iso-2022-jp", "gb18030", "us-ascii"])


@given(TEXTS, CHARSETS, st.booleans(), st.booleans())
def test_the_text_part_is_the_same_and_the_twin_says_it(text: str, charset: str, quoted: bool, nested: bool) -> None:
    """In every charset and encoding: the text's bytes stand in the copy, its words in the twin, in short lines."""
    octets = text.replace("\n", "\r\n").encode(charset, "ignore") + b"\r\n"
    said = octets.decode(charset)
    body = (
        quopri.encodestring(octets.replace(b"\r\n", b"\n"), quotetabs=True).replace(b"\n", b"\r\n")
        if quoted
        else octets
    )
    own = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: ".encode()
    own += b"quoted-printable\r\n" if quoted else b"8bit\r\n"
    content = part(own + b"\r\n" + body) if nested else HEAD + own + b"\r\n" + body
    copy = copy_of(content)
    assert copy.trackable
    assert own + b"\r\n" + body in copy.content
    (_, first), (_, html) = leaves(copy.content)[:2]
    assert first == octets
    words = html.decode().replace("&nbsp;", " ")
    assert all(word.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in words for word in said.split())
    twin_lines = copy.content.partition(b"text/html")[2].split(b"\r\n")
    assert max(map(len, twin_lines)) <= 76
