"""The inbound service: takes what comes back (bounces, complaints, requests to unsubscribe), and nothing else.

What an address is for is in its token (`relay/return_path.py`); what a report means, and having it kept, is
`relay/feedback.py`. It sends nothing: no DSN, no answer, whatever comes.

Rules. Any sender, the null one above all; recipients at `bounce_domain` only, and only those that are ours: a
forged token is refused at RCPT like an address that never was. No login. Its limits are its own (`[inbound]`), so
that a flood of bounces leaves room for applications. 250 after what the report says is committed, for every
recipient; until then our trouble is 4yz, and the sender comes again: reports that come twice change nothing.
Standards: RFC 5321 4.5.1 (postmaster), 4.5.5 (null reverse-path), 6.3 (loops).
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from aiosmtpd.smtp import syntax

from relay import return_path
from relay.accept import commands, headers, texts
from relay.accept.gate import Gate
from relay.accept.letter import Letter, TooEarly
from relay.accept.refusals import Store
from relay.accept.server import Server
from relay.accept.texts import Refused
from relay.accept.transaction import Transaction
from relay.address import Address
from relay.certificate import server_context
from relay.config import Config, Endpoint
from relay.log import Log
from relay.queue_id import QueueIds
from relay.return_path import Own
from tracker.token import Keyring

EXTENSIONS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING")


class Reader(Protocol):
    """Who understands what came."""

    async def take(self, letter: Letter, recipient: Address, own: Own) -> None:
        """Act on it; what it changes is committed when this returns. Raises `StoreUnavailable`, `TooEarly`."""


class Inbound:
    """The rules of the inbound service. `keyring` gives the keys of the moment; `clock` Unix seconds."""

    service = "smtpd"

    def __init__(
        self,
        config: Config,
        reader: Reader,
        keyring: Callable[[], Keyring],
        log: Log,
        queue_ids: QueueIds,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.settings = config.inbound
        self.clock = clock
        self._reader = reader
        self._keyring = keyring
        self._log = log
        self._queue_ids = queue_ids
        self._taking: set[asyncio.Task[None]] = set()

    def own(self, address: Address) -> Own | Refused:
        """What the address is for, or why it takes no mail. RFC 5321 4.5.1: <postmaster> needs no domain."""
        if address.domain and address.destination != self.settings.bounce_domain:
            return Refused(texts.NOT_OUR_DOMAIN)
        return return_path.read(self._keyring(), address.local) or Refused(texts.NO_SUCH_ADDRESS)

    async def take(
        self, session: "InboundSession", reverse_path: Address | None, owns: Mapping[Own, Address], content: bytes
    ) -> str | Refused:
        """Have it understood and kept: the name under which it is in the log, or why not. Raises `StoreUnavailable`."""
        submission = self.config.submission
        try:
            head = headers.read(content, submission.max_header_size)
        except headers.HeaderTooBig:
            return Refused(texts.HEADER_TOO_BIG, {"limit": texts.octets(submission.max_header_size)})
        # RFC 5321 6.3: what was forwarded may come back here, and must not go round for ever.
        if head.hops > submission.max_received:
            return Refused(texts.LOOP, {"hops": head.hops, "limit": submission.max_received})
        letter = Letter(self._queue_ids.next(), self.clock(), session.client, reverse_path, head, content)
        self._log.client(letter.queue_id, self.service, session.peer)
        self._log.message_id(letter.queue_id, head.message_id)
        self._log.queued(letter.queue_id, reverse_path, len(content), len(owns))
        # Whoever hangs up after the dot cancels nothing.
        taking = asyncio.get_running_loop().create_task(self._take(letter, owns), name=f"report {letter.queue_id}")
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        try:
            await asyncio.shield(taking)
        except TooEarly:
            return Refused(texts.TOO_EARLY)
        return letter.queue_id

    async def _take(self, letter: Letter, owns: Mapping[Own, Address]) -> None:
        try:
            for own, recipient in owns.items():
                await self._reader.take(letter, recipient, own)
        finally:
            self._log.removed(letter.queue_id)

    async def settle(self) -> None:
        """Wait until everything under way has come to its end."""
        while self._taking:
            await asyncio.wait(self._taking)


class InboundSession(Transaction):
    """A session of somebody else's mail server."""

    service = Inbound.service

    def __init__(self, gate: Gate, inbound: Inbound, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(gate, loop)
        self._inbound = inbound
        self._owns: dict[Own, Address] = {}  # postmaster and POSTMASTER are one, and get one letter

    def now(self) -> float:
        return self._inbound.clock()

    def reset(self) -> None:
        super().reset()
        self._owns = {}

    def extensions(self) -> list[str]:
        tls = ["STARTTLS"] if self.gate.tls and not self.client.tls else []
        return [f"SIZE {self.most()}", *EXTENSIONS, *tls]

    def most(self) -> int:
        return self._inbound.settings.max_message_size

    def too_big(self, size: int) -> Refused:
        return Refused(texts.LETTER_TOO_BIG, {"size": texts.octets(size), "limit": texts.octets(self.most())})

    async def keep(self, content: bytes) -> str | Refused:
        assert self._mail
        return await self._inbound.take(self, self._mail.reverse_path, self._owns, content)

    @syntax("MAIL FROM:<address> [SIZE=octets] [BODY=8BITMIME] [SMTPUTF8]")
    async def smtp_MAIL(self, arg: str) -> None:
        if not self.mail_in_turn():
            return
        mail = commands.parse_mail(arg, extended=self.client.extended)
        if refused := self.no_room(mail.size):
            self.refuse(refused, "MAIL", mail_from=mail.reverse_path)
        else:
            self._mail = mail
            self.say(texts.SENDER_OK)

    @syntax("RCPT TO:<address>")
    async def smtp_RCPT(self, arg: str) -> None:
        if self._content:
            self.say(texts.BDAT_UNDER_WAY)
            return
        mail = self._mail
        if mail is None:
            self.say(texts.MAIL_FIRST)
            return
        recipient = commands.parse_rcpt(arg, extended=self.client.extended, smtputf8=mail.smtputf8)
        address = recipient.address
        limit = self._inbound.settings.max_recipients
        own = self._inbound.own(address)
        name = (address.local, address.destination)
        if isinstance(own, Own) and name not in self._recipients and len(self._recipients) >= limit:
            own = Refused(texts.TOO_MANY_RECIPIENTS, {"limit": limit})
        if isinstance(own, Refused):
            self.refuse(own, "RCPT", mail_from=mail.reverse_path or "", rcpt_to=address)
            return
        if not address.domain:
            address = replace(address, domain=self._inbound.settings.bounce_domain)
        self._owns.setdefault(own, address)
        self._recipients[name] = recipient
        self.say(texts.RECIPIENT_OK)


async def serve_inbound(
    inbound: Inbound, store: Store, log: Log, doors: Mapping[Endpoint, socket.socket] | None = None
) -> Server:
    """Listen on every endpoint of `[inbound]`; for one in `doors` on the bound socket there. Raises `OSError`.

    STARTTLS is offered with the certificate of `[submission]`.
    """
    config = inbound.config
    settings = config.submission
    tls = server_context(settings.tls_certificate, settings.tls_key)
    gate = Gate(config, log, store, tls, inbound.settings)
    server = Server(gate, lambda loop: InboundSession(gate, inbound, loop), inbound.settle)
    await server.open(inbound.settings.listen, doors)
    return server
