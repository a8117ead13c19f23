"""The SMTP commands of the submission service.

Every method `smtp_VERB` answers one command; the loop that calls them is `Conversation`.
What may be sent is decided in `submission`, logins in `credentials`, syntax in `commands`.

Rules. Never an open relay: MAIL needs a login or a client from trusted_networks; a stranger's
RCPT is answered `554 Relay access denied` even after the refused MAIL, which is how fail2ban
tells him from an application that forgot its login. Octets announced by BDAT are always read,
whatever was refused before; otherwise they would be taken for commands.
Standards: RFC 5321 4.1.1, RFC 6409, RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
"""

import asyncio
import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

from aiosmtpd.smtp import syntax

from relay.accept import commands, credentials, texts
from relay.accept.body import Body
from relay.accept.conversation import MAX_AUTH, Conversation
from relay.accept.gate import Gate
from relay.accept.reader import Hangup, LineTooLong, Timeout
from relay.accept.submission import Submission
from relay.accept.texts import Refused
from relay.address import Address
from relay.envelope import Envelope, Recipient
from relay.store.errors import StoreUnavailable

RECHECK = 10.0  # seconds after which a lasting session's credential is looked up again at MAIL
HOPELESS = 10  # times the size limit: whoever still sends then is not waited for


class SubmissionSession(Conversation):
    """A session of an application."""

    service = "submission/smtpd"
    utf8_verbs = frozenset({"MAIL", "RCPT", "VRFY"})

    def __init__(
        self,
        gate: Gate,
        submission: Submission,
        logins: credentials.Logins,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(gate, loop)
        self._submission = submission
        self._logins = logins
        self._good_until = 0.0  # the loop's time until which the credential is taken to be as it was
        self._mail: commands.Mail | None = None
        self._recipients: dict[tuple[str, str], Recipient] = {}
        self._denied: tuple[Address | None] | None = None  # the reverse-path of a stranger whose MAIL was refused
        self._body: Body | None = None  # of a message that comes by BDAT

    def recheck(self) -> None:
        """Credentials have changed: look ours up again at the next MAIL."""
        self._good_until = 0.0

    def now(self) -> float:
        return self._submission.clock()

    def sender(self) -> Address | str | None:
        return (self._mail.reverse_path or "") if self._mail else None

    def reset(self) -> None:
        self._mail = None
        self._denied = None
        if self._recipients:
            self._recipients = {}
        if self._body:
            self._body.close()
            self._body = None

    # --- greeting --------------------------------------------------------------------------------------------

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, arg: str) -> None:
        if self._hello("EHLO", arg, extended=True):
            lines = [self.gate.config.hostname, *self._extensions()]
            last = lines.pop()
            self.say("".join(f"250-{line}\r\n" for line in lines) + f"250 {last}")

    @syntax("HELO hostname")
    async def smtp_HELO(self, arg: str) -> None:
        if self._hello("HELO", arg, extended=False):
            self.say(f"250 {self.gate.config.hostname}")

    def _hello(self, verb: str, name: str, *, extended: bool) -> bool:
        # RFC 5321 4.1.4: a name that is not true is no reason to refuse; one that is no word is.
        if not name or " " in name or len(name) > 255:
            self.say(texts.HELO_SYNTAX.format(verb=verb))
            return False
        self.reset()  # RFC 5321 4.1.4: EHLO in mid-session means RSET
        self.client = replace(self.client, helo=name, extended=extended)
        return True

    def _extensions(self) -> list[str]:
        lines = [
            f"SIZE {self._submission.size_limit(self.client)}",
            "8BITMIME",
            "SMTPUTF8",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "CHUNKING",
        ]
        if self.gate.certificate and not self.client.tls:
            lines.append("STARTTLS")
        if self._may_log_in():
            lines.append("AUTH PLAIN LOGIN")
        return lines

    # --- the envelope ----------------------------------------------------------------------------------------

    @syntax("MAIL FROM:<address> [SIZE=octets] [BODY=8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext]")
    async def smtp_MAIL(self, arg: str) -> None:
        if not self.client.helo:
            self.say(texts.HELLO_FIRST)
            return
        if self._mail:
            self.say(texts.NESTED_MAIL)
            return
        mail = commands.parse_mail(arg, extended=self.client.extended)
        refused = await self._may_mail(mail)
        if refused:
            self.refuse(refused, "MAIL", mail_from=mail.reverse_path)
            return
        self._mail = mail
        self.say(texts.SENDER_OK)

    async def _may_mail(self, mail: commands.Mail) -> Refused | None:
        """The rules that hold at MAIL, the cheap ones first."""
        if not self.client.credential and not self.client.trusted:
            self._denied = (mail.reverse_path,)
            return Refused(texts.LOGIN_REQUIRED)
        # What is too big for ever must not be told to come again.
        if mail.size > self._submission.size_limit(self.client):
            return self._submission.too_big(self.client, mail.size)
        if not self.gate.budget.has(max(mail.size, 1)):
            return Refused(texts.NO_MEMORY)
        credential = self.client.credential
        if credential and self.loop.time() > self._good_until:
            now = await self._logins.still_good(credential, self.client.ip)
            if now is None:
                return Refused(texts.CREDENTIAL_GONE, {"credential": credential.name})
            self._good_until = self.loop.time() + RECHECK
            self.client = replace(self.client, credential=now)
        return await self._submission.check_mail(self.client, mail.reverse_path, mail.size)

    @syntax("RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]")
    async def smtp_RCPT(self, arg: str) -> None:
        if self._body:
            self.say(texts.BDAT_UNDER_WAY)
            return
        mail = self._mail
        if mail is None and self._denied is None:
            self.say(texts.MAIL_FIRST)
            return
        recipient = commands.parse_rcpt(arg, extended=self.client.extended, smtputf8=mail.smtputf8 if mail else False)
        if mail is None and self._denied:
            self.refuse(Refused(texts.RELAY_DENIED), "RCPT", mail_from=self._denied[0] or "", rcpt_to=recipient.address)
            return
        if not recipient.address.domain:
            # RFC 5321 4.5.1: <postmaster> is ours, whatever domain that may be.
            recipient = replace(recipient, address=Address("postmaster", self.gate.config.hostname))
        address = recipient.address
        key = (address.local, address.destination)
        limit = self.gate.settings.max_recipients
        if key not in self._recipients and len(self._recipients) >= limit:
            assert mail
            refused = Refused(texts.TOO_MANY_RECIPIENTS, {"limit": limit})
            self.refuse(refused, "RCPT", mail_from=mail.reverse_path, rcpt_to=address)
            return
        self._recipients.setdefault(key, recipient)
        self.say(texts.RECIPIENT_OK)

    def _envelope(self) -> Envelope:
        mail = self._mail
        assert mail
        return Envelope(
            reverse_path=mail.reverse_path,
            recipients=tuple(self._recipients.values()),
            ret=mail.ret,
            envid=mail.envid,
            eight_bit=mail.eight_bit,
            smtputf8=mail.smtputf8,
        )

    # --- the content -----------------------------------------------------------------------------------------

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        if arg:
            self.say(texts.NO_ARGUMENT)
            return
        if reply := self._not_ready():
            self.say(reply)
            return
        if self._body:
            self.say(texts.BDAT_UNDER_WAY)
            return
        self.say(texts.GO_AHEAD)
        self._body = body = Body(self._submission.size_limit(self.client), self.gate.budget)
        started = self.loop.time()
        rest = None
        with self._content():
            while rest is None and not self._done:
                rest = body.feed(await self._chunk(body, started))
                if rest is None:
                    self._check_body(body)
        if rest is not None:
            self.reader.put_back(rest)
            await self._finish(body, stuffed=True)
        self.reset()

    @syntax("BDAT size [LAST]")
    async def smtp_BDAT(self, arg: str) -> None:
        chunk = commands.parse_bdat(arg)
        if chunk is None:
            # Whatever follows may be content: taking it for commands is how mail is smuggled.
            self.say(texts.BDAT_SYNTAX)
            self.hang_up(linger=True)
            return
        limit = self._submission.size_limit(self.client)
        if chunk.size > limit * HOPELESS:
            self.refuse(self._submission.too_big(self.client, chunk.size), "DATA", mail_from=self.sender())
            self.hang_up(linger=True)
            return
        reply = self._not_ready()
        if not reply and not self._body:
            self._body = Body(limit, self.gate.budget)
        with self._content():
            await self._octets(chunk.size)
        body = self._body
        if self._done:
            return
        if reply or body is None:
            self.say(reply or texts.MAIL_FIRST)
        elif chunk.last or body.too_big or body.no_memory:
            # RFC 3030 2: after a chunk that failed, the whole message has failed.
            await self._finish(body, stuffed=False)
            self.reset()
        else:
            self.say(f"250 2.0.0 {chunk.size} octets received")

    def _not_ready(self) -> str:
        """Why no content may come now, or ''."""
        if self._mail is None:
            return texts.MAIL_FIRST
        return "" if self._recipients else texts.RCPT_FIRST

    @contextlib.contextmanager
    def _content(self) -> Iterator[None]:
        """While content is read: if we fail in it, what still comes of it must not be taken for commands."""
        try:
            yield
        except (Hangup, Timeout):
            raise
        except Exception:  # whatever it was (memory, a mistake of ours): it passes, and ends the session
            self.hang_up(linger=True)
            raise

    async def _octets(self, size: int) -> None:
        """Read the octets of one BDAT chunk, for the message if there is one."""
        body = self._body or Body(self._submission.size_limit(self.client), self.gate.budget)
        keep = self._body is not None
        started = self.loop.time()
        before = body.received
        while (missing := size - (body.received - before)) and not self._done:
            octets = await self._chunk(body, started, missing)
            if keep:
                body.add(octets)
            else:
                body.skip(octets)
            self._check_body(body)

    async def _chunk(self, body: Body, started: float, most: int | None = None) -> bytes:
        """Some octets of content; `Timeout` after data_timeout, and a 421 for a client that only drips."""
        settings = self.gate.settings
        now = self.loop.time()
        # A least rate over the whole, the first data_timeout seconds free: slow lines may be slow, drips do not last.
        rate = settings.min_data_rate
        slowest = started + settings.data_timeout + body.received / rate if rate else math.inf
        try:
            return await self.reader.chunk(min(now + settings.data_timeout, slowest), most)
        except Timeout:
            if slowest > now + settings.data_timeout:
                raise
            self.gate.log.timeout(self.service, self.peer, self._verb)
            self.refuse(Refused(texts.TOO_SLOW, {"rate": rate}), "DATA", mail_from=self.sender())
            self.hang_up(linger=True)
            return b""

    def _check_body(self, body: Body) -> None:
        """Hang up on what will never end well: a line as long as a message may be, or many times that in all."""
        if self._done:
            return
        if body.line > body.limit:
            refused = Refused(texts.ENDLESS_LINE, {"limit": texts.octets(body.limit)})
        elif body.received > body.limit * HOPELESS:
            refused = self._submission.too_big(self.client, body.received)
        else:
            return
        self.refuse(refused, "DATA", mail_from=self.sender())
        self.hang_up(linger=True)

    async def _finish(self, body: Body, *, stuffed: bool) -> None:
        """The content is there: have it kept, and answer."""
        content = b"" if body.too_big or body.no_memory else body.unstuffed() if stuffed else body.plain()
        answer: str | Refused
        if body.no_memory:
            answer = Refused(texts.NO_MEMORY)
        elif body.too_big:
            answer = self._submission.too_big(self.client, max(body.received, body.limit + 1))
        else:
            answer = await self._submission.submit(self.client, self.peer, self._envelope(), content)
        if isinstance(answer, Refused):
            self.refuse(answer, "DATA", mail_from=self.sender())
        else:
            self._errors = 0
            self.say(f"250 2.0.0 Queued as {answer}")

    # --- login and TLS ---------------------------------------------------------------------------------------

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str) -> None:
        if arg:
            self.say(texts.NO_ARGUMENT)
        elif self.client.tls:
            self.say(texts.TLS_ACTIVE)
        elif not self.gate.certificate:
            self.say(texts.NO_TLS)
        else:
            self.say(texts.START_TLS)
            self.flush()
            await self._upgrade()

    def _may_log_in(self) -> bool:
        """RFC 4954 4: secrets travel in the clear only where we were told that it does not matter."""
        return bool(self.client.tls) or self.client.trusted

    @syntax("AUTH PLAIN|LOGIN [initial-response]")
    async def smtp_AUTH(self, arg: str) -> None:
        mechanism, _, initial = arg.partition(" ")
        mechanism = mechanism.upper()
        if not self.client.extended:
            self.say(texts.EHLO_FIRST)
        elif self.client.credential:
            self.say(texts.AUTH_TWICE)
        elif self._mail:
            self.say(texts.AUTH_IN_MAIL)
        elif not self._may_log_in():
            self.refuse(Refused(texts.ENCRYPTION_REQUIRED), "AUTH")
        elif not mechanism:
            self.say(texts.AUTH_SYNTAX)
        elif mechanism not in ("PLAIN", "LOGIN"):
            self.say(texts.AUTH_UNKNOWN)
        else:
            await self._log_in(mechanism, initial.strip(" "))

    async def _log_in(self, mechanism: str, initial: str) -> None:
        try:
            login = await (self._plain(initial) if mechanism == "PLAIN" else self._login(initial))
        except credentials.BadEncoding:
            self.say(texts.AUTH_ENCODING)
            return
        if login is None:
            return
        try:
            result = await self._logins.check(login, self.client.ip)
        except StoreUnavailable:
            # RFC 4954 6: a trouble of ours is 454, never a wrong password.
            self.refuse(Refused(texts.CANNOT_CHECK_LOGIN), "AUTH")
            return
        if isinstance(result, credentials.WrongLogin):
            ref = texts.new_ref()
            why = f'{result.why} "{texts.shown(result.name)}" [{texts.LOGIN_FAILED.number} {ref}]'
            self.gate.log.auth_failed(self.service, self.peer, mechanism, result.name, why)
            self.refuse(Refused(texts.LOGIN_FAILED), "AUTH", ref=ref, logged=True)
            return
        self._denied = None
        self._good_until = self.loop.time() + RECHECK
        self.client = replace(self.client, credential=result, mechanism=mechanism)
        self.say(f"235 2.7.0 Authenticated as credential {texts.shown(result.name)}")

    async def _plain(self, initial: str) -> credentials.Login | None:
        response = credentials.decode(initial) if initial else await self._challenge("")
        return None if response is None else credentials.plain(response)

    async def _login(self, initial: str) -> credentials.Login | None:
        name = credentials.decode(initial) if initial else await self._challenge("VXNlcm5hbWU6")  # Username:
        if name is None:
            return None
        secret = await self._challenge("UGFzc3dvcmQ6")  # Password:
        return None if secret is None else credentials.Login(credentials.word(name), credentials.word(secret))

    async def _challenge(self, challenge: str) -> bytes | None:
        """Ask, and decode the answer; None if the client gave up or sent too much. Raises `BadEncoding`."""
        self.say(f"334 {challenge}")
        try:
            line = await self.reader.line(MAX_AUTH, self.loop.time() + self.gate.settings.command_timeout)
        except LineTooLong:
            self.say(texts.AUTH_TOO_LONG)
            self.hang_up(linger=True)
            return None
        answer = line.rstrip(b"\r\n").decode("latin-1")
        if answer == "*":
            self.say(texts.AUTH_CANCELLED)
            return None
        return credentials.decode(answer or "=")

    # --- the rest --------------------------------------------------------------------------------------------

    @syntax("RSET")
    async def smtp_RSET(self, arg: str) -> None:
        if arg:
            self.say(texts.NO_ARGUMENT)
            return
        self.reset()
        self.say(texts.OK)

    @syntax("NOOP [anything]")
    async def smtp_NOOP(self, arg: str) -> None:
        self.say(texts.OK)

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str) -> None:
        if arg:
            self.say(texts.NO_ARGUMENT)
            return
        self.say(texts.BYE)
        self.hang_up()

    @syntax("HELP [command]")
    async def smtp_HELP(self, arg: str) -> None:
        method = self._verbs.get(arg.upper())
        usage = getattr(method, "__smtp_syntax__", None)
        self.say(f"214 2.0.0 Syntax is {usage}" if usage else texts.HELP)

    @syntax("VRFY address")
    async def smtp_VRFY(self, arg: str) -> None:
        # RFC 5321 3.5.3: whoever cannot say whether an address is good says 252.
        self.say(texts.CANNOT_VERIFY if arg else texts.VRFY_SYNTAX)

    async def smtp_EXPN(self, arg: str) -> None:
        self.say(texts.NOT_IMPLEMENTED)

    async def smtp_ETRN(self, arg: str) -> None:
        self.say(texts.NOT_IMPLEMENTED)
