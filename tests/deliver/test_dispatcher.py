"""The dispatcher with a real store and a real server: when something of ours goes wrong, or is taken away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from relay.compose.render import Making
from relay.config import Config, DeliverySection, LogSection, Route
from relay.deliver import dispatcher as room
from relay.deliver.carrier import Carrier
from relay.deliver.client import Client
from relay.deliver.contents import Contents, Source
from relay.deliver.copying import Copies
from relay.deliver.dispatcher import SMALL, Dispatcher
from relay.deliver.dns import Resolver
from relay.deliver.limits import share
from relay.deliver.mx import NextHops
from relay.deliver.suppressed import Suppressed
from relay.delivery import Delivery
from relay.filters import parse
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Accepted, Store, StoreUnavailable, migrate, open_store, rows
from relay.store.engine import Statement
from tests.parts.mail import accepted
from tests.parts.mx import FakeMx
from tests.parts.postgres import Server


@dataclass
class Worker:
    """One worker's delivering half, and the database that it shares."""

    dispatcher: Dispatcher
    store: Store

    async def hand_over(self, mail: Accepted) -> None:
        """As accepting does it: reserve, commit, deliver."""
        assert self.dispatcher.reserve(mail.deliveries)
        await self.store.accept(mail, claimed=True)
        self.dispatcher.deliver(mail)

    async def row(self, mail: Accepted) -> dict[str, object]:
        """The first recipient, as `message show` has it."""
        found = await self.store.message(mail.message.queue_id)
        assert found
        return dict(found["recipients"][0])


class Watched(Store):
    """A store that says when it has claimed, and waits for `go` then; and when it has found something stopped."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine, store.group, lease=store.lease, keep_content=True)
        self.claimed, self.go, self.found_stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.go.set()

    async def claim(self, room: Mapping[str, int]) -> list[Delivery]:
        claimed = await super().claim(room)
        self.claimed.set()
        await self.go.wait()
        return claimed

    async def stopped(self, deliveries: Sequence[Delivery]) -> set[tuple[str, int]]:
        found = await super().stopped(deliveries)
        if found:
            self.found_stopped.set()
        return found


def config_for(directory: Path, mx: FakeMx, **delivery: object) -> Config:
    settings = {"routes": {"*": Route(mx.listen, mx.port)}, "retry": (0.1,), "lease": 2.0} | delivery
    config = Config(
        "relay.test",
        data_dir=directory,
        workers=1,
        delivery=DeliverySection(**settings),  # type: ignore[arg-type]
        log=LogSection(file=directory / "mail.log"),
    )
    migrate(config)
    return config


@asynccontextmanager
async def worker(
    config: Config,
    *,
    number: int = 0,
    source: Source | None = None,
    through: Callable[[Store], Store] = lambda store: store,
) -> AsyncIterator[Worker]:
    """A dispatcher that looks for work until the block ends; it sees its store `through` another one."""
    store = through(await open_store(config))
    log, resolver = Log(config), Resolver(config.dns)
    contents = Contents(source or store, 1_000_000)
    making = Making("relay.test", config.tracking, None, lambda content, domain, now: b"")
    carrier = Carrier(
        Client("relay.test"),
        NextHops(resolver, config, listeners=()),
        Copies(contents, lambda: making, store.engine.now),
        Suppressed(store),
        sandbox=False,
    )
    dispatcher = Dispatcher(config, store, carrier, contents, log, QueueIds(number))
    dispatcher.know_workers(number, [number])
    tasks = [asyncio.create_task(dispatcher.run()), asyncio.create_task(dispatcher.keep_in_hand())]
    try:
        yield Worker(dispatcher, store)
    finally:
        await dispatcher.stop(0.0)
        await tasks[0]
        tasks[1].cancel()
        await asyncio.gather(tasks[1], return_exceptions=True)
        await resolver.close()
        await store.close()
        log.close()


class Unsteady:
    """A store whose contents cannot be read at those of its readings that are named (from 1)."""

    def __init__(self, content: bytes, *fails: int) -> None:
        self.content_itself = content
        self.fails = fails
        self.readings = 0

    async def content(self, queue_id: str) -> bytes | None:
        self.readings += 1
        if self.readings in self.fails:
            raise StoreUnavailable("somebody holds a lock")
        return self.content_itself


BIG = b"Subject: big\r\n\r\n" + b"x" * 60 + b"\r\n" * SMALL  # read when its attempt begins, not with its claim


async def test_a_share_that_is_taken_away_gives_back_what_waits(tmp_path: Path) -> None:
    """A worker that learns that a destination is another's from now on keeps nothing that waits for it."""
    async with FakeMx(hold_at="DOT") as mx:
        config = config_for(tmp_path, mx, connections_per_destination=1)
        lane = f"{mx.listen}:{mx.port}"
        loser, winner = (0, 1) if share(1, lane, 0, [0, 1]) == 0 else (1, 0)
        async with worker(config, number=loser) as one, worker(config, number=winner) as other:
            for _ in range(3):
                await one.hand_over(accepted())
            await mx.heard("DATA")
            one.dispatcher.know_workers(loser, [0, 1])
            other.dispatcher.know_workers(winner, [0, 1])
            await mx.connected(2)
            mx.release.set()
            await mx.received(3)
            assert len({message.content for message in mx.messages}) == 1 and mx.connections == 2


