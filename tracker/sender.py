"""Who writes, as recipients know him: a name, and perhaps a colour and a logo.

Does not make pages (`look.py`). Rules: a logo is an image that every browser shows, at most 100 kB;
what it is, its content tells, never its name.
Fails: `Logo.read` raises `OSError` for a file that cannot be read and `ValueError` for what is no logo.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tracker.colour import Colour

MOST = 100_000  # octets of a logo

_SVG = "{http://www.w3.org/2000/svg}svg"
_BEGINNINGS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}


@dataclass(frozen=True, slots=True)
class Logo:
    """An image, and where the operator keeps it."""

    file: Path
    kind: str  # its media type
    content: bytes = field(repr=False)
    path: str = field(init=False)  # where the public web has it; another content has another path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", f"/l/{hashlib.sha256(self.content).hexdigest()[:32]}")

    @classmethod
    def read(cls, file: Path) -> "Logo":
        """The logo in `file`."""
        with file.open("rb") as opened:
            content = opened.read(MOST + 1)
        if len(content) > MOST:
            raise ValueError(f"{file} is larger than {MOST // 1000} kB. Every page that recipients see shows it")
        for kind, beginning in _BEGINNINGS.items():
            if beginning.match(content):
                return cls(file, kind, content)
        return cls(file, _drawing(file, content), content)


@dataclass(frozen=True, slots=True)
class Sender:
    """What a From domain stands for."""

    name: str
    colour: Colour | None = None  # of buttons and links; None: ours
    logo: Logo | None = None


def _drawing(file: Path, content: bytes) -> str:
    """The media type of SVG, if it is that and whole: what is not, browsers do not show at all."""
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # or a charset that nobody knows
        if b"<svg" in content:
            raise ValueError(f"{file} is not whole: {error}") from None
        raise ValueError(f"{file} is no image that we serve: PNG, JPEG, GIF, WebP or SVG") from None
    if root.tag == "svg":
        raise ValueError(f'{file} does not say that it is SVG. Its first element needs xmlns="{_SVG[1:-4]}"')
    if root.tag != _SVG:
        raise ValueError(f"{file} is no image that we serve: PNG, JPEG, GIF, WebP or SVG")
    return "image/svg+xml"
