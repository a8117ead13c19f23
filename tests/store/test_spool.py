"""The message's way through the store."""

import asyncio
import random
import time
from dataclasses import replace

from relay.config import Config, DeliverySection
from relay.credential import Credential
from relay.delivery import Status, Verdict
from relay.store import Accepted, Store, open_store
from relay.store.spool import Settled, Settlement
from tests.parts.mail import BUSY, SENT, UNKNOWN_USER, accepted, attempt
from tests.store.spooling import claim_all, claimed, rows, settle


async def test_what_is_accepted_is_there_with_its_content_and_its_events(store: Store) -> None:
    """After accept() the message, its content, its deliveries and their first events are in the database."""
    mail = accepted(["bob@x.test", "eve@y.test"], content=b"x" * 600_000)
    await store.accept(mail, claimed=False)
    assert await store.content(mail.message.queue_id) == mail.content
    status = await rows(store, "SELECT recipient, status FROM email_status ORDER BY recipient")
    assert status == [
        {"recipient": "bob@x.test", "status": "creating"},
        {"recipient": "eve@y.test", "status": "creating"},
    ]
    assert [row["event"] for row in await rows(store, "SELECT event FROM events")] == ["creating", "creating"]


async def test_a_claim_spends_the_attempt_and_hides_the_delivery_until_its_lease_ends(store: Store) -> None:
    """A claimed delivery is not due for anybody else, and names the attempt that was spent."""
    await store.accept(accepted(), claimed=False)
    (again,) = await claim_all(store)
    assert again.attempt == 1
    assert await claim_all(store) == []


async def test_mail_accepted_as_claimed_is_in_the_hand_of_the_accepting_worker(store: Store) -> None:
    """What was accepted as claimed is due for nobody until its lease ends."""
    await store.accept(accepted(), claimed=True)
    assert await store.due(busy=(), limit=10) == []


async def test_a_lapsed_claim_comes_due_by_itself(config: Config) -> None:
    """When the lease is over, the delivery is due again, with the next attempt: there is no recovery code."""
    store = await open_store(replace(config, delivery=DeliverySection(lease=0.0)))
    try:
        await store.accept(accepted(), claimed=True)
        (again,) = await claim_all(store)
        assert again.attempt == 2
    finally:
        await store.close()


async def test_a_late_answer_to_an_old_claim_changes_nothing(config: Config) -> None:
    """Two workers had the same delivery: only the one that holds the present claim settles it."""
    store = await open_store(replace(config, delivery=DeliverySection(lease=0.0)))
    try:
        await store.accept(accepted(), claimed=False)
        (frozen,) = await claim_all(store)
        (present,) = await claim_all(store)
        assert await settle(store, frozen, UNKNOWN_USER) == Settled(late=True)
        assert await settle(store, present, SENT) == Settled(finished=True)
        assert await settle(store, present, SENT) == Settled(late=True)
        assert await rows(store, "SELECT status, attempts FROM email_status") == [{"status": "sent", "attempts": 2}]
        assert await rows(store, "SELECT attempt, outcome FROM attempts") == [{"attempt": 2, "outcome": "sent"}]
    finally:
        await store.close()


async def test_a_late_settlement_costs_its_group_nothing(store: Store) -> None:
    """Writes that share a group with a late one are written all the same."""
    first, second = accepted(), accepted()
    await store.accept(first, claimed=True)
    await store.accept(second, claimed=True)
    assert await settle(store, claimed(first), SENT) == Settled(finished=True)
    late = store.settle(Settlement(claimed(first), attempt(), SENT))
    good = store.settle(Settlement(claimed(second), attempt(), SENT))
    await asyncio.wait([late, good])
    assert store.settled(late).late
    assert store.settled(good) == Settled(finished=True)


async def test_one_bad_write_harms_no_other_of_its_group(store: Store) -> None:
    """A message whose queue id is taken fails alone; the ones accepted beside it are safe."""
    mail = accepted()
    await store.accept(mail, claimed=False)
    twin, other = Accepted(mail.message, mail.deliveries, b"other"), accepted()
    outcomes = await asyncio.gather(
        store.accept(twin, claimed=False), store.accept(other, claimed=False), return_exceptions=True
    )
    assert isinstance(outcomes[0], Exception)
    assert outcomes[1] is None
    assert await store.content(mail.message.queue_id) == mail.content


