"""The SMTP commands of the submission service: greeting, envelope, content, login.

Every method `smtp_VERB` answers one command; the loop that calls them is `Conversation`, the
commands that concern no message are `SmallVerbs`. What may be sent is decided in `submission`,
logins in `credentials`, syntax in `commands`; how content comes is `Content`'s.

Rules. Never an open relay: MAIL needs a login or a client from trusted_networks; a stranger's
RCPT is answered `554 Relay access denied` even after the refused MAIL, which is how fail2ban
tells him from an application that forgot its login. Octets announced by BDAT are always read,
whatever was refused before; otherwise they would be taken for commands.
Standards: RFC 5321 4.1.1, RFC 6409, RFC 3030 (CHUNKING), RFC 4954 (AUTH).
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial

from aiosmtpd.smtp import syntax

from relay.accept import commands, credentials, login, texts
from relay.accept.content import HOPELESS, Content, Unwanted
from relay.accept.gate import Gate
from relay.accept.reader import Hangup, Timeout
from relay.accept.small_verbs import SmallVerbs
from relay.accept.submission import Submission
from relay.accept.texts import Refused
from relay.address import Address
from relay.envelope import Envelope, Recipient

EXTENSIONS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING")
RECHECK = 10.0  # seconds after which a lasting session's credential is looked up again at MAIL


class SubmissionSession(SmallVerbs):
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
        self._content: Content | None = None  # on its way

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
        if self._content:
            self._content.close()
            self._content = None

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
        lines = [f"SIZE {self._submission.size_limit(self.client)}", *EXTENSIONS]
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
        if self._content:
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
        if self._content:
            self.say(texts.BDAT_UNDER_WAY)
            return
        self.say(texts.GO_AHEAD)
        self._content = content = self._new_content()
        await self._receive(content.data())
        await self._finish(content)

    @syntax("BDAT size [LAST]")
    async def smtp_BDAT(self, arg: str) -> None:
        chunk = commands.parse_bdat(arg)
        if chunk is None:
            # Whatever follows may be content: taking it for commands is how mail is smuggled.
            self.say(texts.BDAT_SYNTAX)
            self.hang_up(linger=True)
            return
        if chunk.size > self._submission.size_limit(self.client) * HOPELESS:
            self.refuse(self._submission.too_big(self.client, chunk.size), "DATA", mail_from=self.sender())
            self.hang_up(linger=True)
            return
        if reply := self._not_ready():
            await self._receive(self._new_content().skip(chunk.size))
            self.say(reply)
            return
        self._content = content = self._content or self._new_content()
        await self._receive(content.chunk(chunk.size))
        # RFC 3030 2: after a chunk that failed, the whole message has failed.
        if chunk.last or content.failed:
            await self._finish(content)
        else:
            self.say(f"250 2.0.0 {chunk.size} octets received")

    def _not_ready(self) -> str:
        """Why no content may come now, or ''."""
        if self._mail is None:
            return texts.MAIL_FIRST
        return "" if self._recipients else texts.RCPT_FIRST

    def _new_content(self) -> Content:
        gate, client, too_big = self.gate, self.client, self._submission.too_big
        limit = self._submission.size_limit(client)
        return Content(self.reader, self.loop, gate.settings, gate.budget, limit, partial(too_big, client))

    async def _receive(self, coming: Awaitable[None]) -> None:
        """Let octets of content come; if anything fails in it, what still comes must not be taken for commands."""
        try:
            await coming
        except (Hangup, Timeout):
            raise
        except Unwanted as unwanted:
            if unwanted.late:
                self.gate.log.timeout(self.service, self.peer, self._verb)
            self.hang_up(linger=True)
            raise commands.BadCommand(refused=unwanted.refused) from None
        except Exception:  # whatever it was (memory, a mistake of ours): it passes, and ends the session
            self.hang_up(linger=True)
            raise

    async def _finish(self, content: Content) -> None:
        """The content is there: have it kept, answer, and be ready for another message."""
        self._served = True
        octets = content.result()
        if isinstance(octets, Refused):
            answer: str | Refused = octets
        else:
            answer = await self._submission.submit(self.client, self.peer, self._envelope(), octets)
        if isinstance(answer, Refused):
            self.refuse(answer, "DATA", mail_from=self.sender())
        else:
            self._errors = 0
            self.say(f"250 2.0.0 Queued as {answer}")
        self.reset()

    # --- login ---------------------------------------------------------------------------------------------

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
        elif mechanism not in login.MECHANISMS:
            self.say(texts.AUTH_UNKNOWN)
        else:
            await self._log_in(mechanism, initial.strip(" "))

    async def _log_in(self, mechanism: str, initial: str) -> None:
        credential = await login.log_in(self, self._logins, mechanism, initial)
        if credential is None:
            return
        self._denied = None
        self._good_until = self.loop.time() + RECHECK
        self.client = replace(self.client, credential=credential, mechanism=mechanism)
        self.say(f"235 2.7.0 Authenticated as credential {texts.shown(credential.name)}")
