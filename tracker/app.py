"""The public web: the pixel, the links, and the pages where people unsubscribe.

    server = await serve(sockets, keyring=lambda: keyring, backend=desk, settings=settings, trouble=log.error)
    …
    await server.close(grace=5.0)

    GET, HEAD        /o/TOKEN     a GIF of 43 octets, whatever the token
    GET, HEAD        /c/TOKEN     302 to the target that stands in the token; no database is asked
    GET, HEAD, POST  /u/TOKEN     unsubscribe: a page, and one-click for mail programs
    GET, HEAD, POST  /p/TOKEN     which streams shall come, where streams are configured
    GET, HEAD        /l/HASH      a sender's logo, as the pages show it
    GET, HEAD        /  /robots.txt  /.well-known/security.txt

Beside it: listeners.py (connections and their limits), wire.py (answers as bytes), forwarded.py (whose
request it is), form.py (bodies), choices.py (what is done), pages.py (what is shown), texts.py and
language.py (what it says), look.py and sender.py (whose it is), backend.py (what it is given).

Does not judge visits, keep them, or know a database: that is the backend's. Rules: the answer
goes first, then the visit is told; GET and HEAD change nothing but counts; a token that is not
ours leads nowhere; input is never echoed; no cookies. A visit that asks not to be tracked (DNT,
Sec-GPC) is not recorded at all where the operator respects that, and is hinted at otherwise.
Standards: RFC 9110 and 9112 (HTTP), 8058 (one-click), 9116 (security.txt).
Fails: what goes wrong here is 503 "not saved", told through `trouble`, and never leaks.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ssl import SSLContext

from aiohttp import hdrs, web
from multidict import istr

from tracker.backend import Backend, Settings, Subscription, Unavailable
from tracker.choices import Asked, Choices
from tracker.form import fields
from tracker.forwarded import Visitors
from tracker.language import Texts, chooser
from tracker.listeners import Server, Trouble, serve_on
from tracker.pages import Page, Pages
from tracker.token import Keyring, Purpose, Token
from tracker.visit import DNT, HEAD, LONGEST_AGENT, PREFETCH, Kind, Visit, new_visit_id
from tracker.wire import Sent, Wire

__all__ = ["Backend", "Server", "Settings", "Subscription", "Unavailable", "serve"]

MOST_BODY = 8192  # octets of a POST; the largest form of ours has a few hundred
SLOWEST_BODY = 10.0  # seconds for all of it
SLOWEST_READER = 30.0  # seconds in which a client that reads slowly must take what it asked for
SECURITY_TXT_LASTS = 30 * 86400  # seconds; RFC 9116 2.5.5: less than a year

_READS = ("GET", "HEAD")
_FETCHED_EARLY = tuple(map(istr, ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")))
_DO_NOT_TRACK = (istr("DNT"), istr("Sec-GPC"))


class Web:
    """Answers every request of the public web."""

    def __init__(
        self,
        keyring: Callable[[], Keyring],
        backend: Backend,
        settings: Settings,
        wire: Wire,
        trouble: Trouble,
        clock: Callable[[], float],
    ) -> None:
        self._keyring = keyring
        self._backend = backend
        self._contact = settings.contact
        self._respects = settings.respect_do_not_track
        self._visitors = Visitors(settings.trusted_proxies, settings.client_address)
        self._pages = Pages(settings)
        self._chosen = chooser(settings.languages)
        self._logos = {sender.logo.path: sender.logo for sender in settings.senders.values() if sender.logo}
        self._choices = Choices(keyring, backend, self._pages, settings)
        self._wire = wire
        self._trouble = trouble
        self._clock = clock

    async def answer(self, request: web.BaseRequest) -> Sent:
        """The handler that aiohttp calls."""
        now = self._clock()
        try:
            path = request.raw_path
            if not path.startswith("/"):  # RFC 9112 3.2.2: a server must accept the absolute form
                path = request.rel_url.raw_path_qs
            sent = self._visited(request, path, now) or await self._asked(request, path, now)
        except Exception as error:  # whatever it is, the visitor hears it in words, and we learn of it
            self._trouble("a request to the tracker failed", error)
            sent = self._wire.page(request, self._pages.trouble(self._texts(request)), now)
        if request.protocol.writing_paused:
            await self._drain(request)
        return sent

    def _visited(self, request: web.BaseRequest, path: str, now: float) -> Sent | None:
        """The pixel and the links, which are nearly all that is ever asked for; None: it is something else."""
        place = path[:3]
        if place not in ("/o/", "/c/") or request.method not in _READS:
            return None
        text = path[3:].partition("?")[0]
        if place == "/o/":
            sent = self._wire.pixel(request, now)
            if token := self._keyring().read(Purpose.OPEN, text):
                self._tell(request, "open", token, now)
            return sent
        token = self._keyring().read(Purpose.CLICK, text)
        if token is None:
            return self._wire.page(request, self._pages.broken(self._texts(request)), now)
        sent = self._wire.found(request, token.target, now)
        self._tell(request, "click", token, now)
        return sent

    def _tell(self, request: web.BaseRequest, kind: Kind, token: Token, now: float) -> None:
        """The visitor has been answered: from here on nothing is of concern to him."""
        headers = request.headers
        hints = [HEAD] if request.method == "HEAD" else []
        for name in _FETCHED_EARLY:
            if name in headers and headers[name].lower().startswith(("prefetch", "preview", "prerender")):
                hints.append(PREFETCH)
                break
        for name in _DO_NOT_TRACK:
            if name in headers and headers[name].strip() == "1":
                if self._respects:
                    return
                hints.append(DNT)
                break
        visit = Visit(
            new_visit_id(),
            now,
            kind,
            token.queue_id,
            token.number,
            token.link,
            token.target,
            self._address(request),
            _agent(request),
            ",".join(hints),
        )
        try:
            self._backend.saw(visit)
        except Exception as error:  # an answered request cannot be answered again
            self._trouble("a visit was not recorded", error)

    async def _asked(self, request: web.BaseRequest, path: str, now: float) -> Sent:
        """The pages, and what is not there."""
        path, _, query = path.partition("?")
        place, token = path[:3], path[3:]
        if place in ("/u/", "/p/") and request.method in (*_READS, "POST"):
            return await self._choice(request, place, token, query, now)
        return self._rest(request, path, now)

    async def _choice(self, request: web.BaseRequest, place: str, token: str, query: str, now: float) -> Sent:
        form = None
        if request.method == "POST":
            body = await self._body(request)
            if isinstance(body, int):
                # The rest of the request still lies in the connection, which ends therefore.
                return self._wire.plain(request, body, "This request is too large or too slow.", now, last=True)
            form = fields(request.headers.get(hdrs.CONTENT_TYPE, ""), body)
        asked = Asked(token, self._texts(request), self._address(request), _agent(request), now, query, form)
        choose = self._choices.unsubscribe if place == "/u/" else self._choices.preferences
        answer = await choose(asked)
        if isinstance(answer, Page):
            return self._wire.page(request, answer, now)
        return self._wire.plain(request, answer.status, answer.text, now)

    async def _body(self, request: web.BaseRequest) -> bytes | int:
        """The body of a POST; or the status that says why it is not read to its end."""
        if (request.content_length or 0) > MOST_BODY:
            return 413
        transport = request.transport
        if transport and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # RFC 9110 10.1.1: the client waits for it
        body = b""
        try:
            async with asyncio.timeout(SLOWEST_BODY):
                while len(body) <= MOST_BODY and (chunk := await request.content.readany()):
                    body += chunk
        except (TimeoutError, OSError, web.RequestPayloadError):  # too slow, gone, or not HTTP any more
            return 408
        return body if len(body) <= MOST_BODY else 413

    def _rest(self, request: web.BaseRequest, path: str, now: float) -> Sent:
        if request.method not in (*_READS, "POST") or path[:3] in ("/o/", "/c/"):
            allowed = "GET, HEAD, POST" if path[:3] in ("/u/", "/p/") else "GET, HEAD"
            return self._wire.plain(request, 405, "Not allowed.", now, more=f"Allow: {allowed}\r\n")
        if request.method in _READS:
            if path == "/":
                return self._wire.page(request, self._pages.root(self._texts(request)), now)
            if logo := self._logos.get(path):
                return self._wire.logo(request, logo, now)
            if path == "/robots.txt":
                return self._wire.plain(request, 200, "User-agent: *\nDisallow: /\n", now)
            if path == "/.well-known/security.txt" and self._contact:
                until = datetime.fromtimestamp(int(now) + SECURITY_TXT_LASTS, UTC).isoformat()
                return self._wire.plain(request, 200, f"Contact: mailto:{self._contact}\nExpires: {until}\n", now)
        return self._wire.page(request, self._pages.broken(self._texts(request)), now)

    def _texts(self, request: web.BaseRequest) -> Texts:
        return self._chosen(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")[:200])

    def _address(self, request: web.BaseRequest) -> str:
        peer = request.remote or ""
        if not self._visitors.behind_proxies:
            return self._visitors.address(peer)
        headers = request.headers
        return self._visitors.address(
            peer, headers.getall(hdrs.X_FORWARDED_FOR, []), headers.getall(hdrs.FORWARDED, [])
        )

    async def _drain(self, request: web.BaseRequest) -> None:
        """Who asks and asks and does not read the answers is waited for, but not for ever."""
        try:
            async with asyncio.timeout(SLOWEST_READER):
                await request.writer.drain()
        except TimeoutError:
            if request.transport:
                request.transport.abort()


def _agent(request: web.BaseRequest) -> str:
    """User-Agent as text that every database takes: no control characters, no broken UTF-8, not too long."""
    agent = request.headers.get(hdrs.USER_AGENT, "")[:LONGEST_AGENT]
    if agent.isascii() and agent.isprintable():
        return agent
    whole = agent.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in whole)


async def serve(
    sockets: Sequence[socket.socket],
    *,
    keyring: Callable[[], Keyring],
    backend: Backend,
    settings: Settings,
    trouble: Trouble,
    tls: SSLContext | None = None,
    backlog: int = 1024,
    clock: Callable[[], float] = time.time,
) -> Server:
    """Serve the public web on bound sockets, which belong to the server from now on.

    `keyring` gives the keys of the moment; `trouble` is told what went wrong on our side; `tls`
    may be reloaded while we serve. Raises `OSError` where a socket cannot listen, `ValueError` for
    a trusted proxy that is no network.
    """
    # Behind a proxy of ours that speaks TLS to the world, what we say of TLS reaches the world over TLS.
    proxied = bool(settings.trusted_proxies) and settings.base_url.lower().startswith("https:")
    wire = Wire(secure=tls is not None or proxied)
    face = Web(keyring, backend, settings, wire, trouble, clock)
    return await serve_on(sockets, face.answer, wire=wire, clock=clock, trouble=trouble, tls=tls, backlog=backlog)
