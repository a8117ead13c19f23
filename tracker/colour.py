"""Colours that can be read: contrast, and the shade of a colour that has enough of it.

Pure. Knows no pages. Rules: a colour stays as it is where it can be read; else the nearest shade of
it takes its place, darker on light grounds and lighter on dark ones, in steps of 1/255 of the way
to black or white. There is always one, for every colour on every ground: black or white has 4.58:1 at least.
Standards: WCAG 2.2 (relative luminance, contrast ratio; 1.4.3: text has 4.5:1).
Fails with `ValueError` for what is written as no colour.
"""

import re
from typing import NamedTuple

ENOUGH = 4.5  # to one: the contrast of text (WCAG 2.2, 1.4.3, level AA)

_HEX = re.compile(r"#(?:[0-9A-Fa-f]{3}){1,2}")
_STEPS = 255


class Colour(NamedTuple):
    """A colour of sRGB; each part goes from 0 to 255."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return "#" + bytes(self).hex()

    @property
    def luminance(self) -> float:
        """Relative luminance: from 0 (black) to 1 (white)."""
        red, green, blue = (_LINEAR[part] for part in self)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# WCAG 2.2, relative luminance: each part as light, that is without its gamma.
_LINEAR = [
    part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (n / 255 for n in range(256))
]

BLACK, WHITE = Colour(0, 0, 0), Colour(255, 255, 255)


def parse(written: str) -> Colour:
    """The colour in "#0b6e4f" or "#0b6". Raises `ValueError`."""
    if not _HEX.fullmatch(written):
        raise ValueError(f'"{written}" is no colour. Write it like "#0b6e4f"')
    digits = written[1:] if len(written) == 7 else "".join(digit * 2 for digit in written[1:])
    return Colour(*bytes.fromhex(digits))


def contrast(one: Colour, other: Colour) -> float:
    """From 1 (the same) to 21 (black and white)."""
    darker, lighter = sorted((one.luminance, other.luminance))
    return (lighter + 0.05) / (darker + 0.05)


def readable(colour: Colour, ground: Colour) -> Colour:
    """`colour`, or its nearest shade that can be read on `ground`."""
    end = max(BLACK, WHITE, key=lambda each: contrast(each, ground))
    shades = (_shade(colour, end, step) for step in range(_STEPS + 1))
    return next(shade for shade in shades if contrast(shade, ground) >= ENOUGH)


def ink(ground: Colour) -> Colour:
    """What text on `ground` is written in: white where that can be read, else black."""
    return WHITE if contrast(WHITE, ground) >= ENOUGH else BLACK


def _shade(colour: Colour, end: Colour, step: int) -> Colour:
    """`colour` on its way to `end`: all of it at step 0, nothing of it at the last one."""
    red, green, blue = (part + round((goal - part) * step / _STEPS) for part, goal in zip(colour, end, strict=True))
    return Colour(red, green, blue)
