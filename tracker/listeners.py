"""The connections of the public web: aiohttp's protocol on sockets that others have bound.

Does not answer requests (`app.py`). Rules: no access log, no router, no middleware; who does not
speak HTTP hears 400 in words of ours, without an echo and without the name of the server.
Limits: a request line of 8 kB (a link carries its target), 100 fields of 8 kB each, 75 s for
a request to come, and a quarter of the files that this process may open: whoever comes beyond
that is let in, and the connection that has been open longest ends.
Fails: `serve_on` with OSError where a socket cannot listen.
"""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable, Sequence
from ssl import SSLContext

from aiohttp import web

from tracker.wire import Sent, Wire

LONGEST_LINE = 8_190  # octets of a request line; the longest link (`token.MAX_TEXT`) leaves room for what others add
LONGEST_FIELD = 8_190  # octets of one header field
MOST_FIELDS = 100
IDLE = 75.0  # seconds for the next request to come whole; longer than proxies keep theirs (60), or they meet our close
LINGER = 2.0  # seconds in which the rest of a body that nobody wants is thrown away
HANDSHAKE = 10.0  # seconds for TLS
SLOWEST_END = 10.0  # seconds for the request in hand of a connection that makes room

Trouble = Callable[[str, BaseException], None]  # what happened, in words, and why


class Server:
    """The open doors of the public web."""

    def __init__(self, room: "_Room", wire: Wire) -> None:
        self._room = room
        self._wire = wire
        self._listeners: list[asyncio.Server] = []
        self.addresses: list[tuple[str, int]] = []

    async def close(self, grace: float) -> None:
        """Stop listening, end idle connections, and after `grace` seconds those too that are being answered."""
        self._wire.stopping = True
        for listener in self._listeners:
            listener.close()
        await asyncio.sleep(0)  # whom the loop has let in already, and has not told us of yet
        self._room.pre_shutdown()
        await self._room.shutdown(grace / 2)  # aiohttp waits twice: for the handler, and for its task

    async def listen(self, at: socket.socket, tls: SSLContext | None, backlog: int) -> None:
        """Open one door, and own its socket from now on."""
        listener = await asyncio.get_running_loop().create_server(
            self._room, sock=at, ssl=tls, ssl_handshake_timeout=HANDSHAKE if tls else None, backlog=backlog
        )
        self._listeners.append(listener)
        for opened in listener.sockets:
            host, port = opened.getsockname()[:2]
            self.addresses.append((host, port))


async def serve_on(
    sockets: Sequence[socket.socket],
    answer: Callable[[web.BaseRequest], Awaitable[Sent]],
    *,
    wire: Wire,
    clock: Callable[[], float],
    trouble: Trouble,
    tls: SSLContext | None,
    backlog: int,
) -> Server:
    """Listen on bound sockets; all or none. Raises `OSError`."""
    server = Server(_Room(answer, wire, clock, trouble), wire)
    try:
        for each in sockets:
            await server.listen(each, tls, backlog)
    except BaseException:  # half a service is none
        await server.close(grace=0)
        raise
    return server


class _Room(web.Server):
    """Where the connections are, the oldest first."""

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[Sent]],
        wire: Wire,
        clock: Callable[[], float],
        trouble: Trouble,
    ) -> None:
        super().__init__(answer)
        self.wire, self.clock, self.trouble = wire, clock, trouble
        self._open: dict[web.RequestHandler, None] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._most = max(100, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)

    def __call__(self) -> web.RequestHandler:
        return _Connection(self)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """One more; if it is one too many, the oldest ends, when it has been answered."""
        super().connection_made(handler, transport)
        self._open[handler] = None
        if len(self._open) > self._most:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.close()
            ending = asyncio.create_task(oldest.shutdown(SLOWEST_END), name="tracker-crowded")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """One less."""
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)


class _Connection(web.RequestHandler):
    """One client."""

    __slots__ = ("_room",)

    def __init__(self, room: _Room) -> None:
        super().__init__(
            room,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # documented so, typed otherwise
            keepalive_timeout=IDLE,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
            lingering_time=LINGER,
            auto_decompress=False,  # nobody compresses a form of ours; a bomb is left as it is
        )
        self._room = room

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Sent:
        """What could not be parsed: theirs, and not logged. What our handler let through: ours."""
        if status >= 500 and exc is not None:
            self._room.trouble("a request to the tracker failed", exc)
        text = "This is not a request that we understand." if status < 500 else "Something went wrong on our side."
        return self._room.wire.plain(request, status, text, self._room.clock(), last=True)
