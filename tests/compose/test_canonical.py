"""The canonical form that a signature is about: what may change on the way, and what may not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.compose.canonical import relaxed_body, relaxed_field

BODIES = st.text(st.sampled_from("ab. \t\n"), max_size=60).map(lambda text: text.replace("\n", "\r\n").encode())


def test_the_examples_of_the_standard() -> None:
    """RFC 6376 3.4.5: its header fields and its body come out as it says."""
    assert relaxed_field("A", b" X\r\n") == b"a:X\r\n"
    assert relaxed_field("B", b" Y\t\r\n\tZ  \r\n") == b"b:Y Z\r\n"
    assert relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n") == b" C\r\nD E\r\n"


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n", b" \t\r\n", b" ", b"\r\n \r\n\t\r\n"])
def test_a_body_of_nothing_is_empty(body: bytes) -> None:
    """RFC 6376 3.4.4: without a visible octet the canonical body has none at all."""
    assert relaxed_body(body) == b""


@pytest.mark.parametrize("body", [b"a", b"a ", b"a\r\n", b"a\t\r\n\r\n", b"a \r\n \r\n "])
def test_a_body_ends_with_one_line_end(body: bytes) -> None:
    """RFC 6376 3.4.4: one CRLF at the end, whether the last line had its own, more of them, or blanks."""
    assert relaxed_body(body) == b"a\r\n"


@given(BODIES)
def test_the_body_is_what_the_rules_say_one_by_one(body: bytes) -> None:
    """The same as RFC 6376 3.4.4 done literally: blanks at line ends, runs of blanks, empty lines at the end."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    assert relaxed_body(body) == b"".join(line + b"\r\n" for line in lines)


@given(BODIES)
def test_the_canonical_form_is_its_own(body: bytes) -> None:
    """Canonicalising twice is canonicalising once."""
    assert relaxed_body(relaxed_body(body)) == relaxed_body(body)


@given(st.lists(st.binary(max_size=8).map(lambda text: re.sub(rb"\s", b"x", text)), max_size=6), st.data())
def test_folding_and_blanks_of_a_field_do_not_matter(words: list[bytes], data: st.DataObject) -> None:
    """RFC 6376 3.4.2: words with any blanks and folds between them are the words with one space between."""
    words = [word for word in words if word]
    blanks = st.sampled_from([b" ", b"\t", b"  ", b"\r\n ", b" \r\n\t", b"\t \r\n  "])
    raw = b"".join(data.draw(blanks) + word for word in words)
    assert relaxed_field("Subject", raw + b"\r\n") == b"subject:" + b" ".join(words) + b"\r\n"


def test_only_spaces_and_tabs_are_blanks() -> None:
    """RFC 6376 2.8: form feeds, no-break spaces and the like are text."""
    assert relaxed_body(b"a\x0b\x0c\r\n") == b"a\x0b\x0c\r\n"
    assert relaxed_field("S", b" \x0ca\xc2\xa0\r\n") == b"s:\x0ca\xc2\xa0\r\n"


@pytest.mark.parametrize("unit", [b" ", b"\t", b" \t", b"\r\n", b" \r\n", b"a  "])
def test_a_megabyte_of_anything_is_one_walk(unit: bytes) -> None:
    """No run of blanks or empty lines, however long, is looked at again and again."""
    text = unit * (1024 * 1024 // len(unit))
    assert relaxed_body(text + b"b\r\n").endswith(b"b\r\n")
    assert len(relaxed_body(b"b" + text)) <= len(text)
