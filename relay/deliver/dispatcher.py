"""The dispatcher: claims what is due, brings it to its lane, and settles what came of it.

What was just accepted comes straight here, already claimed and its content in memory;
everything else is claimed from the store, destination by destination, never more than
its lane has room for. A delivery is in hand until it is settled or given back; its claim is
renewed meanwhile. When the store cannot be written, outcomes wait in memory and are
tried again; when the claim has lapsed by then, they are late and change nothing.

One table says what follows an attempt: `_conclude`.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from relay.compose.dsn import Kind, notice, should_notify
from relay.config import Config, Route
from relay.deliver import schedule
from relay.deliver.carrier import Carried, Carrier
from relay.deliver.client import Connection
from relay.deliver.contents import Contents
from relay.deliver.lane import WAITING_PER_CONNECTION, Lane, Work
from relay.deliver.limits import share
from relay.delivery import BOUNCED, Attempt, Delivery, Status, Verdict
from relay.envelope import Message
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Accepted, Store, StoreUnavailable
from relay.store.engine import Row
from relay.store.spool import Settlement

LOOK = 0.5  # seconds between two looks for due work that nobody announced
TICK = 0.5  # seconds between two rounds of renewing and marking
AT_ONCE = 500  # destinations looked at in one go
SMALL = 32 * 1024  # octets; contents up to this are read with their claim
GATHERING = 5.0  # seconds that the workers of one start have to know of each other
MAX_BLOCK = 3600.0  # seconds for which a silent destination is left alone at most

_INTERNAL = Verdict(
    Status.DEFERRED, "unknown", "4.3.0", "our own mistake while trying this delivery; the log has it; tried again later"
)

_UNREADABLE = Verdict(
    Status.DEFERRED, "unknown", "4.3.0", "the content cannot be read from the spool now; tried again later"
)


class Dispatcher:
    """One per worker. Also the courier of what this worker has just accepted: `reserve`, `deliver`, `unreserve`."""

    def __init__(
        self, config: Config, store: Store, carrier: Carrier, contents: Contents, log: Log, queue_ids: QueueIds
    ) -> None:
        self._config = config
        self._store = store
        self._carrier = carrier
        self._contents = contents
        self._log = log
        self._queue_ids = queue_ids
        self._routes = {destination.lower(): route for destination, route in config.delivery.routes.items()}
        self._lanes: dict[str, Lane] = {}
        self._in_hand: dict[tuple[str, int], Work] = {}
        self._reserved = 0
        self._answering: set[str] = set()  # destinations that have answered since this worker started
        self._blocked: dict[str, float] = {}  # by us, until when; the store knows what others have blocked
        self._alive: Sequence[int] = ()
        self._me = -1
        self._started = time.monotonic()
        self._expected = config.workers or os.cpu_count() or 1  # workers, until they are known; then 0
        self._giving_back: set[asyncio.Task[None]] = set()
        self._look_now = asyncio.Event()
        self._backlog = False  # something is due that found no room
        self._stopping = False

    # The courier of what was just accepted.

    def reserve(self, deliveries: Sequence[Delivery]) -> bool:
        """May these be handed over right after their commit? If not, they are accepted unclaimed and found later."""
        wanted: dict[str, int] = {}
        for delivery in deliveries:
            wanted[delivery.destination] = wanted.get(delivery.destination, 0) + 1
        if self._stopping or any(map(self._is_blocked, wanted)):
            return False
        if any(self._room(self._lane(destination), self._free) < count for destination, count in wanted.items()):
            self._backlog = True
            return False
        self._reserved += len(deliveries)
        return True

    def unreserve(self, deliveries: Sequence[Delivery]) -> None:
        """Their commit has failed."""
        self._reserved -= len(deliveries)

    def deliver(self, accepted: Accepted) -> None:
        """Take what was reserved, now that it is safe."""
        self._reserved -= len(accepted.deliveries)
        self._contents.keep(accepted.message.queue_id, accepted.content, len(accepted.deliveries))
        self._take(accepted.deliveries)

    @property
    def _free(self) -> int:
        """How many more deliveries this worker may take in hand."""
        return self._config.delivery.max_in_hand - len(self._in_hand) - self._reserved

    @staticmethod
    def _room(lane: Lane, free: int) -> int:
        """A lane takes at most a quarter of what is left: however many are slow, some is left for the others."""
        return min(lane.room, free // 4)

    # Claiming.

    def know_workers(self, me: int, alive: Sequence[int]) -> bool:
        """Who shares the limits with us. False: not all of our brothers have signed yet; ask again soon."""
        if time.monotonic() - self._started > GATHERING or len(alive) >= self._expected:
            self._expected = 0
        self._me, self._alive = me, list(alive)
        for lane in self._lanes.values():
            lane.connections = self._share(lane.name)
            if lane.connections == 0 and (waiting := lane.take(set(lane.waiting))):  # others carry it now
                task = asyncio.create_task(self._give_back(waiting), name="giving back")
                self._giving_back.add(task)
                task.add_done_callback(self._giving_back.discard)
        return not self._expected

    async def run(self) -> None:
        """Look for due work until stopped."""
        while not self._stopping:
            try:
                await self._look()
            except StoreUnavailable as error:
                self._log.warning(f"cannot claim work, trying again: {error}")
            self._forget_empty_lanes()
            try:
                async with asyncio.timeout(LOOK):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()

    async def _look(self) -> None:
        # Destinations without room are left out of the question, so that they hide nobody behind them.
        busy = set(self._destinations_without_room())
        self._backlog = bool(busy)
        while True:
            due = await self._store.due(busy=busy, limit=AT_ONCE)
            free = self._free
            room: dict[str, int] = {}
            taken: dict[str, int] = {}
            for destination in due:
                lane = self._lane(destination)
                count = min(lane.room - taken.get(lane.name, 0), free // 4)
                if count > 0:
                    room[destination] = count
                    taken[lane.name] = taken.get(lane.name, 0) + count
                    free -= count
            if room:
                claimed = await self._store.claim(room)
                self._backlog |= len(claimed) == sum(room.values())
                if self._stopping:
                    await self._store.release(claimed)
                    return
                await self._fetch(claimed)
                self._take(claimed)
            self._backlog |= len(room) < len(due)
            busy.update(due)
            if len(due) < AT_ONCE or free < 4:
                return

    async def _fetch(self, claimed: Sequence[Delivery]) -> None:
        """Small contents of a whole claim in one look, rather than one by one as their turn comes."""
        wanted: dict[str, int] = {}
        for delivery in claimed:
            if delivery.message.size <= SMALL:
                wanted[delivery.message.queue_id] = wanted.get(delivery.message.queue_id, 0) + 1
        for queue_id, content in (await self._store.contents(list(wanted))).items():
            self._contents.keep(queue_id, content, wanted[queue_id])

    def _destinations_without_room(self) -> Iterable[str]:
        for work in self._in_hand.values():
            if self._lane(work.delivery.destination).room == 0:
                yield work.delivery.destination

    def _take(self, deliveries: Iterable[Delivery]) -> None:
        now = time.time()
        for delivery in deliveries:
            work = Work(delivery, now, now, spooled=delivery.status is not Status.CREATING)
            self._in_hand[delivery.message.queue_id, delivery.number] = work
            self._lane(delivery.destination).add(work)

    def _lane(self, destination: str) -> Lane:
        """The lane of a destination's next hop: its own, or its route's."""
        route: Route | None = self._routes.get(destination) or self._routes.get("*")
        name = f"{route.host}:{route.port}" if route else destination
        lane = self._lanes.get(name)
        if lane is None:
            settings = self._config.delivery
            lane = self._lanes[name] = Lane(
                name,
                self._carry,
                connections=self._share(name),
                messages=settings.messages_per_connection,
                idle=settings.idle,
            )
        return lane

    def _share(self, name: str) -> int:
        limit = self._config.delivery.connections_per_destination
        return share(limit, name, self._me, self._alive, expected=self._expected)

    def _is_blocked(self, destination: str) -> bool:
        until = self._blocked.get(destination)
        return until is not None and self._store.engine.now() < until

    def _forget_empty_lanes(self) -> None:
        now = self._store.engine.now()
        for name in [name for name, until in self._blocked.items() if until <= now]:
            del self._blocked[name]
        for name in [name for name, lane in self._lanes.items() if lane.empty]:
            del self._lanes[name]

    # Trying and settling.

    async def _carry(self, work: Work, kept: Connection | None) -> Connection | None:
        delivery = work.delivery
        try:
            carried = await self._carrier.carry(delivery, work.since, kept)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Our own mistake must cost no mail: the delivery is deferred, and the log says why.
            now = time.time()
            if isinstance(error, StoreUnavailable):
                self._log.warning(f"{delivery.message.queue_id}: cannot read its content: {error}")
                carried = Carried(Attempt(now, now), _UNREADABLE, None)
            else:
                self._log.error(f"{delivery.message.queue_id}: an attempt failed by our own mistake", error)
                carried = Carried(Attempt(now, now), _INTERNAL, None)
            if kept is not None:
                await kept.close()
        await self._judge_host(carried.verdict, delivery)
        self._settle(work, await self._conclude(work, carried))
        return carried.connection

    async def _conclude(self, work: Work, carried: Carried) -> Settlement:
        """What follows the attempt: the next one, or the end, and what the sender is told."""
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
        return Settlement(
            delivery,
            attempt,
            verdict,
            due_at=due_at,
            spooled_at=None if work.spooled else work.since,
            warned=bool(notices) and kind is Kind.DELAY,
            notices=notices,
        )

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
                self._log.warning(f"{message.queue_id}: cannot read its content for a notice, trying again: {error}")
            await asyncio.sleep(1.0)

    def _settle(self, work: Work, settlement: Settlement) -> None:
        """Write what came of it; nobody waits, so that the connection can take the next delivery."""
        work.spooled = True
        try:
            written = self._store.settle(settlement)
        except StoreUnavailable:
            self._settle_again(work, settlement)
            return
        written.add_done_callback(partial(self._settled, work, settlement))

    def _settled(self, work: Work, settlement: Settlement, written: "asyncio.Future[list[list[Row]]]") -> None:
        delivery, verdict = settlement.delivery, settlement.verdict
        message = delivery.message
        try:
            settled = self._store.settled(written)
        except StoreUnavailable:
            self._settle_again(work, settlement)
            return
        self._drop(work)
        if settled.late:
            self._log.warning(f"{message.queue_id}: a late answer to a lapsed claim changes nothing: {verdict.reason}")
            return
        self._log.attempt(delivery, settlement.attempt, verdict, settlement.due_at)
        for told in settlement.notices:
            self._log.queued(told.message.queue_id, None, told.message.size, 1)
            self._look_now.set()
        if verdict.dsn == "4.4.7" and verdict.status is Status.SOFT_BOUNCE:
            self._log.expired(message.queue_id, message.reverse_path)
        if settled.finished:
            self._log.removed(message.queue_id)

    def _settle_again(self, work: Work, settlement: Settlement) -> None:
        """The store cannot be written now: the outcome waits in memory, and its claim stands until its lease ends."""
        asyncio.get_running_loop().call_later(1.0, self._settle, work, settlement)

    async def _judge_host(self, verdict: Verdict, delivery: Delivery) -> None:
        """A destination of which no host answers is left alone for a while, by all workers."""
        destination = delivery.destination
        try:
            if verdict.about_host and verdict.status is Status.DEFERRED:
                self._answering.discard(destination)
                await self._block(destination, verdict)
            elif destination not in self._answering and verdict.reply is not None:
                self._answering.add(destination)
                await self._store.unblock(destination)
        except StoreUnavailable:
            return  # nothing is lost: the host is tried again a little sooner or later

    async def _block(self, destination: str, verdict: Verdict) -> None:
        if not self._is_blocked(destination):  # others of the same lane may have met the same silence
            self._blocked[destination] = self._store.engine.now() + self._config.delivery.retry[0]
            failures = await self._store.failures(destination)
            pause = min(self._config.delivery.retry[0] * 2 ** min(failures, 20), MAX_BLOCK)
            now = self._store.engine.now()
            self._blocked[destination] = now + pause
            await self._store.block(destination, now=now, until=now + pause, reason=verdict.reason)
        lane = self._lane(destination)
        suspended = Verdict(
            Status.DEFERRED,
            verdict.reason_class,
            verdict.dsn,
            f"delivery temporarily suspended: {verdict.reason}",
            verdict.reply,
        )
        for work in lane.take({work for work in lane.waiting if work.delivery.destination == destination}):
            now = time.time()
            self._contents.forget(work.delivery.message.queue_id)
            self._settle(work, await self._conclude(work, Carried(Attempt(now, now), suspended, None)))

    def _drop(self, work: Work) -> None:
        key = work.delivery.message.queue_id, work.delivery.number
        if self._in_hand.get(key) is work:  # and not the next attempt, claimed because this one was late
            del self._in_hand[key]
        lane = self._lane(work.delivery.destination)
        if self._backlog and 2 * lane.room >= lane.connections * WAITING_PER_CONNECTION:
            self._look_now.set()

    # Keeping what is in hand, and stopping.

    async def keep_in_hand(self) -> None:
        """Renew the claims in hand, and record as spooled what waits for its connection."""
        while True:
            await asyncio.sleep(TICK)
            now = time.time()
            try:
                old = [work for work in self._in_hand.values() if now - work.renewed > self._store.lease / 3]
                if old:
                    await self._store.renew([work.delivery for work in old])
                    for work in old:
                        work.renewed = now
                new = [work for work in self._in_hand.values() if not work.spooled and now - work.since > TICK / 2]
                if new:
                    for work in new:
                        work.spooled = True
                    await self._store.spooled([work.delivery for work in new], now)
                await self._let_go_of_stopped(now)
            except StoreUnavailable as error:
                self._log.warning(f"cannot renew {len(self._in_hand)} claims, trying again: {error}")

    async def _let_go_of_stopped(self, now: float) -> None:
        """What a person has held or cancelled while it waited in a lane is not tried any more."""
        waiting = [work for lane in self._lanes.values() for work in lane.waiting if now - work.since > TICK]
        if not waiting:
            return
        stopped = await self._store.stopped([work.delivery for work in waiting])
        gone = {work for work in waiting if (work.delivery.message.queue_id, work.delivery.number) in stopped}
        for lane in self._lanes.values():
            for work in lane.take(gone):
                self._contents.forget(work.delivery.message.queue_id)
                self._drop(work)

    async def stop(self, grace: float) -> None:
        """Claim no more, give back what waits, finish what is being tried within `grace` seconds."""
        self._stopping = True
        self._look_now.set()
        waiting = [work for lane in self._lanes.values() for work in lane.take(set(lane.waiting))]
        await self._give_back(waiting)
        await asyncio.gather(*(lane.close(grace) for lane in list(self._lanes.values())))
        await self._store.flush()  # outcomes that are being written
        await self._give_back(list(self._in_hand.values()))

    async def _give_back(self, works: Sequence[Work]) -> None:
        if not works:
            return
        try:
            await self._store.release([work.delivery for work in works])
        except StoreUnavailable:
            return  # their leases end by themselves
        for work in works:
            self._contents.forget(work.delivery.message.queue_id)
            self._drop(work)


def _kind_of_notice(verdict: Verdict, *, relayed: bool, warn: bool) -> Kind | None:
    if verdict.status in BOUNCED:
        return Kind.FAILURE
    if verdict.status is Status.SENT and relayed:
        return Kind.RELAYED
    return Kind.DELAY if warn else None
