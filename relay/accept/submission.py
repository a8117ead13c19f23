"""Decides whether a client may send a message, makes it a Message with its Deliveries, and has it kept.

Knows no SMTP commands and no sockets. Two questions are asked early, at MAIL (`check_mail`),
and the rest when the content is there (`submit`); between the final dot and its 250 stands
nothing but header reading, which is bounded, and the one commit (RFC 5321 6.1, RFC 1047).
The commit runs to its end even if the client hangs up: whoever has sent the dot may count
on it. A refusal is a value (`Refused`); `StoreUnavailable` is the store's, and passes.
Standards: RFC 6409 8 (what a submission server may add), RFC 5321 4.4 and 6.3 (trace, loops).
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from relay.accept import headers, texts, trace
from relay.accept.texts import Refused
from relay.accept.trace import Client
from relay.address import Address, AddressError, parse_address
from relay.config import Config
from relay.credential import Credential, Rate
from relay.delivery import Delivery
from relay.envelope import NO_METADATA, Envelope, Message, Role
from relay.event import Refusal
from relay.log import Peer
from relay.queue_id import QueueIds
from relay.store.accepted import Accepted

_PERIODS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


class Store(Protocol):
    """What accepting needs of the store."""

    async def accept(self, accepted: Accepted, *, claimed: bool) -> None:
        """Commit; raises `StoreUnavailable`."""

    async def credential(self, name: str) -> Credential | None:
        """The credential of that name."""

    async def spend(self, name: str, rate: Rate, now: float) -> float:
        """One message of a credential's rate: 0.0, or the seconds to wait."""

    def refuse_later(self, refusal: Refusal) -> None:
        """Keep a refusal some time soon."""


class Courier(Protocol):
    """Takes mail that was just accepted straight to delivery."""

    def reserve(self, deliveries: Sequence[Delivery]) -> bool:
        """May these be handed over right after the commit?"""

    def deliver(self, accepted: Accepted) -> None:
        """Here they are."""

    def unreserve(self, deliveries: Sequence[Delivery]) -> None:
        """The commit failed."""


class Log(Protocol):
    """The lines of an accepted message."""

    def client(
        self,
        queue_id: str,
        service: str,
        peer: Peer,
        sasl_method: str | None = None,
        sasl_username: str | None = None,
    ) -> None: ...

    def message_id(self, queue_id: str, message_id: str) -> None: ...

    def queued(self, queue_id: str, sender: Address | str | None, size: int, nrcpt: int) -> None: ...


