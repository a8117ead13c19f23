"""The state machine of a delivery (`relay.delivery.MOVES`) against what the store really does."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from relay.delivery import MOVES, Delivery, Status, Verdict
from relay.filters import parse
from relay.store import Store
from suppression.entry import Entry
from tests.parts.mail import BUSY, SENT, UNKNOWN_USER, accepted
from tests.store.spooling import claim_all, rows, settle
from tests.store.test_sums import boxes_agree

FULL = Verdict(Status.SOFT_BOUNCE, "mailbox_full", "5.2.2", "552 5.2.2 full")
REJECTED = Verdict(Status.REJECTED, "suppressed_manual", "5.7.1", "on the list")
BOB, ANN = Entry("bob@x.test", "", "manual", "a person", 1.0), Entry("ann@y.test", "", "manual", "a person", 1.0)
STEPS = 5000


class Walk:
    """Everything that can happen to deliveries, in an order that nobody has thought of."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self.store = store
        self.chance = chance
        self.hand: list[Delivery] = []  # with claims that have lapsed: late answers come, too
        self.taken: set[tuple[Status, Status]] = set()
        self._known: dict[tuple[str, int], Status] = {}

    async def step(self) -> None:
        """One thing happens; every delivery that it moves makes a move of the table."""
        does: Sequence[Callable[[], Awaitable[Any]]] = (
            *(self.accept, self.claim, self.claim),
            *(self.spool, self.spool, self.answer, self.answer, self.answer),
            *(self.person, self.person, self.list_changes, self.comes_back),
        )
        await self.chance.choice(does)()
        for row in await rows(self.store, "SELECT queue_id, number, status FROM deliveries"):
            name, new = (row["queue_id"], row["number"]), Status(row["status"])
            old = self._known.get(name, new)
            assert old is new or new in MOVES[old], f"{old} to {new}"
            self.taken |= {(old, new)} - {(new, new)}
            self._known[name] = new

    async def accept(self) -> None:
        await self.store.accept(accepted(["bob@x.test", "ann@y.test"]), claimed=False)

    async def claim(self) -> None:
        self.hand += await claim_all(self.store)

    async def spool(self) -> None:
        if self.hand:
            await self.store.spooled([self.chance.choice(self.hand)], self.store.engine.now())

    async def answer(self) -> None:
        """An attempt ends; the same one may be told again, late."""
        if not self.hand:
            return
        delivery = self.chance.choice(self.hand)
        if self.chance.random() < 0.8:
            self.hand.remove(delivery)
        verdict = self.chance.choice((SENT, BUSY, BUSY, UNKNOWN_USER, FULL, REJECTED))
        due_at = self.store.engine.now() if verdict is BUSY else None
        await settle(self.store, delivery, verdict, due_at=due_at)

    async def person(self) -> None:
        verb = self.chance.choice(("hold", "release", "retry", "cancel"))
        address = self.chance.choice((BOB, ANN)).address
        await self.store.operate(verb, parse(f"to:{address}", 0.0), actor="a person")

    async def list_changes(self) -> None:
        entry = self.chance.choice((BOB, ANN))
        if await self.store.named(entry.address, ""):
            await self.store.unsuppress(entry.address, "", actor="a person")
            if self.chance.random() < 0.7:
                await self.store.retry_dropped(entry, actor="a person")
        else:
            await self.store.suppress(entry, actor="a person")

    async def comes_back(self) -> None:
        if self._known:
            await self.store.late_bounce(
                *self.chance.choice(list(self._known)), self.chance.choice((FULL, UNKNOWN_USER))
            )


async def test_a_delivery_makes_all_the_moves_of_the_table_and_no_others(store: Store) -> None:
    """Whatever happens, in whatever order; the table promises no more than there is, and the numbers agree."""
    everything = {(old, new) for old, news in MOVES.items() for new in news if old is not new}
    walk = Walk(store, random.Random(1))
    for _ in range(STEPS):
        await walk.step()
        if walk.taken == everything:
            break
    assert walk.taken == everything
    await boxes_agree(store)
    assert await store.check() == []
