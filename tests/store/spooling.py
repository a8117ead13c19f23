"""What the tests of the store do again and again."""

import asyncio
from typing import Any

from relay.delivery import Delivery, Status, Verdict
from relay.store import Accepted, Store
from relay.store.spool import Settled, Settlement
from tests.parts.mail import attempt


async def settle(store: Store, delivery: Delivery, verdict: Verdict, **more: Any) -> Settled:
    """Settle one attempt; what came of it."""
    written = store.settle(Settlement(delivery, attempt(), verdict, **more))
    await asyncio.wait([written])
    return store.settled(written)


async def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    """What a query finds."""
    return [dict(row) for row in (await store.query(sql))[1]]


async def claim_all(store: Store) -> list[Delivery]:
    """Claim whatever is due."""
    due = await store.due(busy=(), limit=100)
    return await store.claim({destination: 100 for destination in due})


def claimed(mail: Accepted, number: int = 0) -> Delivery:
    """The delivery as the worker that accepted it has it in hand."""
    delivery = mail.deliveries[number]
    assert delivery.attempt == 1 and delivery.status is Status.CREATING
    return delivery
