"""Two nodes are one relay: limits, rates, chores, and what an operator does, hold over both."""

import asyncio
import base64
import re
import signal
from pathlib import Path

from tests.crash.rig import Rig
from tests.crash.traffic import Clients, Conversation, Sink
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


async def test_connections_per_destination_hold_while_a_node_joins(farm: Farm) -> None:
    """A newcomer opens none while the others have more than what is left to them; then it takes its share."""
    one = await farm.start("one", connections_per_destination=4)
    old = farm.clients(one)
    async with old:
        farm.sink.answers.clear()
        await old.accept_more(50)
        await farm.sink.until(lambda: farm.sink.open == 4)
        two = await farm.start("two", connections_per_destination=4)
        new = farm.clients(two)
        async with new:
            await new.accept_more(50)
            await farm.all_know_all()
            farm.sink.answers.set()
            await asyncio.gather(old.accept_more(50), new.accept_more(50))
            await two.program.line("status=sent")
    await farm.everything_arrives(old, new)
    assert farm.sink.most == 4
    assert not farm.arrived_twice()
    for node in (one, two):
        await node.stop()


async def test_connections_per_destination_hold_while_nodes_come_and_go_under_load(farm: Farm) -> None:
    """Killed, stopped or started: there are never more connections than the limit."""
    one = await farm.start("one", connections_per_destination=4)
    clients = farm.clients(one)
    async with clients:
        await clients.accept_more(50)
        two = await farm.start("two", connections_per_destination=4)
        await clients.accept_more(50)
        three = await farm.start("three", connections_per_destination=4)
        await clients.accept_more(50)
        await two.stop()
        await three.kill()
        await clients.accept_more(50)
        await two.start()
        await clients.accept_more(50)
    await farm.everything_arrives(clients)
    assert farm.sink.most == 4
    for node in (one, two):
        await node.stop()


async def test_connections_per_destination_hold_while_a_worker_of_one_machine_takes_anothers_place(
    tmp_path: Path, sink: Sink
) -> None:
    """SQLite has no channel, and the rule is the same: who comes waits for who goes."""
    rig = Rig(tmp_path, sink.port, workers=1, delivery={"connections_per_destination": 4})
    await rig.start()
    clients = Clients(rig.port, 5, host=rig.host)
    try:
        async with clients:
            sink.answers.clear()
            await clients.accept_more(50)
            await sink.until(lambda: sink.open == 4)
            rig.program.send(signal.SIGHUP)
            await rig.program.line("reloaded: ")
            await clients.accept_more(50)
            sink.answers.set()
            await clients.accept_more(50)
        await sink.wait_for(clients.accepted)
        await rig.settled()
        assert sink.most == 4
        assert max(sink.arrived.values()) == 1
        await rig.stop()
    finally:
        await rig.close()


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
