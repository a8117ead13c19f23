"""Several workers, on one machine or on many, share one database."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from relay.config import Config
from relay.credential import Rate
from relay.delivery import Delivery
from relay.filters import Filter
from relay.store import Store, StoreUnavailable, open_store
from relay.store.chores import ALIVE, Peer
from tests.parts.mail import BUSY, SENT, accepted
from tests.store.spooling import claim_all, claimed, rows, settle
from tests.store.test_sums import boxes_agree


async def test_two_that_claim_at_once_never_get_the_same_delivery(store: Store, other: Store) -> None:
    """However they interleave, each delivery is in one hand, and all are in some."""
    await asyncio.gather(*(store.accept(accepted([f"u@d{n % 3}.test"]), claimed=False) for n in range(300)))
    room = {f"d{n}.test": 7 for n in range(3)}
    hands: list[Delivery] = []

    async def take(who: Store) -> None:
        while found := await who.claim(room):
            hands.extend(found)

    await asyncio.gather(take(store), take(other), take(store), take(other))
    hands.extend(await claim_all(store))
    assert len(hands) == 300
    assert len({(d.message.queue_id, d.number) for d in hands}) == 300
    assert {d.attempt for d in hands} == {1}


async def test_a_store_that_is_closed_stays_closed(config: Config) -> None:
    """Whoever asks it still is told so; it does not come back by itself."""
    closed = await open_store(config)
    await closed.close()
    with pytest.raises(StoreUnavailable):
        await closed.claim({"x.test": 1})
    with pytest.raises(StoreUnavailable):
        await closed.content("0123456789ab")


async def test_no_work_is_forgotten_however_accepting_and_claiming_interleave(store: Store, other: Store) -> None:
    """A destination that one worker has just emptied is found again when another gave it work at that very moment."""
    accepting = True
    hands: list[Delivery] = []

    async def give() -> None:
        nonlocal accepting
        for _ in range(150):
            await store.accept(accepted(), claimed=False)
        accepting = False

    async def take() -> None:
        while accepting:
            hands.extend(await other.claim({"x.test": 5}))

    await asyncio.gather(give(), take())
    while found := await claim_all(other):
        hands.extend(found)
    assert len(hands) == 150
    assert await rows(store, "SELECT count(*) AS n FROM queue_now WHERE attempts = 0") == [{"n": 0}]


async def test_claims_and_gifts_of_many_destinations_crosswise_wait_for_nobody_and_forget_nothing(
    store: Store, other: Store
) -> None:
    """Two workers claim the same destinations in opposite orders while both give them work: all of it is taken once."""
    names = [f"d{n}.test" for n in range(20)]
    hands: list[Delivery] = []

    async def give(who: Store, order: list[str]) -> None:
        for _ in range(10):
            await who.accept(accepted([f"u@{name}" for name in order]), claimed=False)

    async def take(who: Store, order: list[str]) -> None:
        for _ in range(25):
            hands.extend(await who.claim(dict.fromkeys(order, 3)))

    back = names[::-1]
    await asyncio.gather(give(store, names), give(other, back), take(store, back), take(other, names))
    while found := await claim_all(store):
        hands.extend(found)
    assert len({(d.message.queue_id, d.number) for d in hands}) == len(hands) == 400


async def test_of_two_that_settle_the_last_recipients_one_knows_that_the_message_is_finished(
    store: Store, other: Store
) -> None:
    """The content goes, and exactly one of them hears it, even if both commit at the same time."""
    for _ in range(20):
        mail = accepted(["a@x.test", "b@y.test"])
        await store.accept(mail, claimed=True)
        ended = await asyncio.gather(settle(store, claimed(mail, 0), SENT), settle(other, claimed(mail, 1), SENT))
        assert any(one.finished for one in ended)
        assert await store.content(mail.message.queue_id) is None


async def test_the_boxes_agree_when_people_and_workers_change_the_same_deliveries_at_once(
    store: Store, other: Store
) -> None:
    """Whoever comes first, every delivery is counted where it is."""
    mails = [accepted([f"u{n}@x.test"]) for n in range(60)]
    await asyncio.gather(*(store.accept(mail, claimed=True) for mail in mails))
    chance = random.Random(5)

    async def work() -> None:
        for mail in chance.sample(mails, len(mails)):
            verdict, due_at = (SENT, None) if chance.random() < 0.5 else (BUSY, time.time() + 60)
            await settle(store, claimed(mail), verdict, due_at=due_at)

    async def operate() -> None:
        for verb in ("hold", "release", "hold", "cancel"):
            await other.operate(verb, Filter(), actor="anna")

    async def chores() -> None:
        for _ in range(10):
            await other.sum_up()

    await asyncio.gather(work(), operate(), chores())
    await boxes_agree(store)


async def test_a_credentials_rate_holds_over_all_workers_together(store: Store, other: Store) -> None:
    """Ten messages an hour are ten, whoever takes them; over it the wait is said."""
    rate = Rate(10, 3600.0)
    waits = await asyncio.gather(*(who.spend("billing", rate) for who in (store, other) for _ in range(8)))
    assert sum(wait == 0.0 for wait in waits) == 10
    assert all(0 < wait <= 360 for wait in waits if wait)


async def test_a_clock_that_goes_back_gives_nobody_more_of_a_rate(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time in a bucket only goes forward, though the clocks of two nodes differ."""
    rate, now = Rate(2, 60.0), store.engine.now()

    def at(who: Store, seconds: float) -> Store:
        monkeypatch.setattr(who.engine, "now", lambda: now + seconds)
        return who

    assert [await at(store, 0).spend("a", rate) for _ in range(2)] == [0.0, 0.0]
    assert await at(other, -600).spend("a", rate) > 0
    assert await at(store, 1).spend("a", rate) > 0
    assert await at(store, 31).spend("a", rate) == 0.0


