"""What one worker has in hand: enough for every lane, and never everything for one."""

import asyncio
from collections.abc import Iterable

from relay.config import Config, DeliverySection, Route
from relay.deliver.client import Connection
from relay.deliver.hand import Hand
from relay.deliver.lane import WAITING_PER_CONNECTION, Carry, Work
from relay.deliver.limits import share
from relay.delivery import Delivery
from tests.parts.mail import accepted


def deliveries(*destinations: str) -> tuple[Delivery, ...]:
    return accepted([f"bob@{destination}" for destination in destinations]).deliveries


async def _never(work: Work, kept: Connection | None) -> Connection | None:
    await asyncio.get_running_loop().create_future()
    return None


def hand(
    *,
    max_in_hand: int = 1000,
    connections: int = 1,
    routes: Iterable[str] = (),
    carry: Carry = _never,
    welcome: bool = True,
) -> Hand:
    """The hand of a single worker; what is tried there never ends, if `carry` does not end it."""
    settings = DeliverySection(
        max_in_hand=max_in_hand,
        connections_per_destination=connections,
        routes={destination: Route("next.test", 25) for destination in routes},
    )
    mine = Hand(Config("relay.test", workers=1, delivery=settings), carry)
    mine.know_workers(0, [0] if welcome else [0, 1], welcome=welcome)
    return mine


async def test_a_destination_gets_a_quarter_of_what_is_left() -> None:
    """However many destinations ask, something is left for the next one."""
    room = hand(max_in_hand=400, connections=1000).room(f"{n}.test" for n in range(50))
    assert list(room.values())[:4] == [100, 75, 56, 42]
    assert sum(room.values()) < 400


async def test_room_that_a_route_gives_to_several_destinations_is_given_once() -> None:
    """Two destinations with one next hop share its lane, and so its room."""
    room = hand(max_in_hand=10_000, routes=("a.test", "b.test")).room(["a.test", "b.test", "c.test"])
    assert room == {"a.test": WAITING_PER_CONNECTION, "c.test": WAITING_PER_CONNECTION}


async def test_what_is_reserved_is_not_given_twice() -> None:
    """A reservation takes room until it has come or will not."""
    mine = hand(max_in_hand=8)
    assert mine.reserve({"x.test": 2})
    assert mine.free == 6 and not mine.reserve({"x.test": 2})
    mine.unreserve(2)
    assert mine.free == 8


async def test_what_found_no_room_is_looked_for_when_there_is_some() -> None:
    """With a backlog, half a lane of room is a reason to look; without, nobody looks."""
    mine = hand(max_in_hand=10_000)
    mine.take(deliveries("x.test"), 0.0)
    (work,) = mine
    mine.drop(work)
    assert not mine.look.is_set()
    assert not mine.reserve({"x.test": WAITING_PER_CONNECTION + 2})
    mine.take(deliveries("x.test"), 0.0)
    (work,) = mine
    mine.drop(work)
    assert mine.look.is_set()
    await mine.close(0.0)


async def test_an_attempt_that_ends_late_drops_only_itself() -> None:
    """The next attempt at the same delivery is in hand by then, and stays."""
    mine = hand()
    both = deliveries("x.test")
    mine.take(both, 0.0)
    (first,) = mine
    mine.take(both, 0.0)
    mine.drop(first)
    (second,) = mine
    assert second is not first
    mine.drop(second)
    assert len(mine) == 0
    await mine.close(0.0)


async def test_a_newcomer_takes_nothing_before_all_others_have_made_room() -> None:
    """What comes to it is left to the others; as soon as they all know of it, it looks for its share."""
    mine = hand(connections=4, welcome=False)
    assert mine.room(["x.test"]) == {} and not mine.reserve({"x.test": 1})
    mine.know_workers(0, [0, 1], welcome=True)
    assert mine.look.is_set()
    assert mine.room(["x.test"]) == {"x.test": 2 * WAITING_PER_CONNECTION}


async def test_room_is_made_when_the_connections_beyond_the_share_have_ended() -> None:
    """Who has more connections than its share now finishes what they carry, and begins nothing else on them."""
    finish = asyncio.Event()

    async def until_told(work: Work, kept: Connection | None) -> Connection | None:
        await finish.wait()
        mine.drop(work)
        return None

    mine = hand(connections=2, carry=until_told)
    mine.take(deliveries("x.test", "x.test", "x.test"), 0.0)
    assert mine.made_room and len(mine.waiting) == 3
    await asyncio.sleep(0)
    assert len(mine.waiting) == 1
    mine.know_workers(0, [0, 1])
    assert not mine.made_room
    finish.set()
    async with asyncio.timeout(5):
        while not mine.made_room:  # noqa: ASYNC110  nobody tells of the end of a connection
            await asyncio.sleep(0)
    await mine.close(0.0)


async def test_a_lane_that_others_carry_gives_up_what_waits() -> None:
    """A worker without a share of a destination's connections keeps nothing that waits for them."""
    name = next(f"{n}.test" for n in range(100) if share(1, f"{n}.test", 0, [0, 1]) == 0)
    mine = hand()
    mine.take(deliveries(name), 0.0)
    assert [work.delivery.destination for work in mine.know_workers(0, [0, 1])] == [name]
    assert mine.waiting == [] and len(mine) == 1
    await mine.close(0.0)
