"""May this address still be mailed?"""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from relay.config import Config
from relay.deliver.suppressed import Asked, Suppressed
from relay.delivery import Delivery, Status, Verdict
from relay.store import Store, StoreUnavailable, migrate, open_store
from relay.store.suppressions import RECIPIENT
from suppression.entry import Entry
from tests.parts.mail import accepted

SINCE = 1_800_000_000.0  # 2027-01-15
STOPPED = Verdict(
    Status.REJECTED, "suppressed_unsubscribe", "5.7.1", 'unsubscribed from "weekly" on 2027-01-15', reply=None
)


def delivery(address: str = "bob@x.test", **changes: Any) -> Delivery:
    """One in hand."""
    return accepted([address], **changes).deliveries[0]


class Looked:
    """A list in memory that counts how often it is asked, and can be away; `gate`: an answer waits for it."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses
        self.asked: list[list[Asked]] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.looking = asyncio.Event()

    async def suppressed(self, asked: list[Asked]) -> list[Entry | None]:
        self.asked.append(asked)
        self.looking.set()
        await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        found = [address if address in self._addresses else None for address, _ in asked]
        return [Entry(one, "weekly", "unsubscribe", "page", SINCE) if one else None for one in found]


async def test_who_unsubscribed_is_rejected_with_why_and_since_when(tmp_path: Path) -> None:
    """From the commit on, for mail of any age; others are tried."""
    config = Config("relay.test", data_dir=tmp_path)
    migrate(config)
    store: Store = await open_store(config)
    try:
        suppressed = Suppressed(store)
        old = delivery("bob@X.test", tag="weekly", received_at=time.time() - 3600)
        assert await suppressed.check(old) is None
        await store.suppress(Entry("bob@x.test", "weekly", "unsubscribe", "page", SINCE), actor=RECIPIENT)
        assert await suppressed.check(old) == STOPPED
        assert await suppressed.check(delivery("bob@x.test", tag="receipts")) is None
        assert await suppressed.check(delivery("bob@x.test")) is None
        await store.unsuppress("bob@x.test", "weekly", actor=RECIPIENT)
        assert await suppressed.check(old) is None
    finally:
        await store.close()


async def test_our_own_notices_are_not_asked_about() -> None:
    """A sender who bounced must still hear what became of the mail."""
    looked = Looked("ada@sender.test")
    assert await Suppressed(looked).check(delivery("ada@sender.test", origin="notice")) is None
    assert looked.asked == []


async def test_many_deliveries_are_one_look_up() -> None:
    """Those of one turn of the loop go together; what comes while that runs goes together after it."""
    looked = Looked("u1@x.test", "u5@x.test")
    looked.gate.clear()
    suppressed = Suppressed(looked)
    checks = [asyncio.ensure_future(suppressed.check(delivery(f"u{n}@x.test"))) for n in range(3)]
    await looked.looking.wait()
    checks += [asyncio.ensure_future(suppressed.check(delivery(f"u{n}@x.test"))) for n in range(3, 6)]
    await asyncio.sleep(0)
    looked.gate.set()
    found = await asyncio.gather(*checks)
    assert [verdict is not None for verdict in found] == [False, True, False, False, False, True]
    assert [[address for address, _ in asked] for asked in looked.asked] == [
        ["u0@x.test", "u1@x.test", "u2@x.test"],
        ["u3@x.test", "u4@x.test", "u5@x.test"],
    ]


async def test_one_who_does_not_wait_any_more_keeps_nobody_else_from_his_answer() -> None:
    """An attempt that is cancelled while it asks."""
    looked = Looked("u1@x.test")
    looked.gate.clear()
    suppressed = Suppressed(looked)
    gone, stays = (asyncio.ensure_future(suppressed.check(delivery(f"u{n}@x.test"))) for n in range(2))
    await looked.looking.wait()
    gone.cancel()
    await asyncio.wait([gone])
    looked.gate.set()
    assert await stays is not None


async def test_a_list_that_cannot_be_read_lets_nothing_through() -> None:
    """Whoever asks hears so, and tries later; when it is back, it answers again."""
    looked = Looked()
    looked.away = True
    suppressed = Suppressed(looked)
    for outcome in await asyncio.gather(*(suppressed.check(delivery()) for _ in range(2)), return_exceptions=True):
        assert isinstance(outcome, StoreUnavailable)
    looked.away = False
    assert await suppressed.check(delivery()) is None


async def test_what_came_in_hand_together_is_one_look_up_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim of hundreds is one question, and what is tried at once goes by its answer."""
    monkeypatch.setattr("relay.deliver.suppressed.FRESH", 60.0)
    looked = Looked("u1@x.test")
    suppressed = Suppressed(looked)
    hands = [delivery(f"u{n}@x.test") for n in range(3)] + [delivery("ada@sender.test", origin="notice")]
    suppressed.expect(hands)
    assert [await suppressed.check(hand) is not None for hand in hands] == [False, True, False, False]
    assert [len(asked) for asked in looked.asked] == [3]
    assert await suppressed.check(hands[1]) is not None, "a second attempt asks anew"
    assert len(looked.asked) == 2


async def test_what_has_waited_is_asked_about_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have unsubscribed since it came in hand."""
    monkeypatch.setattr("relay.deliver.suppressed.FRESH", 0.0)
    looked = Looked("u1@x.test")
    suppressed = Suppressed(looked)
    hand = delivery("u1@x.test")
    suppressed.expect([hand])
    await looked.looking.wait()
    assert await suppressed.check(hand) is not None
    assert len(looked.asked) == 2


async def test_while_the_list_cannot_be_read_what_was_found_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In hand before the database went away: who may be mailed is, who may not is not."""
    monkeypatch.setattr("relay.deliver.suppressed.FRESH", 0.0)
    looked = Looked("u1@x.test")
    suppressed = Suppressed(looked)
    hands = [delivery(f"u{n}@x.test") for n in range(2)]
    suppressed.expect(hands)
    await suppressed.check(delivery("u2@x.test"))  # asked later, and so answered not before them
    looked.away = True
    assert [await suppressed.check(hand) is not None for hand in hands] == [False, True]


async def test_what_is_forgotten_is_found_out_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given back, and then claimed again while the list is away: nothing is known of it."""
    looked = Looked()
    suppressed = Suppressed(looked)
    hand = delivery()
    suppressed.expect([hand])
    await looked.looking.wait()
    suppressed.forget(hand)
    looked.away = True
    with pytest.raises(StoreUnavailable):
        await suppressed.check(hand)


@pytest.mark.parametrize("address", ["@x.test", "bob@x.test"])
async def test_a_whole_domain_stops_as_its_addresses_do(tmp_path: Path, address: str) -> None:
    """One entry for all of it; another domain is not meant."""
    config = Config("relay.test", data_dir=tmp_path)
    migrate(config)
    store = await open_store(config)
    try:
        await store.suppress(Entry(address, "", "manual", "anna", SINCE), actor="anna")
        suppressed = Suppressed(store)
        verdict = await suppressed.check(delivery("bob@x.test"))
        assert verdict is not None and verdict.reason_class == "suppressed_manual"
        assert await suppressed.check(delivery("bob@sub.x.test")) is None
    finally:
        await store.close()
