"""Two nodes, one list: what one of them puts on it holds for the other at once, and a bounce may come in at either."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office, office
from tests.journeys.providers import bring, complaint, report, settings
from tests.nodes.test_tracking import either

Node = Callable[..., AbstractAsyncContextManager[Office]]

LATER = "451 4.3.0 try again in 1 hour"


@pytest.fixture
async def internet() -> AsyncIterator[Internet]:
    async with Internet() as internet:
        yield internet


@pytest.fixture
def node(tmp_path: Path, internet: Internet, url: str) -> Node:
    """A node by its name, with settings for delivery; mail comes back to each."""

    def node(name: str, **delivery: Any) -> AbstractAsyncContextManager[Office]:
        (tmp_path / name).mkdir()
        return office(tmp_path / name, internet, settings(internet) | internet.settings(**delivery), url=url)

    return node


async def test_a_bounce_may_come_in_at_any_node(node: Node, internet: Internet) -> None:
    """Whichever sent the mail, whichever is told: the delivery bounces, and neither mails the address again."""
    async with node("one") as one, node("two") as two, internet.mx("any.test") as mx:
        for sends, hears in ((one, two), (two, one)):
            bob = f"bob.{sends.directory.name}@any.test"
            queue_id = await sends.send(bob)
            await either(*(every.outcome(queue_id, "sent") for every in (one, two)))
            await bring(hears, report(bob), mx.messages[-1].mail_from)
            assert sends.delivery(queue_id)["status"] == "hard_bounce"
            for every in (one, two):
                again = await every.send(bob)
                await either(*(each.dropped(again, to=bob) for each in (one, two)))
        assert len(mx.messages) == 2


async def test_a_complaint_at_one_node_stops_what_waits_at_the_other(node: Node, internet: Internet) -> None:
    """Mail in the other's hand, behind a connection that is busy, is not tried any more; its neighbour is."""
    bob, ann = "bob@hand.test", "ann@hand.test"
    async with internet.mx("hand.test") as mx, node("works", connections_per_destination=1, lease="1h") as works:
        await works.outcome(await works.send(bob), "sent")
        path = mx.messages[0].mail_from
        mx.hold_at = "DATA"
        mx.commands.clear()
        held = await works.send(ann)
        await mx.heard("DATA")
        waits = await works.send(bob, ann)
        async with node("hears", connections_per_destination=1, lease="1h") as hears:
            await bring(hears, complaint(), path)
            row = works.delivery(waits, bob)
            assert (row["status"], row["reason_class"]) == ("rejected", "suppressed_complaint")
            mx.release.set()
            await works.outcome(held, "sent")
            await either(*(every.outcome(waits, "sent", to=ann) for every in (works, hears)))
            assert [mail.recipients[0] for mail in mx.messages] == [bob, ann, ann]


async def test_what_is_added_at_one_node_stops_work_at_the_other(node: Node, internet: Internet) -> None:
    """A person adds an address beside one node: what waits at the other is stopped, what comes there dropped."""
    bob = "bob@added.test"
    async with node("one") as one, node("two") as two, internet.mx("added.test", rcpt={bob: LATER}) as mx:
        waiting = [await every.send(bob) for every in (one, two)]
        for queue_id in waiting:
            await either(*(every.outcome(queue_id, "deferred") for every in (one, two)))
        await one.cli("suppression", "add", bob)
        assert {two.delivery(queue_id)["status"] for queue_id in waiting} == {"rejected"}
        tried = len(mx.commands)
        for every in (one, two):
            again = await every.send(bob)
            await either(*(each.dropped(again, to=bob) for each in (one, two)))
        assert not [command for command in mx.commands[tried:] if bob in command]
        await two.cli("suppression", "remove", bob)
        after = await one.send(bob)
        await either(*(every.outcome(after, "deferred") for every in (one, two)))


async def test_soft_bounces_in_a_row_are_counted_over_all_nodes(node: Node, internet: Internet) -> None:
    """Three days, three nodes' worth of mail: whoever sees the third puts the address on the list, once."""
    bob = "bob@row.test"
    full = "552 5.2.2 The mailbox is full"
    async with node("one") as one, node("two") as two, internet.mx("row.test", rcpt={bob: full}):
        for days, sends in ((2, one), (1, two), (0, one)):
            assert one.rows("SELECT 1 FROM suppressions") == []
            queue_id = await sends.send(bob)
            await either(*(every.outcome(queue_id, "bounced") for every in (one, two)))
            one.views.change(
                "UPDATE deliveries SET status_at = status_at - ? WHERE queue_id = ?", days * 86400, queue_id
            )
        (entry,) = two.rows("SELECT * FROM suppressions")
        assert (entry["address"], entry["reason"], entry["cause_queue_id"]) == (bob, "spam", queue_id)


async def test_the_same_report_at_both_nodes_is_one(node: Node, internet: Internet) -> None:
    """Brought to both at the same time: one event, one entry, and both say that it was taken."""
    bob = "bob@both.test"
    async with node("one") as one, node("two") as two, internet.mx("both.test") as mx:
        queue_id = await one.send(bob)
        await either(*(every.outcome(queue_id, "sent") for every in (one, two)))
        path = mx.messages[0].mail_from
        await asyncio.gather(*(bring(every, report(bob), path) for every in (one, two)))
        assert one.events(queue_id).count("hard_bounce") == 1
        assert len(one.rows("SELECT 1 FROM suppressions")) == 1
        (day,) = one.rows("SELECT sum(requests) AS requests, sum(hard_bounced) AS hard FROM daily_stats")
        assert (day["requests"], day["hard"]) == (1, 1)
