"""Two nodes, one database, one name for links: whatever node a visitor comes to, it is the right one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office, office
from tests.parts.postgres import Server
from tests.parts.proxy import Proxy
from tests.parts.reader import TRACKING, Letter

Node = Callable[..., AbstractAsyncContextManager[Office]]

PAGE = '<p>Hello <a href="https://shop.test/one">one</a> <a href="https://shop.test/two">two</a></p>\r\n'
HTML = {"MIME-Version": "1.0", "Content-Type": "text/html; charset=utf-8"}
WEEKLY = HTML | {"X-Mailtrail-Tag": "weekly", "X-Mailtrail-Unsubscribe": "yes"}


@pytest.fixture
async def internet() -> AsyncIterator[Internet]:
    async with Internet() as internet:
        yield internet


@pytest.fixture
def node(tmp_path: Path, internet: Internet, url: str) -> Node:
    """A node by its name, with settings for delivery; `way`: its own way to the database."""

    def node(name: str, way: str = "", **delivery: Any) -> AbstractAsyncContextManager[Office]:
        settings = internet.settings(**delivery) | {"tracking": TRACKING}
        (tmp_path / name).mkdir(exist_ok=True)
        return office(tmp_path / name, internet, settings, url=way or url)

    return node


async def either(*waits: Coroutine[Any, Any, str]) -> None:
    """Until one of them comes: mail may be delivered by any node, whichever took it."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()


async def test_any_nodes_web_takes_visits_of_mail_that_another_node_sent(node: Node, internet: Internet) -> None:
    """The first keys of a database are everybody's; each visit counts once, and the node that saw it logs it."""
    async with node("one") as one, node("two") as two, internet.mx("any.test") as mx:
        for sends, sees in ((one, two), (two, one)):
            queue_id = await sends.send("bob@any.test", headers=HTML, body=PAGE)
            await either(*(every.outcome(queue_id, "sent") for every in (sends, sees)))
            sends.long_ago(queue_id)
            letter = Letter(mx.messages[-1].content)
            await sees.web.get(letter.pixel)
            for every in (sees, sends):
                assert (await every.web.get(letter.links[0])).target == "https://shop.test/one"
            await sees.visited(queue_id, "open")
            await sees.visited(queue_id, "click")
            await sends.visited(queue_id, "click")
            row = one.delivery(queue_id)
            assert (row["opens"], row["clicks"]) == (1, 2)


async def test_what_is_unsubscribed_at_one_node_does_not_leave_another(node: Node, internet: Internet) -> None:
    """Mail that waits on a node for its connection is not tried any more; the recipient next to it gets theirs."""
    bob, ann = "bob@waits.test", "ann@waits.test"
    async with internet.mx("waits.test") as mx, node("works", connections_per_destination=1, lease="1h") as works:
        first = await works.send(bob, headers=WEEKLY, body=PAGE)
        await works.outcome(first, "sent")
        letter = Letter(mx.messages[0].content)
        mx.hold_at = "DATA"
        mx.commands.clear()
        held = await works.send(ann, headers=HTML, body=PAGE)
        await mx.heard("DATA")
        waits = await works.send(bob, ann, headers=WEEKLY, body=PAGE)
        async with node("web", connections_per_destination=1, lease="1h") as web:
            assert (await web.web.one_click(letter.unsubscribe)).status == 200
            row = works.delivery(waits, bob)
            assert (row["status"], row["reason_class"]) == ("rejected", "suppressed_unsubscribe")
            mx.release.set()
            await works.outcome(held, "sent")
            await either(*(every.outcome(waits, "sent", to=ann) for every in (works, web)))
            again = await works.send(bob, ann, headers=WEEKLY, body=PAGE)
            await either(*(every.dropped(again, to=bob) for every in (works, web)))
            await either(*(every.outcome(again, "sent", to=ann) for every in (works, web)))
            assert [mail.recipients[0] for mail in mx.messages] == [bob, ann, ann, ann]
            assert works.delivery(waits, bob)["status"] == "rejected"


@pytest.mark.parametrize("how", ["silent", "refusing"])
async def test_a_node_that_is_cut_off_leads_on_and_keeps_what_it_saw(
    node: Node, internet: Internet, server: Server, url: str, line: Proxy, how: str
) -> None:
    """Its links work while it has no database; what it saw is in the database when the line is back."""
    way = url.replace(f":{server.port}/", f":{line.port}/")
    async with node("cut", way) as cut, node("well") as well, internet.mx("cut.test") as mx:
        queue_id = await well.send("bob@cut.test", headers=WEEKLY, body=PAGE)
        await either(*(every.outcome(queue_id, "sent") for every in (cut, well)))
        well.long_ago(queue_id)
        letter = Letter(mx.messages[0].content)
        line.go_silent() if how == "silent" else line.refuse()
        assert (await cut.web.get(letter.pixel)).status == 200
        assert (await cut.web.get(letter.links[0])).target == "https://shop.test/one"
        assert (await cut.web.one_click(letter.unsubscribe)).status == 503
        await cut.program.line("visits wait for the database")
        assert (await well.web.get(letter.links[0])).target == "https://shop.test/one"
        await well.visited(queue_id, "click")
        line.mend()
        await cut.visited(queue_id, "open")
        await cut.visited(queue_id, "click")
        row = well.delivery(queue_id)
        assert (row["opens"], row["clicks"], bool(row["unsubscribed"])) == (1, 2, False)
        assert not cut.program.matching("Traceback|worker died")
