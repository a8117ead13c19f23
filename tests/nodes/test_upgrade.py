"""Rolling upgrade: a newer program brings the schema up while older nodes run beside it."""

from relay.store import sql
from relay.store.postgres.migrate import migrate
from tests.nodes.farm import Farm
from tests.parts.postgres import Server
from tests.parts.program import running

NOW = sql.migrations("postgres")
NEXT = max(NOW) + 1
EXPANDING = NOW | {NEXT: f"-- compatible: {max(NOW)}\nALTER TABLE messages ADD COLUMN colour text DEFAULT 'grey'"}
CONTRACTING = EXPANDING | {NEXT + 1: "ALTER TABLE messages DROP COLUMN colour"}


async def test_old_nodes_go_on_beside_a_schema_that_only_grew(farm: Farm, server: Server) -> None:
    """It is brought up under load; nodes that run go on, lose their connections and go on, and can be started anew."""
    old = await farm.start("old")
    clients = farm.clients(old)
    async with clients:
        await clients.accept_more(50)
        assert migrate(farm.url, EXPANDING) == NEXT
        await clients.accept_more(50)
        server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mailtrail %'")
        await clients.accept_more(50)
        again = await farm.start("again")
        more = farm.clients(again)
        async with more:
            await more.accept_more(50)
    await farm.everything_arrives(clients, more)
    assert not farm.arrived_twice()
    for node in (old, again):
        await node.stop()


async def test_old_nodes_stop_in_words_beside_a_schema_that_lost_something(farm: Farm, server: Server) -> None:
    """One that runs answers 4yz and says why as soon as it looks; one that starts ends; the schema is left alone."""
    old = await farm.start("old")
    clients = farm.clients(old)
    reason = f"needs a program that knows schema {NEXT + 1}, this one knows up to {max(NOW)}"
    async with clients:
        await clients.accept_more(20)
        assert migrate(farm.url, CONTRACTING) == NEXT + 1
        server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mailtrail %'")
        await old.program.line(reason)
        await clients.refuse_more(20)
        assert all(reply.startswith("4") for reply in clients.refused)
    again = farm.node("again")
    async with running("-m", "relay", "serve", "--config", str(again.config)) as program:
        assert await program.exit_code() == 1
        assert program.matching(reason)
        assert not program.matching("Traceback")
    assert farm.rows("SELECT value FROM meta WHERE name = 'schema'")[0]["value"] == str(NEXT + 1)
    assert old.running
