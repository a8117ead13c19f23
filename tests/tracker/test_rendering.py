"""The copy of a newsletter looks like the newsletter: the same picture in a real browser, pixel by pixel."""

import pytest

from tests.tracker.browser import needs_chromium, picture
from tests.tracker.copies import ALL, NEWSLETTERS, PIXEL, copied
from tracker.rewrite import Policy

pytestmark = needs_chromium

CLIPPED = 102 * 1024  # Gmail shows no more of a mail than that, and a link to the rest


def clipped() -> bytes:
    """A newsletter of many rows, longer than Gmail shows."""
    row = (
        b'<tr><td style="padding:2px 6px;border-bottom:1px solid #ccc;font:11px/13px Arial">'
        b'<a href="https://shop.test/item/%d?ref=mail&amp;pos=%d" style="color:#06c">Item %d</a> '
        b'<span style="color:#777">in stock</span></td></tr>\r\n'
    )
    rows = b"".join(row % (number, number, number) for number in range(520))
    return b"<!DOCTYPE html><html><body style='margin:0'><table width=100%>" + rows + b"</table></body></html>"


def newsletter(name: str) -> bytes:
    return clipped() if name == "clipped" else (NEWSLETTERS / f"{name}.html").read_bytes()


@pytest.mark.parametrize(
    ("name", "charset", "longest"),
    [("mjml", "utf-8", None), ("outlook", "windows-1252", 998), ("amp", "utf-8", 200), ("clipped", "utf-8", 998)],
)
def test_the_copy_looks_the_same(name: str, charset: str, longest: int | None) -> None:
    """With links rewritten, pixel and hidden link added, and lines broken where they must be, nothing moves."""
    html = newsletter(name)
    copy = copied(html, charset, policy=Policy(visible_urls=True, hidden_link=True), pixel=PIXEL, longest=longest)
    assert copy.made.pixel
    assert copy.made.links > 2
    before = picture(html, charset)
    assert len(before) > 5_000, "the picture is not empty"
    assert picture(copy.after, charset) == before


def test_a_picture_tells_two_documents_apart() -> None:
    """What the other test leans on: one dot more, and the picture is another one."""
    html = newsletter("mjml")
    dot = b'<i style="position:absolute;left:9px;top:9px;width:1px;height:1px;background:red"></i>'
    dotted = html.replace(b"</body>", dot + b"</body>")
    assert picture(html, "utf-8") == picture(html, "utf-8") != picture(dotted, "utf-8")


def test_a_newsletter_longer_than_gmail_shows_is_tracked_whole() -> None:
    """All its links lead through us; where Gmail cuts it, the pixel at its end is not loaded, which nobody can help."""
    html = clipped()
    assert len(html) > CLIPPED
    assert copied(html, policy=ALL, pixel=PIXEL).made.links == 520
