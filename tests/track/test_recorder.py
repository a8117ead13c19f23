"""Visits reach the database: in groups, judged, each once, whatever the database or another worker does meanwhile."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from relay.config import Config
from relay.delivery import Made
from relay.store import Accepted, Store, StoreUnavailable, migrate, open_store
from relay.track.journal import Journal
from relay.track.recorder import GATHER, GROUP, RUSH, Recorder, rest
from relay.track.segment import line_of
from tests.parts.mail import SENT, accepted
from tests.parts.postgres import Server
from tests.parts.written_log import Written
from tests.store.spooling import claimed, rows, settle
from tests.track.visiting import everything, files, saw, visit
from tracker.visit import Facts, Judged, Visit


async def delivered(store: Store, recipients: Sequence[str] = ("bob@x.test",)) -> Accepted:
    """A tracked message with six links, taken by the receiving server now."""
    mail = accepted(recipients)
    await store.accept(mail, claimed=True)
    for number in range(len(recipients)):
        await settle(store, claimed(mail, number), SENT, copy=Made(trackable=True, links=6, note=""))
    return mail


def later(mail: Accepted, seconds: float, what: str = "open", **more: object) -> Visit:
    """A visit of the first recipient's copy, so many seconds after it was delivered."""
    if what == "open":
        seen = visit("open", mail.message.queue_id, at=time.time() + seconds)
    else:
        seen = visit("click", mail.message.queue_id, link=int(what.split()[1]), at=time.time() + seconds)
    return replace(seen, **more)  # type: ignore[arg-type]


async def status(store: Store, mail: Accepted, number: int = 0) -> dict[str, int]:
    """What people see of a delivery."""
    sql = (
        "SELECT recipient_id, opened, opens, auto_opens, clicked, clicks, auto_clicks FROM email_status "
        f"WHERE queue_id = '{mail.message.queue_id}' ORDER BY recipient_id"
    )
    found = (await rows(store, sql))[number]
    return {name: int(value) for name, value in found.items() if name != "recipient_id"}


async def test_an_open_and_a_click_are_seen_in_the_status(store: Store, journal: Journal, written: Written) -> None:
    """Of three recipients the one whose copy was opened and clicked is shown so, and the others are not."""
    mail = await delivered(store, ["ada@x.test", "bob@x.test", "eve@x.test"])
    await saw(journal, [replace(later(mail, 60), number=1), replace(later(mail, 70, "click 2"), number=1)])
    recorder = Recorder(journal, store, written.log)
    assert await recorder.step() == 2
    assert await recorder.step() == 0
    nothing = {"opened": 0, "opens": 0, "auto_opens": 0, "clicked": 0, "clicks": 0, "auto_clicks": 0}
    assert await status(store, mail, 0) == await status(store, mail, 2) == nothing
    seen = await status(store, mail, 1)
    assert (seen["opened"], seen["opens"], seen["clicked"], seen["clicks"]) == (1, 1, 1, 1)
    queue_id = mail.message.queue_id
    assert [line.partition(f"{queue_id}: ")[2].partition(", ip=")[0] for line in written.lines] == [
        "event=open, to=<bob@x.test>",
        "event=click, to=<bob@x.test>",
    ]
    assert everything(journal) == []


async def test_what_machines_do_is_counted_apart(store: Store, journal: Journal, written: Written) -> None:
    """Apple's privacy proxy opens automatically, a program clicks automatically, and no person has done either."""
    mail = await delivered(store)
    await saw(journal, [later(mail, 60, agent="Mozilla/5.0"), later(mail, 70, "click 1", agent="curl/8.5.0")])
    await Recorder(journal, store, written.log).step()
    seen = await status(store, mail)
    assert (seen["opens"], seen["auto_opens"], seen["clicks"], seen["auto_clicks"]) == (0, 1, 0, 1)


