"""Values of Content-Type and its like are taken apart in linear time, and doubts are admitted."""

import email.message
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.compose.media import MAX_VALUE, parse

TOKENS = st.text(st.sampled_from("abcXYZ019-_.+"), min_size=1, max_size=10)
SAID = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@pytest.mark.parametrize(
    ("value", "word", "parameters"),
    [
        (b"text/html", "text/html", {}),
        (b" Text/HTML ; CharSet=UTF-8 ;", "text/html", {"charset": "UTF-8"}),
        (b'text/html; charset="utf-8"', "text/html", {"charset": "utf-8"}),
        (b"text/html (a (nested) one); charset=utf-8 (said twice)", "text/html", {"charset": "utf-8"}),
        (b"multipart/mixed; boundary=----=_Part_1.2", "multipart/mixed", {"boundary": "----=_Part_1.2"}),
        (b'multipart/mixed; boundary="a;b\\"c \\\\"', "multipart/mixed", {"boundary": 'a;b"c \\'}),
        (b'multipart/mixed; boundary*0=ab;\tboundary*1="c d"', "multipart/mixed", {"boundary": "abc d"}),
        (b"text/plain; name*=utf-8'en'a%20b.txt", "text/plain", {"name": "a b.txt"}),
        (b"text/plain; name*0*=utf-8''a%20; name*1=b", "text/plain", {"name": "a b"}),
        (b"quoted-printable", "quoted-printable", {}),
        (b"attachment; filename=x.pdf", "attachment", {"filename": "x.pdf"}),
        (b"text/plain; charset = utf-8", "text/plain", {"charset": "utf-8"}),
    ],
)
def test_a_value_is_taken_apart(value: bytes, word: str, parameters: Mapping[str, str]) -> None:
    """RFC 2045 5.1 and RFC 2231: word and parameters, quotes and comments undone, pieces put together."""
    media = parse(value)
    assert (media.word, dict(media.parameters), media.sound) == (word, parameters, True)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"; charset=utf-8",
        b"text/",
        b"text/html charset=utf-8",
        b"text/html; charset=utf-8 format=flowed",
        b"text/html; charset=utf-8; charset=utf-7",
        b'text/html; charset="utf-8',
        b"text/html; charset=utf-8 (open",
        b"text/html ((((",
        b"multipart/mixed; boundary=a; boundary*0=b",
        b"multipart/mixed; boundary*0=a; boundary*2=b",
        b"multipart/mixed; boundary*=''a; boundary*0=b",
        b"multipart/mixed; boundary=a(b)c",
        b"multipart/mixed; boundary=",
        b"multipart/mixed; boundary",
        b"application/pdf; name=my file.pdf",
        b"text/html" + b"; a=b" * 2,
        b"text/html" + b"".join(b"; a%d=b" % number for number in range(100)),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_sound(value: bytes) -> None:
    """Twice given, unfinished, pieces that do not fit, something between parameters: other programs differ there."""
    assert not parse(value).sound


@given(TOKENS, TOKENS, st.dictionaries(TOKENS.map(str.lower), SAID, max_size=5))
def test_python_reads_the_same(kind: str, subtype: str, parameters: dict[str, str]) -> None:
    """What Python's email package writes, we read as it was meant."""
    written = email.message.Message()
    written.add_header("Content-Type", f"{kind}/{subtype}", **parameters)
    media = parse(str(written["Content-Type"]).encode())
    expected = {name.replace("_", "-"): said for name, said in parameters.items()}
    if len(expected) == len(parameters) and all(expected.values()):
        assert (media.word, dict(media.parameters), media.sound) == (f"{kind}/{subtype}".lower(), expected, True)


@given(st.binary(max_size=200) | st.text("();=\"\\*'%0/ abc,", max_size=100).map(str.encode))
def test_any_bytes_can_be_read(value: bytes) -> None:
    """Whatever the bytes, nothing is raised."""
    media = parse(value)
    assert media.word == media.word.lower()


@pytest.mark.parametrize("piece", [b"(", b"()", b'"', b"\\", b";", b"; a=", b" ", b'; a="', b"; a*0*=%", b"a", b"="])
def test_hostile_values_are_read_once(piece: bytes) -> None:
    """A quarter of a megabyte of brackets, quotes, blanks or parameters costs no more than its first 8 KiB."""
    media = parse(b"text/html" + piece * (256 * 1024 // len(piece)))
    assert not media.sound
    assert len(media.word) <= MAX_VALUE
