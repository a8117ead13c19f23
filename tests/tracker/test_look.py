"""The pages in a real browser: a sender's colour and logo, on phones and desks, by day and by night."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracker.browser import Shown, needs_chromium, picture, shown
from tests.tracker.logos import DRAWING
from tests.tracker.web import WITH_STREAMS, Running, link, running
from tracker.backend import Settings
from tracker.colour import WHITE, Colour, parse
from tracker.look import DARK, LIGHT
from tracker.sender import Logo, Sender

pytestmark = needs_chromium

MAGENTA = Colour(255, 0, 255)  # of the logo, and nowhere else
LOGO = Logo(Path("shop.svg"), "image/svg+xml", DRAWING)
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft in Wien"
WICKED = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="300" height="300">
<rect id="all" width="9" height="9" fill="#0000ff"/>
<script>document.getElementById('all').setAttribute('fill', '#ff00ff')</script></svg>"""


def shop(name: str = "Example Shop", colour: str = "#0b6e4f", logo: Logo | None = None) -> Settings:
    """A sender with this look."""
    return replace(WITH_STREAMS, senders={"example.com": Sender(name, parse(colour), logo)})


async def seen(web: Running, path: str = f"/u/{link()}", *, width: int = 700, dark: bool = False) -> Shown:
    """What a person sees."""
    return await asyncio.to_thread(shown, web.url + path, width=width, dark=dark)


@pytest.mark.parametrize("width", [320, 700])
async def test_a_logo_is_shown_as_it_is_by_day_and_on_a_light_plate_by_night(width: int) -> None:
    """The policy lets it through; it is at most 3 rem high and keeps its shape, here four to one."""
    async with running(shop(logo=LOGO)) as web:
        day, night = await seen(web, width=width), await seen(web, width=width, dark=True)
        assert day.box(MAGENTA) == (192, 48)
        assert night.box(MAGENTA) == (192, 48)
        assert night.box(WHITE)[0] > 192, "the plate goes round it"


@pytest.mark.parametrize("colour", ["#fff9b0", "#0a0a12"])
async def test_a_button_has_the_very_colour(colour: str) -> None:
    """On the light card and on the dark one; the policy lets the style through."""
    async with running(shop(colour=colour)) as web:
        day, night = await seen(web), await seen(web, dark=True)
        for shown_to, card in ((day, LIGHT), (night, DARK)):
            width, height = shown_to.box(parse(colour))
            assert width > 100
            assert height > 30
            assert card in shown_to.colours


@pytest.mark.parametrize("path", ["u", "p"])
async def test_a_long_name_stays_on_the_page(path: str) -> None:
    """Broken into lines where it has to be: nothing stands beside the card."""
    async with running(shop(name=LONG)) as web:
        page = await seen(web, f"/{path}/{link()}", width=320)
        assert len({point for row in page.rows for point in row[-14:]}) == 1


async def test_a_drawing_that_is_opened_by_itself_does_nothing() -> None:
    """SVG may hold scripts; the same one runs in a page without our policy."""
    logo = Logo(Path("shop.svg"), "image/svg+xml", WICKED)
    async with running(shop(logo=logo)) as web:
        alone = await seen(web, logo.path)
        assert Colour(0, 0, 255) in alone.colours
        assert MAGENTA not in alone.colours
    loose = await asyncio.to_thread(picture, b"<!DOCTYPE html>" + WICKED, "utf-8")
    still = await asyncio.to_thread(picture, b"<!DOCTYPE html>" + WICKED.replace(b"<script>", b"<script>0&&"), "utf-8")
    assert loose != still
