"""How pages look: the frame, and a sender's name, logo and colour in it.

Does not know what a page says (`pages.py`). Rules: contrast is never left to luck: links, lines and
second buttons have the colour's nearest shade that can be read on the card, light or dark; the first button
has the colour itself, and text on it in white or black. A page allows its own style sheet, known by its
hash, where there is a logo images of our own host, and nothing else. The frame is page.html, its shape page.css.
Standards: WCAG 2.2 1.4.3, CSP Level 3.
Fails: never.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from string import Template

from tracker.colour import Colour, ink, parse, readable
from tracker.language import Texts
from tracker.sender import Sender

OURS = parse("#1a5fb4")

_HERE = Path(__file__)
_FRAME = Template(_HERE.with_name("page.html").read_text("utf-8"))
_SHAPE = re.sub(r"/\*.*?\*/|\s*\n\s*", "", _HERE.with_name("page.css").read_text("utf-8"))
LIGHT, DARK = (parse(card) for card in re.findall(r"--card: (#[0-9a-f]+)", _SHAPE))  # what text stands on


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered to a person."""

    status: int
    language: str
    policy: str  # Content-Security-Policy: what a browser may load for it
    html: bytes


@dataclass(frozen=True, slots=True)
class Style:
    """A style sheet, and the hash that it is allowed by."""

    text: str
    digest: str


@lru_cache
def style(colour: Colour) -> Style:
    """The style sheet of pages in this colour."""
    text = (
        f"{_SHAPE}:root{{--deep:{readable(colour, LIGHT)};--fill:{colour};--on:{ink(colour)}}}"
        f"@media(prefers-color-scheme:dark){{:root{{--deep:{readable(colour, DARK)}}}}}"
    )
    return Style(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


_OUR_STYLE = style(OURS)


@dataclass(frozen=True, slots=True)
class Look:
    """Whose pages they are, to the eye."""

    name: str = ""  # "": nobody's in particular
    style: Style = _OUR_STYLE
    logo: str = ""  # where it is, from pages that stand one level down, like /u/TOKEN; "": the name stands in its place

    def page(self, status: int, texts: Texts, title: str, body: str) -> Page:
        """`body` is HTML, `title` text, which tells the state."""
        name = escape(self.name)
        html = _FRAME.substitute(
            language=texts.language,
            direction=texts.direction,
            title=escape(f"{title} – {self.name}" if self.name else title),
            style=self.style.text,
            sender=f'<img src="{self.logo}" alt="{name}">' if self.logo else name,
            body=body,
        )
        return Page(status, texts.language, self._policy, html.encode())

    @property
    def _policy(self) -> str:
        images = "img-src 'self'; " if self.logo else ""
        return (
            f"default-src 'none'; {images}style-src 'sha256-{self.style.digest}'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )


def look(sender: Sender) -> Look:
    """How this sender's pages look."""
    return Look(sender.name, style(sender.colour or OURS), f"..{sender.logo.path}" if sender.logo else "")
