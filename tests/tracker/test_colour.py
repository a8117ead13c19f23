"""Colours: contrast as WCAG defines it, and shades that can be read on every ground."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracker.colour import BLACK, WHITE, Colour, contrast, ink, parse, readable

COLOURS = st.builds(Colour, *[st.integers(0, 255)] * 3)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000", "#fff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#ff0000", "#ffffff", 4.00),
        ("#0000ff", "#ffffff", 8.59),
        ("#00ff00", "#000000", 15.30),
        ("#abc", "#aabbcc", 1.0),
    ],
)
def test_contrast_is_that_of_the_standard(one: str, other: str, ratio: float) -> None:
    """WCAG 2.2: the numbers that every checker shows."""
    assert contrast(parse(one), parse(other)) == contrast(parse(other), parse(one)) == pytest.approx(ratio, abs=0.005)


@given(COLOURS, COLOURS)
@example(parse("#fff9b0"), WHITE)
@example(BLACK, parse("#1e2226"))
@example(parse("#777"), parse("#777"))
def test_every_colour_has_a_shade_that_can_be_read_on_every_ground(colour: Colour, ground: Colour) -> None:
    """Itself where that can be read; else one that is darker or lighter in all its parts."""
    shade = readable(colour, ground)
    assert contrast(shade, ground) >= 4.5
    if contrast(colour, ground) >= 4.5:
        assert shade == colour
    else:
        parts = list(zip(shade, colour, strict=True))
        assert all(new <= old for new, old in parts) or all(new >= old for new, old in parts)


@given(COLOURS)
def test_the_shade_is_the_nearest(colour: Colour) -> None:
    """On white, of all shades on the way to black none that is lighter could be read."""
    shade = readable(colour, WHITE)
    ways = (Colour(*(part - round(part * step / 255) for part in colour)) for step in range(256))
    readable_ones = [each for each in ways if contrast(each, WHITE) >= 4.5]
    assert shade == max(readable_ones, key=lambda each: each.luminance)


@given(COLOURS)
@example(parse("#767676"))
def test_text_on_every_colour_is_white_or_black(colour: Colour) -> None:
    """White where that can be read, as people expect of a button."""
    assert contrast(ink(colour), colour) >= 4.5
    assert (ink(colour) == WHITE) == (contrast(WHITE, colour) >= 4.5)


@given(COLOURS)
def test_a_colour_that_is_written_reads_as_the_same(colour: Colour) -> None:
    """In small letters and in capitals."""
    assert parse(str(colour)) == parse(str(colour).upper()) == colour


@given(st.text(max_size=9))
@example("#12345")
@example("#0b6e4f ")
@example("0b6e4f")
@example("#١٢٣")
@example("green")
def test_what_is_no_colour_is_told(written: str) -> None:
    """With a colour as an example."""
    try:
        assert str(parse(written))[1:] in (written[1:].lower(), "".join(digit * 2 for digit in written[1:].lower()))
    except ValueError as error:
        assert str(error) == f'"{written}" is no colour. Write it like "#0b6e4f"'
