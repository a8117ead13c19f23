"""What of a copy leads to us, as a mail program finds it: the picture, the first link, the address for one click."""

import base64
import quopri
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.compose.seen import Seen, seen
from tests.compose.copies import BASE, HEAD, KEYRING, MAKING, copy_of, making, multipart
from tracker.token import Purpose

PAGE = (
    b'<html><body><a href="https://shop.test/a?b=1&amp;c=2">one</a> <a href=https://shop.test/2>two</a></body></html>'
)


@pytest.mark.parametrize("encoding", [b"7bit", b"quoted-printable", b"base64"])
@pytest.mark.parametrize("settings", [{}, {"hidden_link": True}], ids=["plain", "hidden link"])
def test_our_own_copies_are_read(encoding: bytes, settings: dict[str, Any]) -> None:
    """Whatever the encoding: pixel, first link and unsubscribe address bear genuine tokens of this delivery."""
    encoded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding.decode())
    body = (encoded(PAGE) if encoded else PAGE).replace(b"\n", b"\r\n")
    content = HEAD + b"Content-Type: text/html\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body + b"\r\n"
    copy = copy_of(content, making(**settings), unsubscribe=True)
    found = seen(copy.content, BASE)
    kinds = {"o": Purpose.OPEN, "c": Purpose.CLICK, "u": Purpose.UNSUBSCRIBE}
    tokens = {}
    for path in (found.pixel, found.link, found.unsubscribe):
        _, kind, text = path.split("/")
        tokens[kind] = KEYRING.read(kinds[kind], text)
    assert tokens["c"] and (tokens["c"].link, tokens["c"].target) == (1, "https://shop.test/a?b=1&c=2")
    assert tokens["o"] and tokens["u"]


def test_a_part_among_others_is_found() -> None:
    """Text beside it, attachments behind it."""
    html = b"Content-Type: text/html\r\n\r\n" + PAGE
    inner = multipart("alternative", "in", b"Content-Type: text/plain\r\n\r\nHello", html)
    attached = b"Content-Type: text/html\r\nContent-Disposition: attachment\r\n\r\n" + PAGE
    copy = copy_of(HEAD + multipart("mixed", "out", inner, attached), MAKING)
    found = seen(copy.content, BASE)
    assert found.pixel and found.link and not found.unsubscribe


def test_nothing_of_ours_is_nothing() -> None:
    """Other people's links, a base URL that only begins alike, and no base URL at all."""
    other = HEAD + b"List-Unsubscribe: <https://t.example.com.evil.test/u/x>\r\nContent-Type: text/html\r\n\r\n" + PAGE
    alike = other.replace(b"https://shop.test", b"https://t.example.com.evil.test/c")
    assert seen(other, BASE) == seen(alike, BASE) == seen(other, "") == Seen()


@given(st.binary(max_size=400), st.sampled_from([b"", b"Content-Type: text/html\r\n\r\n", HEAD]))
def test_it_never_raises(octets: bytes, before: bytes) -> None:
    """Whatever the copy holds."""
    seen(before + octets, BASE)