async def test_a_settled_attempt_is_status_attempt_and_event_in_one_commit(store: Store) -> None:
    """Settling writes all that one fact is."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), BUSY, due_at=time.time() + 60, spooled_at=time.time())
    (status,) = await rows(store, "SELECT status, reason_class, smtp_code, dsn, attempts FROM email_status")
    assert status == {
        "status": "deferred",
        "reason_class": "throttled",
        "smtp_code": 450,
        "dsn": "4.2.1",
        "attempts": 1,
    }
    assert [row["event"] for row in await rows(store, "SELECT event FROM events ORDER BY event_id")] == [
        "creating",
        "spooled",
        "deferred",
    ]
    (tried,) = await rows(store, "SELECT outcome, transcript FROM attempts")
    assert tried == {"outcome": "deferred", "transcript": "0 S 220 mx.x.test\n1 C EHLO a"}


async def test_what_is_rejected_was_never_tried(store: Store) -> None:
    """It has its status, its reason and its event, and no attempt."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    stopped = Verdict(Status.REJECTED, "suppressed_manual", "5.7.1", "added by hand on 2026-11-21")
    assert await settle(store, claimed(mail), stopped) == Settled(finished=True)
    assert await rows(store, "SELECT status, reason_class FROM email_status") == [
        {"status": "rejected", "reason_class": "suppressed_manual"}
    ]
    assert await rows(store, "SELECT * FROM attempts") == []


async def test_what_message_and_credential_want_of_tracking_is_kept(store: Store) -> None:
    """Whoever claims the message knows it."""
    await store.accept(accepted(track_opens=False, unsubscribe=True), claimed=False)
    (delivery,) = await claim_all(store)
    message = delivery.message
    assert (message.track_opens, message.track_clicks, message.unsubscribe) == (False, True, True)
    credential = Credential("app", (), 0.0, track_opens=False, unsubscribe=True)
    await store.save_credential(credential)
    assert await store.credential("app") == credential


async def test_a_notice_is_accepted_in_the_commit_that_settles_its_cause(store: Store) -> None:
    """Bounce and DSN are one transaction: there is never one without the other."""
    mail = accepted()
    notice = accepted(["ada@sender.test"], origin="notice", reverse_path=None)
    await store.accept(mail, claimed=True)
    assert await settle(store, claimed(mail), UNKNOWN_USER, notices=(notice,)) == Settled(finished=True)
    assert await store.content(notice.message.queue_id) == notice.content
    assert await store.due(busy=(), limit=10) == ["sender.test"]
    late = accepted(["ada@sender.test"], origin="notice", reverse_path=None)
    assert (await settle(store, claimed(mail), UNKNOWN_USER, notices=(late,))).late
    assert await store.content(late.message.queue_id) is None


async def test_content_goes_when_no_delivery_needs_it(store: Store) -> None:
    """The content stays while one of two recipients waits, and goes with the last."""
    mail = accepted(["bob@x.test", "eve@y.test"])
    await store.accept(mail, claimed=True)
    bob, eve = (claimed(mail, number) for number in (0, 1))
    assert await settle(store, bob, SENT) == Settled(finished=False)
    assert await store.content(mail.message.queue_id) == mail.content
    assert await settle(store, eve, SENT) == Settled(finished=True)
    assert await store.content(mail.message.queue_id) is None


