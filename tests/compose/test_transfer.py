"""Edits are written into an encoded body; what lies outside them stays byte for byte."""

import binascii
import quopri
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.compose.transfer import applied, decoded, splice
from tracker.rewrite import Edit

ENCODINGS = ("7bit", "8bit", "binary", "quoted-printable", "base64")
TEXTS = st.binary(max_size=400) | st.text(st.sampled_from('ab =<>"&-.é€\t'), max_size=600).map(
    lambda text: re.sub(" {20}", "\r\n", text).encode()
)
NEW = st.binary(max_size=200) | st.text(st.sampled_from("ht=p:/-. é\t"), max_size=300).map(str.encode)
# What other programs write: escapes in both cases, soft breaks with blanks behind them, "=" that means nothing.
PIECES = [
    b"=3D",
    b"=3d",
    b"=c3=A9",
    b"=",
    b"==",
    b"=4",
    b"=\r\n",
    b"= \t\r\n",
    b"\r\n",
    b" ",
    b" \r\n",
    b"a",
    b"-",
    b"4",
    b"1D",
]
ODD_QP = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=60).map(b"".join)


def _edits(draw: Any, length: int, *, at_least: int = 0) -> list[Edit]:
    points = sorted(draw(st.lists(st.integers(0, length), min_size=2 * at_least, max_size=12)))
    return [Edit(start, end, draw(NEW)) for start, end in zip(points[::2], points[1::2], strict=False)]


def _encoded(draw: Any, octets: bytes, encoding: str) -> bytes:
    """As different programs would encode it."""
    if encoding == "quoted-printable":
        raw: bytes = quopri.encodestring(octets.replace(b"\r\n", b"\n"), quotetabs=draw(st.booleans()))
        return raw.replace(b"\r", b"=0D").replace(b"\n", b"\r\n")
    if encoding == "base64":
        width = draw(st.sampled_from([4, 57, 60, 64, 72, 75, 76, 998]))
        text = binascii.b2a_base64(octets, newline=False)
        lines = [text[at : at + width] for at in range(0, len(text), width)]
        return b"\r\n".join([*lines, *draw(st.sampled_from([[], [b""], [b"", b""]]))])
    return octets


@given(st.data())
def test_decoding_a_splice_gives_the_edited_text(data: st.DataObject) -> None:
    """In every encoding, decode(splice(raw, edits)) is apply(decode(raw), edits)."""
    encoding = data.draw(st.sampled_from(ENCODINGS))
    raw = _encoded(data.draw, data.draw(TEXTS), encoding)
    octets = decoded(encoding, raw)
    assert octets is not None
    edits = _edits(data.draw, len(octets))
    assert decoded(encoding, splice(encoding, raw, edits)) == applied(octets, edits)


@given(ODD_QP, st.data())
def test_odd_quoted_printable_is_spliced_too(raw: bytes, data: st.DataObject) -> None:
    """Whatever is before or behind an edit, nothing grows together with it."""
    octets = decoded("quoted-printable", raw)
    assert octets is not None
    edits = _edits(data.draw, len(octets))
    spliced = splice("quoted-printable", raw, edits)
    assert decoded("quoted-printable", spliced) == applied(octets, edits)


@given(st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join), st.data())
def test_what_is_outside_an_edit_stays_byte_for_byte(raw: bytes, data: st.DataObject) -> None:
    """In front of what is written in and behind it stands the original, and what is gone is what the edit replaced."""
    octets = decoded("quoted-printable", raw) or b""
    start, end = sorted((data.draw(st.integers(0, len(octets))), data.draw(st.integers(0, len(octets)))))
    before, after = splice("quoted-printable", raw, [Edit(start, end, b"\0")]).split(b"=00")
    soft = b"=\r\n"  # may be new on either side
    befores = {before, before.removesuffix(soft)}
    afters = {after, after.removeprefix(soft)}
    gone = [
        raw[len(before) : len(raw) - len(after)]
        for before in befores
        for after in afters
        if raw.startswith(before) and raw.endswith(after) and len(before) + len(after) <= len(raw)
    ]
    assert octets[start:end] + b"!" in [decoded("quoted-printable", text + b"!") for text in gone]


def test_quoted_printable_agrees_with_python() -> None:
    """Where nothing is odd, what is decoded is what the standard library decodes."""
    octets = b'<a href="x=1">caf\xc3\xa9</a>\t\r\n' * 20
    raw = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    assert decoded("quoted-printable", raw) == octets == quopri.decodestring(raw)


@pytest.mark.parametrize(
    ("raw", "octets"),
    [
        (b"a=3db", b"a=b"),
        (b"soft = \t\r\nbreak", b"soft break"),
        (b"a=b", b"a=b"),
        (b"a=4", b"a=4"),
        (b"==3D", b"=="),
        (b"the end=", b"the end"),
        (b"kept \r\n", b"kept \r\n"),
    ],
)
def test_odd_quoted_printable_is_read_as_mail_programs_do(raw: bytes, octets: bytes) -> None:
    """Digits in small letters are digits; "=" that encodes nothing is itself; blanks behind a soft break go."""
    assert decoded("quoted-printable", raw) == octets


@given(TEXTS, st.data())
def test_no_line_of_a_splice_is_above_76_characters(octets: bytes, data: st.DataObject) -> None:
    """RFC 2045 6.7 (5): where the original kept the limit, the copy does."""
    raw = _encoded(data.draw, octets, "quoted-printable")
    octets = decoded("quoted-printable", raw) or b""
    edits = _edits(data.draw, len(octets))
    dashes = b"--" in raw  # a line that would begin with them may be longer instead
    lines = splice("quoted-printable", raw, edits).split(b"\r\n")
    assert dashes or max(map(len, lines)) <= 76
    assert all(line in raw.split(b"\r\n") for line in lines if line.startswith(b"--") and not dashes)


