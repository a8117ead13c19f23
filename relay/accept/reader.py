"""What a client sends, as lines and chunks, with a limit of time on every wait.

Knows no SMTP: it keeps what has arrived, wakes the one reader, and stops the client (flow
control) while nobody reads. Before it waits it flushes our replies, so the replies to
everything that came in one piece leave in one write (RFC 2920 3.2).
Fails with `Hangup` (the client has gone or closed its side), `Timeout` and `LineTooLong`.
"""

import asyncio
from collections.abc import Callable

HIGH_WATER = 256 * 1024  # octets kept before the client has to wait


class Hangup(Exception):
    """Nothing more will come."""


class Timeout(Exception):
    """Nothing came in time."""


class LineTooLong(Exception):
    """More octets than allowed, and no line end among them."""


class Reader:
    """Fed by the transport, read by one task. `flush` writes our replies (and says what to wait for)."""

    __slots__ = ("_ended", "_flush", "_loop", "_octets", "_paused", "_timer", "_until", "_waiter", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop, flush: Callable[[], asyncio.Future[None] | None]) -> None:
        self.transport: asyncio.Transport | None = None
        self._loop = loop
        self._flush = flush
        self._octets = bytearray()
        self._ended = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    # --- the transport's side --------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Something has arrived."""
        self._octets += octets
        if self._waiter:
            self._wake()
        elif len(self._octets) > HIGH_WATER and not self._paused and self.transport:
            self._paused = True
            self.transport.pause_reading()

    def end(self) -> None:
        """Nothing more will arrive; what has arrived can still be read."""
        self._ended = True
        self._wake()

    def interrupt(self) -> bool:
        """End a wait that has nothing to read; False where nobody waits."""
        if not self._waiter or self._waiter.done():
            return False
        self._ended = True
        self._wake()
        return True

    # --- the session's side ----------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Has the client closed its side?"""
        return self._ended

    async def line(self, limit: int, until: float) -> bytes:
        """The next line up to its LF, which is included. More than `limit` octets without one: `LineTooLong`."""
        start = 0
        while (end := self._octets.find(b"\n", start)) < 0:
            start = len(self._octets)
            if start > limit:
                raise LineTooLong
            await self.more(until)
        if end >= limit:
            raise LineTooLong
        line = bytes(self._octets[: end + 1])
        del self._octets[: end + 1]
        return line

    async def skip_line(self, limit: int, until: float) -> bool:
        """Throw away the rest of a line that was too long; False if even `limit` octets hold no end of it."""
        seen = 0
        while (end := self._octets.find(b"\n")) < 0:
            seen += len(self._octets)
            self._octets.clear()
            if seen > limit:
                return False
            await self.more(until)
        del self._octets[: end + 1]
        return True

    async def chunk(self, until: float, most: int | None = None) -> bytes:
        """Whatever there is, at least one octet and at most `most`."""
        if not self._octets:
            await self.more(until)
        if most is None or most >= len(self._octets):
            octets = bytes(self._octets)
            self._octets.clear()
        else:
            octets = bytes(self._octets[:most])
            del self._octets[:most]
        return octets

    def put_back(self, octets: bytes) -> None:
        """What was read too far."""
        if octets:
            self._octets[:0] = octets

    def discard(self) -> None:
        """Forget what has arrived."""
        self._octets.clear()

    def continue_on(self, transport: asyncio.Transport) -> None:
        """Go on with another transport."""
        self.transport = transport
        self._paused = False

    async def more(self, until: float) -> None:
        """Flush our replies, then wait for input, until the loop's time is `until`."""
        if writable := self._flush():
            await self.wait_for(writable, until)
        if self._ended:
            raise Hangup
        if self._paused and self.transport:
            self._paused = False
            self.transport.resume_reading()
        self._until = until
        # The timer is set again only where it would ring too late: a session moves its time limit with every command.
        if self._timer is None or self._timer.when() > until:
            self._set_timer(until)
        before = len(self._octets)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._ended and len(self._octets) == before:
            raise Hangup

    async def wait_for(self, writable: asyncio.Future[None], until: float) -> None:
        """Wait until the client has taken enough of what we sent."""
        done, _ = await asyncio.wait([writable], timeout=max(until - self._loop.time(), 0))
        if not done:
            raise Timeout

    def close(self) -> None:
        """Stop the clock, wake whoever waits."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self.end()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_timer(self, at: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._until:
            self._set_timer(self._until)
        else:
            self._waiter.set_exception(Timeout())
