"""`db copy`: a relay's whole state moves from one engine to the other, in both directions."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from relay.cli.database import place
from relay.config import Config
from relay.credential import Rate
from relay.delivery import Status, Verdict
from relay.envelope import Origin
from relay.filters import parse
from relay.reply import Reply
from relay.signing_key import Algorithm, SigningKey, State
from relay.store import Store, StoreUnavailable, migrate, open_store
from relay.store.spool import Settlement
from relay.store.transfer import copy
from suppression.entry import Entry
from tests.cli.conftest import HELD, NEWS, RECEIPT, Cli, Result, both_engines
from tests.parts.mail import accepted, attempt
from tests.parts.postgres import Server
from tests.store.visiting import judged_otherwise, visit

LARGE = "3kq7mvt2z300"  # its content has several pages
CLAIMED = "3kq7mvt2z400"  # in somebody's hand
NOTICE = "3kq7mvt2z500"  # our own
TABLES = ["messages", "contents", "deliveries", "tries", "happenings", "refusals", "credentials", "buckets", "queues"]
TABLES += ["visits", "marks", "suppression_list", "domains", "signing_keys"]
PUBLIC = ["daily_stats", "hourly_stats"]


@dataclass
class Move:
    """A source with mail in it, and where it goes."""

    cli: Cli
    source: Config
    target: Config

    def __call__(self) -> Result:
        return self.cli("db", "copy", "--from", url(self.source), "--to", url(self.target))

    def assert_alike(self) -> None:
        assert asyncio.run(contents(self.target)) == asyncio.run(contents(self.source))


def url(config: Config) -> str:
    """The database, as `--from` and `--to` name it."""
    return f"sqlite:///{config.database_path}" if config.database_url.startswith("sqlite:") else config.database_url


@pytest.fixture
def move(engine: str, cli: Cli, config: Config, tmp_path: Path, postgres: Server) -> Iterator[Move]:
    """From `engine` to the other one; the target does not exist yet."""
    if engine == "postgres":
        yield Move(cli, config, Config("", database_url=f"sqlite:///{tmp_path}/moved.db"))
        return
    with postgres.database(migrated=False) as other:
        yield Move(cli, config, Config("", database_url=other))


async def contents(config: Config) -> dict[str, list[Any]]:
    """Everything in the tables, and what the views make of the statistics."""
    store = await open_store(config)
    try:
        found = {}
        for table in (*TABLES, *PUBLIC):
            _, rows = await store.query(f"SELECT * FROM {table}")
            shown = [{k: v for k, v in dict(row).items() if k != "looked_at"} for row in rows]
            found[table] = sorted(str(sorted(row.items())) for row in shown)
        return found | {"secrets": sorted((await store.engine.secrets()).items())}
    finally:
        await store.close()


def change(config: Config, work: Callable[[Store], Any]) -> Any:
    """Do something in a database, as a worker or a command would."""

    async def run() -> Any:
        store = await open_store(config)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def live(store: Store) -> None:
    """What else a relay's database has in it."""
    now = time.time()
    await store.accept(
        accepted(["x@large.test"], queue_id=LARGE, received_at=now - 50, content=bytes(range(256)) * 4000),
        claimed=False,
    )
    await store.accept(accepted(["y@claimed.test"], queue_id=CLAIMED, received_at=now - 40), claimed=True)
    notice = accepted(["z@notice.test"], queue_id=NOTICE, received_at=now - 30)
    await store.accept(replace(notice, message=replace(notice.message, origin=Origin.NOTICE)), claimed=False)
    await store.spend("billing-app", Rate(10, 60.0))
    await store.sum_up()
    await store.operate("retry", parse(f"id:{NEWS}", now), actor="anna")
    await store.record([visit(RECEIPT), visit(RECEIPT, kind="click"), visit(LARGE, by="machine")], [])
    for n in range(3):
        await store.suppress(Entry(f"u{n}@x.test", "news", "unsubscribe", "page", now), actor="recipient")
        await store.suppress(Entry(f"u{n}@x.test", "news", "manual", "anna", now, note="beside it"), actor="anna")
    key = SigningKey("billing.test", "s1", Algorithm.RSA, State.ACTIVE, "MIIB", now, now)
    await store.save_signing_key(key, b"-----BEGIN", actor="anna")
    await store.engine.keep_secret("token-0", bytes(range(32)))


