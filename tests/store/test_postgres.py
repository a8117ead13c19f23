"""What is PostgreSQL's alone: a server that is away, fails over, is started again; its clock; its dialect."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from relay.config import Config, DeliverySection
from relay.credential import Credential
from relay.event import Event
from relay.filters import Filter
from relay.store import Accepted, BadQuery, NotOffered, SchemaTooNew, Store, StoreUnavailable, open_store, sql
from relay.store.postgres.engine import PostgresEngine
from relay.store.postgres.link import DOUBT, WORD, Connection
from relay.store.postgres.migrate import migrate
from relay.store.postgres.prepared import prepared
from relay.store.rows import delivery_row, message_row, to_json
from suppression.entry import Entry
from tests.parts.mail import SENT, accepted
from tests.parts.postgres import Server
from tests.parts.proxy import Proxy
from tests.store.spooling import claim_all, claimed, rows, settle
from tests.store.test_signing import KEY

PATIENCE = 30.0


@pytest.fixture
def config(postgres: Server, tmp_path: Path) -> Iterator[Config]:
    with postgres.database() as url:
        yield Config("relay.test", data_dir=tmp_path, database_url=url, delivery=DeliverySection(lease=30.0))


@pytest.fixture
def own_url(own_postgres: Server) -> str:
    """A migrated database on a server that can be stopped."""
    own_postgres.run("CREATE DATABASE relay")
    url = own_postgres.url_of("relay")
    migrate(url)
    return url


@pytest.fixture
async def node(own_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    """A node on it."""
    store = await open_store(Config("relay.test", data_dir=tmp_path, database_url=own_url))
    yield store
    await store.close()


async def until_accepted(store: Store, mail: Accepted) -> None:
    """As a client does that is told 4yz: it comes again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await store.accept(mail, claimed=False)
            except StoreUnavailable:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["shut down", "crashed"])
async def test_while_the_server_is_away_everything_fails_at_once_and_then_goes_on_by_itself(
    own_postgres: Server, node: Store, how: signal.Signals
) -> None:
    """Nobody waits for it and nobody starts the node anew; what was accepted before is there."""
    before, after = accepted(), accepted()
    await node.accept(before, claimed=False)
    own_postgres.stop(how)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="cannot"):
            await node.accept(accepted(), claimed=False)
        with pytest.raises(StoreUnavailable, match="cannot"):
            await node.credential("billing")
    own_postgres.start()
    await until_accepted(node, after)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                assert await node.content(before.message.queue_id) == before.content
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
    found = await rows(node, "SELECT queue_id FROM email_status ORDER BY queue_id")
    assert [row["queue_id"] for row in found] == [before.message.queue_id, after.message.queue_id]


async def test_a_server_that_is_started_again_under_load_loses_nothing(own_postgres: Server, node: Store) -> None:
    """Every message whose accept() returned is there afterwards, once, and can be delivered."""
    safe: list[str] = []
    enough = asyncio.Event()
    more = asyncio.Semaphore(0)

    async def client(number: int) -> None:
        while not enough.is_set():
            mail = accepted([f"u{number}@x.test"])
            try:
                await node.accept(mail, claimed=False)
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                safe.append(mail.message.queue_id)
                more.release()

    clients = [asyncio.create_task(client(number)) for number in range(20)]
    for how in (signal.SIGINT, signal.SIGQUIT):
        async with asyncio.timeout(PATIENCE):
            for _ in range(100):
                await more.acquire()
        own_postgres.stop(how)
        own_postgres.start()
    await until_accepted(node, accepted())
    enough.set()
    await asyncio.gather(*clients)
    kept = [row["queue_id"] for row in await rows(node, "SELECT queue_id FROM email_status")]
    assert len(kept) == len(set(kept))
    assert set(safe) <= set(kept)


async def test_a_server_that_is_read_only_for_a_while_is_a_pause(own_postgres: Server, node: Store) -> None:
    """A fail-over: it cannot write, says so at once, and goes on by itself when it can."""
    await node.accept(accepted(), claimed=False)
    own_postgres.run("ALTER SYSTEM SET default_transaction_read_only = on")
    own_postgres.run("SELECT pg_reload_conf()")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StoreUnavailable, match=r"read-only|not read-write|attribute"):
            while True:
                await node.accept(accepted(), claimed=False)
    own_postgres.run("ALTER SYSTEM RESET default_transaction_read_only")
    own_postgres.run("SELECT pg_reload_conf()")
    await until_accepted(node, accepted())


