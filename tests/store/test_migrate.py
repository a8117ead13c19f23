"""Bringing a database up: the same rules on both engines."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from relay.config import Config
from relay.store import SchemaTooNew, Store, StoreUnavailable, migrate, open_store, sql
from relay.store.columns import VIEW_COLUMNS
from relay.store.postgres import migrate as postgres
from relay.store.sqlite import migrate as sqlite
from tests.parts.mail import accepted
from tests.parts.views import Views
from tests.store.spooling import rows
from tests.store.visiting import visit

NEWEST = max(sql.migrations("sqlite"))
EXPANDING = "-- compatible: 1\nALTER TABLE messages ADD COLUMN colour text;"
CONTRACTING = "ALTER TABLE messages DROP COLUMN colour;"


def bring_up(config: Config, more: Mapping[int, str]) -> int:
    """As a program would that has these migrations besides ours."""
    if config.database_url.startswith("sqlite"):
        return sqlite.migrate(config.database_path, sql.migrations("sqlite") | dict(more))
    return postgres.migrate(config.database_url, sql.migrations("postgres") | dict(more))


async def test_an_empty_database_is_brought_up_and_a_current_one_left_as_it_is(empty: Config) -> None:
    """The first migration makes everything; another one changes nothing."""
    assert migrate(empty) == NEWEST
    mail = accepted()
    store = await open_store(empty)
    await store.accept(mail, claimed=False)
    await store.close()
    assert migrate(empty) == NEWEST
    store = await open_store(empty)
    assert await store.content(mail.message.queue_id) == mail.content
    await store.close()


async def test_an_older_database_is_brought_up_with_what_is_in_it(config: Config) -> None:
    """The missing steps are done; mail that is waiting stays."""
    mail = accepted()
    store = await open_store(config)
    await store.accept(mail, claimed=False)
    await store.close()
    assert bring_up(config, {NEWEST + 1: EXPANDING}) == NEWEST + 1
    store = await open_store(config)
    assert await rows(store, "SELECT colour FROM messages") == [{"colour": None}]
    await store.close()


async def test_a_program_of_the_first_schema_works_on_beside_this_one(empty: Config) -> None:
    """Its rows have what it does not know by default, and what it has counted is counted on with marks over it."""
    if empty.database_url.startswith("sqlite"):
        sqlite.migrate(empty.database_path, {1: sql.migrations("sqlite")[1]})
        views = Views(empty.database_path)
    else:
        connection = await asyncpg.connect(empty.database_url)
        await connection.execute(sql.migrations("postgres")[1])
        await connection.execute("INSERT INTO meta VALUES ('schema', '1'), ('compatible', '1')")
        await connection.close()
        views = Views(empty.database_url)
    views.change(_OLD_MESSAGE)
    views.change(_OLD_DELIVERY)
    views.change("INSERT INTO status_counts VALUES (0, '', '', 'x.test', 'sent', 1, 9)")
    assert migrate(empty) == NEWEST
    views.change(
        "INSERT INTO credentials (name, secrets, created_at, domains, networks) VALUES ('a', '[]', 0, '[]', '[]')"
    )
    store = await open_store(empty)
    try:
        (message,) = (await store._messages(["old"])).values()
        assert (message.track_opens, message.track_clicks, message.unsubscribe) == (True, True, False)
        credential = await store.credential("a")
        assert credential is not None and credential.track_opens is None and credential.unsubscribe is None
        await store.record([visit("old")], [])
        assert await rows(store, "SELECT requests, delivered, trackable, opened FROM daily_stats") == [
            {"requests": 1, "delivered": 1, "trackable": 0, "opened": 0}
        ]
        assert await rows(store, "SELECT opened, trackable FROM email_status") == [{"opened": 1, "trackable": 0}]
    finally:
        await store.close()


# As a program of schema 1 writes them.
_OLD_MESSAGE = """
INSERT INTO messages (queue_id, received_at, origin, reverse_path, sender, sender_domain, subject, message_id, size,
                      eight_bit, smtputf8)