async def test_a_chore_is_taken_by_one_and_kept_by_it(store: Store, other: Store) -> None:
    """A lease has one holder, who can keep it; when it is over anybody may take it."""
    taken = await asyncio.gather(*(who.take_lease("chores", name, 60) for who, name in ((store, "a"), (other, "b"))))
    assert sorted(taken) == [False, True]
    holder, loser = ("a", "b") if taken[0] else ("b", "a")
    assert await store.take_lease("chores", holder, 0.0)
    assert await other.take_lease("chores", loser, 60)
    assert not await store.take_lease("chores", holder, 60)


def writers(peers: Iterable[Peer]) -> list[int]:
    """Their numbers."""
    return [peer.writer for peer in peers]


async def test_who_lives_is_known_to_all(store: Store, other: Store) -> None:
    """Signs of life are seen by everybody, and one that stops is gone at once."""
    one, two = await store.join(), await other.join()
    assert writers(await store.alive(one)) == [0, 1]
    await store.gone(one)
    assert writers(await other.alive(two)) == [1]


async def test_who_comes_is_told_by_the_others_that_they_have_made_room(store: Store, other: Store) -> None:
    """Workers are counted as they come, and each says up to which one it knows all; whoever comes begins with none."""
    one, two = await store.join(), await other.join()
    await other.knows(two, 2)
    assert [(peer.joined, peer.knows) for peer in await store.alive(one)] == [(1, 0), (2, 2)]
    await other.gone(two)
    again = await other.join()
    assert again.writer == two.writer
    assert [(peer.joined, peer.knows) for peer in await store.alive(one)] == [(1, 0), (3, 0)]


