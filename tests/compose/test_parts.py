"""The texts of a message are found by their bytes, and only those that may be changed."""

import email
import email.policy
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.compose.mime import fields, header_end
from relay.compose.parts import MAX_DEPTH, MAX_PARTS, Walked, walk
from tests.compose.copies import multipart

HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nHi\r\n"


def walked(content: bytes) -> Walked:
    return walk(content, fields(content), header_end(content))


def found(content: bytes) -> list[tuple[str, bytes]]:
    """Type and body of each text that may be changed."""
    return [(part.media.word, content[part.body : part.end]) for part in walked(content).parts]


def test_a_message_of_before_mime_is_a_text() -> None:
    """RFC 2045 5.2: without Content-Type a message is text/plain."""
    assert found(b"From: a@b.example\r\n\r\nHello\r\n") == [("text/plain", b"Hello\r\n")]


def test_every_nesting_is_walked() -> None:
    """Apple Mail's related in alternative in mixed: both texts are found, the picture is passed over."""
    picture = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <1>\r\n\r\niVBO\r\n"
    content = multipart("mixed", "m", multipart("alternative", "a", TEXT, multipart("related", "r", HTML, picture)))
    assert found(content) == [("text/plain", b"Hi\r\n"), ("text/html", b"<p>Hi</p>\r\n")]
    assert [part.depth for part in walked(content).parts] == [2, 3]


@pytest.mark.parametrize(
    "part",
    [
        b"Content-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n<p>\r\n",
        b"Content-Type: text/html\r\nContent-Disposition: inline; filename=a.html\r\n\r\n<p>\r\n",
        b"Content-Type: text/html\r\nContent-Disposition: attachment; filename=my page.html\r\n\r\n<p>\r\n",
        b"Content-Type: text/html\r\nContent-Disposition: other\r\n\r\n<p>\r\n",
        b'Content-Type: text/html; name="a.html"\r\n\r\n<p>\r\n',
        b"Content-Type: text/html; name*0=a; name*1=.html\r\n\r\n<p>\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" + HTML,
        b"Content-Type: text/x-amp-html\r\n\r\n<html amp4email>\r\n",
        b'Content-Type: application/ms-tnef\r\n\r\nx\x9f>"\r\n',
        multipart("signed", "s", HTML, b"Content-Type: application/pgp-signature\r\n\r\n-----\r\n"),
        multipart("encrypted", "s", b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n", HTML),
        multipart("report", "s", HTML),
        multipart("digest", "s", HTML),
    ],
)
def test_what_is_sealed_enclosed_or_attached_is_never_entered(part: bytes) -> None:
    """Beside it the text is found, in it nothing; and that is no reason for a doubt."""
    content = multipart("mixed", "outer", TEXT, part)
    assert found(content) == [("text/plain", b"Hi\r\n")]
    assert walked(content).doubts == []


@pytest.mark.parametrize(
    "content",
    [
        multipart("signed", "s", HTML, b"Content-Type: application/pkcs7-signature\r\n\r\nMII\r\n"),
        multipart("encrypted", "s", HTML),
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMII\r\n",
        b"Content-Type: APPLICATION/X-PKCS7-MIME\r\n\r\nMII\r\n",
        multipart("report", "r", TEXT),
    ],
)
def test_a_message_that_is_sealed_as_a_whole_is_closed(content: bytes) -> None:
    """No text of it may be touched, and it says why."""
    assert walked(content).closed
    assert found(content) == []


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n" + HTML + b"--x--\r\n",
        b"Content-Type: multipart/mixed; boundary=\r\n\r\n--\r\n" + HTML + b"----\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + HTML,
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + HTML,
        b"Content-Type: multipart/mixed; boundary=x; boundary=y\r\n\r\n--x\r\n" + HTML + b"--x--\r\n",
        b"Content-Transfer-Encoding: base64\r\n" + multipart("mixed", "x", HTML),
        b"Content-Transfer-Encoding: uuencode\r\n" + HTML,
        b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64\r\n" + HTML,
        b"Content-Type: text/plain\r\n" + HTML,
        b"Content-Type: text\r\n\r\nHi\r\n",
        multipart("mixed", "x", b"this is no field\r\n" + HTML),
    ],
)
def test_on_doubt_a_part_is_left(content: bytes) -> None:
    """A multipart without its edges, an unknown encoding, a field given twice: not entered, and it is said."""
    assert found(content) == []
    assert walked(content).doubts


def test_a_doubt_about_one_part_does_not_touch_the_others() -> None:
    """A broken multipart within a sound one is left; its neighbour is found."""
    broken = b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n" + TEXT
    content = multipart("mixed", "outer", broken, HTML)
    assert found(content) == [("text/html", b"<p>Hi</p>\r\n")]
    assert len(walked(content).doubts) == 1


def test_boundaries_that_look_alike_are_told_apart() -> None:
    """RFC 2046 5.1.1: "--x" neither begins nor ends "--xy"; blanks behind it were added on the way."""
    inner = multipart("alternative", "xy", TEXT, HTML)
    content = multipart("mixed", "x", inner, b"\r\nsaid --x in the middle\r\n--xyz\r\n--x-- not\r\n").replace(
        b"--x\r\n", b"--x \t\r\n"
    )
    assert found(content) == [
        ("text/plain", b"Hi\r\n"),
        ("text/html", b"<p>Hi</p>\r\n"),
        ("text/plain", b"said --x in the middle\r\n--xyz\r\n--x-- not\r\n"),
    ]


