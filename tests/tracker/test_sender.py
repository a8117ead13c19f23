"""Logos: what is one, and what a browser is told about it."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracker.logos import DRAWING, KINDS
from tests.tracker.web import SHOP, link, running
from tracker.sender import MOST, Logo, Sender


@pytest.mark.parametrize("kind", KINDS)
def test_a_logo_is_known_by_its_content(tmp_path: Path, kind: str) -> None:
    """Its name says nothing; another content has another path."""
    file = tmp_path / "logo.bin"
    file.write_bytes(KINDS[kind])
    logo = Logo.read(file)
    assert (logo.file, logo.kind, logo.content) == (file, kind, KINDS[kind])
    assert len({Logo(file, kind, content).path for content in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no image that we serve: PNG, JPEG, GIF, WebP or SVG"),
        (b"%PDF-1.7", "is no image that we serve"),
        (b"RIFF\x00\x00\x00\x00WAVE", "is no image that we serve"),
        (b"\x1f\x8b\x08 a packed drawing", "is no image that we serve"),
        (b"<html><body/></html>", "is no image that we serve"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "is no image that we serve"),
        (b'<svg width="1"/>', 'needs xmlns="http://www.w3.org/2000/svg"'),
        (DRAWING[:-10], "is not whole: "),
        (DRAWING + b" " * MOST, "is larger than 100 kB"),
    ],
)
def test_what_browsers_would_not_show_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    """Other kinds, drawings that are cut off or do not say what they are, and what is too large."""
    file = tmp_path / "logo.svg"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"logo\.svg ") as error:
        Logo.read(file)
    assert said in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_logo_is_served_by_our_own_host(kind: str) -> None:
    """Kept for ever, since its path changes with it; its kind is not guessed; by itself it may do nothing at all."""
    logo = Logo(Path("logo"), kind, KINDS[kind])
    async with running(replace(SHOP, senders={"example.com": Sender("Example Shop", logo=logo)})) as web:
        assert f'src="..{logo.path}"' in await (await web.get(f"/u/{link()}")).text()
        for method in ("GET", "HEAD"):
            response = await web.get(logo.path, method=method)
            assert (response.status, response.headers["Content-Type"]) == (200, kind)
            assert response.headers["Content-Length"] == str(len(logo.content))
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
            assert response.headers["Content-Security-Policy"] == policy
            assert await response.read() == (logo.content if method == "GET" else b"")
        for path in (f"{logo.path}0", "/l/", f"/u{logo.path}"):
            response = await web.get(path)
            assert (response.status, response.headers["Cache-Control"]) == (404, "no-store")
        assert web.ledger.visits == [], "to look at a page is no visit of a mail"
