"""One SMTP dialogue: commands out, replies in, each in its time.

It turns everything that the other side can do wrong (refusals, silence, nonsense, broken
lines) into a `Failure`; what raises is our own mistake, such as a control character in a
command. It records what is said, and does not know what to say: that is `client`.

  - Every reply has its time from RFC 5321 4.5.3.2, for the whole reply, so that an endless
    one ends; and at most 32 KB.
  - Replies are taken in order, so commands may be sent before the last is answered.

This is the one home of aiosmtplib. We use its protocol (parser, flow control) and not its
`SMTP` class, which rewrites odd addresses and line ends, upgrades to TLS by itself and
cannot tell connecting from greeting. Standards: RFC 5321, 2920, 3207.
"""

import asyncio
import os
import re
import ssl
import time
from collections.abc import Awaitable
from typing import TypeVar, cast

from aiosmtplib import SMTPResponseException, SMTPServerDisconnected
from aiosmtplib.protocol import MAX_RESPONSE_LENGTH, SMTPProtocol
from aiosmtplib.response import SMTPResponse

from relay.config import Timeouts
from relay.deliver.conversation import Conversation
from relay.deliver.exchange import Failure, Kind, Step
from relay.deliver.mx import Hop
from relay.deliver.tls import describe
from relay.reply import Reply, printable

Answer = SMTPResponse  # code and message (lines split by "\n", without codes), not yet parsed any further
T = TypeVar("T")
CHUNK = 64 * 1024  # octets of content written between two looks at the flow control
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OPENING = frozenset({Step.CONNECT, Step.GREETING, Step.EHLO, Step.STARTTLS, Step.AUTH})


def patience(timeouts: Timeouts) -> dict[Step, float]:
    """Seconds to wait at each step."""
    return {
        Step.CONNECT: timeouts.connect,
        Step.GREETING: timeouts.greeting,
        Step.EHLO: timeouts.ehlo,
        Step.STARTTLS: timeouts.tls,
        Step.AUTH: timeouts.ehlo,
        Step.RSET: timeouts.mail,
        Step.MAIL: timeouts.mail,
        Step.RCPT: timeouts.rcpt,
        Step.DATA: timeouts.data,
        Step.BODY: timeouts.block,
        Step.DOT: timeouts.final_dot,
    }


class _Wire(SMTPProtocol):
    """aiosmtplib's protocol, except that replies which come early wait for their turn instead of being dropped."""

    endless = False  # a reply had no end

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        if self.endless:
            return
        buffer += data
        # A reply of many lines is parsed once, when its last one is here: not again with every line of it.
        last = buffer.rfind(b"\n")
        fourth = buffer.rfind(b"\n", 0, last) + 4
        if last >= 0 and (buffer[3:4] != b"-" or buffer[fourth : fourth + 1] != b"-"):
            self._parse_next()
        if len(buffer) > MAX_RESPONSE_LENGTH:
            self.endless = True
            self._parse_next()
            self.abort()

    def eof_received(self) -> bool:
        self._parse_next()
        return super().eof_received()

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:  # noqa: ASYNC109 the signature is not ours
        """The next reply in order. Our caller keeps the time, once for all commands, so `timeout` is not used."""
        if self._response_waiter is None:
            raise SMTPServerDisconnected("Connection lost")
        response = await self._response_waiter
        self._response_waiter = self._loop.create_future()
        self._parse_next()
        if self.transport is None and not self._response_waiter.done():
            self._response_waiter = None
        return response

    @property
    def unasked(self) -> bool:
        """The server has said something that no command asked for, or has gone."""
        gone = self.transport is None or self.transport.is_closing()
        return gone or bool(self._buffer) or self._response_waiter is None or self._response_waiter.done()

    async def drain(self) -> None:
        """Wait while the server reads more slowly than we write. Raises ConnectionError when it has gone."""
        await self._drain_helper()

    def abort(self) -> None:
        """End the connection now."""
        if self.transport is not None:
            # Not asked by isinstance: uvloop's transports are none of asyncio's classes.
            cast(asyncio.WriteTransport, self.transport).abort()

    def _parse_next(self) -> None:
        waiter = self._response_waiter
        if waiter is None or waiter.done():
            return
        try:
            response = self._read_response_from_buffer() if self._buffer else None
            if response is None and self.endless:
                raise SMTPResponseException(-1, "a reply without end")
        except SMTPResponseException as exc:
            self._set_response_exception(waiter, exc)
        else:
            if response is not None:
                waiter.set_result(response)


