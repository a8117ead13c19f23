"""The SMTP commands of the submission service that are its own: envelope and login.

Every method `smtp_VERB` answers one command; the loop that calls them is `Conversation`, greeting and content
are `Transaction`'s, the commands that concern no message are `SmallVerbs`. What may be sent is decided in
`submission`, logins in `credentials`, syntax in `commands`.

Rules. Never an open relay: MAIL needs a login or a client from trusted_networks; a stranger's
RCPT is answered `554 Relay access denied` even after the refused MAIL, which is how fail2ban
tells him from an application that forgot its login.
Standards: RFC 5321 4.1.1, RFC 6409, RFC 4954 (AUTH).
"""

import asyncio
from dataclasses import replace

from aiosmtpd.smtp import syntax

from relay.accept import commands, credentials, login, texts
from relay.accept.gate import Gate
from relay.accept.submission import Submission
from relay.accept.texts import Refused
from relay.accept.transaction import EXTENSIONS, Transaction
from relay.address import Address

RECHECK = 10.0  # seconds after which a lasting session's credential is looked up again at MAIL


class SubmissionSession(Transaction):
    """A session of an application."""

    service = "submission/smtpd"

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
        self._denied: tuple[Address | None] | None = None  # the reverse-path of a stranger whose MAIL was refused

    def now(self) -> float:
        return self._submission.clock()

    def reset(self) -> None:
        super().reset()
        self._denied = None

    def extensions(self) -> list[str]:
        lines = [f"SIZE {self.most()}", *EXTENSIONS]
        if self.gate.tls and not self.client.tls:
            lines.append("STARTTLS")
        if self._may_log_in():
            lines.append("AUTH PLAIN LOGIN")
        return lines

    def most(self) -> int:
        return self._submission.size_limit(self.client)

    def too_big(self, size: int) -> Refused:
        return self._submission.too_big(self.client, size)

    async def keep(self, content: bytes) -> str | Refused:
        return await self._submission.submit(self.client, self.peer, self.agreed(), content)

    # --- the envelope ----------------------------------------------------------------------------------------

    @syntax("MAIL FROM:<address> [SIZE=octets] [BODY=8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext]")
    async def smtp_MAIL(self, arg: str) -> None:
        if not self.mail_in_turn():
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
        if refused := self.no_room(mail.size):
            return refused
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
        if suppressed := await self._submission.check_recipient(self.client, address):
            self.refuse(suppressed, "RCPT", mail_from=self.sender(), rcpt_to=address)
            return
        self._recipients.setdefault(key, recipient)
        self.say(texts.RECIPIENT_OK)

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
