"""One SMTP connection: reads commands, calls their methods, sends replies, upgrades to TLS, ends.

Does not know MAIL from RCPT: the verbs are methods `smtp_VERB` of a subclass, the words of
aiosmtpd, whose SMTP class this is. Its loop, its reader and its constructor are replaced
(that one inspects all its methods for every session; we look once per class).

Rules. A command is one line that ends in CRLF, of printable ASCII, or UTF-8 where its verb
allows that; anything else is refused in words and never echoed. Replies to what came in one
piece leave in one write (RFC 2920). A client that hangs up ends the conversation at its next
wait and cancels nothing. Our own failure is `451 4.3.0`, never 5yz, never its text; it is
logged with the reference that the reply shows. After 421 we hang up.
Standards: RFC 5321 4.2 to 4.5.3, RFC 2920, RFC 3207 (STARTTLS).
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, cast

from aiosmtpd.smtp import SMTP, Session

from relay.accept import texts
from relay.accept.commands import BadCommand
from relay.accept.gate import Gate
from relay.accept.reader import Hangup, LineTooLong, Reader, Timeout
from relay.accept.texts import Refused
from relay.accept.trace import Client
from relay.address import Address
from relay.event import Refusal
from relay.log import Peer
from relay.store.errors import StoreUnavailable

MAX_COMMAND = 2048  # octets, CRLF included; RFC 5321 4.5.3.1.4 asks for 512 and room for parameters
MAX_AUTH = 12288  # RFC 4954 4.5: octets of an AUTH line
MAX_SKIPPED = 64 * 1024  # octets of one endless line that are thrown away before 421
FLUSH_AT = 16 * 1024  # octets of replies kept back
LINGER = 5.0  # seconds in which a client may read why we hang up
TLS_HANDSHAKE = 60.0  # seconds
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Verb = Callable[[Any, str], Awaitable[None]]


class Conversation(SMTP):
    """See the module."""

    service: ClassVar[str]
    utf8_verbs: ClassVar[frozenset[str]] = frozenset()
    _verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init_subclass__(cls) -> None:
        own = {name[5:]: method for name, method in vars(cls).items() if name.startswith("smtp_")}
        cls._verbs = {**cls._verbs, **own}

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        # SMTP.__init__ is left out on purpose: see the module.
        self.loop = loop
        self.gate = gate
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.reader = Reader(loop, self.flush)
        self.client = Client("127.0.0.1")
        self.peer = Peer("unknown", "127.0.0.1")
        self._out: list[bytes] = []
        self._out_size = 0
        self._code = ""  # of the last reply
        self._verb = "CONNECT"
        self._counts: dict[str, list[int]] = {}
        self._errors = 0
        self._waiting = False  # for a command
        self._stopping = False
        self._done = False
        self._linger = False
        self.task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._lost = loop.create_future()

    # --- the transport's side --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is at the door."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are, but do not say so
        self.transport = self.reader.transport = transport
        peername = transport.get_extra_info("peername")
        # An IPv4 client of a dual-stack socket is an IPv4 client; zones mean nothing to others.
        ip = peername[0].removeprefix("::ffff:").partition("%")[0] if peername else "127.0.0.1"
        self.client = Client(ip, tls=_tls(transport), trusted=self.gate.trusts(ip))
        self.peer = Peer("localhost" if ip == "::1" or ip.startswith("127.") else "unknown", ip)
        self.session = Session(self.loop)
        self.session.peer = peername
        self.gate.log.connect(self.service, self.peer)
        if refused := self.gate.enter(self, ip):
            self.refuse(refused, "CONNECT")
            self.flush()
            transport.close()
            return
        self.task = self.loop.create_task(self._handle_client(), name=f"smtp {ip}")

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)

    def eof_received(self) -> bool:
        """The client has closed its side; on plain connections it can still read our replies."""
        self.reader.end()
        return not self.client.tls

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

    def refuse(
        self,
        refused: Refused,
        stage: str,
        *,
        mail_from: Address | str | None = None,
        rcpt_to: Address | str | None = None,
        ref: str | None = None,
        logged: bool = False,
    ) -> None:
        """Reply with a rule of the table; log it (unless it is `logged` already) and keep it, with one reference."""
        rule, ref = refused.rule, ref or texts.new_ref()
        line = rule.line(ref, refused.values)
        self.say(line)
        self._done |= rule.closes
        if not logged:
            client = self.client
            self.gate.log.reject(
                self.service, stage, self.peer, line, mail_from, rcpt_to, client.helo or None, client.protocol
            )
        self.gate.store.refuse_later(
            Refusal(
                ref=ref,
                at=self.now(),
                client_ip=self.client.ip,
                stage=stage,
                code=rule.code,
                dsn=rule.enhanced,
                rule=rule.number,
                text=line,
                credential=self.client.credential.name if self.client.credential else None,
                mail_from=None if mail_from is None else str(mail_from),
                rcpt_to=None if rcpt_to is None else str(rcpt_to),
            )
        )

    def flush(self) -> asyncio.Future[None] | None:
        """Send what was said; while the client takes nothing, what to wait for."""
        if self._out:
            octets = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            if self.transport and not self._lost.done():
                self.transport.write(octets)
        return self._writable

    def hang_up(self, *, linger: bool = False) -> None:
        """End after the replies said so far. `linger`: the client is still sending and would else not read them."""
        self._done = True
        self._linger |= linger

    # --- what a subclass says --------------------------------------------------------------------------------

    def now(self) -> float:
        """Unix seconds."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the mail transaction."""
        raise NotImplementedError

    def sender(self) -> Address | str | None:
        """The reverse-path of the mail transaction; "" if it is null, None if there is no transaction."""
        return None

    def recheck(self) -> None:
        """What was learned about the client may have changed."""

    def forget(self) -> None:
        """RFC 3207 4.2: after STARTTLS nothing that was said before counts."""
        self.reset()

    # --- the loop --------------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        log, service, peer = self.gate.log, self.service, self.peer
        try:
            self.say(f"220 {self.gate.config.hostname} ESMTP Mailtrail")
            while not self._done:
                await self._next_command()
                if self._stopping and not self._done:
                    self.say(texts.STOPPING)
                    self._done = True
        except Hangup:
            if self._stopping:
                self.say(texts.STOPPING)
            else:
                log.lost_connection(service, peer, self._verb)
        except Timeout:
            self.say(texts.IDLE)
            log.timeout(service, peer, self._verb)
        except Exception as error:  # the last line of defence: whatever it is, the client hears 421 and we learn of it
            ref = texts.new_ref()
            log.error("session failed", error, client=peer.text, ref=ref)
            self.refuse(Refused(texts.TROUBLE_CLOSING), self._verb, ref=ref)
        finally:
            try:
                await self._close()
            finally:
                self.gate.leave(self, self.client.ip)
                counts = {verb: (good, total) for verb, (good, total) in self._counts.items()}
                log.disconnect(service, peer, counts)

    async def _next_command(self) -> None:
        """Read one command and have it answered."""
        until = self.loop.time() + self.gate.settings.command_timeout
        if self._out_size > FLUSH_AT and (writable := self.flush()):
            await self.reader.wait_for(writable, until)
        self._waiting = True
        try:
            line = await self.reader.line(MAX_AUTH, until)
        except LineTooLong:
            await self._skip_line(until)
            return
        finally:
            self._waiting = False
        command = self._text_of(line)
        if command is None:
            self._count("unknown")
            self._check_errors()
            return
        verb, _, argument = command.partition(" ")
        verb = verb.upper()
        method = self._verbs.get(verb)
        if method is None:
            self.say(texts.UNKNOWN_COMMAND)
            self._count("unknown")
        else:
            self._verb = verb
            await self._call(verb, method, argument.strip(" "))
            self._count(verb.lower())
        self._check_errors()

    async def _call(self, verb: str, method: Verb, argument: str) -> None:
        try:
            await method(self, argument)
        except BadCommand as bad:
            if bad.refused:
                self.refuse(bad.refused, _STAGES.get(verb, verb), mail_from=self.sender())
            else:
                self.say(bad.reply)
        except (Hangup, Timeout):
            raise
        except StoreUnavailable:
            self.refuse(Refused(texts.CANNOT_STORE), _STAGES.get(verb, verb))
            self.reset()
        except Exception as error:  # RFC 5321 4.2.1: our own failure is 4yz, whatever it was; the client may come again
            ref = texts.new_ref()
            self.gate.log.error("command failed", error, command=verb, client=self.peer.text, ref=ref)
            self.refuse(Refused(texts.TROUBLE), _STAGES.get(verb, verb), ref=ref)
            self.reset()

    def _text_of(self, line: bytes) -> str | None:
        """The command in a line; None (and a reply) if there is none in it."""
        reply = ""
        if not line.endswith(b"\r\n"):
            reply = texts.BARE_LF
        elif len(line) > MAX_COMMAND and line[:5].upper() != b"AUTH ":
            reply = texts.LINE_TOO_LONG
        else:
            line = line[:-2]
            try:
                command = line.decode("utf-8")
            except UnicodeDecodeError:
                reply = texts.NOT_ASCII
            else:
                if not command.isascii() and command.partition(" ")[0].upper() not in self.utf8_verbs:
                    reply = texts.NOT_ASCII
                elif not command.isprintable() and _CONTROLS.search(command):
                    reply = texts.CONTROL_BYTES
                else:
                    return command
        self.say(reply)
        return None

    async def _skip_line(self, until: float) -> None:
        if await self.reader.skip_line(MAX_SKIPPED, until):
            self.say(texts.LINE_TOO_LONG)
            self._count("unknown")
            self._check_errors()
        else:
            self.refuse(Refused(texts.ENDLESS_LINE, {"limit": texts.octets(MAX_SKIPPED)}), self._verb)
            self.hang_up(linger=True)

    def _count(self, name: str) -> None:
        count = self._counts.get(name)
        if count is None:
            count = self._counts[name] = [0, 0]
        count[1] += 1
        if self._code < "400":
            count[0] += 1

    def _check_errors(self) -> None:
        """RFC 5321 3.8 lets us hang up on a client that keeps sending nonsense."""
        if self._code < "500":
            return
        self._errors += 1
        limit = self.gate.settings.max_errors
        if self._errors >= limit and not self._done:
            self.refuse(Refused(texts.TOO_MANY_ERRORS, {"limit": limit}), self._verb)

    # --- TLS, and the end ------------------------------------------------------------------------------------

    async def _upgrade(self) -> None:
        """TLS on this connection from now on. A failed handshake is a `Hangup`."""
        assert self.transport and self.gate.certificate
        plain = self.transport
        # RFC 3207 4.2: what came in the clear is forgotten. What comes from here on is TLS: before it waits, start_tls
        # takes our place at the transport.
        self.reader.discard()
        self.forget()
        try:
            transport = await self.loop.start_tls(
                plain,
                self,
                self.gate.certificate.context,
                server_side=True,
                ssl_handshake_timeout=TLS_HANDSHAKE,
            )
        except (OSError, TimeoutError) as error:
            self.gate.log.note("TLS handshake failed", client=self.peer.text, why=str(error) or type(error).__name__)
            plain.abort()
            raise Hangup from None
        if transport is None:
            raise Hangup
        self.transport = transport
        self.reader.continue_on(transport)
        self.client = Client(self.client.ip, tls=_tls(transport), trusted=self.client.trusted)

    async def _close(self) -> None:
        """Send what was said, and go. A client that still sends gets a while to read it."""
        self.reset()
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
            await asyncio.wait([self._lost], timeout=min(LINGER, self.gate.settings.command_timeout))
            transport.abort()

    def stop(self) -> None:
        """Say 421 as soon as no command is in hand."""
        self._stopping = True
        if self._waiting:
            self.reader.interrupt()

    def abort(self) -> None:
        """Go at once."""
        if self.task:
            self.task.cancel()
        if self.transport:
            self.transport.abort()


def _tls(transport: asyncio.BaseTransport) -> str | None:
    """Version and cipher of a TLS connection; None for a plain one."""
    tls = transport.get_extra_info("ssl_object")
    cipher = tls.cipher() if tls else None
    return f"{tls.version()} {cipher[0]}" if cipher else None


# What a refusal calls its stage.
_STAGES = {"BDAT": "DATA", "HELO": "EHLO"}
