"""The message of the tracking race: 10 KB of HTML with 10 links and its text part, as a shop sends it."""

from pathlib import Path

LINKS = 10
_WORDS = "Thank you for your order; it left our house this morning and will be with you in a day or two. "


def letter() -> bytes:
    """A whole message; lines end in LF, as smtp-source wants them."""
    rows = "".join(
        f'<tr><td style="padding:8px 24px;font:16px/24px Helvetica,Arial,sans-serif;color:#333333">{_WORDS * 8}'
        f'<a href="https://shop.bench.test/orders/2026/{number}?from=mail&amp;item={number * 7}" '
        f'style="color:#1a66cc;text-decoration:underline">Look at item {number}</a></td></tr>\n'
        for number in range(LINKS)
    )
    html = (
        '<!doctype html>\n<html lang="en"><head><title>Your order</title></head>\n'
        f"<body><table>\n{rows}</table>\n</body></html>\n"
    )
    head = (
        "From: Shop <app@bench.test>\nTo: user@sink.test\nSubject: Your order is on its way\n"
        "Date: Sat, 21 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\n"
    )
    parts = f"--=_1\nContent-Type: text/plain; charset=utf-8\n\n{_wrapped(_WORDS * 4)}\n"
    parts += f"--=_1\nContent-Type: text/html; charset=utf-8\n\n{html}--=_1--\n"
    return f'{head}Content-Type: multipart/alternative; boundary="=_1"\n\n{parts}'.encode()


def write_letter(directory: Path) -> Path:
    """The same in a file."""
    path = directory / "letter.eml"
    path.write_bytes(letter())
    return path


def _wrapped(text: str) -> str:
    return text.replace("; ", ";\n").replace(". ", ".\n")