async def go_on(store: Store) -> None:
    """New mail, an attempt that is decided, a release, a credential that is revoked, a signing key that goes."""
    mail = accepted(["w@new.test"], queue_id="3kq7mvt2z600", received_at=time.time())
    await store.accept(mail, claimed=False)
    news = accepted(("carl@gmail.com", "dora@mail.gmail.com"), queue_id=NEWS, received_at=time.time() - 60)
    (carl,) = await store.claim({"gmail.com": 1})
    sent = Verdict(Status.SENT, None, "2.0.0", "250 2.0.0 OK", Reply(250, "2.0.0", "OK"))
    assert carl.recipient == news.deliveries[0].recipient
    await store.settle(Settlement(carl, attempt(), sent))
    await store.operate("release", parse(f"id:{HELD}", time.time()), actor="anna")
    await store.operate("cancel", parse(f"id:{LARGE}", time.time()), actor="anna")
    known = await store.credential("billing-app")
    assert known
    await store.save_credential(replace(known, revoked_at=time.time()), verb="revoke", actor="anna")
    await store.claim({"mail.gmail.com": 1})  # leaves no event
    seen = (await store.known([(RECEIPT, 0)]))[RECEIPT, 0].recent
    await store.record([visit(RECEIPT)], [judged_otherwise(judged) for judged in seen])
    await store.record([], [judged_otherwise(judged) for judged in (await store.known([(LARGE, 0)]))[LARGE, 0].recent])
    await store.unsuppress("u0@x.test", "news", actor="anna")
    await store.suppress(Entry("u1@x.test", "", "complaint", "fbl", time.time()), actor="relay", delivery=(RECEIPT, 0))
    await store.remove_signing_key("billing.test", "s1", actor="anna")


@both_engines
def test_an_empty_relay_is_copied(bare: Cli, engine: str, config: Config, tmp_path: Path, postgres: Server) -> None:
    """Nothing is a state, too; the target is made."""
    migrate(config)
    move = Move(bare, config, Config("", database_url=f"sqlite:///{tmp_path}/moved.db"))
    result = move()
    assert result.code == 0 and "0 messages, and is a true copy" in result.out
    move.assert_alike()


@both_engines
def test_everything_arrives_on_the_other_engine(move: Move) -> None:
    """Waiting, held, deferred, in hand, decided; notices, refusals, credentials, rates, sums: alike to the last row."""
    change(move.source, live)
    result = move()
    assert result.code == 0 and "6 messages, and is a true copy" in result.out, result.err
    move.assert_alike()


@both_engines
def test_what_comes_after_a_copy_gets_new_numbers(move: Move) -> None:
    """Event numbers go on where they were, so that readers who remember the last one miss nothing."""
    assert move().code == 0

    async def last(store: Store) -> int:
        _, (row,) = await store.query("SELECT max(event_id) AS n FROM events")
        return int(row["n"])

    before = change(move.source, last)
    assert change(move.target, last) == before
    change(move.target, go_on_there)
    assert change(move.target, last) > before


async def go_on_there(store: Store) -> None:
    """A relay works with the target: it claims what was waiting, and settles it."""
    (carl,) = await store.claim({"gmail.com": 1})
    sent = Verdict(Status.SENT, None, "2.0.0", "250 2.0.0 OK", Reply(250, "2.0.0", "OK"))
    await store.settle(Settlement(carl, attempt(), sent))
    assert await store.content(RECEIPT) is not None


@both_engines
def test_a_second_run_takes_over_what_changed(move: Move) -> None:
    """New mail, decisions, releases, claims, contents and credentials that went."""
    change(move.source, live)
    assert move().code == 0
    change(move.source, go_on)
    result = move()
    assert result.code == 0 and "true copy" in result.out, result.err
    move.assert_alike()


@both_engines
def test_a_third_run_takes_away_what_retention_took(move: Move) -> None:
    """What is gone in the source goes in the target."""

    async def age(store: Store) -> None:
        for queue_id in (HELD, RECEIPT):
            await store.operate("cancel", parse(f"id:{queue_id}", time.time()), actor="anna")
        gone = await store._prune_messages(time.time() + 1)
        assert gone == 2

    assert move().code == 0
    assert move().code == 0
    change(move.source, age)
    assert move().code == 0
    move.assert_alike()