async def test_what_is_given_back_is_due_now_and_its_attempt_was_not_spent(store: Store) -> None:
    """A worker that stops leaves nothing behind that has to wait for its lease."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await store.release([claimed(mail)])
    (again,) = await claim_all(store)
    assert again.attempt == 1


async def test_a_destination_without_room_hides_nobody(store: Store) -> None:
    """However much waits for one destination, the others are found at once."""
    await asyncio.gather(*(store.accept(accepted(["a@full.test"]), claimed=False) for _ in range(300)))
    await store.accept(accepted(["b@free.test"]), claimed=False)
    assert await store.due(busy=["full.test"], limit=1) == ["free.test"]


async def test_a_claim_takes_no_more_than_there_is_room_for(store: Store) -> None:
    """The rest stays due."""
    await asyncio.gather(*(store.accept(accepted(), claimed=False) for _ in range(5)))
    assert len(await store.claim({"x.test": 3})) == 3
    assert len(await claim_all(store)) == 2


async def test_a_claim_of_many_destinations_gives_each_its_room_and_leaves_the_rest_due(store: Store) -> None:
    """Of each the longest due, and no more than it has room for; those that were not asked for stay as they are."""
    chance = random.Random(3)
    names = [f"d{n}.test" for n in range(40)]
    waiting: dict[str, list[str]] = {name: [] for name in names}
    for name in chance.choices(names, k=120):
        mail = accepted([f"u@{name}"])
        await store.accept(mail, claimed=False)
        waiting[name].append(mail.message.queue_id)
    room = {name: chance.randrange(6) for name in chance.sample(names, 30)}
    taken: dict[str, set[str]] = {name: set() for name in names}
    for delivery in await store.claim(room):
        taken[delivery.destination].add(delivery.message.queue_id)
    left = {name: waiting[name][room.get(name, 0) :] for name in names}
    assert taken == {name: set(waiting[name]) - set(left[name]) for name in names}
    assert set(await store.due(busy=(), limit=100)) == {name for name in names if left[name]}
    rest = {delivery.message.queue_id for delivery in await claim_all(store)}
    assert rest == {queue_id for queue_ids in left.values() for queue_id in queue_ids}


async def test_a_claim_says_of_each_destination_when_it_is_to_be_looked_at_again(store: Store) -> None:
    """When the first of its deliveries is due, in hand or not; when its block ends; never, if nothing is left."""
    now = store.engine.now()
    for name in ("all.test", "some.test", "some.test", "blocked.test"):
        await store.accept(accepted([f"u@{name}"]), claimed=False)
    for name in ("later.test", "none.test", "none-blocked.test"):
        mail = accepted([f"u@{name}"])
        await store.accept(mail, claimed=True)
        later = {"verdict": BUSY, "due_at": now + 300} if name == "later.test" else {"verdict": SENT}
        await settle(store, claimed(mail), **later)
    for name in ("blocked.test", "none-blocked.test"):
        await store.block(name, now=now, until=now + 600, reason="no answer")
    names = ("all", "some", "blocked", "later", "none", "none-blocked", "unheard-of")
    in_hand = await store.claim({f"{name}.test": 1 for name in names})
    assert sorted(delivery.destination for delivery in in_hand) == ["all.test", "blocked.test", "some.test"]
    due = await rows(store, "SELECT destination, min(due_at) AS at FROM deliveries GROUP BY destination")
    first = {row["destination"]: row["at"] for row in due}
    assert first["some.test"] < first["all.test"]
    looks = await rows(store, "SELECT destination, next_at FROM queues")
    assert {row["destination"]: row["next_at"] for row in looks} == {
        "all.test": first["all.test"],
        "some.test": first["some.test"],
        "blocked.test": now + 600,
        "later.test": now + 300,
        "none-blocked.test": now + 600,
    }


async def test_a_blocked_destination_is_not_due_until_its_time_and_a_person_can_lift_it(store: Store) -> None:
    """What is accepted for a blocked destination does not unblock it."""
    await store.block("x.test", now=time.time(), until=time.time() + 60, reason="no answer")
    await store.accept(accepted(), claimed=False)
    assert await store.due(busy=(), limit=10) == []
    assert await store.failures("x.test") == 1
    await store.unblock("x.test")
    assert await store.failures("x.test") == 0


async def test_the_boxes_always_add_up_to_requests(store: Store) -> None:
    """Whatever becomes of deliveries, daily_stats says the same as counting email_status."""
    mails = [accepted([f"u{n}@x.test"]) for n in range(6)]
    for mail in mails:
        await store.accept(mail, claimed=True)
    await settle(store, claimed(mails[0]), SENT)
    await settle(store, claimed(mails[1]), UNKNOWN_USER)
    await settle(store, claimed(mails[2]), BUSY, due_at=time.time() + 60)
    await store.spooled([claimed(mails[3])], time.time())
    await store.sum_up()
    (boxes,) = await rows(store, "SELECT * FROM daily_stats")
    assert boxes["requests"] == 6
    names = ("delivered", "hard_bounced", "soft_bounced", "dropped", "deferred", "in_progress", "cancelled")
    assert {name: boxes[name] for name in names} == {
        "delivered": 1,
        "hard_bounced": 1,
        "soft_bounced": 0,
        "dropped": 0,
        "deferred": 1,
        "in_progress": 3,
        "cancelled": 0,
    }
    statuses = {
        row["status"]: row["n"]
        for row in await rows(store, "SELECT status, count(*) AS n FROM email_status GROUP BY status")
    }
    assert statuses == {"sent": 1, "hard_bounce": 1, "deferred": 1, "spooled": 1, "creating": 2}


async def test_deferral_leaves_what_a_person_held_or_cancelled_meanwhile(store: Store) -> None:
    """A late refusal does not bring back what was taken out; a success tells the truth all the same."""
    from relay.filters import Filter

    mails = [accepted(), accepted()]
    for mail in mails:
        await store.accept(mail, claimed=True)
    assert await store.operate("cancel", Filter(), actor="anna") == 2
    await settle(store, claimed(mails[0]), BUSY, due_at=time.time() + 60)
    await settle(store, claimed(mails[1]), SENT)
    found = {row["queue_id"]: row["status"] for row in await rows(store, "SELECT queue_id, status FROM email_status")}
    assert found == {mails[0].message.queue_id: "cancelled", mails[1].message.queue_id: "sent"}
    assert await store.due(busy=(), limit=10) == []
