"""Header fields are found by their bytes, wherever they lie."""

import email
import email.policy

from hypothesis import given
from hypothesis import strategies as st

from relay.compose.mime import MAX_HEADER, Field, fields, fields_between, header_end

NAMES = st.text(st.sampled_from("ABCxyz-0!~"), min_size=1, max_size=12)
TEXTS = st.binary(max_size=30).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b""))
VALUES = st.lists(TEXTS.map(lambda text: text or b"x"), min_size=1, max_size=3).map(b"\r\n\t".join)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def _written(header: list[tuple[str, bytes]]) -> list[bytes]:
    return [name.encode() + b": " + value + b"\r\n" for name, value in header]


@given(HEADERS, st.binary(max_size=60))
def test_every_field_is_found_where_it_lies(header: list[tuple[str, bytes]], body: bytes) -> None:
    """What was written field by field is found field by field, in order, with its offsets."""
    content = b"".join(_written(header)) + b"\r\n" + body
    found = list(fields(content))
    assert [content[field.start : field.end] for field in found] == _written(header)
    assert [field.name for field in found] == [name.lower() for name, _ in header]
    assert header_end(content) == len(b"".join(_written(header)))


@given(st.binary(max_size=300))
def test_any_bytes_can_be_scanned(content: bytes) -> None:
    """Whatever the bytes, nothing is raised, and the fields lie inside the header and do not overlap."""
    position = 0
    for field in fields(content):
        assert position <= field.start < field.end <= header_end(content) <= len(content)
        position = field.end


def test_a_folded_value_is_unfolded() -> None:
    """RFC 5322 2.2.3: a line end before a blank is no part of the value; the blank is."""
    (field,) = fields(b"Subject: one\r\n two\r\n\tthree \r\n\r\n")
    assert field.value == b"one two\tthree"
    assert field.name == "subject"


def test_a_value_means_what_the_standard_library_says() -> None:
    """Names and values agree with Python's own parser on an ordinary header."""
    content = b"From: a@b.example\r\nSubject : late\r\nTo: x@y.example,\r\n  z@y.example\r\n\r\nhi\r\n"
    oracle = email.message_from_bytes(content.replace(b"Subject :", b"Subject:"), policy=email.policy.compat32)
    ours = {field.name: field.value.decode() for field in fields(content)}
    assert ours == {name.lower(): value.replace("\r\n", "").strip() for name, value in oracle.items()}


def test_a_blank_before_the_colon_is_allowed() -> None:
    """RFC 5322 4.5.3: old programs wrote one."""
    assert [(field.name, field.value) for field in fields(b"To \t: x\r\n\r\n")] == [("to", b"x")]


def test_the_body_has_no_fields() -> None:
    """The header ends at the first empty line, whatever follows looks like."""
    content = b"A: 1\r\n\r\nB: 2\r\n"
    assert [field.name for field in fields(content)] == ["a"]
    assert list(fields(b"\r\nA: 1\r\n\r\n")) == []
    assert header_end(b"\r\nA: 1\r\n\r\n") == 0


def test_a_line_that_is_no_field_is_passed_over() -> None:
    """Neither a line without a name nor what continues it hides the fields around it."""
    content = b"A: 1\r\nno field here: really\r\n: nothing\r\n folded: 5\r\nB: 2\r\n\r\n"
    assert [field.name for field in fields(content)] == ["a", "b"]


def test_a_header_without_a_body_counts() -> None:
    """A message may end with its header, even within its last line."""
    assert [field.value for field in fields(b"A: 1\r\nB: 2")] == [b"1", b"2"]
    assert list(fields(b"")) == []


def test_a_header_above_the_cap_is_left_at_a_whole_field() -> None:
    """No field is looked at that does not end below `MAX_HEADER`, folds and all."""
    line = b"X: " + b"y" * 90 + b"\r\n"
    whole = line * (MAX_HEADER // len(line) - 1)
    content = whole + b"Long: a\r\n" + b" b\r\n" * 200 + line * 5 + b"\r\nbody"
    assert header_end(content) == len(whole)
    assert len(list(fields(content))) == len(whole) // len(line)


def test_a_header_of_one_endless_line_has_no_fields() -> None:
    """A megabyte without a line end is read once and given up."""
    assert list(fields(b"a" * 1_000_000)) == []
    assert list(fields(b"a: " + b"b" * 1_000_000)) == []


def test_a_field_is_a_plain_value() -> None:
    """A field names its place, so that others can cut it out."""
    (field,) = fields(b"To: x\r\n\r\n")
    assert field == Field("to", 0, 7, b" x\r")


def test_the_header_of_a_part_is_read_where_it_lies() -> None:
    """Fields between two offsets are those that begin there, with offsets into the whole."""
    content = b"A: 1\r\n\r\n--x\r\nB: 2\r\n c\r\nC: 3\r\n\r\nD: 4\r\n"
    found = list(fields_between(content, content.index(b"B:"), content.index(b"\r\n\r\nD") + 2))
    assert [(field.name, field.value) for field in found] == [("b", b"2 c"), ("c", b"3")]
    assert content[found[0].start : found[0].end] == b"B: 2\r\n c\r\n"
