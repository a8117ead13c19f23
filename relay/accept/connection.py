"""One connection as SMTP sees it: octets in, replies out, TLS in the middle, a decent end.

Knows no command. aiosmtpd's SMTP class is this class's parent; its constructor, its streams
and its loop are replaced (the constructor inspects all its methods for every session).

Rules. Replies are collected and leave together, with the next wait for input (RFC 2920). The
end is one of three: `hang_up` after what was said so far; the same and `linger` for a client
that is still sending, who would else lose our last words with a reset; `abort` at once.
A client that goes away cancels nothing: whoever reads learns it as `Hangup`.
Standards: RFC 2920, RFC 3207 4 (STARTTLS).
"""

import asyncio
import contextlib
import ssl
from typing import cast

from aiosmtpd.smtp import SMTP, Session

from relay.accept.reader import Hangup, Reader, Timeout

LINGER = 5.0  # seconds in which a client may read why we hang up
TLS_HANDSHAKE = 60.0  # seconds


class HandshakeFailed(Exception):
    """The client does not speak TLS, not ours, or does not trust us; the text says which. The connection is gone."""


class Connection(SMTP):
    """See the module."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # SMTP.__init__ is left out on purpose: see the module.
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.reader = Reader(loop, self.flush)
        self.task: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._code = ""  # of the last reply
        self._done = False
        self._linger = False
        self._writable: asyncio.Future[None] | None = None
        self._lost = loop.create_future()
        self.tls: str | None = None  # version and cipher, `TLSv1.3 TLS_AES_256_GCM_SHA384`; None in the clear

    # --- the transport's side --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is at the door."""
        # uvloop's are transports, but do not say so.
        self.transport = self.reader.transport = cast(asyncio.Transport, transport)
        self.session = Session(self.loop)
        self.session.peer = transport.get_extra_info("peername")
        self.tls = _tls(transport)

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)

    def eof_received(self) -> bool:
        """The client has closed its side; on plain connections it can still read our replies."""
        self.reader.end()
        return not self.tls

    def connection_lost(self, error: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(None)
        self.reader.end()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = self._writable or self.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # --- replies ---------------------------------------------------------------------------------------------

    def say(self, reply: str) -> None:
        """Reply with a line (or lines: the text then has its own CRLF and codes). It leaves with the next flush."""
        octets = reply.encode("ascii", "backslashreplace") + b"\r\n"
        self._out.append(octets)
        self._out_size += len(octets)
        self._code = reply[:3]

    def flush(self) -> asyncio.Future[None] | None:
        """Send what was said; while the client takes nothing, what to wait for."""
        if self._out:
            octets = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            if self.transport and not self._lost.done():
                self.transport.write(octets)
        return self._writable

    # --- TLS -------------------------------------------------------------------------------------------------

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """TLS on this connection from now on; what came in the clear is forgotten. Raises `HandshakeFailed`."""
        assert self.transport
        plain = self.transport
        # RFC 3207 4.2: what comes from here on is TLS. Before it waits, start_tls takes our place at the transport.
        self.reader.discard()
        try:
            transport = await self.loop.start_tls(
                plain, self, context, server_side=True, ssl_handshake_timeout=TLS_HANDSHAKE
            )
        except (OSError, TimeoutError) as error:
            plain.abort()
            raise HandshakeFailed(str(error) or type(error).__name__) from None
        if transport is None:  # the client was gone before it began
            raise Hangup
        self.transport = transport
        self.reader.continue_on(transport)
        self.tls = _tls(transport)

    # --- the end ---------------------------------------------------------------------------------------------

    def hang_up(self, *, linger: bool = False) -> None:
        """End after the replies said so far. `linger`: the client is still sending and would else not read them."""
        self._done = True
        self._linger |= linger

    async def close(self, patience: float) -> None:
        """Send what was said, and go. A client that still sends, or does not read, gets a while (seconds) to read."""
        self.flush()
        transport = self.transport
        if transport is None or self._lost.done():
            self.reader.close()
            return
        if self._linger and transport.can_write_eof():
            # A socket closed with octets unread is reset, and our last words with it.
            transport.write_eof()
            until = self.loop.time() + LINGER
            with contextlib.suppress(Hangup, Timeout):
                while self.loop.time() < until:
                    await self.reader.chunk(until)
        self.reader.close()
        unsent = transport.get_write_buffer_size()
        transport.close()
        if unsent:
            await asyncio.wait([self._lost], timeout=min(LINGER, patience))
            transport.abort()

    def abort(self) -> None:
        """Go at once."""
        if self.task:
            self.task.cancel()
        if self.transport:
            self.transport.abort()


def _tls(transport: asyncio.BaseTransport) -> str | None:
    tls = transport.get_extra_info("ssl_object")
    cipher = tls.cipher() if tls else None
    return f"{tls.version()} {cipher[0]}" if cipher else None
