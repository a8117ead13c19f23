"""One SMTP connection out, and the transactions over it.

It carries one delivery per transaction (every recipient has a copy of its own), says
what happened as a `Sent` or a `Failure`, and leaves the meaning to `outcome`. It does not
choose hosts, try again or keep connections: that is the dispatcher's. Nothing that a
server does raises.

  - MAIL, RCPT and DATA go out in one piece where PIPELINING is offered (RFC 2920).
  - TLS without proof of identity is better than none, and no TLS better than no mail,
    unless a route demands it (RFC 7435). A login is never sent in the clear, unless the
    route says `tls = "none"`.

RFC 5321 3.1-3.3 (session and transaction), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from relay.config import Route, Timeouts
from relay.deliver.commands import Offers, mail_command, rcpt_command, unsendable
from relay.deliver.conversation import Conversation
from relay.deliver.dialogue import Answer, Dialogue, Refused, ms_since, patience
from relay.deliver.exchange import Failure, Kind, Sent, Step
from relay.deliver.mx import Hop
from relay.deliver.tls import TlsContexts
from relay.delivery import Delivery
from relay.reply import Reply


@dataclass(frozen=True, slots=True)
class Client:
    """Opens connections. `hostname` is the name we greet with."""

    hostname: str
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls: TlsContexts = field(default_factory=TlsContexts.system)

    async def open(self, hop: Hop, conversation: Conversation) -> "Connection | Failure":
        """Connect to `hop` and get ready for the first message: greeting, EHLO, TLS, login."""
        policy = hop.route.tls if hop.route else "opportunistic"
        opened = await self._dial(hop, conversation, policy)
        if isinstance(opened, Failure) and opened.kind is Kind.TLS and policy == "opportunistic":
            conversation.note("TLS failed; the same host once more without it")
            # "clear" differs from the operator's "none": he did not allow a login in the clear.
            return await self._dial(hop, conversation, "clear")
        return opened

    async def _dial(self, hop: Hop, conversation: Conversation, policy: str) -> "Connection | Failure":
        connection = Connection(self, hop, conversation)
        return await connection.establish(policy) or connection


class Connection:
    """A connection to one host, opened by `Client.open`. `messages` counts what was tried over it."""

    def __init__(self, client: Client, hop: Hop, conversation: Conversation) -> None:
        self.hop = hop
        self.messages = 0
        self.offers = Offers()
        self._client = client
        self._dialogue = Dialogue(hop, patience(client.timeouts), conversation)
        self._half_done = False  # a transaction was begun and not finished

    @property
    def peer(self) -> str:
        """ "host[ip]:port"."""
        return self._dialogue.peer

    @property
    def usable(self) -> bool:
        """May another message be sent over it?"""
        return self._dialogue.quiet

    async def establish(self, policy: str) -> Failure | None:
        """Everything before the first MAIL; None: ready. `policy` is a route's `tls`, or "clear"."""
        return await self._dialogue.converse(self._opening(policy))

    async def send(self, delivery: Delivery, content: bytes, conversation: Conversation) -> Sent | Failure:
        """One transaction: `content` (its lines end in CRLF) to the delivery's recipient."""
        dialogue = self._dialogue
        dialogue.conversation, dialogue.step, dialogue.refusal = conversation, Step.MAIL, None
        reused = self.messages > 0
        self.messages += 1
        if reused:
            conversation.reused(self.peer, self.messages, tls=dialogue.tls, source_ip=dialogue.source_ip)
            if not dialogue.quiet:
                conversation.note("the kept connection is gone")
                dialogue.end()
                return Failure(Step.MAIL, Kind.LOST, self.peer, "the kept connection is gone", stale=True)
        if cannot := unsendable(delivery, content, self.offers):
            kind, text = cannot
            conversation.note(text)
            return Failure(Step.MAIL, kind, self.peer, text)
        outcome = await dialogue.converse(self._transaction(delivery, content))
        if reused and isinstance(outcome, Failure) and _died_unheard(outcome):
            dialogue.end()
            return replace(outcome, stale=True)
        return outcome

    async def close(self) -> None:
        """QUIT, with little patience. Never raises."""
        await self._dialogue.quit(self._client.timeouts.quit)

    # The parts of the dialogue. They raise what `Dialogue.converse` makes a Failure of.

    async def _opening(self, policy: str) -> None:
        """Everything before the first MAIL: connect, (TLS,) greeting, EHLO, (STARTTLS, EHLO,) login."""
        await self._dialogue.connect()
        if policy == "implicit":
            await self._dialogue.encrypt(self._client.tls.verified)
        greeting = await self._dialogue.hear(Step.GREETING)
        if greeting.code != 220:
            raise self._dialogue.refused(greeting)
        await self._greet()
        if policy in ("opportunistic", "require"):
            await self._start_tls(required=policy == "require")
        if self.hop.route and self.hop.route.user is not None:
            await self._log_in(self.hop.route, allow_clear=policy == "none")

    async def _greet(self) -> None:
        """EHLO, or HELO for a server that knows only that; `offers` is what it has."""
        hello = await self._dialogue.ask(Step.EHLO, f"EHLO {self._client.hostname}")
        # RFC 5321 3.2: a server that refuses EHLO is asked with HELO.
        if 500 <= hello.code < 600:
            hello = await self._dialogue.ask(Step.EHLO, f"HELO {self._client.hostname}")
            self.offers = Offers()
        else:
            self.offers = Offers.parse(hello.message)
        if hello.code // 100 != 2:
            raise self._dialogue.refused(hello)

    async def _start_tls(self, *, required: bool) -> None:
        """STARTTLS where it is offered. A refusal in words leaves the connection as it is, unless TLS is `required`."""
        if not self.offers.starttls:
            if required:
                self._dialogue.step = Step.STARTTLS
                raise self._dialogue.stop(Kind.TLS, "TLS is required, but was not offered")
            return
        answer = await self._dialogue.ask(Step.STARTTLS, "STARTTLS")
        if answer.code != 220:
            if required or answer.code == 421:
                raise self._dialogue.refused(answer, Kind.TLS)
            return
        # RFC 3207 6: what comes before the handshake may be somebody else's words, injected.
        if not self._dialogue.quiet:
            raise self._dialogue.stop(Kind.TLS, "the server spoke between STARTTLS and the handshake")
        await self._dialogue.encrypt(self._client.tls.verified if required else self._client.tls.opportunistic)
        # RFC 3207 4.2: what was said before TLS is forgotten.
        await self._greet()

    async def _log_in(self, route: Route, *, allow_clear: bool) -> None:
        self._dialogue.step = Step.AUTH
        if self._dialogue.tls is None and not allow_clear:
            raise self._dialogue.stop(
                Kind.NO_AUTH, "a login is set for this route, and there is no TLS to send it over"
            )
        user, password = (_base64(word or "") for word in (route.user, route.password))
        if "PLAIN" in self.offers.auth:
            secret = _base64(f"\0{route.user}\0{route.password or ''}")
            answer = await self._dialogue.ask(Step.AUTH, f"AUTH PLAIN {secret}", shown="AUTH PLAIN ********")
        elif "LOGIN" in self.offers.auth:
            answer = await self._dialogue.ask(Step.AUTH, "AUTH LOGIN")
            for word in (user, password):
                if answer.code == 334:
                    answer = await self._dialogue.ask(Step.AUTH, word, shown="********")
        else:
            raise self._dialogue.stop(
                Kind.NO_AUTH, "a login is set for this route, and the server offers neither PLAIN nor LOGIN"
            )
        if answer.code != 235:
            raise self._dialogue.refused(answer)

    async def _transaction(self, delivery: Delivery, content: bytes) -> Sent:
        """MAIL, RCPT, DATA, the content and the dot."""
        commands = [
            (Step.MAIL, mail_command(delivery, content, self.offers)),
            (Step.RCPT, rcpt_command(delivery, self.offers)),
            (Step.DATA, "DATA"),
        ]
        if self._half_done:
            commands.insert(0, (Step.RSET, "RSET"))
        await (self._pipeline(commands) if self.offers.pipelining else self._one_by_one(commands))
        began = time.monotonic()
        self._dialogue.conversation.content(len(content))
        await self._dialogue.write(dot_stuffed(content))
        answer = await self._dialogue.hear(Step.DOT)
        self._dialogue.conversation.ms_data = ms_since(began)
        self._half_done = False
        if answer.code // 100 != 2:
            raise self._dialogue.refused(answer)
        return Sent(Reply.parse(answer.code, answer.message), dsn=self.offers.dsn)

    async def _one_by_one(self, commands: Sequence[tuple[Step, str]]) -> None:
        for step, command in commands:
            answer = await self._dialogue.ask(step, command)
            if not _goes_on(step, answer):
                raise self._dialogue.refused(answer)
            self._half_done = True

    async def _pipeline(self, commands: Sequence[tuple[Step, str]]) -> None:
        """RFC 2920: all commands in one piece, then their replies in order. The first refusal counts."""
        dialogue = self._dialogue
        dialogue.say(*(command for _, command in commands))
        for step, _ in commands:
            answer = await dialogue.hear(step)
            if dialogue.refusal is None and _goes_on(step, answer):
                self._half_done = True
            elif dialogue.refusal is None:
                dialogue.refusal = dialogue.refused(answer).failure
                if dialogue.ended:
                    break
        if dialogue.refusal is None:
            return
        if answer.code == 354:
            # RFC 2920 3.1: DATA may be accepted although the recipient was not; then an empty message ends it.
            dialogue.say(".")
            await dialogue.hear(Step.DATA)
            self._half_done = False
        raise Refused(dialogue.refusal)


def dot_stuffed(content: bytes) -> bytes:
    """`content` (its lines end in CRLF) as DATA wants it, final dot included."""
    # RFC 5321 4.5.2: a line that begins with a dot gets another one.
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    first = b"." if content.startswith(b".") else b""
    end = b".\r\n" if content.endswith(b"\r\n") or not content else b"\r\n.\r\n"
    return b"".join((first, content, end))


def _goes_on(step: Step, answer: Answer) -> bool:
    """Is it the positive reply of this step: 354 to DATA, 2yz to the others?"""
    return answer.code == 354 if step is Step.DATA else answer.code // 100 == 2


def _died_unheard(failure: Failure) -> bool:
    """Did a kept connection end before it took MAIL? RFC 5321 3.8: 421 says that it waits no longer."""
    closing = failure.kind is Kind.LOST or (failure.reply is not None and failure.reply.code == 421)
    return failure.step is Step.RSET or (failure.step is Step.MAIL and closing)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
