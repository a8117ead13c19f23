"""One walk through an HTML document: its links in order, and where a pixel may stand.

Decides nothing about the links and changes nothing. Linear time; never raises.
"""

from dataclasses import dataclass, field

from tracker.html import RAW, Attribute, Piece, What, attributes, pieces
from tracker.links import WANTED


@dataclass(slots=True)
class Link:
    """A link tag with its attributes that matter, and where the content ends that a person sees as the link."""

    tag: Piece
    spoken: list[Attribute]
    content_end: int


@dataclass(slots=True)
class Survey:
    """What was found. Places for a pixel are offsets, -1: none; `end` is -1 if what is added there is not HTML."""

    links: list[Link] = field(default_factory=list)
    body: int = -1
    html: int = -1
    end: int = -1
    complete: bool = True  # no: there was more than is read

    @property
    def pixel(self) -> int:
        """Before the last </body>, else before the last </html>, else at the end."""
        return next((place for place in (self.body, self.html, self.end) if place >= 0), -1)


def survey(markup: bytes) -> Survey:
    """What is in the document."""
    seen = Survey()
    document = _Open(seen)
    here = document
    for piece in pieces(markup):
        if piece.what is What.START:
            here.start(piece, attributes(WANTED, markup, piece))
        elif piece.what is What.COMMENT:
            here = _Open(seen)
        elif piece.what is What.COMMENT_END:
            here.end_all(piece.end - len(b"-->"))
            here = document
        elif piece.what is What.TOO_MANY:
            seen.complete = False
        elif here is not document:
            here.end(piece)
        elif piece.what is What.UNCLOSED:
            # Before a broken tag or comment is still text; before <title> or <style> may still be the head.
            if piece.name not in RAW:
                seen.end = document.before(piece.start)
            document.end_all(piece.start)
            return seen
        elif piece.name == b"body":
            seen.body = document.before(piece.start)
        elif piece.name == b"html":
            seen.html = document.before(piece.start)
        else:
            document.end(piece)
    seen.end = document.before(len(markup))
    document.end_all(len(markup))
    return seen


class _Open:
    """The links that are open, in the document or in an Outlook comment: a link of HTML, and one of VML."""

    def __init__(self, seen: Survey) -> None:
        self._seen = seen
        self._link: Link | None = None
        self._shape: Link | None = None
        self._since = -1  # where the first link began of those that no </a> has ended

    def start(self, tag: Piece, spoken: list[Attribute]) -> None:
        """A start tag: an open link ends where the next one begins (HTML 13.2.6.4.7)."""
        link = Link(tag, spoken, tag.end)
        if spoken:
            self._seen.links.append(link)
        if tag.name == b"a":
            self._close(self._link, tag.start)
            self._link = link
            if self._since < 0:
                self._since = tag.start
        elif tag.name != b"area" and spoken:
            self._close(self._shape, tag.start)
            self._shape = link

    def end(self, tag: Piece) -> None:
        """An end tag."""
        if tag.name == b"a":
            self._close(self._link, tag.start)
            self._link, self._since = None, -1
        elif self._shape and tag.name == self._shape.tag.name:
            self._close(self._shape, tag.start)
            self._shape = None

    def end_all(self, at: int) -> None:
        """The document, or the comment, ends."""
        self._close(self._link, at)
        self._close(self._shape, at)

    def before(self, place: int) -> int:
        """`place`, or what comes before the link that is open there: a picture in a link is one that can be clicked."""
        return place if self._since < 0 else self._since

    @staticmethod
    def _close(link: Link | None, at: int) -> None:
        if link:
            link.content_end = at