async def test_an_administrator_who_ends_our_connections_is_a_pause(postgres: Server, config: Config) -> None:
    """Terminated backends are replaced."""
    store = await open_store(config)
    try:
        database = config.database_url.rpartition("/")[2]
        postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
        await until_accepted(store, accepted())
    finally:
        await store.close()


async def test_a_statement_that_is_slow_is_waited_for_as_long_as_the_server_answers_others(config: Config) -> None:
    """After a moment of doubt, and then again and again, the server answers a stranger: it is slow, and not gone."""
    store = await open_store(config)
    try:
        assert isinstance(store.engine, PostgresEngine)
        slow = f"SELECT pg_sleep({3 * (DOUBT + WORD)})"
        await asyncio.gather(*(link.run(partial(ask, slow)) for link in (store.engine._writer, store.engine._reader)))
        await store.accept(accepted(), claimed=False)
    finally:
        await store.close()


async def ask(sql: str, connection: Connection) -> None:
    """Run it."""
    await connection.execute(sql)


async def test_a_server_that_is_gone_without_a_word_is_noticed_once_for_all_connections(
    config: Config, postgres: Server
) -> None:
    """The first caller waits for a second; from then on everybody hears a no at once, until the line is mended."""
    if not postgres.ours:
        pytest.skip("the server may be on another machine")
    async with Proxy(postgres.port) as line:
        url = config.database_url.replace(f":{postgres.port}/", f":{line.port}/")
        store = await open_store(replace(config, database_url=url))
        try:
            line.go_silent()
            with pytest.raises(StoreUnavailable):
                async with asyncio.timeout(2.5 * (DOUBT + WORD)):
                    await store.accept(accepted(), claimed=False)
            with pytest.raises(StoreUnavailable, match="it does not answer"):
                await store.credential("billing")
            line.mend()
            await until_accepted(store, accepted())
        finally:
            await store.close()


async def test_a_server_that_is_not_there_is_said_in_words_without_the_password(tmp_path: Path) -> None:
    """The place is named, the secret is not."""
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/relay") as told:
        await open_store(Config("r.test", data_dir=tmp_path, database_url="postgresql://u:secret@127.0.0.1:1/relay"))
    assert "secret" not in str(told.value)


