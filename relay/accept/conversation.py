"""One SMTP session: reads commands, calls their methods, refuses, counts, ends.

Does not know MAIL from RCPT: the verbs are methods `smtp_VERB` of a subclass, the words of
aiosmtpd. The table of verbs is made once per class. How octets come and go is `Connection`.

Rules. A command is one line that ends in CRLF, of printable ASCII, or UTF-8 where its verb
allows that; anything else is refused in words and never echoed. A client that hangs up ends
the session at its next wait and cancels nothing. Our own failure is `451 4.3.0`, never 5yz,
never its text; it is logged with the reference that the reply shows. After 421 we hang up.
When the relay stops, a client hears 421 as soon as it has no command in hand; one that came a
moment ago may finish its first message, for it may have had no chance to find us stopping.
Standards: RFC 5321 4.2 to 4.5.3 and 3.8.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from relay.accept import texts
from relay.accept.commands import BadCommand, parse_line
from relay.accept.connection import Connection, HandshakeFailed
from relay.accept.gate import Gate
from relay.accept.reader import Hangup, LineTooLong, Timeout
from relay.accept.texts import Refused
from relay.accept.trace import Client
from relay.address import Address
from relay.event import Refusal
from relay.log import Peer
from relay.store.errors import StoreUnavailable

MAX_AUTH = 12288  # RFC 4954 4.5: octets of an AUTH line
MAX_SKIPPED = 64 * 1024  # octets of one endless line that are thrown away before 421
FLUSH_AT = 16 * 1024  # octets of replies kept back

Verb = Callable[[Any, str], Awaitable[None]]


class Conversation(Connection):
    """See the module."""

    service: ClassVar[str]
    utf8_verbs: ClassVar[frozenset[str]] = frozenset()
    _verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init_subclass__(cls) -> None:
        own = {name[5:]: method for name, method in vars(cls).items() if name.startswith("smtp_")}
        cls._verbs = {**cls._verbs, **own}

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.gate = gate
        self.client = Client("127.0.0.1")
        self.peer = Peer("unknown", "127.0.0.1")
        self._came_at = loop.time()
        self._verb = "CONNECT"
        self._counts: dict[str, list[int]] = {}
        self._errors = 0
        self._served = False  # has a message been answered, yes or no?
        self._waiting = False  # for a command
        self._stop_at = 0.0  # the loop's time from which nothing but the command in hand is done; 0: we go on
        self._interrupted = False  # was a wait for a command ended by us?

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is at the door: let it in, or say why not."""
        super().connection_made(transport)
        assert self.session
        peername = self.session.peer
        # An IPv4 client of a dual-stack socket is an IPv4 client; zones mean nothing to others.
        ip = peername[0].removeprefix("::ffff:").partition("%")[0] if peername else "127.0.0.1"
        self.client = Client(ip, tls=self.tls, trusted=self.gate.trusts(ip))
        self.peer = Peer("localhost" if ip == "::1" or ip.startswith("127.") else "unknown", ip)
        self.gate.log.connect(self.service, self.peer)
        if refused := self.gate.enter(self, ip):
            self.refuse(refused, "CONNECT")
            self.flush()
            transport.close()
            return
        self.task = self.loop.create_task(self._handle_client(), name=f"smtp {ip}")

    # --- refusals --------------------------------------------------------------------------------------------

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
        self.gate.refusals.keep(
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
            ),
            known=bool(self.client.credential) or self.client.trusted,
        )

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
                if self._stop_at and self._over() and not self._done:
                    self.say(texts.STOPPING)
                    self.hang_up()
        except Hangup:
            if self._interrupted:
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
                self.reset()
                await self.close(self.gate.settings.command_timeout)
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
        try:
            command = parse_line(line, self.utf8_verbs)
        except BadCommand as bad:
            self.say(bad.reply)
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
        except StoreUnavailable as error:
            self.gate.log.database_trouble("cannot keep what clients bring, and they are told to come again", error)
            self.refuse(Refused(texts.CANNOT_STORE), _STAGES.get(verb, verb))
            self.reset()
        except Exception as error:  # RFC 5321 4.2.1: our own failure is 4yz, whatever it was; the client may come again
            ref = texts.new_ref()
            self.gate.log.error("command failed", error, command=verb, client=self.peer.text, ref=ref)
            self.refuse(Refused(texts.TROUBLE), _STAGES.get(verb, verb), ref=ref)
            self.reset()

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

    async def upgrade(self) -> None:
        """TLS from now on, and nothing that was said before counts. A failed handshake is a `Hangup`."""
        assert self.gate.tls
        self.forget()
        try:
            await self.encrypt(self.gate.tls)
        except HandshakeFailed as failed:
            self.gate.log.note("TLS handshake failed", client=self.peer.text, why=str(failed))
            raise Hangup from None
        self.client = Client(self.client.ip, tls=self.tls, trusted=self.client.trusted)

    def stop(self, chance: float) -> None:
        """Say 421 as soon as no command is in hand, or, to who came less than `chance` seconds ago and has sent no
        message yet, when that is over or a message is answered."""
        now = self.loop.time()
        self._stop_at = now if self._served else max(now, self._came_at + chance)
        if self._stop_at > now:
            self.loop.call_at(self._stop_at, self._interrupt)
        else:
            self._interrupt()

    def _over(self) -> bool:
        """We are stopping: has the client had what `stop` promised?"""
        return self._served or self.loop.time() >= self._stop_at

    def _interrupt(self) -> None:
        if self._waiting:
            self._interrupted = self.reader.interrupt()


# What a refusal calls its stage.
_STAGES = {"BDAT": "DATA", "HELO": "EHLO"}
