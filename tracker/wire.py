"""Answers as bytes: what goes out on a connection, and what aiohttp is told about it.

Does not decide what is answered. aiohttp parses requests and keeps the connections; its
own responses are made anew, field by field, for each request; ours are written by hand: fixed
fields made once, a Date a second, the body. Rules: HEAD gets the fields of GET and no body;
HTTP/1.0 and "Connection: close" are answered in kind; nothing is cached anywhere but logos,
whose paths change with them.
Standards: RFC 9110 (6.6.1 Date, 9.3.2 HEAD), RFC 9112 (9.3 persistence), RFC 6797 (HSTS).
Fails: never; a client that has gone gets nothing.
"""

import re
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

import idna
from aiohttp import HttpVersion11, web

from tracker.look import Page
from tracker.sender import Logo

GIF = bytes.fromhex(  # one transparent pixel in 43 octets: GIF89a, two colours, the first one shows nothing
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)

_ALWAYS = "X-Robots-Tag: noindex\r\nX-Content-Type-Options: nosniff\r\n"
_NOT_KEPT = f"Cache-Control: no-store\r\n{_ALWAYS}"
_HSTS = "Strict-Transport-Security: max-age=31536000\r\n"
_PERSON = "Referrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\n"
# SVG may hold scripts and links: who opens a logo by itself gets a picture all the same, and nothing else.
_PICTURE = (
    f"{_ALWAYS}Cache-Control: public, max-age=31536000, immutable\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; sandbox\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
)
_HOST = re.compile(r"(https?://(?:[^/?#@]*@)?)([^/?#:@]+)(.*)", re.IGNORECASE | re.DOTALL)
_ALL_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class Sent(web.StreamResponse):
    """Tells aiohttp that a request is answered: the bytes are on their way already."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        """May the next request come on this connection?"""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing to do."""


KEPT, CLOSED = Sent(keep=True), Sent(keep=False)


class Wire:
    """Writes answers. `secure`: the web is reached over TLS only, and browsers may remember that."""

    def __init__(self, *, secure: bool) -> None:
        hsts = _HSTS if secure else ""
        fixed = _NOT_KEPT + hsts
        self.stopping = False  # from now on every answer is the last one of its connection
        self._fixed = fixed
        self._picture = _PICTURE + hsts
        # A webmail that isolates itself (Cross-Origin-Embedder-Policy) would show a broken image without it.
        self._pixel = _head(200, f"{fixed}Cross-Origin-Resource-Policy: cross-origin\r\n", "image/gif", len(GIF))
        self._found = _head(302, f"{fixed}Referrer-Policy: no-referrer\r\n", "", 0) + b"Location: "
        self._second = -1
        self._date = b""

    def pixel(self, request: web.BaseRequest, now: float) -> Sent:
        """The picture nobody sees."""
        return self._write(request, self._pixel, GIF, now)

    def found(self, request: web.BaseRequest, target: str, now: float) -> Sent:
        """302 to `target`, which has no blanks and no control characters (`Keyring.read`)."""
        location = target if target.isascii() and target.isprintable() else _uri(target)
        return self._write(request, self._found + location.encode("ascii") + b"\r\n", b"", now)

    def page(self, request: web.BaseRequest, page: Page, now: float) -> Sent:
        """A page for people."""
        fields = (
            f"{self._fixed}{_PERSON}Content-Security-Policy: {page.policy}\r\n"
            f"Content-Language: {page.language}\r\nVary: Accept-Language\r\n"
        )
        if page.status == 503:
            fields += "Retry-After: 120\r\n"
        return self._write(
            request, _head(page.status, fields, "text/html; charset=utf-8", len(page.html)), page.html, now
        )

    def logo(self, request: web.BaseRequest, logo: Logo, now: float) -> Sent:
        """A sender's logo, which browsers may keep for ever."""
        return self._write(request, _head(200, self._picture, logo.kind, len(logo.content)), logo.content, now)

    def plain(
        self, request: web.BaseRequest, status: int, text: str, now: float, *, more: str = "", last: bool = False
    ) -> Sent:
        """A few words for programs. `more`: header lines, each with its CRLF. `last`: then the connection ends."""
        body = text.encode()
        fields = self._fixed + more + ("Retry-After: 120\r\n" if status == 503 else "")
        head = _head(status, fields, "text/plain; charset=utf-8", len(body))
        return self._write(request, head, body, now, last=last)

    def _write(self, request: web.BaseRequest, head: bytes, body: bytes, now: float, *, last: bool = False) -> Sent:
        if int(now) != self._second:
            self._second = int(now)
            self._date = f"Date: {formatdate(now, usegmt=True)}\r\n".encode("ascii")
        keep = request.keep_alive and not last and not self.stopping
        if not keep:
            end = b"Connection: close\r\n\r\n"
        elif request.version >= HttpVersion11:
            end = b"\r\n"
        else:
            end = b"Connection: keep-alive\r\n\r\n"
        transport = request.transport
        if transport is not None and not transport.is_closing():
            # RFC 9110 9.3.2: HEAD is GET without the content.
            transport.write(b"".join((head, self._date, end, b"" if request.method == "HEAD" else body)))
        return KEPT if keep else CLOSED


def _head(status: int, fields: str, kind: str, length: int) -> bytes:
    """The status line and the fields that are always the same; Date and the empty line are still to come."""
    shape = f"Content-Type: {kind}\r\n" if kind else ""
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    return f"{line}{shape}Content-Length: {length}\r\n{fields}".encode("ascii")


def _uri(iri: str) -> str:
    """A link as people write it, as it stands in a header: RFC 3987 3.1, and host names as RFC 5891 says."""
    found = _HOST.fullmatch(iri)
    if found and not found[2].isascii():
        with suppress(idna.IDNAError):  # no such name can exist; the browser will say so
            iri = found[1] + idna.encode(found[2], uts46=True).decode("ascii") + found[3]
    return quote(iri, safe=_ALL_ASCII)