@both_engines
@pytest.mark.parametrize("after", range(0, 25, 4))
def test_an_interrupted_copy_is_resumed(move: Move, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after any commit: the next run finishes it."""
    monkeypatch.setattr("relay.store.transfer.pair.STEP", 2)
    change(move.source, live)
    migrate(move.target)

    async def interrupted() -> None:
        source, target = await open_store(move.source), await open_store(move.target)
        put, left = target.engine.put, after

        async def put_until(batches: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise StoreUnavailable("cut off")
            await put(batches)

        target.engine.put = put_until  # type: ignore[method-assign]
        try:
            with pytest.raises(StoreUnavailable):
                await copy(source, target, name=place(move.source), progress=lambda *_: None)
        finally:
            await source.close()
            await target.close()

    asyncio.run(interrupted())
    result = move()
    assert result.code == 0 and "true copy" in result.out, result.err
    move.assert_alike()


@both_engines
def test_what_is_there_is_not_copied_again(move: Move) -> None:
    """A second run begins where the first one came to; only what still waits is looked at again."""
    assert move().code == 0
    copied: list[str] = []

    async def again() -> None:
        source, target = await open_store(move.source), await open_store(move.target)
        try:
            await copy(source, target, name=place(move.source), progress=lambda what, *_: copied.append(what))
        finally:
            await source.close()
            await target.close()

    asyncio.run(again())
    assert copied == ["what waited"]


@both_engines
def test_a_target_with_a_life_of_its_own_is_left_alone(move: Move, tmp_path: Path) -> None:
    """Mail of its own, or a copy that has gone on by itself: exit code 1, and nothing is changed."""
    migrate(move.target)
    change(move.target, live_alone)
    before = asyncio.run(contents(move.target))
    result = move()
    assert result.code == 1 and "of its own" in result.err
    assert asyncio.run(contents(move.target)) == before
    move.target = Config("", database_url=f"sqlite:///{tmp_path}/third.db")
    assert move().code == 0
    change(move.target, live_alone)
    result = move()
    assert result.code == 1 and "life of its own" in result.err
    result = move.cli("db", "copy", "--from", url(move.target), "--to", url(move.target))
    assert result.code == 2


async def live_alone(store: Store) -> None:
    await store.accept(accepted(["o@own.test"], queue_id="3kq7mvt2z700", received_at=time.time()), claimed=False)


@both_engines
def test_a_living_relay_is_copied_and_told_that_it_is_not_final(move: Move) -> None:
    """While workers sign on the source the copy says so; once they have stopped it is final."""

    async def join(store: Store) -> Any:
        return await store.join()

    worker = change(move.source, join)
    result = move()
    assert result.code == 0 and "not final" in result.out
    assert "1 worker is alive on the source: stop the relay" in result.err
    change(move.source, lambda store: store.gone(worker))
    assert "true copy" in move().out
    move.assert_alike()


@both_engines
def test_a_relay_that_works_with_the_target_stops_the_copy(move: Move) -> None:
    """Nobody's database is written under them."""
    assert move().code == 0
    change(move.target, lambda store: store.join())
    result = move()
    assert result.code == 1 and "a relay works with the target" in result.err


def test_databases_of_different_versions_do_not_fit(move: Move) -> None:
    """Both sides must have one schema."""
    import sqlite3
    from contextlib import closing

    migrate(move.target)
    with closing(sqlite3.connect(move.source.database_path)) as db:
        db.execute("PRAGMA user_version = 0")
    result = move()
    assert result.code == 1 and "schema versions differ (0 and " in result.err


def test_what_differs_in_the_end_is_an_error(move: Move, postgres: Server) -> None:
    """A copy that is not alike is told figure by figure, with exit code 1, and set right when it can be."""
    assert move().code == 0
    database = move.target.database_url.rpartition("/")[2]
    postgres.run(f"DELETE FROM contents WHERE queue_id = '{NEWS}'", database)
    postgres.run("DELETE FROM tries WHERE attempt_id = 1", database)
    postgres.run("DELETE FROM happenings WHERE event_id = 2", database)
    assert move().code == 0
    move.assert_alike()
    postgres.run("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", database)
    postgres.run("CREATE TRIGGER no BEFORE INSERT ON refusals FOR EACH ROW EXECUTE FUNCTION no()", database)
    postgres.run("DELETE FROM refusals", database)
    result = move()
    assert result.code == 1 and "refusals: 1 in the source, 0 in the target" in result.err