class Submission:
    """The rules of the submission service. `clock` gives Unix seconds."""

    service = "submission/smtpd"

    def __init__(
        self,
        store: Store,
        config: Config,
        log: Log,
        queue_ids: QueueIds,
        courier: Courier,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.config = config
        self.clock = clock
        self._log = log
        self._queue_ids = queue_ids
        self._courier = courier
        self._commits: set[asyncio.Task[None]] = set()

    def size_limit(self, client: Client) -> int:
        """Octets that a message of this client may have."""
        limit = self.config.submission.max_message_size
        own = client.credential.max_message_size if client.credential else None
        return limit if own is None else min(limit, own)

    def too_big(self, client: Client, size: int) -> Refused:
        """The refusal of a message of `size` octets; it names the setting that would have to change."""
        limit = self.size_limit(client)
        general = limit == self.config.submission.max_message_size
        setting = "submission.max_message_size" if general else "the size limit of the credential"
        values = {"size": texts.octets(size), "limit": texts.octets(limit), "setting": setting}
        return Refused(texts.TOO_BIG, values)

    async def check_mail(self, client: Client, reverse_path: Address | None, size: int) -> Refused | None:
        """May a message begin? `size` is what the client announced, 0 if nothing. Spends one message of the rate."""
        if size > self.size_limit(client):
            return self.too_big(client, size)
        credential = client.credential
        if credential is None:
            return None
        if reverse_path and not credential.may_send_from(reverse_path.destination):
            return _foreign(credential, reverse_path.destination)
        if credential.rate:
            wait = await self.store.spend(credential.name, credential.rate, self.clock())
            if wait > 0:
                return _over_rate(credential.name, credential.rate, wait)
        return None

    async def submit(self, client: Client, peer: Peer, envelope: Envelope, content: bytes) -> str | Refused:
        """Keep the message: its queue id, or why not. `content` is what the client sent, line ends settled.

        Raises `StoreUnavailable`.
        """
        try:
            head = headers.read(content, self.config.submission.max_header_size)
        except headers.HeaderTooBig:
            limit = texts.octets(self.config.submission.max_header_size)
            return Refused(texts.HEADER_TOO_BIG, {"limit": limit})
        if refused := self._check_head(client, head):
            return refused
        message, kept = self._compose(client, envelope, head, content)
        commit = asyncio.get_running_loop().create_task(
            self._keep(message, _roles(envelope, head), kept, client, peer, envelope), name=f"accept {message.queue_id}"
        )
        self._commits.add(commit)
        commit.add_done_callback(self._commits.discard)
        await asyncio.shield(commit)
        return message.queue_id

    def _check_head(self, client: Client, head: headers.Head) -> Refused | None:
        """The rules that need the header."""
        limit = self.config.submission.max_received
        # RFC 5321 6.3: a message with too many Received fields goes in circles.
        if head.hops > limit:
            return Refused(texts.LOOP, {"hops": head.hops, "limit": limit})
        credential = client.credential
        if credential and credential.domains:
            for value in head.senders:
                found = [_domain(address) for address in headers.addresses(value)] or ["an unreadable From"]
                for domain in found:
                    if not credential.may_send_from(domain):
                        return _foreign(credential, domain)
        return None

    def _compose(self, client: Client, envelope: Envelope, head: headers.Head, content: bytes) -> tuple[Message, bytes]:
        """The message, and the content as we keep it: our lines on top, Bcc gone."""
        now = self.clock()
        hostname = self.config.hostname
        queue_id = self._queue_ids.next()
        only = envelope.recipients[0].address if len(envelope.recipients) == 1 else None
        top = trace.received(
            client,
            hostname=hostname,
            queue_id=queue_id,
            recipient=only,
            now=now,
            smtputf8=envelope.smtputf8,
            hide_client=self.config.submission.hide_client_address,
        )
        message_id = head.message_id
        if not message_id:
            message_id = trace.message_id(hostname, queue_id)
            top += f"Message-ID: {message_id}\r\n"
        if not head.dated:
            top += f"Date: {trace.date(int(now))}\r\n"
        kept = b"".join(_pieces(top.encode("utf-8"), head, content))
        message = Message(
            queue_id=queue_id,
            received_at=now,
            reverse_path=envelope.reverse_path,
            size=len(kept),
            sender=_sender(head, envelope.reverse_path),
            subject=headers.text(head.subject, headers.MAX_SUBJECT) if head.subject else "",
            message_id=headers.text(message_id.encode("utf-8", "surrogateescape"), headers.MAX_SUBJECT),
            ret=envelope.ret,
            envid=envelope.envid,
            eight_bit=envelope.eight_bit,
            smtputf8=envelope.smtputf8,
            tag=_tag(head, client.credential),
            metadata=headers.metadata(head.metadata) if head.metadata else NO_METADATA,
            credential=client.credential.name if client.credential else None,
            client_ip=client.ip,
        )
        return message, kept

    async def _keep(
        self, message: Message, roles: list[Role], content: bytes, client: Client, peer: Peer, envelope: Envelope
    ) -> None:
        """The commit, the log lines, and on to delivery."""
        deliveries = tuple(
            Delivery(
                message=message,
                number=number,
                recipient=recipient.address,
                role=role,
                destination=recipient.address.destination,
                notify=recipient.notify,
                orcpt=recipient.orcpt,
            )
            for number, (recipient, role) in enumerate(zip(envelope.recipients, roles, strict=True))
        )
        accepted = Accepted(message, deliveries, content)
        claimed = self._courier.reserve(deliveries)
        try:
            await self.store.accept(accepted, claimed=claimed)
        except BaseException:  # whatever it was, the courier must not wait for these
            if claimed:
                self._courier.unreserve(deliveries)
            raise
        # pflogsumm wants client= before from=.
        self._log.client(message.queue_id, self.service, peer, client.mechanism, message.credential)
        self._log.message_id(message.queue_id, message.message_id)
        self._log.queued(message.queue_id, message.reverse_path, message.size, len(deliveries))
        if claimed:
            self._courier.deliver(accepted)

    async def settle(self) -> None:
        """Wait until every commit under way has come to its end."""
        while self._commits:
            await asyncio.wait(self._commits)


def _pieces(top: bytes, head: headers.Head, content: bytes) -> Iterable[bytes]:
    """Our lines, the header without what is dropped, an empty line where it lacked, the rest."""
    yield top
    position = 0
    for start, end in head.dropped:
        yield content[position:start]
        position = end
    if head.separated:
        yield content[position:] if position else content
    else:
        yield content[position : head.end]
        yield b"\r\n"
        yield content[head.end :]


def _roles(envelope: Envelope, head: headers.Head) -> list[Role]:
    """Where the header names each recipient; what it does not name is a blind copy."""
    named: dict[str, Role] = {}
    for role, values in ((Role.CC, head.cc), (Role.TO, head.to)):
        for value in values:
            for address in headers.addresses(value):
                named[address.lower()] = role
    if not all(recipient.address.ascii for recipient in envelope.recipients):
        named |= {_comparable(address): role for address, role in named.items()}
        return [named.get(_comparable(str(recipient.address).lower()), Role.BCC) for recipient in envelope.recipients]
    return [named.get(str(recipient.address).lower(), Role.BCC) for recipient in envelope.recipients]


def _comparable(address: str) -> str:
    """With its domain in A-labels: the envelope may have them where the header has not."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{Address(local, domain).destination}"


def _domain(address: str) -> str:
    """The domain of an address in a header, as credentials are bound to it."""
    try:
        return parse_address(address).destination
    except AddressError:
        return texts.shown(address.rpartition("@")[2])


def _sender(head: headers.Head, reverse_path: Address | None) -> str:
    for value in head.senders:
        for address in headers.addresses(value):
            return headers.text(address.encode("utf-8", "surrogateescape"), 320)
    return str(reverse_path or "")


def _tag(head: headers.Head, credential: Credential | None) -> str | None:
    own = headers.text(head.tag, headers.MAX_TAG) if head.tag else ""
    return own or (credential.tag if credential else None)


def _foreign(credential: Credential, domain: str) -> Refused:
    allowed = ", ".join(credential.domains[:3]) + (", ..." if len(credential.domains) > 3 else "")
    values = {"credential": credential.name, "allowed": allowed, "domain": texts.shown(domain)}
    return Refused(texts.FOREIGN_SENDER, values)


def _over_rate(name: str, rate: Rate, wait: float) -> Refused:
    period = _PERIODS.get(int(rate.seconds), f"{rate.seconds:g} seconds")
    values = {"credential": name, "messages": rate.messages, "period": period, "wait": math.ceil(wait)}
    return Refused(texts.OVER_RATE, values)
