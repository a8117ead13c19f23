"""The dispatcher: claims what is due, has it tried in its lane, and keeps it in hand until it is settled.

What was just accepted comes straight here, already claimed and its content in memory;
everything else is claimed from the store, destination by destination, never more than
its lane has room for. A delivery is in hand until it is settled or given back; its claim is
renewed meanwhile. What a person does is told by the store where it can, and looked for
now and then where it cannot.

The rooms: `hand` (what is in hand, lane by lane), `settling` (what follows an attempt),
`silence` (destinations of which no host answers). A store that cannot be used is asked
again; what was claimed then comes due by itself.
"""

import asyncio
import time
from collections.abc import Sequence

from relay.config import Config
from relay.deliver.carrier import Carried, Carrier
from relay.deliver.client import Connection
from relay.deliver.contents import Contents
from relay.deliver.hand import Hand
from relay.deliver.lane import Work
from relay.deliver.settling import Settling
from relay.deliver.silence import Silence
from relay.delivery import Attempt, Delivery, Status, Verdict
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Accepted, Store, StoreUnavailable

BACK = 3.0  # seconds after a long absence of the store in which outcomes are written, and nothing is claimed
LOOK = 0.5  # seconds between two looks for due work that nobody announced
TICK = 0.5  # seconds between two rounds of renewing and marking
AT_ONCE = 100  # destinations looked at in one go
BATCH = 250  # deliveries of one destination claimed in one go: transactions stay short
A_LINE = 50  # queue ids in one line of the log
SMALL = 32 * 1024  # octets; contents up to this are read with their claim

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
        self._store = store
        self._carrier = carrier
        self._contents = contents
        self._log = log
        self._hand = Hand(config, self._carry)
        self._settling = Settling(config, store, contents, log, queue_ids, self._hand)
        self._silence = Silence(store, first=config.delivery.retry[0], clock=store.engine.now)
        self._giving_back: set[asyncio.Task[None]] = set()
        self._told_to_stop = asyncio.Event()  # a person has held or cancelled something
        self.others = asyncio.Event()  # a worker has come or gone
        self._stopping = False

    # The courier of what was just accepted.

    def reserve(self, deliveries: Sequence[Delivery]) -> bool:
        """May these be handed over right after their commit? If not, they are accepted unclaimed and found later."""
        wanted: dict[str, int] = {}
        for delivery in deliveries:
            wanted[delivery.destination] = wanted.get(delivery.destination, 0) + 1
        if self._stopping or any(map(self._silence.holds, wanted)):
            return False
        return self._hand.reserve(wanted)

    def unreserve(self, deliveries: Sequence[Delivery]) -> None:
        """Their commit has failed."""
        self._hand.unreserve(len(deliveries))

    def deliver(self, accepted: Accepted) -> None:
        """Take what was reserved, now that it is safe."""
        self._hand.unreserve(len(accepted.deliveries))
        self._contents.keep(accepted.message.queue_id, accepted.content, len(accepted.deliveries))
        self._carrier.expect(accepted.deliveries)
        self._hand.take(accepted.deliveries, self._store.engine.now())

    # Claiming.

    def know_workers(self, me: int, alive: Sequence[int], *, welcome: bool = True) -> bool:
        """Who shares the limits with us, and whether they have made room for us (see `Hand.know_workers`).

        False: not all of our brothers have signed yet; ask again soon.
        """
        if lost := self._hand.know_workers(me, alive, welcome=welcome):
            task = asyncio.create_task(self._give_back(lost), name="giving back")
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)
        return self._hand.gathered

    @property
    def made_room(self) -> bool:
        """Has nobody more connections than is our share of what we were told last?"""
        return self._hand.made_room

    @property
    def in_hand(self) -> int:
        """How many deliveries this worker has claimed and not settled."""
        return len(self._hand)

    async def run(self) -> None:
        """Look for due work until stopped."""
        try:
            await self._store.engine.listen(self._heard)
        except StoreUnavailable as error:  # it listens by itself as soon as it can
            self._log.warning(f"cannot listen to the database yet: {error}")
        away_since = 0.0  # 0.0: the store answers
        while not self._stopping:
            try:
                if away_since and time.monotonic() - away_since > self._store.lease / 3:
                    await self._let_outcomes_come_first()
                await self._look()
                away_since = 0.0
            except StoreUnavailable as error:
                self._log.database_trouble("cannot claim work, trying again", error)
                away_since = away_since or time.monotonic()
            self._silence.forget_past()
            self._hand.forget_empty_lanes()
            await _set_within(self._hand.look, LOOK)
            self._hand.look.clear()

    async def _let_outcomes_come_first(self) -> None:
        """As soon as the store is back, all workers have a moment to write what came of claims that have lapsed."""
        await self._store.due(busy=(), limit=1)
        until = time.monotonic() + BACK
        while not self._stopping and (left := until - time.monotonic()) > 0:
            await _set_within(self._hand.look, left)
            self._hand.look.clear()

    def _heard(self, topic: str) -> None:
        """Somebody else tells; "" means that we may have missed either."""
        if topic in ("work", ""):
            self._hand.look.set()
        if topic in ("stop", ""):
            self._told_to_stop.set()
        if topic in ("workers", ""):
            self.others.set()

    async def _look(self) -> None:
        # Destinations without room are left out of the question, so that they hide nobody behind them.
        busy = self._hand.without_room()
        self._hand.backlog = bool(busy)
        while True:
            due = await self._store.due(busy=busy, limit=AT_ONCE)
            room = {destination: min(count, BATCH) for destination, count in self._hand.room(due).items()}
            free = self._hand.free - sum(room.values())
            if room:
                claimed = await self._store.claim(room)
                self._hand.backlog |= len(claimed) == sum(room.values())
                if self._stopping:
                    await self._store.release(claimed)
                    return
                await self._fetch(claimed)
                self._carrier.expect(claimed)
                self._hand.take(claimed, self._store.engine.now())
            self._hand.backlog |= len(room) < len(due)
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

    # Trying.

    async def _carry(self, work: Work, kept: Connection | None) -> Connection | None:
        delivery = work.delivery
        try:
            carried = await self._carrier.carry(delivery, work.since, kept, self._hand.lane(delivery.destination).name)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Our own mistake must cost no mail: the delivery is deferred, and the log says why.
            now = self._store.engine.now()
            if isinstance(error, StoreUnavailable):
                self._log.warning(f"{delivery.message.queue_id}: cannot read its content: {error}")
                carried = Carried(Attempt(now, now), _UNREADABLE, None)
            else:
                self._log.error(f"{delivery.message.queue_id}: an attempt failed by our own mistake", error)
                carried = Carried(Attempt(now, now), _INTERNAL, None)
            if kept is not None:
                await kept.close()
        if suspended := await self._silence.judge(carried.verdict, delivery.destination):
            await self._suspend(delivery.destination, suspended)
        await self._settling.settle(work, carried)
        return carried.connection

    async def _suspend(self, destination: str, suspended: Verdict) -> None:
        """What waits for a silent destination is settled untried."""
        lane = self._hand.lane(destination)
        for work in lane.take({work for work in lane.waiting if work.delivery.destination == destination}):
            now = self._store.engine.now()
            self._contents.forget(work.delivery.message.queue_id)
            self._carrier.forget(work.delivery)
            await self._settling.settle(work, Carried(Attempt(now, now), suspended, None))

    # Keeping what is in hand, and stopping.

    async def keep_in_hand(self) -> None:
        """Renew the claims in hand, record as spooled what waits for its connection, let go of what was stopped."""
        while True:
            told = await _set_within(self._told_to_stop, TICK)
            self._told_to_stop.clear()
            now = self._store.engine.now()
            try:
                await self._renew(now)
                await self._record_spooled(now)
                # Most is gone before anybody could have changed his mind; unless told so, it is not asked about.
                await self._let_go_of_stopped([w for w in self._hand.waiting if told or now - w.since > TICK])
            except StoreUnavailable as error:
                self._log.database_trouble("cannot renew claims, trying again", error)

    async def _renew(self, now: float) -> None:
        old = [work for work in self._hand if now - work.renewed > self._store.lease / 3]
        if old:
            await self._store.renew([work.delivery for work in old])
            for work in old:
                work.renewed = now

    async def _record_spooled(self, now: float) -> None:
        new = [work for work in self._hand if not work.spooled and now - work.since > TICK / 2]
        if new:
            for work in new:
                work.spooled = True
            await self._store.spooled([work.delivery for work in new], now)

    async def _let_go_of_stopped(self, waiting: Sequence[Work]) -> None:
        """What a person has held or cancelled while it waited in a lane is not tried any more."""
        if not waiting:
            return
        stopped = await self._store.stopped([work.delivery for work in waiting])
        gone = {work for work in waiting if (work.delivery.message.queue_id, work.delivery.number) in stopped}
        for work in self._hand.take_out(gone):
            self._contents.forget(work.delivery.message.queue_id)
            self._carrier.forget(work.delivery)
            self._hand.drop(work)

    def claim_no_more(self) -> None:
        """What is in hand goes on; nothing is added to it, and what is accepted from now on is for others."""
        self._stopping = True
        self._hand.look.set()

    async def stop(self, grace: float) -> None:
        """Claim no more, give back what waits, finish what is being tried within `grace` seconds.

        Outcomes that cannot be written are kept until then, should the store come back; those that are lost are told.
        """
        deadline = time.monotonic() + grace
        self.claim_no_more()
        await self._give_back(self._hand.take_out(set(self._hand.waiting)))
        await self._hand.close(grace)
        await self._store.flush()  # outcomes that are being written
        unwritten = await self._settling.finish(max(0.0, deadline - time.monotonic()))
        await self._give_back([work for work in self._hand if work not in unwritten])
        self._tell_of_lost(sorted(work.delivery.message.queue_id for work in unwritten))

    def _tell_of_lost(self, queue_ids: Sequence[str]) -> None:
        if queue_ids:
            self._log.warning(
                "the database stays away: what came of these attempts is lost, "
                "and they are made again when their claims end",
                attempts=len(queue_ids),
            )
        for start in range(0, len(queue_ids), A_LINE):
            self._log.warning(f"to be tried again: {' '.join(queue_ids[start : start + A_LINE])}")

    async def _give_back(self, works: Sequence[Work]) -> None:
        if not works:
            return
        try:
            await self._store.release([work.delivery for work in works])
        except StoreUnavailable:
            if self._stopping:
                return  # asked again at the end
            # Not kept, or they would be renewed for ever: their leases end by themselves.
        for work in works:
            self._contents.forget(work.delivery.message.queue_id)
            self._carrier.forget(work.delivery)
            self._hand.drop(work)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`, at most so long: has it been set?"""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