async def test_head_is_told_and_not_counted(store: Store, journal: Journal, written: Written) -> None:
    """Asking whether a link is alive is in the log; it counts neither as a person's click nor as a machine's."""
    mail = await delivered(store)
    await saw(journal, [later(mail, 60, "click 1", hints="head")])
    await Recorder(journal, store, written.log).step()
    seen = await status(store, mail)
    assert (seen["clicks"], seen["auto_clicks"]) == (0, 0)
    assert "event=click" in written.last and "class=scanner" in written.last


async def test_a_group_that_is_told_twice_counts_once(store: Store, journal: Journal, written: Written) -> None:
    """A worker that died between the commit and letting go leaves visits that the next one tells again."""
    mail = await delivered(store)
    seen = [later(mail, 60), later(mail, 70, "click 1")]
    for _ in range(2):
        await saw(journal, seen)
        await Recorder(journal, store, written.log).step()
    counted = await status(store, mail)
    assert (counted["opens"], counted["clicks"]) == (1, 1)


async def test_visits_of_a_mail_that_is_not_kept_any_more_are_left_out(
    store: Store, journal: Journal, written: Written
) -> None:
    """Links of purged messages still lead where they led; what is seen of them does not stay in the journal."""
    mail = await delivered(store)
    await saw(journal, [visit("click", "0000000000aa", link=1), later(mail, 60)])
    await Recorder(journal, store, written.log).step()
    assert (await status(store, mail))["opens"] == 1
    assert everything(journal) == []


async def test_a_visit_that_cannot_be_written_keeps_no_other_from_it(
    store: Store, journal: Journal, written: Written
) -> None:
    """A number beyond what a database takes is one visit's trouble; those before and after it are counted."""
    mail = await delivered(store)
    seen = [later(mail, 60 + n, "click 1") for n in range(9)]
    seen[4] = replace(seen[4], number=2**63 - 1)
    await saw(journal, seen)
    await Recorder(journal, store, written.log).step()
    assert (await status(store, mail))["clicks"] == 8
    assert everything(journal) == []


async def test_a_backlog_is_written_in_groups(store: Store, journal: Journal, written: Written) -> None:
    """More than a group's worth waits: each step takes a group, oldest first, until nothing is left."""
    mail = await delivered(store)
    await saw(journal, [later(mail, 60 + n / 100) for n in range(GROUP + 7)])
    recorder = Recorder(journal, store, written.log)
    assert [await recorder.step() for _ in range(3)] == [GROUP, 7, 0]
    assert (await status(store, mail))["opens"] == GROUP + 7


def test_visitors_come_before_what_they_did() -> None:
    """While visits come faster than they are written, groups are rare; a backlog that they left is written briskly."""
    took = 0.04
    assert rest(GROUP, came=GROUP + 1, took=took) == RUSH
    assert rest(GROUP, came=GROUP, took=took) == rest(GROUP, came=0, took=took) == took
    assert rest(GROUP - 1, came=GROUP + 1, took=took) == GATHER


async def test_a_journal_that_is_half_full_is_crowded(tmp_path: Path, written: Written) -> None:
    """From then on the database comes first: what finds no room would be lost."""
    one, two, three = (visit(at=1_800_000_000.25) for _ in range(3))  # lines of one length
    journal = Journal(tmp_path, written.log, limit=4 * len(line_of(one)))
    await saw(journal, [one, two])
    assert not journal.crowded
    await saw(journal, [three])
    assert journal.crowded
    journal.done(journal.take(3))
    assert not journal.crowded
    journal.close()


async def test_what_came_meanwhile_is_counted(journal: Journal) -> None:
    """Every visit counts as come, as soon as its turn of the loop has ended."""
    await saw(journal, [visit() for _ in range(3)])
    await saw(journal, [visit()])
    assert journal.seen == 4


