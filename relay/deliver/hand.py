"""The hand: what this worker has claimed and not settled yet, lane by lane.

It knows how much more may be taken, so that neither one worker nor one destination takes
everything: a lane takes at most a quarter of what is left, so that however many are slow,
some is left for the others. It says when it is worth looking for more (`look`). No
input or output: claims are kept and given back by the dispatcher.
"""

import asyncio
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from relay.config import Config, Route
from relay.deliver.lane import WAITING_PER_CONNECTION, Carry, Lane, Work
from relay.deliver.limits import share
from relay.delivery import Delivery, Status

GATHERING = 5.0  # seconds that the workers of one start have to know of each other


class Hand:
    """One per worker. `carry` makes one attempt (see Lane)."""

    def __init__(self, config: Config, carry: Carry) -> None:
        self._settings = config.delivery
        self._routes = {destination.lower(): route for destination, route in config.delivery.routes.items()}
        self._carry = carry
        self._lanes: dict[str, Lane] = {}
        self._works: dict[tuple[str, int], Work] = {}
        self._reserved = 0
        self._me = -1
        self._alive: Sequence[int] = ()
        self._welcome = False  # have all others made room for us?
        self._expected = config.workers or os.cpu_count() or 1  # workers, until they are known; then 0
        self._started = time.monotonic()
        self.look = asyncio.Event()  # for due work, now
        self.backlog = False  # something is due that found no room

    # How much more.

    @property
    def free(self) -> int:
        """How many more deliveries this worker may take in hand."""
        return self._settings.max_in_hand - len(self._works) - self._reserved

    def room(self, destinations: Iterable[str]) -> dict[str, int]:
        """How many may be claimed of each, those without room left out; room that lanes share is given once."""
        free = self.free
        room: dict[str, int] = {}
        taken: dict[str, int] = {}
        for destination in destinations:
            lane = self.lane(destination)
            count = min(lane.room - taken.get(lane.name, 0), free // 4)
            if count > 0:
                room[destination] = count
                taken[lane.name] = taken.get(lane.name, 0) + count
                free -= count
        return room

    def without_room(self) -> set[str]:
        """Destinations of which so much is in hand that no more can be taken."""
        destinations = {work.delivery.destination for work in self._works.values()}
        return {destination for destination in destinations if self.lane(destination).room == 0}

    def reserve(self, wanted: dict[str, int]) -> bool:
        """Keep room for so many deliveries of each destination, if there is room for all."""
        free = self.free
        if any(min(self.lane(destination).room, free // 4) < count for destination, count in wanted.items()):
            self.backlog = True
            return False
        self._reserved += sum(wanted.values())
        return True

    def unreserve(self, count: int) -> None:
        """So many have come, or will not."""
        self._reserved -= count

    # What is in it.

    def take(self, deliveries: Iterable[Delivery], now: float) -> None:
        """These are claimed `now` (Unix seconds): each to its lane."""
        for delivery in deliveries:
            work = Work(delivery, now, now, spooled=delivery.status is not Status.CREATING)
            self._works[delivery.message.queue_id, delivery.number] = work
            self.lane(delivery.destination).add(work)

    def drop(self, work: Work) -> None:
        """This attempt is settled, late or given back."""
        key = work.delivery.message.queue_id, work.delivery.number
        if self._works.get(key) is work:  # and not the next attempt, claimed because this one was late
            del self._works[key]
        lane = self.lane(work.delivery.destination)
        if self.backlog and 2 * lane.room >= lane.connections * WAITING_PER_CONNECTION:
            self.look.set()

    def __iter__(self) -> Iterator[Work]:
        """All that is in hand."""
        return iter(tuple(self._works.values()))

    def __len__(self) -> int:
        return len(self._works)

    @property
    def waiting(self) -> list[Work]:
        """What is not being tried yet."""
        return [work for lane in self._lanes.values() for work in lane.waiting]

    def take_out(self, works: Collection[Work]) -> list[Work]:
        """Those of `works` that are not being tried, out of their lanes; still in hand."""
        return [work for lane in self._lanes.values() for work in lane.take(works)]

    # The lanes.

    def lane(self, destination: str) -> Lane:
        """The lane of a destination's next hop: its own, or its route's."""
        route: Route | None = self._routes.get(destination) or self._routes.get("*")
        name = f"{route.host}:{route.port}" if route else destination
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(
                name,
                self._carry,
                connections=self._share(name),
                messages=self._settings.messages_per_connection,
                idle=self._settings.idle,
            )
        return lane

    def know_workers(self, me: int, alive: Sequence[int], *, welcome: bool = True) -> list[Work]:
        """Who shares the limits with us, and whether all of them have made room for us: until then nothing is ours.

        Returns what waits in lanes that others carry from now on, taken out of them.
        """
        if time.monotonic() - self._started > GATHERING or len(alive) >= self._expected:
            self._expected = 0
        if welcome and not self._welcome and self.backlog:
            self.look.set()
        self._me, self._alive, self._welcome = me, list(alive), welcome
        lost = []
        for lane in self._lanes.values():
            lane.limit(self._share(lane.name))
            if lane.connections == 0:
                lost.extend(lane.take(set(lane.waiting)))
        return lost

    @property
    def gathered(self) -> bool:
        """Have all workers of this start signed, or had the time to?"""
        return not self._expected

    @property
    def made_room(self) -> bool:
        """Has no lane more connections than its share?"""
        return all(lane.within for lane in self._lanes.values())

    def _share(self, name: str) -> int:
        if not self._welcome:
            return 0
        limit = self._settings.connections_per_destination
        return share(limit, name, self._me, self._alive, expected=self._expected)

    def forget_empty_lanes(self) -> None:
        """Those where nothing waits and nobody works."""
        for name in [name for name, lane in self._lanes.items() if lane.empty]:
            del self._lanes[name]

    async def close(self, grace: float) -> None:
        """Finish what is being tried, at most `grace` seconds long."""
        await asyncio.gather(*(lane.close(grace) for lane in list(self._lanes.values())))