@pytest.mark.parametrize(
    ("raw", "edits", "spliced"),
    [
        (b"a" * 76, [Edit(76, 76, b"b")], b"a" * 75 + b"=\r\nab"),
        (b"a" * 76 + b"\r\nc", [Edit(76, 76, b"b")], b"a" * 75 + b"=\r\nab\r\nc"),
        (b"a" * 73 + b"=3D", [Edit(74, 74, b"b")], b"a" * 73 + b"=\r\n=3Db"),
        (b"a" * 75 + b"-", [Edit(76, 76, b"b")], b"a" * 74 + b"=\r\na-b"),
        (b"aa", [Edit(0, 0, b"b" * 74), Edit(2, 2, b"c")], b"b" * 74 + b"=\r\naac"),
    ],
)
def test_what_is_written_behind_a_full_line_takes_its_last_character_along(
    raw: bytes, edits: list[Edit], spliced: bytes
) -> None:
    """There is no room for the "=" of a soft break: it stands one character, or one escape, before."""
    assert splice("quoted-printable", raw, edits) == spliced


def test_a_blank_at_the_end_of_a_line_is_not_left_to_chance() -> None:
    """RFC 2045 6.7 (3): a blank that an edit leaves before a line end is kept from being taken off."""
    assert splice("quoted-printable", b"a b\r\n", [Edit(2, 3, b"")]) == b"a =\r\n\r\n"
    assert splice("quoted-printable", b"ab\r\n", [Edit(1, 2, b"c ")]) == b"ac=20\r\n"


@given(TEXTS.filter(bool), st.data())
def test_base64_stays_as_it_is_up_to_the_first_change(octets: bytes, data: st.DataObject) -> None:
    """The groups before the first edit's keep their lines; those behind have lines as long."""
    raw = _encoded(data.draw, octets, "base64")
    edits = _edits(data.draw, len(octets), at_least=1)
    spliced = splice("base64", raw, edits)
    kept = edits[0].start // 3 * 4
    assert spliced.replace(b"\r\n", b"")[:kept] == raw.replace(b"\r\n", b"")[:kept]
    width = len(raw.split(b"\r\n")[0])
    several = len(raw.split()) > 1
    lines = spliced.split()
    assert all(len(line) == (width if several else 76) for line in lines[1:-1])
    assert spliced[len(spliced.rstrip()) :] == raw[len(raw.rstrip()) :]


def test_base64_with_blanks_and_empty_lines_is_spliced() -> None:
    """RFC 2045 6.8: what is not of the alphabet means nothing, and stays where nothing changes."""
    raw = b"YWJj ZGVm\r\n\r\n \tZ2hp\r\namts\r\n"
    assert decoded("base64", raw) == b"abcdefghijkl"
    spliced = splice("base64", raw, [Edit(7, 8, b"HH")])
    assert spliced.startswith(b"YWJj ZGVm\r\n\r\n \t")
    assert decoded("base64", spliced) == b"abcdefgHHijkl"


@pytest.mark.parametrize(
    "raw", [b"YWJj=ZGVm", b"YWJ", b"YWJj*ZGVm", b"YQ==\r\nYQ==\r\n", b"YWJj\r\n-- \r\nlist footer"]
)
def test_base64_that_can_be_read_in_two_ways_is_not_read(raw: bytes) -> None:
    """Padding within, a broken group, strange characters, text behind it: programs differ, so we leave it."""
    assert decoded("base64", raw) is None


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_without_edits_nothing_is_even_copied(encoding: str) -> None:
    """A body that nobody changes is the same object."""
    raw = b"=3Db4"
    assert splice(encoding, raw, []) is raw


@given(st.sampled_from(ENCODINGS), st.binary(max_size=300))
def test_any_bytes_can_be_decoded(encoding: str, raw: bytes) -> None:
    """Whatever the bytes, there is a text or None, and nothing is raised."""
    octets = decoded(encoding, raw)
    assert octets is not None or encoding == "base64"


@pytest.mark.parametrize(
    "raw",
    [b"=" * 1_000_000, b"= " * 500_000, b"=" + b" " * 1_000_000, b"=\r\n" * 300_000, b"=3" * 500_000, b"-" * 1_000_000],
)
def test_hostile_quoted_printable_is_read_once(raw: bytes) -> None:
    """A megabyte of what looks like the beginning of something is spliced at its end, and decodes."""
    octets = decoded("quoted-printable", raw)
    assert octets is not None
    spliced = splice("quoted-printable", raw, [Edit(len(octets), len(octets), b"x")])
    assert decoded("quoted-printable", spliced) == octets + b"x"


@pytest.mark.parametrize(
    "raw", [b"\r\n" * 300_000 + b"YWJj", b"YWJj" * 200_000, b"Y W J j " * 100_000, b"YWJj\r\n" * 100_000]
)
def test_hostile_base64_is_read_once(raw: bytes) -> None:
    """A megabyte in one line, in lines of nothing, with blanks between all characters: spliced, and decodes."""
    octets = decoded("base64", raw)
    assert octets is not None
    assert decoded("base64", splice("base64", raw, [Edit(len(octets), len(octets), b"x")])) == octets + b"x"
