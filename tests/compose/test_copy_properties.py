"""Of every message that can be made up: take the tracking out of its copy, and the message is there."""

import binascii
import html
import quopri
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from relay.compose.mime import fields, header_end
from relay.compose.parts import walk
from relay.compose.transfer import decoded
from tests.compose.copies import clicks, copy_of, leaves, making, multipart, pixels, restored

WORDS = st.sampled_from(
    [
        "<p>",
        "</p>",
        " words ",
        "\r\n",
        "\r\n--b0.\r\n",
        "=3D = \t",
        "<!-- a comment -->",
        "<!--[if mso]><a href='https://a.example/mso'>x</a><![endif]-->",
        '<a href="https://a.example/?a=1&amp;b=%C3%A9">link</a>',
        "<A HREF=https://a.example/bare>link</A>",
        '<a class="c"\r\n   href = "http://a.example/long/' + "x" * 90 + '" >link</a>',
        '<a href="mailto:a@b.example">mail</a><a href="#top">top</a>',
        '<a href="https://a.example/visible">https://a.example/visible</a>',
        '<map><area href="https://a.example/map"></map>',
        "<a href=\"https://a.example/unclosed>",
        "<style>a{}</style>",
        "</body></html>",
        "<",
        "é漢",
    ]
)  # fmt: skip
HTML = st.lists(WORDS, max_size=12).map("".join)
PLAIN = HTML
ENCODINGS = st.sampled_from(["7bit", "8bit", "binary", "quoted-printable", "base64", ""])


def _encoded(octets: bytes, encoding: str, width: int) -> bytes:
    if encoding == "quoted-printable":
        return quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\r", b"=0D").replace(b"\n", b"\r\n")
    if encoding == "base64":
        text = binascii.b2a_base64(octets, newline=False)
        return b"\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    return octets


@st.composite
def leaf(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(["text/html", "text/html", "text/plain", "image/png", "text/x-amp-html"]))
    charset, encoding = draw(st.sampled_from(["utf-8", "UTF8", '"utf-8"'])), draw(ENCODINGS)
    attached = draw(st.sampled_from(["", "", "", "Content-Disposition: attachment\r\n"]))
    transfer = f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else ""
    head = f"Content-Type: {kind}; charset={charset}\r\n{transfer}{attached}\r\n".encode()
    return head + _encoded(draw(HTML).encode(), encoding, draw(st.sampled_from([4, 60, 76, 76])))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Any nesting, any encoding, boundaries that begin alike, a preamble and an epilogue."""
    numbers = iter(range(1000))

    def part(depth: int) -> bytes:
        if depth == 3 or draw(st.booleans()):
            return draw(leaf())
        subtype = draw(st.sampled_from(["mixed", "alternative", "related", "signed"]))
        boundary = f"b{next(numbers)}." + draw(st.sampled_from(["", "=_", "-"]))
        parts = [part(depth + 1) for _ in range(draw(st.integers(1, 3)))]
        return multipart(subtype, boundary, *parts, preamble=draw(st.sampled_from([b"", b"preamble\r\n"])))

    return b"From: a@b.example\r\nX-Mailer: x\r\nMIME-Version: 1.0\r\n" + part(0)


def _split(content: bytes) -> tuple[list[bytes], list[bytes]]:
    """What lies between the HTML that may be changed, byte for byte; and that HTML, decoded."""
    between, inside, position = [], [], 0
    for part in walk(content, fields(content), header_end(content)).parts:
        if part.media.word == "text/html":
            between.append(content[position : part.body])
            inside.append(decoded(part.encoding, content[part.body : part.end]) or b"")
            position = part.end
    return [*between, content[position:]], inside


def _meant(octets: bytes) -> str:
    """But for how a target may be written (escaped, in one line), and line ends in tags that were long."""
    return "".join(unquote(html.unescape(octets.decode("utf-8"))).split())


@given(messages(), st.booleans(), st.booleans())
def test_take_the_tracking_out_and_the_original_is_there(content: bytes, opens: bool, clicks_too: bool) -> None:
    """Outside the HTML not a byte is new; inside, links lead where they led once their tokens are read."""
    copy = copy_of(content, making(plain_text="leave"), track_opens=opens, track_clicks=clicks_too)
    between, inside = _split(content)
    copy_between, copy_inside = _split(copy.content)
    assert copy_between == between
    assert [_meant(restored(one)) for one in copy_inside] == [_meant(one) for one in inside]


@given(messages(), st.integers(0, 5))
def test_what_the_copy_says_of_itself_is_true(content: bytes, number: int) -> None:
    """As many links as are counted lead through us, each with its own number; it is trackable if there is a pixel."""
    copy = copy_of(content, making(plain_text="leave"), number=number)
    bodies = b"".join(body for kind, body in leaves(copy.content) if kind == "text/html")
    assert sorted(token.link for token in clicks(bodies)) == list(range(1, copy.links + 1))
    assert all(token.number == number for token in clicks(bodies))
    assert len(pixels(bodies)) == int(copy.trackable)


@given(messages())
def test_python_sees_the_same_message(content: bytes) -> None:
    """Every part is where it was, with the type it had; all that are not HTML say what they said."""
    before, after = leaves(content), leaves(copy_of(content, making(plain_text="leave")).content)
    assert [kind for kind, _ in after] == [kind for kind, _ in before]
    others = [pair for pair in zip(before, after, strict=True) if pair[0][0] != "text/html"]
    assert all(original == copy for original, copy in others)


@given(messages(), st.binary(max_size=30), st.integers(0, 2000), st.integers(0, 2000))
def test_a_broken_message_is_rendered_too(content: bytes, junk: bytes, start: int, end: int) -> None:
    """With bytes missing or strange ones in between there is still a copy, and nothing is raised."""
    broken = content[:start] + junk + content[end:]
    copy = copy_of(broken, unsubscribe=True)
    assert b"List-Unsubscribe:" in copy.content
