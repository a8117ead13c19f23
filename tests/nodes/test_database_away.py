"""The database goes away and comes back: a pause, not a loss. New mail gets 4yz meanwhile; nobody is restarted."""

import asyncio
import os
import re
import signal

import pytest

from tests.crash.traffic import Clients
from tests.nodes.farm import PATIENCE, Farm, sent
from tests.parts.postgres import Server
from tests.parts.program import running
from tests.parts.proxy import Proxy


def all_temporary(clients: Clients) -> bool:
    """Was every no a 4yz with its reason?"""
    return all(re.match(r"4\d\d 4\.\d\.\d ", reply) for reply in clients.refused)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
async def test_a_database_that_is_started_again_under_load_is_a_pause(
    farm: Farm, server: Server, how: signal.Signals
) -> None:
    """What got its 250 arrives; what is sent meanwhile gets 4yz; twice arrives only what was in flight."""
    nodes = [await farm.start("one"), await farm.start("two")]
    one, two = (farm.clients(node) for node in nodes)
    async with one, two:
        await asyncio.gather(one.accept_more(50), two.accept_more(50))
        settled = sent(nodes)
        server.stop(how)
        in_flight = (one.accepted.keys() | two.accepted.keys()) - settled
        await asyncio.gather(one.refuse_more(20), two.refuse_more(20))
        server.start()  # from this thread, with which it would end
        await asyncio.gather(one.accept_more(50), two.accept_more(50))
    await farm.everything_arrives(one, two)
    assert all_temporary(one) and all_temporary(two)
    assert {key for key in farm.arrived_twice() if key in one.accepted or key in two.accepted} <= in_flight
    for node in nodes:
        await node.stop()


@pytest.mark.parametrize("how", ["silent", "refusing"])
async def test_a_node_that_is_cut_off_says_4yz_and_comes_back_by_itself(
    farm: Farm, server: Server, line: Proxy, how: str
) -> None:
    """Whether the line breaks or just carries nothing any more; the other node goes on."""
    cut = await farm.start("cut", url=farm.url.replace(f":{server.port}/", f":{line.port}/"))
    well = await farm.start("well")
    one, two = farm.clients(cut), farm.clients(well)
    async with one, two:
        await asyncio.gather(one.accept_more(50), two.accept_more(50))
        line.go_silent() if how == "silent" else line.refuse()
        await asyncio.gather(one.refuse_more(30), two.accept_more(100))
        assert not two.refused
        line.mend()
        await asyncio.gather(one.accept_more(50), two.accept_more(50))
    await farm.everything_arrives(one, two)
    assert all_temporary(one)
    for node in (cut, well):
        await node.stop()