async def test_content_that_cannot_be_read_defers(tmp_path: Path) -> None:
    """A store that cannot be read when an attempt begins: deferred in words, tried again, sent."""
    async with FakeMx() as mx:
        mail = accepted(content=BIG, size=len(BIG))
        source = Unsteady(BIG, 1)
        async with worker(config_for(tmp_path, mx), source=source) as one:
            await one.store.accept(mail, claimed=False)
            await mx.received(1)
        log = (tmp_path / "mail.log").read_text()
    assert "status=deferred (the content cannot be read from the spool now" in log
    assert source.readings == 2


async def test_a_notice_waits_for_the_content_that_it_brings_back(tmp_path: Path) -> None:
    """A bounce while the store cannot be read: its notice is made as soon as it can, and nothing stays in hand."""
    async with FakeMx(rcpt={"bob@x.test": "550 5.1.1 No such user"}) as mx:
        mail = accepted(content=BIG, size=len(BIG))
        async with worker(config_for(tmp_path, mx), source=Unsteady(BIG, 2)) as one:
            await one.store.accept(mail, claimed=False)
            (notice,) = await mx.received(1)
            assert notice.mail_from == "" and notice.recipients == ("ada@sender.test",)
            assert (await one.row(mail))["status"] == "hard_bounce"


async def test_a_simulated_delivery_keeps_the_connection_for_the_next_real_one(tmp_path: Path) -> None:
    """Real, simulated and real mail in one lane: one connection, and none is lost on the way."""
    async with FakeMx() as mx, worker(config_for(tmp_path, mx, connections_per_destination=1)) as one:
        for recipient in ("a@x.test", "delivered@sim.test", "b@x.test"):
            await one.hand_over(accepted((recipient,)))
        await mx.received(2)
        assert mx.connections == 1


async def test_a_dispatcher_that_stops_takes_nothing_more(tmp_path: Path) -> None:
    """After `stop` nothing can be reserved, and what waited is due for others at once, its attempt not spent."""
    async with FakeMx(silent_at="MAIL") as mx:
        config = config_for(tmp_path, mx, connections_per_destination=1, lease=3600.0)
        async with worker(config) as one:
            mails = [accepted() for _ in range(2)]
            for mail in mails:
                await one.hand_over(mail)
            await mx.heard("MAIL")
            await one.dispatcher.stop(0.0)
            assert not one.dispatcher.reserve(accepted().deliveries)
            again = await one.store.claim({"x.test": 10})
            assert {delivery.message.queue_id for delivery in again} == {mail.message.queue_id for mail in mails}
            assert {delivery.attempt for delivery in again} == {1}