async def test_leases_are_measured_by_the_databases_clock(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose clock is an hour ahead claims nothing that others have in hand, and holds nothing for an hour."""
    right = time.time
    store = await open_store(config)
    monkeypatch.setattr(time, "time", lambda: right() + 3600)
    wrong = await open_store(config)
    try:
        assert abs(wrong.engine.now() - right()) < 5
        await store.accept(accepted(), claimed=True)
        assert await claim_all(wrong) == []
        await wrong.accept(accepted(["u@y.test"]), claimed=False)
        (mine,) = await claim_all(wrong)
        (row,) = await rows(store, f"SELECT due_at FROM deliveries WHERE queue_id = '{mine.message.queue_id}'")
        assert row["due_at"] - right() < 35
    finally:
        await store.close()
        await wrong.close()


async def test_two_groups_that_block_each_other_crosswise_are_both_written(config: Config) -> None:
    """A deadlock is between transactions of ours: one is run again, and neither caller hears of it."""
    one, two = await open_store(config), await open_store(config)
    try:
        mails = [accepted([f"u{n}@x.test"]) for n in range(40)]
        for mail in mails:
            await one.accept(mail, claimed=True)
        for _ in range(5):
            await asyncio.gather(
                one.renew([claimed(mail) for mail in mails]),
                two.renew([claimed(mail) for mail in reversed(mails)]),
                one.operate("retry", Filter(), actor="a"),
                two.operate("retry", Filter(), actor="b"),
            )
    finally:
        await one.close()
        await two.close()


async def _by_people(store: Store) -> AsyncIterator[Awaitable[object]]:
    """Everything that people do, and that the log tells as theirs, one after the other."""
    await store.accept(accepted(["bob@x.test", "ann@x.test"]), claimed=False)
    entry = Entry("bob@x.test", "", "manual", "a person", store.engine.now())
    yield store.save_credential(Credential("shop", (), store.engine.now()), actor="ada")
    yield store.save_signing_key(KEY, b"private", actor="ada")
    yield store.operate("retry", Filter(), actor="ada")
    yield store.suppress(entry, actor="ada")
    yield store.unsuppress(entry.address, "", actor="ada")
    yield store.retry_dropped(entry, actor="ada")
    yield store.happened(Event(store.engine.now(), "not_signed_up", "", None, "recipient"))


async def test_what_people_do_is_numbered_in_the_order_of_commits(config: Config) -> None:
    """The log goes on from the last number it has seen: a smaller one that is committed later would be missed."""
    store = await open_store(config)
    before = await asyncpg.connect(config.database_url)
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    waits += " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    try:
        done = 0
        async for action in _by_people(store):
            await before.execute("BEGIN")
            await before.execute(prepared(sql.statements("postgres")["in_turn"]).text)
            acting = asyncio.ensure_future(action)
            while not await before.fetchval(waits):
                assert not acting.done(), f"the {done + 1}th waited for nobody"
            await before.execute("COMMIT")
            await acting
            done += 1
        assert done == 7
    finally:
        await before.close()
        await store.close()


async def test_work_that_is_given_while_its_destination_is_claimed_empty_is_found(config: Config) -> None:
    """A group that commits after a claim has looked is not overlooked: the destination stays due."""
    store = await open_store(config)
    slow = await asyncpg.connect(config.database_url)
    try:
        await store.accept(accepted(), claimed=False)
        late = accepted()
        group = {
            "accept_messages": [message_row(late.message)],
            "accept_deliveries": [delivery_row(late.deliveries[0], due_at=store.engine.now(), attempts=0)],
            "add_work": [{"destination": "x.test", "next_at": store.engine.now()}],
        }
        await slow.execute("BEGIN")
        for name, given in group.items():
            await slow.execute(prepared(sql.statements("postgres")[name]).text, to_json(given))
        assert len(await store.claim({"x.test": 10})) == 1
        await slow.execute("COMMIT")
        (found,) = await claim_all(store)
        assert found.message.queue_id == late.message.queue_id
    finally:
        await slow.close()
        await store.close()


async def test_a_claim_of_a_hundred_destinations_costs_as_many_round_trips_as_one_of_one(config: Config) -> None:
    """Begin, three statements, commit; and one look at the messages."""
    store = await open_store(config)
    sent: list[str] = []

    async def watch(connection: Connection) -> None:
        connection.add_query_logger(lambda asked: sent.append(asked.query))

    async def sent_for(room: dict[str, int]) -> list[str]:
        sent.clear()
        assert len(await store.claim(room)) == len(room)
        await asyncio.sleep(0)  # asyncpg tells who watches in the loop's next turn
        return list(sent)

    try:
        names = [f"d{n}.test" for n in range(101)]
        await store.accept(accepted([f"u@{name}" for name in names]), claimed=False)
        assert isinstance(store.engine, PostgresEngine)
        for link in (store.engine._writer, store.engine._reader):
            await link.run(watch)
        of_one = await sent_for({names.pop(): 1})
        assert await sent_for(dict.fromkeys(names, 1)) == of_one
        assert len(of_one) == 6
    finally:
        await store.close()


async def test_what_others_hold_of_some_destinations_keeps_no_claim_waiting(config: Config) -> None:
    """A destination that is given work just now stays due; a delivery that is changed just now is passed over."""
    store = await open_store(config)
    slow = await asyncpg.connect(config.database_url)
    try:
        mails = {name: accepted([f"u@{name}.test"]) for name in ("given", "changed", "free")}
        for mail in mails.values():
            await store.accept(mail, claimed=False)
        await slow.execute("BEGIN")
        await slow.execute("SELECT add_work($1)", to_json([{"destination": "given.test", "next_at": 1e10}]))
        held = mails["changed"].message.queue_id
        await slow.execute("SELECT 1 FROM deliveries WHERE queue_id = $1 FOR UPDATE", held)
        async with asyncio.timeout(PATIENCE):
            found = await store.claim({f"{name}.test": 5 for name in mails})
        assert {delivery.destination for delivery in found} == {"given.test", "free.test"}
        assert set(await store.due(busy=(), limit=10)) == {"given.test", "changed.test"}
        await slow.execute("ROLLBACK")
        (left,) = await claim_all(store)
        assert left.message.queue_id == held
        assert await store.due(busy=(), limit=10) == []
    finally:
        await slow.close()
        await store.close()


async def test_nul_and_what_is_no_text_are_kept_as_replacement_characters(config: Config) -> None:
    """PostgreSQL keeps no NUL in text; a subject or a reply with one loses no mail."""
    store = await open_store(config)
    try:
        mail = accepted(subject="a\0b \\u0000 c\\\0")
        await store.accept(mail, claimed=True)
        assert await rows(store, "SELECT subject FROM email_status") == [{"subject": "a\ufffdb \\u0000 c\\\ufffd"}]
        await store.operate("hold", Filter(), actor="anna", reason="x\0y")
        assert await rows(store, "SELECT held_reason FROM delivery_status") == [{"held_reason": "x\ufffdy"}]
        assert (await settle(store, claimed(mail), SENT)).finished
    finally:
        await store.close()


async def test_people_can_read_and_not_write(config: Config) -> None:
    """A query that writes, or is wrong, is told in the database's words; one that takes too long is ended."""
    store = await open_store(config)
    try:
        columns, found = await store.query("SELECT 1 AS one, 'a:b' AS two")
        assert (columns, [dict(row) for row in found]) == (["one", "two"], [{"one": 1, "two": "a:b"}])
        for sql in ("DELETE FROM messages", "SELECT set_config('transaction_read_only', 'off', false)", "SELEKT 1"):
            with pytest.raises(BadQuery):
                await store.query(sql)
        with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"):
            await store.query("SELECT pg_sleep(30)", seconds=0.05)
        assert (await store.query("SELECT 1 AS one"))[0] == ["one"]
    finally:
        await store.close()


async def test_the_check_names_what_contradicts_itself(config: Config, postgres: Server) -> None:
    """A sound database has nothing to say; a delivery without its message is named."""
    store = await open_store(config)
    try:
        mail = accepted()
        await store.accept(mail, claimed=False)
        assert await store.check() == []
        postgres.run("DELETE FROM messages", config.database_url.rpartition("/")[2])
        assert f"the delivery {mail.message.queue_id}.0 has no message" in await store.check()
    finally:
        await store.close()


async def test_a_backup_is_the_servers_and_the_words_say_how(config: Config, tmp_path: Path) -> None:
    """pg_dump does it."""
    store = await open_store(config)
    try:
        with pytest.raises(NotOffered, match="pg_dump --format=custom"):
            await store.backup(tmp_path / "backup")
    finally:
        await store.close()


async def test_a_node_stops_writing_when_the_database_has_gone_beyond_it(config: Config, postgres: Server) -> None:
    """A contracting migration beside a running node: it says no from its next look on, and does not start again."""
    newest = max(sql.migrations("postgres"))
    beyond = f"UPDATE meta SET value = '{newest + 1}' WHERE name = 'compatible'"
    store = await open_store(config)
    try:
        postgres.run(beyond, config.database_url.rpartition("/")[2])
        assert isinstance(store.engine, PostgresEngine)
        store.engine._next_measure = 0.0
        with pytest.raises(StoreUnavailable, match=f"knows up to {newest}"):
            await store.tidy()
        with pytest.raises(StoreUnavailable, match=f"knows up to {newest}"):
            await store.accept(accepted(), claimed=False)
        with pytest.raises(SchemaTooNew):
            await open_store(config)
    finally:
        await store.close()


def test_names_become_numbers_but_not_in_strings_comments_and_casts() -> None:
    """One number a name; what is cast to jsonb is JSON."""
    found = prepared("SELECT ':no', a::text, :b, :a /* x */ -- :no\n, \":no\", :rows::jsonb, :b::float8")
    assert found.text == "SELECT ':no', a::text, $1, $2 /* x */ -- :no\n, \":no\", $3::jsonb, $1::float8"
    assert found.names == ("b", "a", "rows")
    assert found.json == {"rows"}
