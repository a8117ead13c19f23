"""The commands of a mail transaction that are the same for every service: greeting, and how content comes.

Who may send, and to whom, is the subclass's: `MAIL`, `RCPT`, and what is said after EHLO; so is what becomes of the
content (`keep`). Syntax is `commands`', how octets come is `Content`'s.

Rules. Octets announced by BDAT are always read, whatever was refused before; otherwise they would be taken for
commands. After EHLO, RSET and the end of a message nothing of it is left.
Standards: RFC 5321 4.1.1 and 4.1.4, RFC 3030 (CHUNKING).
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from aiosmtpd.smtp import syntax

from relay.accept import commands, texts
from relay.accept.content import HOPELESS, Content, Unwanted
from relay.accept.gate import Gate
from relay.accept.reader import Hangup, Timeout
from relay.accept.small_verbs import SmallVerbs
from relay.accept.texts import Refused
from relay.address import Address
from relay.envelope import Envelope, Recipient

EXTENSIONS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING")


class Transaction(SmallVerbs):
    """EHLO, HELO, DATA and BDAT."""

    utf8_verbs = frozenset({"MAIL", "RCPT", "VRFY"})

    def __init__(self, gate: Gate, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(gate, loop)
        self._mail: commands.Mail | None = None
        self._recipients: dict[tuple[str, str], Recipient] = {}
        self._content: Content | None = None  # on its way

    def sender(self) -> Address | str | None:
        return (self._mail.reverse_path or "") if self._mail else None

    def reset(self) -> None:
        self._mail = None
        if self._recipients:
            self._recipients = {}
        if self._content:
            self._content.close()
            self._content = None

    # --- what a subclass says --------------------------------------------------------------------------------

    def extensions(self) -> list[str]:
        """The lines after EHLO's first."""
        raise NotImplementedError

    def most(self) -> int:
        """Octets that a message may have."""
        raise NotImplementedError

    def too_big(self, size: int) -> Refused:
        """The refusal of a message of `size` octets."""
        raise NotImplementedError

    async def keep(self, content: bytes) -> str | Refused:
        """Take the message: how to name it to the client, or why not. Raises `StoreUnavailable`."""
        raise NotImplementedError

    # --- what MAIL asks first --------------------------------------------------------------------------------

    def mail_in_turn(self) -> bool:
        """RFC 5321 4.1.4: MAIL comes after EHLO, and once in a transaction; the client is told if not."""
        if not self.client.helo:
            self.say(texts.HELLO_FIRST)
        elif self._mail:
            self.say(texts.NESTED_MAIL)
        else:
            return True
        return False

    def no_room(self, size: int) -> Refused | None:
        """Why a message that announces `size` octets (0: none said) is not taken. None: there is room."""
        # What is too big for ever must not be told to come again.
        if size > self.most():
            return self.too_big(size)
        return None if self.gate.budget.has(max(size, 1)) else Refused(texts.NO_MEMORY)

    # --- greeting --------------------------------------------------------------------------------------------

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, arg: str) -> None:
        if self._hello("EHLO", arg, extended=True):
            lines = [self.gate.config.hostname, *self.extensions()]
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

    # --- the content -----------------------------------------------------------------------------------------

    def agreed(self) -> Envelope:
        """What MAIL and RCPT have said."""
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
        if chunk.size > self.most() * HOPELESS:
            self.refuse(self.too_big(chunk.size), "DATA", mail_from=self.sender())
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
        gate = self.gate
        return Content(self.reader, self.loop, gate.settings, gate.budget, self.most(), self.too_big)

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
        answer: str | Refused = octets if isinstance(octets, Refused) else await self.keep(octets)
        if isinstance(answer, Refused):
            self.refuse(answer, "DATA", mail_from=self.sender())
        else:
            self._errors = 0
            self.say(f"250 2.0.0 Queued as {answer}")
        self.reset()
