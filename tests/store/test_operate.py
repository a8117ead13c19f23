"""What people do to the queue."""

import time

from relay.delivery import Status
from relay.filters import Filter, parse
from relay.store import Store
from tests.parts.mail import BUSY, accepted
from tests.store.spooling import claim_all, claimed, rows, settle


async def test_held_mail_is_not_tried_until_it_is_released(store: Store) -> None:
    """hold and release leave an event each, with who and why."""
    mail = accepted()
    await store.accept(mail, claimed=False)
    assert await store.operate("hold", Filter(), actor="anna", reason="wrong price") == 1
    assert await claim_all(store) == []
    assert await rows(store, "SELECT status, held_reason FROM delivery_status") == [
        {"status": "held", "held_reason": "wrong price"}
    ]
    assert await store.operate("release", Filter(), actor="bea") == 1
    (delivery,) = await claim_all(store)
    assert (delivery.status, delivery.attempt) == (Status.CREATING, 1)
    found = await rows(store, "SELECT event, actor, detail FROM events WHERE actor <> 'relay' ORDER BY event_id")
    assert found == [
        {"event": "hold", "actor": "anna", "detail": '{"reason": "wrong price"}'},
        {"event": "release", "actor": "bea", "detail": None},
    ]


async def test_cancelled_mail_is_gone_from_the_queue_with_its_content(store: Store) -> None:
    """cancel ends a delivery; the message's content goes when nobody needs it."""
    mail = accepted(["a@x.test", "b@y.test"])
    await store.accept(mail, claimed=False)
    assert await store.operate("cancel", parse("to:a@x.test", time.time()), actor="anna") == 1
    assert await store.content(mail.message.queue_id) == mail.content
    assert await store.operate("cancel", Filter(), actor="anna") == 1
    assert await store.content(mail.message.queue_id) is None
    assert await rows(store, "SELECT * FROM queue_now") == []


async def test_retry_brings_what_is_deferred_forward_and_lifts_a_block(store: Store) -> None:
    """What would have waited an hour is due now."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), BUSY, due_at=time.time() + 3600)
    await store.block("x.test", now=time.time(), until=time.time() + 3600, reason="no answer")
    assert await claim_all(store) == []
    assert await store.operate("retry", Filter(), actor="anna") == 1
    (delivery,) = await claim_all(store)
    assert delivery.attempt == 2


async def test_retry_can_be_spread(store: Store) -> None:
    """Of four deliveries spread over an hour the first is due now and the last in three quarters of it."""
    for _ in range(4):
        await store.accept(accepted(), claimed=False)
    now = store.engine.now()
    assert await store.operate("retry", Filter(), actor="anna", spread=3600) == 4
    due = [row["due_at"] for row in await rows(store, "SELECT due_at FROM deliveries ORDER BY due_at")]
    assert [round((at - now) / 900) for at in due] == [0, 1, 2, 3]


async def test_a_filter_finds_the_same_on_both_engines(store: Store) -> None:
    """Parts of words, whatever their case; percent signs and underscores are themselves; NULL holds nothing."""
    await store.accept(accepted(["ada@mail.gmail.com"], subject="100 % Off", tag="news"), claimed=False)
    await store.accept(accepted(["bob@example.net"], subject="Receipt_1", size=10), claimed=False)
    for text, expected in {
        "to:ADA": 1,
        'subject:"100 % off"': 1,
        "subject:%": 1,
        "subject:_": 1,
        "domain:gmail": 1,
        "domain:gmail.com": 1,
        "tag:news": 1,
        "-tag:news": 1,
        "status:creating": 2,
        "to:nobody": 0,
        "code:4": 0,
    }.items():
        assert (await store.count(parse(text, time.time()))).deliveries == expected, text


async def test_a_message_is_shown_with_all_that_happened_to_it(store: Store) -> None:
    """Recipients, events, attempts with their conversation; an unknown one is None."""
    mail = accepted(metadata={"order": "7"})
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), BUSY, due_at=time.time() + 60)
    found = await store.message(mail.message.queue_id)
    assert found is not None
    assert found["metadata"] == '{"order": "7"}'
    assert [row["status"] for row in found["recipients"]] == ["deferred"]
    assert [row["event"] for row in found["events"]] == ["creating", "deferred"]
    assert found["attempts"][0]["transcript"].startswith("0 S 220")
    assert found["content_kept"]
    assert await store.message("nosuchqueueid") is None


async def test_actions_are_told_to_the_log_once(store: Store) -> None:
    """What operators did is read in order, and not again once it is in the log."""
    await store.accept(accepted(["a@x.test", "b@y.test"]), claimed=False)
    await store.operate("hold", Filter(), actor="anna", reason="check")
    (action,) = await store.unlogged_actions(100)
    assert (action.event, action.actor, action.deliveries) == ("hold", "anna", 2)
    assert action.detail == {"reason": "check"}
    await store.action_logged(action.last)
    assert await store.unlogged_actions(100) == []


async def test_status_tells_what_waits_and_what_happened(store: Store) -> None:
    """Counts by status, the last hour's events, who lives."""
    await store.accept(accepted(), claimed=False)
    await store.join()
    status = await store.status()
    assert status["queue"] == {"creating": 1}
    assert status["last_hour"] == {"creating": 1, "refused": 0}
    assert [worker["writer"] for worker in status["workers"]] == [0]
