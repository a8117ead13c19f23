"""Contents in memory: within the budget, and never in the way of others."""

import asyncio

import pytest

from relay.deliver.contents import Contents
from relay.store import StoreUnavailable


class Kept:
    """Contents by queue id, and which were read. `trouble` is raised instead."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = contents
        self.read: list[str] = []
        self.trouble: Exception | None = None

    async def content(self, queue_id: str) -> bytes | None:
        self.read.append(queue_id)
        if self.trouble:
            raise self.trouble
        return self.contents.get(queue_id)


async def test_what_was_just_accepted_is_not_read_back() -> None:
    """Kept for two deliveries: both get it from memory, and then it is gone."""
    kept = Kept(a=b"A" * 10)
    contents = Contents(kept, 100)
    contents.keep("a", b"A" * 10, 2)
    for _ in range(2):
        async with contents.borrow("a", 10) as content:
            assert content == b"A" * 10
    assert kept.read == []
    async with contents.borrow("a", 10):
        assert kept.read == ["a"]


async def test_deliveries_at_the_same_time_share_one_copy() -> None:
    """A second attempt with the same content, while the first one reads it, reads nothing."""
    kept = Kept(a=b"A" * 10)
    contents = Contents(kept, 100)
    async with contents.borrow("a", 10) as one, contents.borrow("a", 10) as other:
        assert one is other
    assert kept.read == ["a"]


async def test_what_waits_makes_room_for_what_is_read() -> None:
    """A budget full of what waits for a slow destination holds up nobody; it is read again in its turn."""
    kept = Kept(slow=b"S" * 900, quick=b"Q" * 800)
    contents = Contents(kept, 1000)
    contents.keep("slow", b"S" * 900, 1)
    async with contents.borrow("quick", 800) as content:
        assert content == b"Q" * 800
    async with contents.borrow("slow", 900) as content:
        assert content == b"S" * 900
    assert kept.read == ["quick", "slow"]


async def test_who_needs_more_than_there_is_waits() -> None:
    """Two big contents that do not fit together are read one after the other."""
    kept = Kept(a=b"A" * 800, b=b"B" * 800)
    contents = Contents(kept, 1000)

    async def second() -> bytes | None:
        async with contents.borrow("b", 800) as content:
            return content

    async with contents.borrow("a", 800):
        waiting = asyncio.create_task(second())
        await asyncio.wait([waiting, asyncio.create_task(asyncio.sleep(0))], return_when=asyncio.FIRST_COMPLETED)
        assert kept.read == ["a"]
    assert await waiting == b"B" * 800


async def test_a_small_one_never_waits() -> None:
    """While a big content fills the budget, a small one is read all the same."""
    contents = Contents(Kept(big=b"B" * 1000, small=b"S"), 1000)
    async with contents.borrow("big", 1000), contents.borrow("small", 1) as content:
        assert content == b"S"


async def test_one_larger_than_everything_is_served_alone() -> None:
    """A content over the whole budget is still read, when nothing else is in memory."""
    contents = Contents(Kept(huge=b"H" * 5000), 1000)
    async with contents.borrow("huge", 5000) as content:
        assert content and len(content) == 5000


async def test_trouble_reading_leaves_no_trace() -> None:
    """A store that cannot be read raises, and its octets are not counted for ever; a content that is gone is None."""
    kept = Kept(a=b"A" * 900)
    contents = Contents(kept, 1000)
    kept.trouble = StoreUnavailable("locked")
    with pytest.raises(StoreUnavailable):
        async with contents.borrow("a", 900):
            pass
    kept.trouble = None
    async with contents.borrow("gone", 900) as content:
        assert content is None
    async with contents.borrow("a", 900) as content:
        assert content == b"A" * 900


async def test_a_delivery_that_will_not_come_frees_its_content() -> None:
    """`forget` for the last of them lets go of the content."""
    kept = Kept(a=b"A")
    contents = Contents(kept, 100)
    contents.keep("a", b"A", 1)
    contents.forget("a")
    async with contents.borrow("a", 1):
        assert kept.read == ["a"]


async def test_a_slow_lane_leaves_room_for_others() -> None:
    """Many big contents of one lane are used at once, but only within half of the room; another's does not wait."""
    big = {f"s{n}": b"S" * 100 for n in range(20)}
    kept = Kept(**big, other=b"O" * 400)
    contents = Contents(kept, 1000)
    using: asyncio.Queue[str] = asyncio.Queue()
    done = asyncio.Event()

    async def use(name: str) -> None:
        async with contents.borrow(name, 100, "slow"):
            using.put_nowait(name)
            await done.wait()

    tasks = [asyncio.create_task(use(name)) for name in big]
    for _ in range(5):
        await using.get()
    async with contents.borrow("other", 400, "quick") as content:
        assert content == b"O" * 400
        assert using.empty()
    done.set()
    await asyncio.gather(*tasks)


async def test_what_is_just_accepted_counts_for_its_lane_too() -> None:
    """Contents that are in memory already are the lane's part as well, and make room until it is their turn."""
    contents = Contents(Kept(a=b"A" * 400, b=b"B" * 400, other=b"O" * 400), 1000)
    contents.keep("a", b"A" * 400, 1)
    contents.keep("b", b"B" * 400, 1)

    async def second() -> bytes | None:
        async with contents.borrow("b", 400, "slow") as content:
            return content

    async with contents.borrow("a", 400, "slow"):
        waiting = asyncio.create_task(second())
        async with contents.borrow("other", 400, "quick") as content:
            assert content == b"O" * 400
            assert not waiting.done()
    assert await waiting == b"B" * 400


async def test_those_who_use_the_same_content_do_not_wait_for_each_other() -> None:
    """One big content for many recipients of one lane is in memory once, and counts once."""
    contents = Contents(Kept(a=b"A" * 600), 1000)
    async with contents.borrow("a", 600, "x.test") as one, contents.borrow("a", 600, "x.test") as other:
        assert one is other


async def test_copies_of_one_content_stay_within_the_budget() -> None:
    """Each recipient's copy takes room of its own; who finds none waits, and goes on when a copy has been sent."""
    contents = Contents(Kept(), 1000)
    using: asyncio.Queue[int] = asyncio.Queue()
    sent = [asyncio.Event() for _ in range(3)]

    async def send(number: int) -> None:
        async with contents.room(400, f"{number}.test"):
            using.put_nowait(number)
            await sent[number].wait()

    tasks = [asyncio.create_task(send(number)) for number in range(3)]
    assert {await using.get(), await using.get()} == {0, 1}
    sent[0].set()
    assert await using.get() == 2, "not before the first one was sent"
    assert not tasks[1].done()
    for event in sent:
        event.set()
    await asyncio.gather(*tasks)


async def test_a_slow_lane_leaves_room_for_the_copies_of_others() -> None:
    """As with contents; and a small copy, or one larger than everything, is always made."""
    contents = Contents(Kept(), 1000)
    async with contents.room(400, "slow.test"):
        waiting = asyncio.create_task(contents.room(300, "slow.test").__aenter__())
        async with contents.room(400, "quick.test"), contents.room(3, "slow.test"):
            assert not waiting.done()
    await waiting
    async with Contents(Kept(), 1000).room(5000, "huge.test"):
        pass
