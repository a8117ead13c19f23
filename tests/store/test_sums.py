"""The boxes: whatever happens, daily_stats says what counting email_status says."""

import asyncio
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.filters import Filter
from relay.store import Store
from tests.parts.mail import BUSY, SENT, UNKNOWN_USER, accepted
from tests.store.spooling import claim_all, rows, settle

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
    octets = sum(int(row["bytes"]) for row in counted.values())
    for view in ("daily_stats", "hourly_stats"):
        names = ", ".join(f"coalesce(sum({box}), 0) AS {box}" for box in (*expected, "bytes"))
        (found,) = await rows(store, f"SELECT {names} FROM {view}")
        assert {name: int(value) for name, value in found.items()} == expected | {"bytes": octets}, view
    (domains,) = await rows(store, "SELECT sum(requests) AS requests, sum(delivered) AS delivered FROM domain_stats")
    assert int(domains["requests"] or 0) == expected["requests"]
    assert int(domains["delivered"] or 0) == expected["delivered"]


_COUNTED = "SELECT status, count(*) AS n, sum(size) AS bytes FROM email_status GROUP BY status"


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
        ]
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_the_boxes_agree_after_any_sequence_of_what_can_happen(store: Store, steps: list[str]) -> None:
    """Accepting, sending, refusing, people's verbs and summing up, in any order."""
    for step in steps:
        await _do(store, step)
    await boxes_agree(store)


async def _do(store: Store, step: str) -> None:
    if step in ("accept", "two", "notice"):
        recipients = ["a@x.test", "b@y.test"] if step == "two" else ["a@x.test"]
        origin = "notice" if step == "notice" else "application"
        await store.accept(accepted(recipients, origin=origin), claimed=False)
    elif step == "sum_up":
        await store.sum_up()
    elif step in ("hold", "release", "cancel", "retry"):
        await store.operate(step, Filter(), actor="anna")
    else:
        hands = await claim_all(store)
        if step == "spool":
            await store.spooled(hands, time.time())
            await store.release(hands)
        for delivery in hands:
            if step == "sent":
                await settle(store, delivery, SENT)
            elif step == "busy":
                await settle(store, delivery, BUSY, due_at=time.time())
            elif step == "bounce":
                await settle(store, delivery, UNKNOWN_USER)


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
