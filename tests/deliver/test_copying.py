"""A recipient's copy is made when its attempt begins, and takes no more memory than there is."""

import asyncio
import threading

from relay.compose.render import Making, Sign
from relay.config import Tracking
from relay.deliver.contents import Contents
from relay.deliver.copying import LARGE, Copies
from relay.delivery import Delivery
from tests.deliver.test_contents import Kept
from tests.parts.mail import accepted

SMALL = b"Subject: x\r\n\r\nhi\r\n"
BIG = b"Subject: x\r\n\r\n" + b"x" * LARGE


def unsigned(content: bytes, domain: str, now: float) -> bytes:
    """Nobody's key."""
    return b""


def signed(content: bytes, domain: str, now: float) -> bytes:
    """A field on top, and in which thread it was made."""
    return f"Signed: {domain} {now:.0f} {threading.current_thread() is threading.main_thread()}\r\n".encode()


def of(content: bytes, queue_id: str = "first0000000") -> Delivery:
    """A delivery of that content."""
    return accepted(content=content, size=len(content), queue_id=queue_id).deliveries[0]


def copies(kept: Kept, sign: Sign, budget: int = 64 * LARGE) -> Copies:
    """Copies of what is kept, at second 1000."""
    making = Making("relay.test", Tracking(), None, sign)
    return Copies(Contents(kept, budget), lambda: making, lambda: 1000.0)


async def test_a_copy_is_made_of_the_content() -> None:
    """With the keys and the time of the moment; a content that is gone makes none."""
    async with copies(Kept(first0000000=SMALL), signed).make(of(SMALL), "x.test") as copy:
        assert copy and copy.content == b"Signed: sender.test 1000 True\r\n" + SMALL
    for content in (SMALL, BIG):
        async with copies(Kept(), signed).make(of(content), "x.test") as copy:
            assert copy is None


async def test_a_large_one_holds_up_nobody() -> None:
    """It is made in a thread."""
    async with copies(Kept(first0000000=BIG), signed).make(of(BIG), "x.test") as copy:
        assert copy and copy.content.startswith(b"Signed: sender.test 1000 False\r\n")


async def test_copies_of_a_large_message_wait_for_room() -> None:
    """Each copy is memory of its own; who finds no room has not even read the content."""
    kept = Kept(first0000000=BIG, second000000=BIG)
    large = copies(kept, signed, budget=len(BIG))
    async with large.make(of(BIG), "x.test"):
        waiting = asyncio.create_task(large.make(of(BIG, "second000000"), "y.test").__aenter__())
        for _ in range(10):  # turns of the loop; to read takes one
            await asyncio.sleep(0)
        assert kept.read == ["first0000000"]
    assert await waiting
    assert kept.read == ["first0000000", "second000000"]


async def test_a_copy_that_is_the_content_itself_takes_no_room() -> None:
    """A large message that nobody tracks or signs goes to all its recipients at once."""
    large = copies(Kept(first0000000=BIG), unsigned, budget=len(BIG))
    async with large.make(of(BIG), "x.test") as one, large.make(of(BIG), "y.test") as other:
        assert one and other and one.content is other.content