async def test_a_database_that_is_read_only_for_a_while_is_a_pause(farm: Farm, server: Server) -> None:
    """A fail-over: connections end, the new server cannot be written yet, and then it can."""
    node = await farm.start("one")
    clients = farm.clients(node)
    ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mailtrail %'"
    async with clients:
        await clients.accept_more(50)
        server.run("ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            server.run("SELECT pg_reload_conf()")
            server.run(ends)
            await clients.refuse_more(30)
        finally:
            server.run("ALTER SYSTEM RESET default_transaction_read_only")
            server.run("SELECT pg_reload_conf()")
        await clients.accept_more(50)
    await farm.everything_arrives(clients)
    assert all_temporary(clients)
    await node.stop()


async def test_a_node_waits_for_a_database_that_is_not_there_yet(farm: Farm, server: Server) -> None:
    """Started before its database, it says so in words, and is ready when the database is."""
    node = farm.node("early")
    server.stop()
    try:
        await node.start(ready="waiting for the database: cannot connect to postgresql://")
    finally:
        server.start()  # from this thread, with which it would end
    await node.program.line(r"/relay\[\d+\]: ready: ")
    assert len(node.program.matching("waiting for the database")) <= 3
    await node.stop()


async def test_a_node_whose_database_does_not_exist_ends_in_words(farm: Farm) -> None:
    """A wrong name or password does not pass by waiting."""
    node = farm.node("lost", url=f"{farm.url}_not")
    async with running("-m", "relay", "serve", "--config", str(node.config)) as program:
        assert await program.exit_code() == 1
        assert program.matching(r"database .*test_\w+_not.* does not exist"), program.last
        assert not program.matching("Traceback")


async def test_what_was_delivered_while_the_database_was_away_for_longer_than_a_lease_is_not_delivered_again(
    farm: Farm, server: Server, line: Proxy
) -> None:
    """Outcomes wait in memory; when the database is back they are written before anybody claims what has lapsed."""
    way = farm.url.replace(f":{server.port}/", f":{line.port}/")
    nodes = [await farm.start(name, url=way) for name in ("one", "two")]
    farm.sink.answers.clear()
    accepted = await farm.send(nodes[0], *(f"m{number}" for number in range(20)))
    await farm.sink.until(lambda: farm.sink.open > 0)
    # In hand, and found to be addresses that may be mailed: what is not known to be one is not mailed meanwhile.
    spooled = "SELECT count(*) AS n FROM email_status WHERE status = 'spooled'"
    await farm.until(lambda: farm.rows(spooled)[0]["n"] == len(accepted))
    line.refuse()
    farm.sink.answers.set()
    await farm.sink.wait_for(accepted)
    farm.views.change("UPDATE deliveries SET due_at = 1 WHERE in_hand = 1")  # as if the lease were over
    farm.views.change("UPDATE queues SET next_at = 1")
    for node in nodes:
        await node.program.line("cannot claim work, trying again")
    await line.refused(20)  # each of the nodes' connections comes again about once a second
    line.mend()
    await farm.everything_settled()
    assert not farm.arrived_twice()
    for node in nodes:
        await node.stop()


async def test_a_worker_that_is_replaced_while_the_database_is_away_begins_when_it_is_back(
    farm: Farm, server: Server
) -> None:
    """It waits, says so, and takes mail as soon as it can; nobody gives up."""
    node = await farm.start("one")
    clients = farm.clients(node)
    async with clients:
        await clients.accept_more(20)
        clients.welcome.clear()
        server.stop()
        try:
            for worker in node.program.children:
                os.kill(worker, signal.SIGKILL)
            await node.program.line("waiting for the database: ")
        finally:
            server.start()
        await node.program.line("worker replaced")
        clients.welcome.set()
        await clients.accept_more(20)
    await farm.sink.wait_for(clients.accepted)
    await node.stop()


async def test_what_was_delivered_before_a_stop_during_an_outage_is_not_delivered_again(
    farm: Farm, server: Server, line: Proxy
) -> None:
    """A node that is told to stop waits for its database within its grace time, and writes what came of attempts."""
    way = farm.url.replace(f":{server.port}/", f":{line.port}/")
    node = await farm.start("one", url=way, lease="1h")
    farm.sink.answers.clear()
    accepted = await farm.send(node, *(f"m{number}" for number in range(20)))
    await farm.sink.until(lambda: farm.sink.open > 0)
    line.refuse()
    farm.sink.answers.set()
    await node.program.line("cannot claim work, trying again")
    program = node.program
    program.send(signal.SIGTERM)
    await program.line("stopping")
    async with asyncio.timeout(PATIENCE):
        await line.refused(10)  # its connections come again about once a second
    line.mend()
    assert await program.exit_code() == 0, program.last
    assert not program.matching("is lost")
    farm.views.change("UPDATE deliveries SET due_at = 1 WHERE in_hand = 1")  # as if the lease were over
    farm.views.change("UPDATE queues SET next_at = 1")
    await node.start()
    await farm.sink.wait_for(accepted)
    await farm.everything_settled()
    assert not farm.arrived_twice()
    await node.stop()


async def test_a_node_can_be_stopped_while_its_database_is_away(farm: Farm, server: Server) -> None:
    """It waits for its grace time, ends cleanly, says what is tried again later, and that comes due."""
    node = await farm.start("one", grace="2s")
    farm.sink.answers.clear()
    accepted = await farm.send(node, "a", "b")
    await farm.sink.until(lambda: len(farm.sink.arrived) == 2)
    server.stop()
    try:
        farm.sink.answers.set()
        program = node.program
        await node.stop()
        assert program.matching("what came of these attempts is lost, .* attempts=2"), program.last
        assert all(program.matching(f"to be tried again: .*{queue_id}") for queue_id in accepted.values())
        assert not program.matching("Traceback|worker died")
    finally:
        server.start()
    await node.start()
    await farm.sink.wait_for(accepted)
    await farm.everything_settled()
    await node.stop()
