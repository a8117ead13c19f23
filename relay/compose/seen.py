"""A copy as its recipient's mail program sees it: where our pixel, its first link and its unsubscribe address lead.

Reads only what leads to the tracker at `base_url`; whatever else stands in the copy is no business of ours. For the
simulator, whose recipients open and click. It fetches nothing.
Standards: RFC 2369 (List-Unsubscribe), RFC 8058 3.1 (one click needs both fields). Pure, linear, and never raises.
"""

import re
from dataclasses import dataclass
from html import unescape

from relay.compose.draft import Draft
from relay.compose.parts import walk
from relay.compose.tracked import MAX_HTML
from relay.compose.transfer import decoded
from tracker.unsubscribe import urls

_TAG = re.compile(r"<(img|a)\b[^<>]*+>", re.IGNORECASE)
_TARGET = re.compile(r"""\b(?:src|href)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HIDDEN = "display:none"  # what no person sees, no person follows


@dataclass(frozen=True, slots=True)
class Seen:
    """Paths and queries below the base URL; "" for what is not in the copy."""

    pixel: str = ""
    link: str = ""
    unsubscribe: str = ""


def seen(copy: bytes, base_url: str) -> Seen:
    """What of a copy leads to `base_url`."""
    draft = Draft(copy)
    pixel = link = ""
    for part in walk(copy, draft.fields, draft.end).parts:
        if part.media.word != "text/html" or part.end - part.body > 3 * MAX_HTML:
            continue
        html = (decoded(part.encoding, copy[part.body : part.end]) or b"").decode("latin-1")
        for tag in _TAG.finditer(html):
            target = _TARGET.search(tag[0])
            path = _below(base_url, unescape(next(filter(None, target.groups()), "")) if target else "")
            if tag[1].lower() == "img" and path.startswith("/o/"):
                pixel = pixel or path
            elif path.startswith("/c/") and _HIDDEN not in tag[0]:
                link = link or path
    return Seen(pixel, link, _one_click(draft, base_url))


def _one_click(draft: Draft, base_url: str) -> str:
    if not draft.named("list-unsubscribe-post"):
        return ""
    for field in draft.named("list-unsubscribe"):
        for url in urls(field.value.decode("latin-1")):
            if path := _below(base_url, url):
                return path
    return ""


def _below(base_url: str, url: str) -> str:
    return url.removeprefix(base_url) if base_url and url.startswith(f"{base_url}/") else ""