async def test_a_burst_over_two_workers_is_found_a_little_later(
    store: Store, config: Config, tmp_path: Path, written: Written
) -> None:
    """Each worker saw clicks that could be a person's; looked at together they are none, and the counts follow."""
    mail = await delivered(store)
    other = await open_store(config)
    judged: list[list[Judged]] = []
    together = asyncio.Barrier(2)
    journals = [Journal(tmp_path / f"visits{n}", written.log) for n in range(2)]
    recorders = [
        Recorder(journal, Meeting(each, together, judged), written.log, later=0.0)
        for journal, each in zip(journals, (store, other), strict=True)
    ]
    for n, journal in enumerate(journals):
        await saw(journal, [later(mail, 30 + n / 5, f"click {n + 1}"), later(mail, 30.5 + n / 5, f"click {n + 3}")])
    await asyncio.gather(*(recorder.step() for recorder in recorders))
    assert {each.by for group in judged for each in group} == {"person"}
    assert (await status(store, mail))["clicks"] == 4
    await recorders[0].look_again()
    seen = await status(store, mail)
    assert (seen["clicks"], seen["auto_clicks"]) == (0, 4)
    for journal in journals:
        journal.close()
    await other.close()


class Meeting:
    """A store whose first readers wait for each other, so that neither knows what the other one writes."""

    def __init__(self, store: Store, together: asyncio.Barrier, judged: list[list[Judged]]) -> None:
        self._store = store
        self._together = together
        self._judged = judged

    async def known(self, names: Collection[tuple[str, int]]) -> dict[tuple[str, int], Facts]:
        found = await self._store.known(names)
        if len(self._judged) < 2:
            await self._together.wait()
        return found

    async def record(self, new: Sequence[Judged], changed: Sequence[Judged]) -> None:
        self._judged.append(list(new))
        await self._store.record(new, changed)


class Telling:
    """A store that says when it has recorded something."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.recorded = asyncio.Event()
        self.refused = asyncio.Event()

    async def known(self, names: Collection[tuple[str, int]]) -> dict[tuple[str, int], Facts]:
        try:
            return await self._store.known(names)
        except StoreUnavailable:
            self.refused.set()
            raise

    async def record(self, new: Sequence[Judged], changed: Sequence[Judged]) -> None:
        await self._store.record(new, changed)
        self.recorded.set()


async def test_the_task_writes_what_comes_and_the_rest_at_the_end(
    store: Store, journal: Journal, written: Written
) -> None:
    """It sleeps until there is a visit; what was seen after it was stopped is written by `finish`."""
    mail = await delivered(store)
    telling = Telling(store)
    recorder = Recorder(journal, telling, written.log)
    task = asyncio.create_task(recorder.run())
    await saw(journal, [later(mail, 60)])
    await asyncio.wait_for(telling.recorded.wait(), 30)
    task.cancel()
    await asyncio.wait([task])
    journal.saw(later(mail, 90))
    await recorder.finish(30)
    assert (await status(store, mail))["opens"] == 2


async def test_while_the_database_is_away_visits_wait_on_disk(
    own_postgres: Server, tmp_path: Path, written: Written
) -> None:
    """A server that stops costs nobody anything: visits stay in their file, and are written when it is back."""
    with own_postgres.database(migrated=False) as url:
        config = Config("relay.test", data_dir=tmp_path, database_url=url)
        await asyncio.to_thread(migrate, config)
        store = await open_store(config)
        mail = await delivered(store)
        journal = Journal(tmp_path / "visits", written.log)
        telling = Telling(store)
        recorder = Recorder(journal, telling, written.log)
        await asyncio.to_thread(own_postgres.stop)
        task = asyncio.create_task(recorder.run())
        seen = [later(mail, 60 + n) for n in range(20)]
        await saw(journal, seen)
        await asyncio.wait_for(telling.refused.wait(), 60)
        assert journal.take(100).visits == tuple(seen)
        assert "visits wait for the database" in "\n".join(written.lines)
        await asyncio.to_thread(own_postgres.start)
        await asyncio.wait_for(telling.recorded.wait(), 60)
        task.cancel()
        await asyncio.wait([task])
        await recorder.finish(30)
        assert (await status(store, mail))["opens"] == 20
        journal.close()
        assert files(tmp_path / "visits") == []
        await store.close()