VALUES ('old', 0, 'application', '', 'a@x.test', 'x.test', '', '', 9, 0, 0)
"""
_OLD_DELIVERY = """
INSERT INTO deliveries (queue_id, number, recipient, role, destination, notify, status, status_at, attempts, in_hand)
VALUES ('old', 0, 'b@y.test', 'to', 'y.test', '', 'sent', 1, 1, 0)
"""


async def test_a_step_that_fails_leaves_the_database_as_it_was(config: Config) -> None:
    """All missing steps are one transaction."""
    with pytest.raises(Exception, match="no_such_table"):
        bring_up(config, {NEWEST + 1: EXPANDING, NEWEST + 2: "DELETE FROM no_such_table;"})
    assert migrate(config) == NEWEST
    store = await open_store(config)
    await store.accept(accepted(), claimed=False)
    assert "colour" not in dict((await store.query("SELECT * FROM messages"))[1][0])
    await store.close()


async def test_an_older_program_works_on_beside_a_newer_one(config: Config) -> None:
    """After a step that only adds, the old program starts, and works: nodes are upgraded one after the other."""
    assert bring_up(config, {NEWEST + 1: EXPANDING}) == NEWEST + 1
    assert migrate(config) == NEWEST + 1
    store = await open_store(config)
    await store.accept(accepted(), claimed=False)
    await store.close()


def test_a_database_that_needs_a_newer_program_is_refused_in_words(config: Config) -> None:
    """After a step that takes something away the old program says why it does not start, and what to do."""
    bring_up(config, {NEWEST + 1: EXPANDING, NEWEST + 2: CONTRACTING})
    refused = rf"needs a program that knows schema {NEWEST + 2}, this one knows up to {NEWEST}\. Fix: "
    with pytest.raises(SchemaTooNew, match=refused):
        migrate(config)


def test_programs_that_start_at_once_migrate_once(empty: Config) -> None:
    """Of many that find an empty database one makes everything and the others wait for it."""
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lambda _: migrate(empty), range(6))) == [NEWEST] * 6


async def test_a_server_that_was_never_migrated_says_so(empty: Config) -> None:
    """Opening needs a migrated database; the words name the command that makes one."""
    if empty.database_url.startswith("sqlite"):
        pytest.skip("a file that is not there is made by opening it; the command line looks before")
    with pytest.raises(StoreUnavailable, match="mailtrail db migrate"):
        await open_store(empty)


async def test_every_view_has_the_columns_that_are_described(store: Store) -> None:
    """What columns.py says and what the views have is the same, in the same order, in both dialects."""
    for view, columns in VIEW_COLUMNS.items():
        found, _ = await store.query(f"SELECT * FROM {view} LIMIT 0")
        assert found == list(columns), view
    _, kept = await store.query("SELECT view_name, column_name FROM view_columns ORDER BY view_name, position")
    assert [(row["view_name"], row["column_name"]) for row in kept] == sorted(
        ((view, column) for view, columns in VIEW_COLUMNS.items() for column in columns), key=lambda pair: pair[0]
    )


async def test_what_is_empty_is_empty_in_every_view(store: Store) -> None:
    """Every view can be read from the first moment."""
    for view in VIEW_COLUMNS.keys() - {"relay_info"}:
        assert await rows(store, f"SELECT * FROM {view}") == []


def test_both_dialects_have_the_same_statements_in_the_same_order() -> None:
    """Two files that can be read side by side, and migrations of the same numbers."""
    assert list(sql.statements("sqlite")) == list(sql.statements("postgres"))
    assert list(sql.migrations("sqlite")) == list(sql.migrations("postgres"))


def test_a_migration_blocks_no_loop_it_does_not_know(empty: Config) -> None:
    """It can be called where a loop runs and where none does."""

    async def inside() -> int:
        return migrate(empty)

    assert asyncio.run(inside()) == NEWEST