class Refused(Exception):
    """Ends a part of the dialogue from its depth; `Dialogue.converse` catches it and gives back its failure."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class Dialogue:
    """A connection as a place to talk. `conversation` is where it is recorded, and changes with every message."""

    def __init__(self, hop: Hop, patience: dict[Step, float], conversation: Conversation) -> None:
        self.hop = hop
        self.peer = f"{hop.host}[{hop.ip}]:{hop.port}"
        self.conversation = conversation
        self.step = Step.CONNECT
        self.source_ip: str | None = None
        self.tls: str | None = None
        self.ended = False
        self.refusal: Failure | None = None  # said already, while the rest of a pipeline is still to be read
        self._patience = patience
        self._wire = _Wire(asyncio.get_running_loop())

    @property
    def quiet(self) -> bool:
        """Is the connection up, with nothing said that was not asked for?"""
        return not self.ended and not self._wire.unasked

    async def converse(self, part: Awaitable[T]) -> T | Failure:
        """Run one part, and turn everything that the other side can do wrong into a `Failure`."""
        try:
            async with asyncio.timeout(None) as self._deadline:
                return await part
        except Refused as refused:
            return refused.failure
        except TimeoutError:  # ours, or the operating system's when connecting
            failure = self._failure(Kind.TIMEOUT, "timed out")
        except SMTPResponseException as exc:
            failure = self._failure(Kind.GARBAGE, printable(exc.message)[:200])
        except (SMTPServerDisconnected, OSError) as exc:  # an ssl.SSLError is an OSError too
            kind = Kind.UNREACHABLE if self.step is Step.CONNECT else Kind.LOST
            failure = self._failure(kind, _words(exc.__cause__ or exc))
        except BaseException:  # cancelled, or our own mistake: the connection is in nobody knows what state
            self.end()
            raise
        self.end()
        if self.refusal is not None:  # lost while the rest of the pipeline was being read: the refusal is what counts
            return self.refusal
        self.conversation.note(failure.text)
        return failure

    async def connect(self) -> None:
        """Open the TCP connection."""
        self.conversation.opens(self.peer)
        began = time.monotonic()
        self.expect(Step.CONNECT)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self._wire, self.hop.ip, self.hop.port)
        self.source_ip = str(transport.get_extra_info("sockname")[0])
        self.conversation.connected(self.source_ip, ms_since(began))

    async def encrypt(self, context: ssl.SSLContext) -> None:
        """The TLS handshake, straight after connecting or after STARTTLS. RFC 6066 3: an address is no server name."""
        began = time.monotonic()
        self.expect(Step.STARTTLS)
        if self._wire.transport is None:
            raise SMTPServerDisconnected("Connection lost")
        named = context.check_hostname or not _is_address(self.hop.host)
        transport = await asyncio.get_running_loop().start_tls(
            cast(asyncio.WriteTransport, self._wire.transport),
            self._wire,
            context,
            server_hostname=self.hop.host if named else None,
            ssl_handshake_timeout=self._patience[Step.STARTTLS],
        )
        if transport is None:
            raise SMTPServerDisconnected("Connection lost")
        self._wire.transport = transport
        self.tls = describe(transport.get_extra_info("ssl_object"), self.hop.host)
        self.conversation.encrypted(self.tls, ms_since(began))

    async def ask(self, step: Step, command: str, *, shown: str | None = None) -> Answer:
        """One command and its reply; `shown` is what the record says instead of a secret."""
        self.step = step
        self.say(command, shown=shown)
        return await self.hear(step)

    def say(self, *commands: str, shown: str | None = None) -> None:
        """Send commands in one piece. Raises ValueError for a control character: it would be another command."""
        for command in commands:
            if _CONTROL.search(command):
                raise ValueError("a control character in an SMTP command")
            self.conversation.client(shown or command)
        self._wire.write(("\r\n".join(commands) + "\r\n").encode())

    async def hear(self, step: Step) -> Answer:
        """The next reply, in the time that RFC 5321 4.5.3.2 gives it."""
        self.expect(step)
        answer = await self._wire.read_response()
        self.conversation.server(answer.code, answer.message)
        # RFC 5321 4.2: the first digit is 2 to 5, the second 0 to 5; we do not insist on the second.
        if not 200 <= answer.code < 600:
            raise SMTPResponseException(answer.code, f"{answer.code} is not a reply code")
        return answer

    def expect(self, step: Step) -> None:
        """From now on the time of `step` runs."""
        self.step = step
        self._deadline.reschedule(asyncio.get_running_loop().time() + self._patience[step])

    def refused(self, answer: Answer, kind: Kind = Kind.REPLY) -> Refused:
        """The server's reply ends this part. After 421, or a reply that has no place here, the connection ends too."""
        reply = Reply.parse(answer.code, answer.message)
        if reply.positive:
            kind = Kind.GARBAGE
        if reply.code == 421 or reply.positive or self.step in _OPENING:
            self.end()
        return Refused(Failure(self.step, kind, self.peer, reply=reply))

    def stop(self, kind: Kind, text: str) -> Refused:
        """We end it ourselves."""
        self.conversation.note(text)
        self.end()
        return Refused(Failure(self.step, kind, self.peer, text))

    async def write(self, data: bytes) -> None:
        """Content, as fast as the server reads. What it says before it has everything is its answer."""
        try:
            self.expect(Step.BODY)
            if len(data) <= CHUNK:
                self._wire.write(data)
                return
            for start in range(0, len(data), CHUNK):
                self._wire.write(data[start : start + CHUNK])
                await self._wire.drain()
                self.expect(Step.BODY)
        except (SMTPServerDisconnected, ConnectionError):
            # "552 too big" and a closed door: the reply is the better news, and it is still in our buffer.
            raise self.refused(await self.hear(Step.BODY)) from None

    async def quit(self, seconds: float) -> None:
        """Say QUIT if somebody still listens, wait `seconds` at most, and close. Never raises."""
        if self.quiet:
            try:
                async with asyncio.timeout(seconds):
                    self._wire.write(b"QUIT\r\n")
                    await self._wire.read_response()
            except (TimeoutError, SMTPServerDisconnected, SMTPResponseException):
                pass  # RFC 5321 4.1.1.10 asks us to wait for the answer; nothing depends on it
        self.end()

    def end(self) -> None:
        """Close now, without a word."""
        self.ended = True
        self._wire.abort()

    def _failure(self, kind: Kind, text: str) -> Failure:
        # Whatever happens in a handshake is TLS's fault: it may well work without.
        return Failure(self.step, Kind.TLS if self.step is Step.STARTTLS else kind, self.peer, text)


def _words(exc: BaseException) -> str:
    """What the operating system or OpenSSL calls it: "Connection refused"."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "TLS handshake failed").replace("_", " ").lower()
    if isinstance(exc, OSError) and exc.errno:
        return os.strerror(exc.errno)
    return "Connection lost"


def ms_since(began: float) -> int:
    """Milliseconds since `began` (time.monotonic)."""
    return int((time.monotonic() - began) * 1000)


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
