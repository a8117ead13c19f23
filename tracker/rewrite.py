"""HTML → the edits that make it trackable: links that lead through the tracker, and a pixel.

Writes no HTML back: it gives edits by offset, and what lies between them is not touched.
Does not know what a token is: it is given a function that makes the URL of a link.

Rules:
1. Of the link tags (a, area, Outlook's v:*) the value of `href` changes, nothing else. Which
   of them are tracked is said in links.py. Attributes by which a link opts out are meant for
   a relay, not for the recipient: they are taken out, tracked or not.
2. The pixel stands before the last `</body>`, else before the last `</html>`, else at the
   end; where a link is still open there, before that link. It takes no room.
3. In mail that is not encoded no line grows beyond `longest` (lines.py).
4. On doubt a link, or the whole part, is left as it is, and `doubt` says why.

Time is linear in the input; above MAX_HTML it is not looked at. Never raises, whatever the HTML.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from tracker import charset as charsets
from tracker import lines, links
from tracker.lines import Edit
from tracker.survey import Link, survey
from tracker.token import MAX_TARGET

__all__ = ["MAX_HTML", "MAX_LINKS", "Edit", "Policy", "Rewritten", "rewrite"]

MAX_HTML = 2 * 1024 * 1024  # octets
MAX_LINKS = 2_000  # tracked ones in a part; the others stay

_XHTML = re.compile(rb"(?i)<\?xml|xhtml")
# Out of the flow, so that it moves nothing, but not hidden: what is hidden is not fetched. A style sheet that stretches
# every picture does not stretch this one.
_PIXEL_STYLE = "display:block;position:absolute;width:1px!important;height:1px!important;border:0;margin:0;padding:0"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator decides about links; `own` is the tracker's base URL, whose links stay."""

    visible_urls: bool = False  # track also links whose text is a URL
    hidden_link: bool = False  # add a link no person sees, so that who follows it is known for a machine
    own: str = ""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Edits in order and disjoint; how many links lead through us; is there a pixel; why something was left alone."""

    edits: tuple[Edit, ...]
    links: int
    pixel: bool
    doubt: str


def rewrite(
    html: bytes,
    charset: str,
    *,
    link: Callable[[str, int], str] | None,
    pixel: str | None,
    policy: Policy,
    first: int = 1,
    unsubscribe: Collection[str] = (),
    longest: int | None = None,
) -> Rewritten:
    """The edits for one HTML part of a message.

    `link(target, n)` gives the tracker's URL for the nth tracked link, counted from `first`, and for the
    hidden one (n = 0); None: clicks are not tracked. `pixel`: the URL of the pixel, None for none.
    `unsubscribe`: the URLs of List-Unsubscribe, which stay. `longest`: octets a line may have (None: no limit,
    as in quoted-printable and base64).
    """
    if len(html) > MAX_HTML:
        return _untouched(f"the HTML is larger than {MAX_HTML >> 20} MiB")
    name = charsets.codec(charset)
    markup = None if name is None else charsets.masked(html, name)
    if name is None or markup is None:
        return _untouched(f"HTML in the charset {charset[:40]!a} is not read")
    found = survey(markup)
    if not found.complete:
        return _untouched("the HTML has too many tags")
    part = _Part(html, name, policy, unsubscribe)
    for each in found.links:
        part.edit(each, link, first)
    if pixel is not None:
        part.add(pixel, found.pixel, link)
    return part.rewritten(longest)


def _untouched(doubt: str) -> Rewritten:
    return Rewritten((), 0, False, doubt)


class _Part:
    """One part, and the edits it has so far."""

    def __init__(self, html: bytes, name: str, policy: Policy, unsubscribe: Collection[str]) -> None:
        self._html = html
        self._name = name
        self._policy = policy
        self._unsubscribe = unsubscribe
        self._edits: list[Edit] = []
        self._tracked: list[str] = []
        self._doubts: dict[str, None] = {}  # in the order they came up, each once

    def edit(self, found: Link, link: Callable[[str, int], str] | None, first: int) -> None:
        """Take the opt-outs out of a link's tag, and make it lead through the tracker if it is to."""
        href = None
        for attribute in found.spoken:
            if attribute.name != b"href":
                self._edits.append(self._without(attribute.start, attribute.end))
            elif href is None:
                href = attribute
        if link is None or href is None:
            return
        target = self._target(found, self._html[href.value : href.value_end])
        if target is None:
            return
        if len(self._tracked) == MAX_LINKS:
            self._doubts[f"only the first {MAX_LINKS} links are tracked"] = None
            return
        url = _written(link(target, first + len(self._tracked)))
        self._edits.append(lines.Value(href.value, href.value_end, url, href.start, href.end))
        self._tracked.append(target)

    def _target(self, found: Link, value: bytes) -> str | None:
        """Where this link leads, None if it stays as it is."""
        target = links.target(value, self._name)
        if links.too_long(value) or (target is not None and len(target) > MAX_TARGET):
            self._doubts["a link is too long to be tracked"] = None
            return None
        if target is None or links.opted_out(found.spoken, self._html) or self._ours(target):
            return None
        text = links.shown(self._html[found.tag.end : found.content_end], self._name)
        if links.shows_url(text) and not self._policy.visible_urls:
            return None
        return None if links.unsubscribes(target, text, self._unsubscribe) else target

    def _ours(self, target: str) -> bool:
        own = self._policy.own.rstrip("/")
        return bool(own) and (target == own or target.startswith((own + "/", own + "?", own + "#")))

    def _without(self, start: int, end: int) -> Edit:
        """The edit that takes an attribute out, with the blank before it unless the next one leans on that."""
        before = start
        if self._html[end : end + 1] in (b"\t", b"\n", b"\f", b"\r", b" ", b"/", b">"):
            while self._html[before - 1] in b"\t\n\f\r ":
                before -= 1
        return Edit(before, end, b"")

    def add(self, pixel: str, place: int, link: Callable[[str, int], str] | None) -> None:
        """Add the pixel, and the hidden link beside it."""
        if place < 0:
            self._doubts["the HTML breaks off where a pixel would not be seen"] = None
            return
        close = b" />" if _XHTML.search(self._html, 0, 1024) else b">"
        new = b'<img src="%b" alt="" width="1" height="1" style="%b"%b' % (
            _written(pixel),
            _PIXEL_STYLE.encode(),
            close,
        )
        if self._policy.hidden_link and link is not None and self._tracked:
            # The home page of a link that is there anyway: nobody is led where the sender did not want them.
            home = "{0.scheme}://{0.netloc}/".format(urlsplit(self._tracked[0]))
            new += b'<a href="%b" style="display:none" tabindex="-1" aria-hidden="true"></a>' % _written(link(home, 0))
        self._edits.append(lines.Tag(place, place, new))

    def rewritten(self, longest: int | None) -> Rewritten:
        """All edits in order, with lines that SMTP can carry."""
        edits = sorted(self._edits, key=lambda edit: (edit.start, edit.end))
        fits: list[Edit | None] = list(edits)
        if longest is not None:
            fits = lines.fitted(self._html, edits, longest)
            if None in fits:
                self._doubts["a link is too long for a line of mail that is not encoded"] = None
        kept = [edit for edit, fit in zip(edits, fits, strict=True) if fit is not None]
        return Rewritten(
            edits=tuple(fit for fit in fits if fit is not None),
            links=sum(isinstance(edit, lines.Value) for edit in kept),
            pixel=any(isinstance(edit, lines.Tag) for edit in kept),
            doubt="; ".join(self._doubts),
        )


def _written(url: str) -> bytes:
    """A URL as an attribute's value."""
    return escape(url).encode("ascii", "xmlcharrefreplace")
