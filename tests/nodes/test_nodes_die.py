"""Nodes that die, freeze, or are started and stopped at once: the others carry on, and nothing is lost."""

import asyncio

from tests.nodes.farm import Farm


async def test_a_node_that_is_killed_under_load_loses_nothing(farm: Farm) -> None:
    """Its claimed work comes due on the others after the lease; twice arrives only what was in flight at the kill."""
    nodes = [await farm.start(name) for name in ("one", "two", "three")]
    one, two, three = (farm.clients(node) for node in nodes)
    async with one, two, three:
        await asyncio.gather(*(crowd.accept_more(50) for crowd in (one, two, three)))
        farm.sink.answers.clear()  # what is tried now arrives, and is not settled
        await asyncio.gather(*(crowd.accept_more(20) for crowd in (one, two, three)))
        one.welcome.clear()
        await nodes[0].kill()
        in_flight = farm.in_flight()
        farm.sink.answers.set()
        await asyncio.gather(two.accept_more(50), three.accept_more(50))
    await farm.everything_arrives(one, two, three)
    assert farm.arrived_twice() <= in_flight
    for node in nodes[1:]:
        await node.stop()


async def test_the_late_answers_of_a_frozen_node_change_nothing(farm: Farm) -> None:
    """Frozen past its lease, its work is done by another; when it goes on it says so, and takes a number of its own."""
    frozen = await farm.start("frozen")
    farm.sink.answers.clear()
    accepted = await farm.send(frozen, *(f"m{number}" for number in range(30)))
    await farm.sink.until(lambda: len(farm.sink.arrived) >= 5)
    frozen.freeze()
    in_flight = farm.in_flight()
    farm.sink.answers.set()
    # As if it had been silent for longer than we want to wait.
    farm.views.change("UPDATE workers SET seen_at = 1")
    other = await farm.start("other")
    await farm.sink.wait_for(accepted)
    await farm.everything_settled()
    before = farm.record()
    frozen.thaw()
    await frozen.program.line("a late answer to a lapsed claim changes nothing")
    await frozen.program.line("silent for too long: worker 0 is another one now, this is 1")
    assert farm.record() == before
    assert farm.arrived_twice() <= in_flight
    await frozen.stop()
    await other.stop()


async def test_workers_of_all_nodes_have_numbers_of_their_own(farm: Farm) -> None:
    """Nodes that start at once share the numbers out; no queue id is given twice."""
    nodes = [farm.node(name) for name in ("one", "two", "three")]
    await asyncio.gather(*(node.start() for node in nodes))
    assert {row["writer"] for row in farm.rows("SELECT writer FROM workers WHERE seen_at > 0")} == {0, 1, 2}
    crowds = [farm.clients(node) for node in nodes]
    async with crowds[0], crowds[1], crowds[2]:
        await asyncio.gather(*(crowd.accept_more(50) for crowd in crowds))
    await farm.everything_arrives(*crowds)
    queue_ids = [queue_id for crowd in crowds for queue_id in crowd.accepted.values()]
    assert len(set(queue_ids)) == len(queue_ids)
    assert not farm.arrived_twice()
