"""The commands that concern no message and no login, the same for every service.

Standards: RFC 5321 4.1.1.5 to 4.1.1.10, RFC 3207 4 (STARTTLS).
"""

from aiosmtpd.smtp import syntax

from relay.accept import texts
from relay.accept.conversation import Conversation


class SmallVerbs(Conversation):
    """RSET, NOOP, QUIT, HELP, VRFY, EXPN, ETRN and STARTTLS."""

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

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str) -> None:
        if arg:
            self.say(texts.NO_ARGUMENT)
        elif self.client.tls:
            self.say(texts.TLS_ACTIVE)
        elif not self.gate.tls:
            self.say(texts.NO_TLS)
        else:
            self.say(texts.START_TLS)
            self.flush()
            await self.upgrade()