def test_preamble_and_epilogue_are_no_parts() -> None:
    """RFC 2046 5.1.1: what is before the first delimiter or behind the closing one is not of the message."""
    content = multipart("mixed", "x", HTML, preamble=HTML + b"\r\n", epilogue=b"\r\n" + HTML + b"--x\r\n" + HTML)
    assert found(content) == [("text/html", b"<p>Hi</p>\r\n")]


def test_an_outer_boundary_ends_inner_parts() -> None:
    """An inner multipart that goes beyond its outer one is broken, not the outer one."""
    inner = b"Content-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\n" + HTML
    content = multipart("mixed", "out", inner, TEXT) + b"--in--\r\n"
    assert found(content) == [("text/plain", b"Hi\r\n")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (multipart("mixed", "x", *[HTML] * (MAX_PARTS + 1)), "parts"),
        (multipart("mixed", "x", *[b"\r\n"] * 100_000), "parts"),
        (b"X: y\r\n" * 60_000 + HTML, "header"),
        (multipart("mixed", "x", HTML, b"X: y\r\n" * 60_000 + HTML), "header"),
    ],
)
def test_above_a_cap_nothing_is_entered(content: bytes, why: str) -> None:
    """Too many parts, too long a header: no part is named, not even those that were found before."""
    assert found(content) == []
    assert why in walked(content).closed


def test_deep_nesting_is_given_up() -> None:
    """Twenty levels are walked, ten thousand are not."""
    nested = HTML
    for level in range(MAX_DEPTH):
        nested = multipart("mixed", f"b{level}.", nested)
    assert found(nested) == [("text/html", b"<p>Hi</p>\r\n")]
    assert found(multipart("mixed", "top", nested)) == []
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(10_000))
    tail = b"".join(b"--b%d--\r\n" % at for at in reversed(range(10_000)))
    assert "nested" in walked(head + HTML + b"\r\n" + tail).closed


@pytest.mark.parametrize(
    "body",
    [b"--x" * 700_000, b"\r\n--xy" * 300_000, b"\r\n--x" + b" " * 2_000_000, b"\r\n" * 1_000_000, b"--x \t" * 400_000],
)
def test_hostile_bodies_are_read_once(body: bytes) -> None:
    """Two megabytes of what is nearly a boundary are no parts, nested or not."""
    content = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + HTML + body
    assert found(content) == []
    assert walked(content).doubts or walked(content).closed


# --- Python's email package as the oracle ------------------------------------------------------------------------

BODIES = st.text(st.sampled_from("ab <>&=-\t"), max_size=60).map(lambda text: text.encode() + b"\r\n")
LEAVES = st.tuples(st.sampled_from([b"text/html", b"text/plain", b"image/png", b"text/calendar"]), BODIES).map(
    lambda leaf: b"Content-Type: " + leaf[0] + b"; charset=utf-8\r\n\r\n" + leaf[1]
)
PADDING = st.sampled_from([b"", b"text that nobody sees\r\n", b"--\r\n", b"--b\r\n--b0\r\n"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Multiparts in multiparts, with boundaries that begin alike."""
    numbers = iter(range(1000))

    def part(depth: int) -> bytes:
        if depth == 3 or draw(st.booleans()):
            return draw(LEAVES)
        boundary = "b" * draw(st.integers(1, 2)) + f"{next(numbers)}." + draw(st.sampled_from(["", "=_", "-", "'()+"]))
        subtype = draw(st.sampled_from(["mixed", "alternative", "related", "x-unknown"]))
        parts = [part(depth + 1) for _ in range(draw(st.integers(1, 3)))]
        return multipart(subtype, boundary, *parts, preamble=draw(PADDING), epilogue=b"\r\n" + draw(PADDING))

    return b"From: a@b.example\r\nMIME-Version: 1.0\r\n" + part(0)


def texts(message: Message) -> list[tuple[str, bytes]]:
    """The texts that Python sees, in order."""
    leaves = [part for part in message.walk() if part.get_content_type() in ("text/html", "text/plain")]
    return [(part.get_content_type(), str(part.get_payload()).encode()) for part in leaves]


@given(messages())
def test_python_sees_the_same_parts(content: bytes) -> None:
    """Types and bodies, in order, are those of Python's own parser."""
    oracle = email.message_from_bytes(content, policy=email.policy.compat32.clone(linesep="\r\n"))
    assert found(content) == texts(oracle)


@given(st.binary(max_size=400), messages(), st.integers(0, 400))
def test_any_bytes_can_be_walked(junk: bytes, content: bytes, cut: int) -> None:
    """Whatever the bytes, nothing is raised, and parts lie inside the message, in order, without overlap."""
    for tried in (junk, content[:cut] + junk + content[cut:], content[:-cut]):
        position = 0
        for part in walked(tried).parts:
            assert position <= part.start <= part.body <= part.end <= len(tried)
            position = part.end