async def test_what_is_claimed_while_it_stops_is_given_back(tmp_path: Path) -> None:
    """A claim that comes back after `stop` has begun is not carried: it is due for others at once, not spent."""
    mail = accepted()
    async with FakeMx() as mx:
        config = config_for(tmp_path, mx, lease=3600.0)
        async with worker(config, through=Watched) as one:
            assert isinstance(one.store, Watched)
            one.store.go.clear()
            await one.store.accept(mail, claimed=False)
            await one.store.claimed.wait()
            await one.dispatcher.stop(0.0)
            one.store.go.set()
        assert mx.connections == 0
        async with worker(config) as other:
            await mx.received(1)
            await other.dispatcher.stop(60.0)
            row = await other.row(mail)
            assert (row["status"], row["attempts"]) == ("sent", 1)


async def test_a_late_answer_leaves_the_next_attempt_in_hand(tmp_path: Path) -> None:
    """Attempt 1 ends when its claim has lapsed and attempt 2 is here: that stays, and is given back at the end."""
    mail = accepted()
    async with FakeMx(hold_at="DOT") as mx:
        config = config_for(tmp_path, mx, connections_per_destination=1, lease=3600.0)
        async with worker(config) as one:
            await one.hand_over(mail)
            await mx.heard("DATA")
            lapsed = {"rows": rows.to_json(rows.names(mail.deliveries)), "until": 0.0}
            await one.store.engine.write([Statement("renew_claims", lapsed)])
            second = await one.store.claim({"x.test": 1})
            assert [delivery.attempt for delivery in second] == [2] and one.dispatcher.reserve(second)
            one.dispatcher.deliver(replace(mail, deliveries=tuple(second)))
            mx.commands.clear()
            mx.silent_at = "MAIL"
            mx.release.set()
            await mx.heard("MAIL")
            await one.dispatcher.stop(0.0)
            assert [delivery.attempt for delivery in await one.store.claim({"x.test": 1})] == [2]
    assert "a late answer to a lapsed claim changes nothing" in (tmp_path / "mail.log").read_text()


async def test_what_a_person_releases_is_tried_at_once(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release on another node is heard of, long before this one would look by itself."""
    monkeypatch.setattr(room, "LOOK", 3600.0)
    first, held = accepted(), accepted()
    async with FakeMx() as mx:
        with postgres.database() as url:
            config = replace(config_for(tmp_path, mx), database_url=url)
            elsewhere = await open_store(config)
            for mail in (first, held):
                await elsewhere.accept(mail, claimed=False)
            assert await elsewhere.operate("hold", parse(f"id:{held.message.queue_id}", 0.0), actor="ada") == 1
            async with worker(config):
                await mx.received(1)
                assert await elsewhere.operate("release", parse(f"id:{held.message.queue_id}", 0.0), actor="ada") == 1
                await mx.received(2)
            await elsewhere.close()


async def test_what_a_person_holds_is_let_go_at_once(
    tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold on another node is heard of: what waits in a lane here leaves it, and is not tried."""
    monkeypatch.setattr(room, "TICK", 3600.0)
    first, held, last = (accepted(content=f"Subject: {name}\r\n\r\n".encode()) for name in ("one", "two", "three"))
    async with FakeMx(hold_at="DOT") as mx:
        with postgres.database() as url:
            config = replace(config_for(tmp_path, mx, connections_per_destination=1), database_url=url)
            elsewhere = await open_store(config)
            async with worker(config, through=Watched) as one:
                assert isinstance(one.store, Watched)
                for mail in (first, held, last):
                    await one.hand_over(mail)
                await mx.heard("DATA")
                assert await elsewhere.operate("hold", parse(f"id:{held.message.queue_id}", 0.0), actor="ada") == 1
                await one.store.found_stopped.wait()
                mx.release.set()
                assert [b"two" in message.content for message in await mx.received(2)] == [False, False]
                assert (await one.row(held))["status"] == "held"
            await elsewhere.close()
