"""Decides whether a client may send a message, and has it kept.

Knows no SMTP commands and no sockets. Some questions are asked early, at MAIL (`check_mail`) and
RCPT (`check_recipient`), and the rest when the content is there (`submit`); between the final dot and its 250 stands
nothing but header reading, which is bounded, and the one commit (RFC 5321 6.1, RFC 1047).
The commit runs to its end even if the client hangs up: whoever has sent the dot may count
on it. A refusal is a value (`Refused`); `StoreUnavailable` is the store's, and passes.
Standards: RFC 6409, RFC 5321 6.3 (loops).
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from relay.accept import headers, message, texts
from relay.accept.texts import Refused
from relay.accept.trace import Client
from relay.address import Address, AddressError, parse_address
from relay.config import Config
from relay.credential import Credential, Rate
from relay.delivery import Delivery
from relay.envelope import Envelope
from relay.event import Refusal
from relay.log import Log, Peer
from relay.queue_id import QueueIds
from relay.store.accepted import Accepted
from suppression.entry import Entry

_PERIODS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


class Store(Protocol):
    """What accepting needs of the store."""

    async def accept(self, accepted: Accepted, *, claimed: bool) -> None:
        """Commit; raises `StoreUnavailable`."""

    async def credential(self, name: str) -> Credential | None:
        """The credential of that name."""

    async def spend(self, name: str, rate: Rate) -> float:
        """One message of a credential's rate: 0.0, or the seconds to wait."""

    def refuse_later(self, refusal: Refusal) -> None:
        """Keep a refusal some time soon."""

    async def suppressed(self, asked: Sequence[tuple[str, str]]) -> list[Entry | None]:
        """Of each address and tag, the entry that stops mail there now."""


class Courier(Protocol):
    """Takes mail that was just accepted straight to delivery."""

    def reserve(self, deliveries: Sequence[Delivery]) -> bool:
        """May these be handed over right after the commit?"""

    def deliver(self, accepted: Accepted) -> None:
        """Here they are."""

    def unreserve(self, deliveries: Sequence[Delivery]) -> None:
        """The commit failed."""


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
            wait = await self.store.spend(credential.name, credential.rate)
            if wait > 0:
                return _over_rate(credential.name, credential.rate, wait)
        return None

    async def check_recipient(self, client: Client, address: Address) -> Refused | None:
        """May it be mailed? Asked at RCPT only where that is wanted; else what is suppressed becomes `rejected`.

        The message's own tag is not known yet: entries for a tag count where the credential has it.
        """
        if not self.config.suppression.refuse_at_rcpt:
            return None
        tag = client.credential.tag if client.credential else None
        (entry,) = await self.store.suppressed([(str(address), tag or "")])
        if entry is None:
            return None
        return Refused(texts.SUPPRESSED, {"given": texts.shown(str(address)), "why": texts.shown(entry.words)})

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
        accepted = message.make(
            client,
            envelope,
            head,
            content,
            queue_id=self._queue_ids.next(),
            now=self.clock(),
            hostname=self.config.hostname,
            hide_client=self.config.submission.hide_client_address,
        )
        queue_id = accepted.message.queue_id
        commit = asyncio.get_running_loop().create_task(self._keep(accepted, client, peer), name=f"accept {queue_id}")
        self._commits.add(commit)
        commit.add_done_callback(self._commits.discard)
        await asyncio.shield(commit)
        return queue_id

    def _check_head(self, client: Client, head: headers.Head) -> Refused | None:
        """The rules that need the header."""
        limit = self.config.submission.max_received
        # RFC 5321 6.3: a message with too many Received fields goes in circles.
        if head.hops > limit:
            return Refused(texts.LOOP, {"hops": head.hops, "limit": limit})
        credential = client.credential
        if credential and credential.domains:
            if not head.senders:
                return _foreign(credential, "without a From")
            for value in head.senders:
                found = [_domain(address) for address in headers.addresses(value)] or ["an unreadable From"]
                for domain in found:
                    if not credential.may_send_from(domain):
                        return _foreign(credential, domain)
        return None

    async def _keep(self, accepted: Accepted, client: Client, peer: Peer) -> None:
        """The commit, the log lines, and on to delivery."""
        message, deliveries = accepted.message, accepted.deliveries
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


def _domain(address: str) -> str:
    """The domain of an address in a header, as credentials are bound to it."""
    try:
        return parse_address(address).destination
    except AddressError:
        return texts.shown(address.rpartition("@")[2])


def _foreign(credential: Credential, domain: str) -> Refused:
    allowed = ", ".join(credential.domains[:3]) + (", ..." if len(credential.domains) > 3 else "")
    values = {"credential": credential.name, "allowed": allowed, "domain": texts.shown(domain)}
    return Refused(texts.FOREIGN_SENDER, values)


def _over_rate(name: str, rate: Rate, wait: float) -> Refused:
    period = _PERIODS.get(int(rate.seconds), f"{rate.seconds:g} seconds")
    values = {"credential": name, "messages": rate.messages, "period": period, "wait": math.ceil(wait)}
    return Refused(texts.OVER_RATE, values)
