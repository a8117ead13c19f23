"""What is let go, and when."""

import time
from dataclasses import replace

from relay.config import DAY, Config, Retention
from relay.delivery import Made
from relay.event import Refusal
from relay.store import Pruned, Store, open_store
from relay.store.spool import Settlement
from tests.parts.mail import SENT, accepted, attempt
from tests.store.spooling import claimed, rows, settle
from tests.store.test_sums import boxes_agree
from tests.store.visiting import visit

LONG_AGO = time.time() - 40 * DAY


async def _sent_long_ago(store: Store) -> str:
    mail = accepted(received_at=LONG_AGO)
    await store.accept(mail, claimed=True)
    await store.settle(Settlement(claimed(mail), attempt(LONG_AGO), SENT))
    return mail.message.queue_id


async def test_decided_messages_go_with_everything_about_them_after_their_time(store: Store) -> None:
    """Rows of every table go; what waits stays however old it is; so does what was decided lately."""
    await _sent_long_ago(store)
    waiting, fresh = accepted(received_at=LONG_AGO), accepted()
    await store.accept(waiting, claimed=False)
    await store.accept(fresh, claimed=True)
    await settle(store, claimed(fresh), SENT)
    assert (await store.prune(Retention(rows=30 * DAY, transcripts=90 * DAY))).messages == 1
    left = {waiting.message.queue_id, fresh.message.queue_id}
    assert {row["queue_id"] for row in await rows(store, "SELECT queue_id FROM email_status")} == left
    assert {row["queue_id"] for row in await rows(store, "SELECT queue_id FROM events")} == left
    assert {row["queue_id"] for row in await rows(store, "SELECT queue_id FROM attempts")} == left - {
        waiting.message.queue_id
    }


async def test_visits_and_marks_go_with_their_message_and_its_statistics_stay(store: Store) -> None:
    """What is left counts an open and a click of a message that nobody remembers; others keep theirs."""
    mail, fresh = accepted(received_at=LONG_AGO), accepted()
    for one, at in ((mail, LONG_AGO), (fresh, time.time())):
        await store.accept(one, claimed=True)
        await store.settle(Settlement(claimed(one), attempt(at), SENT, copy=Made(True, 1)))
        await store.record([visit(one.message.queue_id), visit(one.message.queue_id, kind="click")], [])
    boxes = "SELECT sum(opened) AS opened, sum(clicked) AS clicked, sum(links_clicked) AS clicks FROM daily_stats"
    before = await rows(store, boxes)
    assert (await store.prune(Retention(rows=30 * DAY))).messages == 1
    for table in ("visits", "marks", "link_stats"):
        found = await rows(store, f"SELECT DISTINCT queue_id FROM {table}")
        assert found == [{"queue_id": fresh.message.queue_id}], table
    assert await rows(store, boxes) == before


async def test_the_statistics_outlive_the_rows_and_go_after_their_own_time(store: Store) -> None:
    """The boxes still count a message whose rows are gone."""
    await _sent_long_ago(store)
    await store.sum_up()
    await store.prune(Retention(rows=30 * DAY))
    assert await rows(store, "SELECT requests, delivered FROM daily_stats") == [{"requests": 1, "delivered": 1}]
    await store.prune(Retention(statistics=30 * DAY))
    assert await rows(store, "SELECT * FROM daily_stats") == []
    assert await rows(store, "SELECT * FROM hourly_stats") == []


async def test_empty_boxes_do_not_stay(store: Store) -> None:
    """A sum that has come to nothing is no row."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await store.sum_up()
    await settle(store, claimed(mail), SENT)
    await store.sum_up()
    await store.prune(Retention())
    assert await rows(store, "SELECT status FROM status_sums") == [{"status": "sent"}]
    await boxes_agree(store)


async def test_conversations_go_before_their_attempts(store: Store) -> None:
    """The row stays, its transcript is gone."""
    await _sent_long_ago(store)
    assert (await store.prune(Retention(transcripts=30 * DAY))).transcripts == 1
    assert await rows(store, "SELECT outcome, transcript FROM attempts") == [{"outcome": "sent", "transcript": None}]


async def test_refusals_go_after_their_time(store: Store) -> None:
    """Old ones go, the others stay; each is kept whole meanwhile."""
    old = Refusal("R1", LONG_AGO, "192.0.2.1", "MAIL", 550, "5.7.1", "R5701", "550 5.7.1 no", mail_from="a@b.test")
    for refusal in (old, replace(old, ref="R2", at=time.time())):
        store.refuse_later(refusal)
    await store.flush()
    assert [row["ref"] for row in await store.refusals()] == ["R2", "R1"]
    assert (await store.refusals(ref="R1"))[0]["mail_from"] == "a@b.test"
    assert await store.prune(Retention(refused=30 * DAY)) == Pruned(refusals=1)
    assert [row["ref"] for row in await store.refusals()] == ["R2"]


async def test_contents_are_kept_as_long_as_asked(config: Config) -> None:
    """With a retention of their own contents outlive the last delivery, and go after their time."""
    store = await open_store(replace(config, retention=Retention(content=30 * DAY)))
    try:
        queue_id = await _sent_long_ago(store)
        mail = accepted()
        await store.accept(mail, claimed=True)
        await settle(store, claimed(mail), SENT)
        assert await store.content(queue_id) is not None
        assert (await store.prune(Retention(content=30 * DAY))).contents == 1
        assert await store.content(queue_id) is None
        assert await store.content(mail.message.queue_id) == mail.content
    finally:
        await store.close()


async def test_a_content_is_read_in_pages(store: Store) -> None:
    """Nobody need hold a large message; the pages are the content, byte for byte."""
    content = bytes(range(256)) * 6000
    mail = accepted(content=content)
    await store.accept(mail, claimed=False)
    pages = [page async for page in store.content_pages(mail.message.queue_id)]
    assert b"".join(pages) == content
    assert max(map(len, pages)) == 256 * 1024
    assert await store.contents([mail.message.queue_id, "nosuchqueueid"]) == {mail.message.queue_id: pages[0]}
