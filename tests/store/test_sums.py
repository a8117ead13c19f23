"""The boxes: whatever happens, daily_stats says what counting email_status says."""

import asyncio
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.delivery import Delivery, Made
from relay.filters import Filter
from relay.store import Store
from suppression.entry import Entry
from tests.parts.mail import BUSY, SENT, UNKNOWN_USER, accepted
from tests.store.spooling import claim_all, rows, settle
from tests.store.visiting import judged_otherwise, visit

BOXES = {
    "delivered": ("sent",),
    "hard_bounced": ("hard_bounce",),
    "soft_bounced": ("soft_bounce",),
    "dropped": ("rejected",),
    "deferred": ("deferred",),
    "in_progress": ("creating", "spooled", "held"),
    "cancelled": ("cancelled",),
}


async def boxes_agree(store: Store) -> None:
    """Assert that the three stats views add up to what email_status holds."""
    counted = {row["status"]: row for row in await rows(store, _COUNTED)}
    expected = {box: sum(_n(counted, status) for status in statuses) for box, statuses in BOXES.items()}
    expected["requests"] = sum(_n(counted, status) for status in counted)
    expected |= (await rows(store, _MARKED))[0]
    octets = sum(int(row["bytes"]) for row in counted.values())
    for view in ("daily_stats", "hourly_stats"):
        names = ", ".join(f"coalesce(sum({box}), 0) AS {box}" for box in (*expected, "bytes"))
        (found,) = await rows(store, f"SELECT {names} FROM {view}")
        assert {name: int(value) for name, value in found.items()} == expected | {"bytes": octets}, view
    names = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in ("requests", "delivered", "spam"))
    (domains,) = await rows(store, f"SELECT {names} FROM domain_stats")
    assert {name: int(value) for name, value in domains.items()} == {name: expected[name] for name in domains}


_COUNTED = "SELECT status, count(*) AS n, sum(size) AS bytes FROM email_status GROUP BY status"
_MARKED = """
SELECT count(*) FILTER (WHERE trackable = 1) AS trackable,
       count(*) FILTER (WHERE status = 'sent' AND trackable = 1 AND opened = 1) AS opened,
       count(*) FILTER (WHERE status = 'sent' AND trackable = 1 AND opened = 0) AS unopened,
       count(*) FILTER (WHERE status = 'sent' AND trackable = 1 AND auto_opens > 0 AND opens + clicks = 0)
                AS opened_only_auto,
       count(*) FILTER (WHERE complained = 1) AS spam,
       count(*) FILTER (WHERE clicked = 1) AS clicked,
       CAST(coalesce(sum(clicks), 0) AS integer) AS links_clicked,
       count(*) FILTER (WHERE unsubscribed = 1) AS unsubscribed
  FROM email_status
"""


def _n(counted: dict[str, dict[str, Any]], status: str) -> int:
    return int(counted[status]["n"]) if status in counted else 0


STEPS = st.lists(
    st.sampled_from(
        [
            "accept",
            "two",
            "notice",
            "spool",
            "sent",
            "sent",
            "busy",
            "busy",
            "bounce",
            "hold",
            "release",
            "cancel",
            "retry",
            "sum_up",
            "sum_up",
            "open",
            "open by a machine",
            "click",
            "click",
            "judge",
            "unsubscribe",
            "complain",
            "suppress",
            "late",
        ]
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_the_boxes_agree_after_any_sequence_of_what_can_happen(store: Store, steps: list[str]) -> None:
    """Accepting, sending, refusing, visits, wishes, people's verbs and summing up, in any order."""
    life = _Life(store)
    for step in steps:
        await life.do(step)
    await boxes_agree(store)


class _Life:
    """What can happen to mail; it keeps what is in somebody's hand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: list[Delivery] = []

    async def do(self, step: str) -> None:
        store = self._store
        if step in ("accept", "two", "notice"):
            recipients = ["a@x.test", "b@y.test"] if step == "two" else ["a@x.test"]
            origin = "notice" if step == "notice" else "application"
            await store.accept(accepted(recipients, origin=origin), claimed=False)
        elif step == "sum_up":
            await store.sum_up()
        elif step in ("hold", "release", "cancel", "retry"):
            await store.operate(step, Filter(), actor="anna")
        elif step in ("open", "open by a machine", "click", "judge"):
            await self._visit(step)
        elif step in ("unsubscribe", "complain", "suppress"):
            await self._wish(step)
        elif step == "late":
            for delivery in self._kept:
                await settle(store, delivery, SENT, copy=Made(True, 3))
        else:
            await self._attempt(step)

    async def _attempt(self, step: str) -> None:
        store = self._store
        self._kept = hands = await claim_all(store)
        if step == "spool":
            await store.spooled(hands, time.time())
            await store.release(hands)
        for delivery in hands:
            if step == "sent":
                await settle(store, delivery, SENT, copy=Made(delivery.number == 0, 3))
            elif step == "busy":
                await settle(store, delivery, BUSY, due_at=time.time(), copy=Made(True, 3))
            elif step == "bounce":
                await settle(store, delivery, UNKNOWN_USER)

    async def _visit(self, step: str) -> None:
        names = [(row["queue_id"], row["number"]) for row in await rows(self._store, "SELECT * FROM delivery_status")]
        kind = "click" if step == "click" else "open"
        by = "machine" if step == "open by a machine" else "person"
        new = [visit(*name, kind=kind, by=by) for name in names] if step != "judge" else []
        seen = [judged for facts in (await self._store.known(names)).values() for judged in facts.recent]
        await self._store.record(new, [judged_otherwise(judged) for judged in seen] if step == "judge" else [])

    async def _wish(self, step: str) -> None:
        for row in await rows(self._store, "SELECT queue_id, number, recipient FROM delivery_status LIMIT 1"):
            reason: Any = {"unsubscribe": "unsubscribe", "complain": "complaint", "suppress": "manual"}[step]
            name = (row["queue_id"], row["number"])
            await self._store.suppress(
                Entry(row["recipient"], "", reason, "test", time.time()),
                actor="relay",
                delivery=None if step == "suppress" else name,
            )


async def test_summing_up_loses_nothing_that_is_counted_meanwhile(store: Store, other: Store) -> None:
    """Groups of other workers commit before, while and after the changes are added to the sums."""
    mails = [accepted([f"u{n}@x.test"], tag=f"t{n % 3}") for n in range(200)]

    async def accept() -> None:
        for start in range(0, len(mails), 10):
            await asyncio.gather(*(store.accept(mail, claimed=False) for mail in mails[start : start + 10]))

    work = asyncio.create_task(accept())
    while not work.done():
        await other.sum_up()
    await work
    await boxes_agree(store)
    await other.sum_up()
    await boxes_agree(store)
    (left,) = await rows(store, "SELECT count(*) AS n FROM status_counts")
    assert left["n"] == 0


async def test_sums_are_one_row_a_box(store: Store) -> None:
    """A year of mail is as many rows as there are hours, tags, credentials, senders and statuses."""
    for _ in range(3):
        await asyncio.gather(*(store.accept(accepted(received_at=1_700_000_000.0), claimed=False) for _ in range(20)))
        await store.sum_up()
    (sums,) = await rows(store, "SELECT count(*) AS n, sum(deliveries) AS deliveries FROM status_sums")
    assert (sums["n"], int(sums["deliveries"])) == (1, 60)
