"""Two nodes are one relay: limits, rates, chores, and what an operator does, hold over both."""

import asyncio
import base64
import re

from tests.crash.rig import Rig
from tests.crash.traffic import Conversation
from tests.nodes.farm import Farm
from tests.parts.program import Program


async def test_connections_per_destination_hold_over_both_nodes(farm: Farm) -> None:
    """The next hop never sees more connections than the limit, however many nodes there are."""
    nodes = [await farm.start(name, connections_per_destination=4) for name in ("one", "two")]
    await farm.all_know_all()
    one, two = (farm.clients(node) for node in nodes)
    farm.sink.answers.clear()
    async with one, two:
        await asyncio.gather(one.accept_more(50), two.accept_more(50))
        await farm.sink.until(lambda: farm.sink.open == 4)
        farm.sink.answers.set()
        await asyncio.gather(one.accept_more(50), two.accept_more(50))
    await farm.everything_arrives(one, two)
    assert farm.sink.most == 4
    assert not farm.arrived_twice()


async def test_a_credentials_rate_holds_over_both_nodes(farm: Farm) -> None:
    """Ten messages an hour are ten in all; the eleventh is told to come again."""
    nodes = [await farm.start("one"), await farm.start("two")]
    said = await farm.cli(nodes[0], "credential", "add", "shop", "--rate", "10/h", "--json")
    found = re.search(r'"(?:secret|password)":\s*"([^"]+)"', said)
    assert found
    login = base64.b64encode(f"\0shop\0{found[1]}".encode()).decode()

    async def begin(node: Rig) -> str:
        conversation = await Conversation.open(node.port, node.host)
        try:
            assert (await conversation.say(f"AUTH PLAIN {login}")).startswith("235")
            return await conversation.say("MAIL FROM:<app@client.test>")
        finally:
            conversation.close()

    replies = await asyncio.gather(*(begin(node) for node in nodes for _ in range(8)))
    assert sum(reply.startswith("250") for reply in replies) == 10, replies
    assert all(reply.startswith(("250", "421 4.7.0 Credential shop is over its limit")) for reply in replies)


async def test_what_must_be_done_once_is_done_by_one_node(farm: Farm) -> None:
    """Chores have one holder; what an operator did is in one node's log, once."""
    nodes = [await farm.start("one"), await farm.start("two")]
    logs = [node.program for node in nodes]
    farm.sink.answers.clear()
    queue_id = (await farm.send(nodes[0], "once"))["once"]
    for node, reason in zip(nodes, ("first", "second"), strict=True):
        await farm.cli(node, "queue", "hold", queue_id, "--reason", reason, "--yes")
        await farm.cli(node, "queue", "release", queue_id, "--yes")
    await farm.until(lambda: told(logs, "first") > 0 and told(logs, "second") > 0)
    farm.sink.answers.set()
    await farm.everything_settled()
    for node in nodes:
        await node.stop()
    assert (told(logs, "first"), told(logs, "second")) == (1, 1)


def told(logs: list[Program], reason: str) -> int:
    """How many lines of all logs tell of what was held for it."""
    return sum(len(log.matching(rf"action=hold, .*reason={reason}")) for log in logs)


async def test_what_is_stopped_or_retried_on_one_node_is_so_on_the_other(farm: Farm) -> None:
    """What waits on a node and is held through another is not tried any more; released, it is tried at once."""
    works = await farm.start("works", connections_per_destination=1, messages_per_connection=1)
    farm.sink.answers.clear()
    accepted = await farm.send(works, *"abcde")
    await farm.sink.until(lambda: len(farm.sink.arrived) == 1)
    other = farm.node("other")
    waiting = [queue_id for key, queue_id in accepted.items() if key not in farm.sink.arrived]
    for queue_id in waiting:
        await farm.cli(other, "queue", "hold", queue_id, "--yes")
    farm.sink.answers.set()
    await works.program.line("status=sent")
    await farm.until(lambda: farm.rows("SELECT count(*) AS n FROM email_status WHERE status = 'sent'")[0]["n"] == 1)
    assert len(farm.sink.arrived) == 1
    for queue_id in waiting:
        await farm.cli(other, "queue", "release", queue_id, "--yes")
    await farm.sink.wait_for(accepted)
    await farm.everything_settled()
    assert not farm.arrived_twice()
    await works.stop()
