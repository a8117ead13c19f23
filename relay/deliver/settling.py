"""What follows an attempt: the next one or the end, what the sender is told, what the list is told, and its record.

One table says it: `_conclude`. Nobody waits for the record, so that the connection can
take the next delivery. When the store cannot be written, outcomes wait in memory and are
tried again; when the claim has lapsed by then, they are late and change nothing. An address that comes to the
suppression list does so in the same commit; what else waits for it is stopped right after.

It does not try, and it does not judge: the verdict comes with the attempt.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial

from relay.compose.dsn import Kind, notice, should_notify
from relay.config import Config
from relay.deliver import evidence, schedule
from relay.deliver.aftermath import Aftermath, End, aftermath
from relay.deliver.carrier import Carried
from relay.deliver.contents import Contents
from relay.deliver.exchange import Step
from relay.deliver.hand import Hand
from relay.deliver.lane import Work
from relay.delivery import BOUNCED, Attempt, Delivery, Status, Verdict
from relay.envelope import Message, Origin
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Accepted, Store, StoreUnavailable
from relay.store.engine import Row
from relay.store.listing import Listing
from relay.store.spool import Settlement

AGAIN = 1.0  # seconds until a store that could not be used is asked again

# Answers to these are about the recipient; earlier ones are about us.
_ABOUT_RECIPIENT = frozenset({Step.RCPT, Step.DATA, Step.BODY, Step.DOT})


class Settling:
    """One per worker. What is settled leaves `hand`."""

    def __init__(
        self, config: Config, store: Store, contents: Contents, log: Log, queue_ids: QueueIds, hand: Hand
    ) -> None:
        self._config = config
        self._store = store
        self._contents = contents
        self._log = log
        self._queue_ids = queue_ids
        self._hand = hand
        self._unwritten: set[Work] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._all_written = asyncio.Event()
        self._all_written.set()

    async def settle(self, work: Work, carried: Carried) -> None:
        """Decide what follows, and have it written soon. Waits only to read the list and what a notice brings back."""
        self._unwritten.add(work)
        self._all_written.clear()
        self._write(work, await self._conclude(work, carried))

    async def finish(self, grace: float) -> set[Work]:
        """Wait until every outcome is written, at most `grace` seconds long: those of which it is not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._all_written.wait()
                await asyncio.gather(*self._stopping)
        return set(self._unwritten)

    async def _conclude(self, work: Work, carried: Carried) -> Settlement:
        delivery, attempt, verdict = work.delivery, carried.attempt, carried.verdict
        due_at = None
        warn = False
        if verdict.status is Status.DEFERRED:
            due_at = schedule.next_attempt(
                self._config.delivery,
                attempt=delivery.attempt,
                received_at=delivery.message.received_at,
                now=attempt.finished_at,
                last=verdict,
                jitter=random.random(),
            )
            if due_at is None:
                verdict = schedule.expired(verdict, lifetime=self._config.delivery.lifetime)
            else:
                patience = self._config.delivery.delay_warning
                warn = bool(patience) and attempt.finished_at - delivery.message.received_at >= patience
        kind = _kind_of_notice(verdict, relayed=carried.relayed, warn=warn)
        notices: tuple[Accepted, ...] = ()
        if kind is not None and should_notify(kind, delivery):
            try:
                notices = (await self._notice(kind, delivery, verdict, attempt),)
            except Exception as error:  # the attempt is made: whatever goes wrong now, what came of it must be kept
                self._log.error(f"{delivery.message.queue_id}: the notice to its sender cannot be made", error)
        after, listing = await self._after(delivery, attempt, verdict)
        return Settlement(
            delivery,
            attempt,
            verdict,
            due_at=due_at,
            spooled_at=None if work.spooled or verdict.status is Status.REJECTED else work.since,
            warned=bool(notices) and kind is Kind.DELAY,
            notices=notices,
            copy=carried.made,
            listing=listing,
            spam=after.spam,
            about_mailbox=after.about_mailbox,
        )

    async def _after(self, delivery: Delivery, attempt: Attempt, verdict: Verdict) -> tuple[Aftermath, Listing | None]:
        """What a bounce means for the list; waited for while the store cannot be read. Notices mean nothing to it."""
        message, reply = delivery.message, verdict.reply
        if verdict.status not in BOUNCED or message.origin is not Origin.APPLICATION:
            return Aftermath(), None
        judgement = None
        if reply is not None and attempt.in_reply_to in _ABOUT_RECIPIENT:
            judgement = evidence.judged(reply, mx_host=attempt.mx_host or "", ours=self._ours(attempt))
        recipient = str(delivery.recipient)
        end = End(message.queue_id, delivery.number, recipient, attempt.finished_at, verdict, judgement, "smtp")
        while True:
            try:
                after = await aftermath(end, self._config.suppression, self._store.soft_bounce_days)
                if after.entry is None:
                    return after, None
                (listing,) = await self._store.listings([after.entry])
                return after, listing
            except StoreUnavailable as error:
                self._log.database_trouble("cannot read the suppression list for a bounce, trying again", error)
            await asyncio.sleep(AGAIN)

    def _ours(self, attempt: Attempt) -> tuple[str, ...]:
        """What a server that refuses us quotes."""
        return (self._config.hostname, *([attempt.source_ip] if attempt.source_ip else []))

    async def _notice(self, kind: Kind, delivery: Delivery, verdict: Verdict, attempt: Attempt) -> Accepted:
        async with self._original(delivery.message) as original:
            message, to_sender, content = notice(
                kind,
                delivery,
                verdict,
                attempt,
                hostname=self._config.hostname,
                now=attempt.finished_at,
                queue_id=self._queue_ids.next(),
                original=original or b"",
                will_retry_until=delivery.message.received_at + self._config.delivery.lifetime,
            )
        return Accepted(message, (to_sender,), content)

    @asynccontextmanager
    async def _original(self, message: Message) -> AsyncIterator[bytes | None]:
        """The content of a message whose sender is to be told; waited for while the store cannot be read."""
        while True:
            try:
                async with self._contents.borrow(message.queue_id, message.size) as content:
                    yield content
                    return
            except StoreUnavailable as error:
                self._log.database_trouble("cannot read a content for a notice, trying again", error)
            await asyncio.sleep(AGAIN)

    def _write(self, work: Work, settlement: Settlement) -> None:
        work.spooled = True
        try:
            written = self._store.settle(settlement)
        except StoreUnavailable:
            self._write_again(work, settlement)
            return
        written.add_done_callback(partial(self._written, work, settlement))

    def _written(self, work: Work, settlement: Settlement, written: "asyncio.Future[list[list[Row]]]") -> None:
        delivery, verdict = settlement.delivery, settlement.verdict
        message = delivery.message
        try:
            settled = self._store.settled(written)
        except StoreUnavailable:
            self._write_again(work, settlement)
            return
        self._hand.drop(work)
        self._unwritten.discard(work)
        if not self._unwritten:
            self._all_written.set()
        if settled.late:
            self._log.warning(f"{message.queue_id}: a late answer to a lapsed claim changes nothing: {verdict.reason}")
            return
        self._log.attempt(delivery, settlement.attempt, verdict, settlement.due_at)
        for told in settlement.notices:
            self._log.queued(told.message.queue_id, None, told.message.size, 1)
            self._hand.look.set()
        if verdict.dsn == "4.4.7" and verdict.status is Status.SOFT_BOUNCE:
            self._log.expired(message.queue_id, message.reverse_path)
        if settled.finished:
            self._log.removed(message.queue_id)
        if settlement.listing and settlement.listing.told:
            self._listed(settlement.listing)

    def _listed(self, listing: Listing) -> None:
        """An address is on the list now: say so, and stop what else waits for it."""
        entry = listing.entry
        fields = {"reason": entry.reason, "source": entry.source}
        if entry.expires_at:
            fields["expires"] = datetime.fromtimestamp(entry.expires_at, UTC).date().isoformat()
        self._log.suppression("suppression_add", entry.queue_id, "relay", entry.address, entry.scope, **fields)
        stopping = asyncio.create_task(self._stop_waiting(listing), name=f"stop mail to {entry.address}")
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    async def _stop_waiting(self, listing: Listing) -> None:
        try:
            await self._store.stop_waiting(listing.kept, actor="relay")
        except StoreUnavailable as error:
            # Nothing is lost: the list is asked again before every attempt.
            self._log.database_trouble("cannot stop what waits for a suppressed address", error)

    def _write_again(self, work: Work, settlement: Settlement) -> None:
        """The store cannot be written now: the outcome waits in memory, and its claim stands until its lease ends."""
        asyncio.get_running_loop().call_later(AGAIN, self._write, work, settlement)


def _kind_of_notice(verdict: Verdict, *, relayed: bool, warn: bool) -> Kind | None:
    if verdict.status in BOUNCED:
        return Kind.FAILURE
    if verdict.status is Status.SENT and relayed:
        return Kind.RELAYED
    return Kind.DELAY if warn else None