async def test_whoever_was_silent_for_too_long_comes_anew(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have counted without it: nobody that knew of it before is taken to know of it now."""
    frozen, two = await store.join(), await other.join()
    await other.knows(two, 2)
    right = store.engine.now
    monkeypatch.setattr(store.engine, "now", lambda: right() + ALIVE + 1)
    monkeypatch.setattr(other.engine, "now", store.engine.now)
    assert await other.alive(two, again=True)
    mine, its = await store.alive(frozen, again=True)
    assert (mine.writer, its.writer) == (frozen.writer, two.writer)
    assert mine.joined > its.joined > its.knows


async def test_a_process_that_is_gone_is_not_waited_for_on_its_own_machine() -> None:
    """Elsewhere, nobody can tell before it has been silent for long enough."""
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    here = socket.gethostname()
    assert Peer(0, here, process.pid, 1, 0).silent
    assert not Peer(0, here, os.getpid(), 1, 0).silent
    assert not Peer(0, f"not-{here}", process.pid, 1, 0).silent


def test_a_program_of_the_first_schema_is_not_waited_for() -> None:
    """It never says what it knows, and new nodes must come beside it while all are upgraded one after the other."""
    assert Peer(0, socket.gethostname(), os.getpid(), joined=0, knows=0).silent


async def test_workers_that_start_at_once_on_all_nodes_have_numbers_of_their_own(store: Store, other: Store) -> None:
    """Each gets the smallest number that is free, and no two the same; one that is given back is given again."""
    workers = await asyncio.gather(*(who.join() for who in (store, other) for _ in range(8)))
    assert sorted(worker.writer for worker in workers) == list(range(16))
    await other.gone(next(worker for worker in workers if worker.writer == 3))
    assert (await store.join()).writer == 3


async def test_a_worker_that_was_silent_for_too_long_learns_that_its_number_is_anothers(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signs of life change nothing then, nor does its end; a number that nobody took meanwhile is still its own."""
    frozen = await store.join()
    right = other.engine.now
    monkeypatch.setattr(other.engine, "now", lambda: right() + ALIVE + 1)
    monkeypatch.setattr(store.engine, "now", other.engine.now)
    assert writers(await store.alive(frozen)) == [frozen.writer]
    monkeypatch.setattr(other.engine, "now", lambda: right() + 2 * ALIVE + 2)
    monkeypatch.setattr(store.engine, "now", other.engine.now)
    second = await other.join()
    assert second.writer == frozen.writer
    assert writers(await store.alive(frozen)) == []
    await store.gone(frozen)
    assert writers(await other.alive(second)) == [second.writer]
    again = await store.join()
    assert writers(await store.alive(again)) == [second.writer, again.writer]


async def test_what_a_command_stops_is_heard_at_once_where_the_database_has_a_channel(config: Config) -> None:
    """PostgreSQL tells every node that listens; SQLite does not, and there all look for themselves."""
    node, command = await open_store(config), await open_store(config)
    heard: asyncio.Queue[str] = asyncio.Queue()
    try:
        await node.engine.listen(heard.put_nowait)
        await node.accept(accepted(), claimed=False)
        for verb in ("hold", "release", "cancel"):
            await command.operate(verb, Filter(), actor="anna")
        if config.database_url.startswith("postgresql"):
            told = [await asyncio.wait_for(heard.get(), 10) for _ in range(4)]
            assert told == ["", "stop", "work", "stop"]
    finally:
        await node.close()
        await command.close()


@pytest.mark.parametrize("lease", [0.0])
async def test_a_node_that_was_frozen_past_its_lease_changes_nothing(config: Config, lease: float) -> None:
    """Another node has its delivery meanwhile; the late answer is late, and is counted nowhere."""
    config = replace(config, delivery=replace(config.delivery, lease=lease))
    frozen, awake = await open_store(config), await open_store(config)
    try:
        await frozen.accept(accepted(), claimed=False)
        (old,) = await claim_all(frozen)
        (new,) = await claim_all(awake)
        assert (await settle(awake, new, SENT)).finished
        assert (await settle(frozen, old, BUSY, due_at=time.time())).late
        await boxes_agree(awake)
    finally:
        await frozen.close()
        await awake.close()
