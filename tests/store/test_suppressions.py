"""The suppression list as kept, and what it stops."""

import time
from dataclasses import replace
from typing import Any

import pytest

from relay.config import Retention
from relay.delivery import Made, Status, Verdict
from relay.filters import Filter
from relay.store import Store
from relay.store.spool import Settled
from relay.store.suppressions import RECIPIENT, STEP, Subscription
from suppression.entry import Entry
from tests.parts.mail import BUSY, SENT, UNKNOWN_USER, accepted
from tests.store.spooling import claim_all, claimed, rows, settle
from tests.store.test_sums import boxes_agree

SINCE = 1_800_000_000.0  # 2027-01-15


def entry(address: str = "bob@x.test", scope: str = "", reason: Any = "unsubscribe", **changes: Any) -> Entry:
    """An entry of the list."""
    return Entry(address, scope, reason, "one-click", SINCE, **changes)


async def statuses(store: Store) -> dict[str, str]:
    """Status by recipient."""
    return {
        row["recipient"]: row["status"] for row in await rows(store, "SELECT recipient, status FROM delivery_status")
    }


async def test_an_entry_is_found_by_address_and_tag(store: Store) -> None:
    """An entry for all mail stops every tag, one for a tag only that; a domain's stops every address of it."""
    await store.suppress(entry("all@x.test"), actor="anna")
    await store.suppress(entry("some@x.test", "weekly"), actor="anna")
    await store.suppress(entry("@dead.test", reason="manual"), actor="anna")
    asked = {
        ("all@x.test", ""): True,
        ("all@x.test", "weekly"): True,
        ("some@x.test", "weekly"): True,
        ("some@x.test", "receipts"): False,
        ("some@x.test", ""): False,
        ("anybody@dead.test", "weekly"): True,
        ("anybody@notdead.test", "weekly"): False,
        ("dead.test@x.test", ""): False,
    }
    found = await store.suppressed(list(asked))
    assert {question: answer is not None for question, answer in zip(asked, found, strict=True)} == asked
    assert await store.suppressed([]) == []


async def test_a_domain_is_compared_without_its_case_and_a_local_part_with_it(store: Store) -> None:
    """RFC 5321 2.4: only the receiving host may say that Bob and bob are the same; X.Test and x.test are."""
    await store.suppress(entry("Bob@X.Test"), actor="anna")
    found = await store.suppressed([("Bob@x.test", ""), ("Bob@X.TEST", ""), ("bob@x.test", "")])
    assert [answer is not None for answer in found] == [True, True, False]


async def test_an_international_domain_is_one_however_it_is_spelled(store: Store) -> None:
    """U-labels and A-labels name the same place."""
    await store.suppress(entry("ada@Bücher.example"), actor="anna")
    await store.suppress(entry("@xn--mller-kva.example", reason="manual"), actor="anna")
    found = await store.suppressed([("ada@xn--bcher-kva.example", ""), ("eve@müller.example", "")])
    assert None not in found


async def test_an_entry_counts_until_it_expires(store: Store) -> None:
    """After that it stops nothing; one that comes then counts from its own day."""
    await store.suppress(entry(reason="hard_bounce", expires_at=time.time() - 1), actor="relay")
    assert await store.suppressed([("bob@x.test", "")]) == [None]
    again = entry(reason="hard_bounce", expires_at=time.time() + 60)
    await store.suppress(again, actor="relay")
    assert await store.suppressed([("bob@x.test", "")]) == [again]


async def test_reasons_stand_side_by_side(store: Store) -> None:
    """Whichever comes first: each keeps its own day, end and note, is an entry of its own, and is told once."""
    hold = entry(reason="manual", note="legal hold")
    bounce = entry(reason="hard_bounce", reply="550 no", expires_at=time.time() + 60)
    await store.suppress(hold, actor="anna")
    for _ in range(2):
        await store.suppress(entry(), actor=RECIPIENT)
    await store.suppress(bounce, actor="relay")
    assert await store.forbidding([("bob@x.test", "weekly")]) == [[entry(), hold, bounce]]
    assert await store.named("bob@x.test", "") == [entry(), hold, bounce]
    assert await store.named("bob@x.test", "", "manual") == [hold]
    seen = await rows(store, "SELECT reason, note, reply FROM suppressions ORDER BY reason")
    assert [tuple(row.values()) for row in seen] == [
        ("hard_bounce", None, "550 no"),
        ("manual", "legal hold", None),
        ("unsubscribe", None, None),
    ]
    events = await rows(store, "SELECT event FROM events ORDER BY event_id")
    assert [row["event"] for row in events] == ["suppression_add", "unsubscribed", "suppression_add"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("reason", ["manual", "hard_bounce", "invalid", "spam", "complaint"])
async def test_taking_one_reason_off_leaves_the_others_in_force(store: Store, reason: Any, order: int) -> None:
    """In either order: neither the way in nor the way out of one touches the other."""
    wish, other = entry(), entry(reason=reason, note="legal hold", expires_at=time.time() + 60)
    for one in (wish, other)[::order]:
        await store.suppress(one, actor="relay")
    assert await store.unsuppress("bob@x.test", "", "unsubscribe", actor=RECIPIENT)
    assert await store.suppressed([("bob@x.test", "weekly")]) == [other]
    await store.suppress(wish, actor=RECIPIENT)
    assert await store.unsuppress("bob@x.test", "", reason, actor="anna")
    assert await store.suppressed([("bob@x.test", "weekly")]) == [wish]


async def test_the_end_of_one_reason_leaves_the_others_in_force(store: Store) -> None:
    """A complaint that has expired gives nobody his mail back who has unsubscribed as well."""
    await store.suppress(entry(reason="complaint", expires_at=time.time() - 1), actor="relay")
    await store.suppress(entry(), actor=RECIPIENT)
    assert await store.suppressed([("bob@x.test", "")]) == [entry()]


async def test_without_a_reason_all_of_them_are_taken_off(store: Store) -> None:
    """Of that address and scope, each with its event; of another scope none."""
    listed = [entry(), entry(reason="manual"), entry(scope="weekly")]
    for one in listed:
        await store.suppress(one, actor="anna")
    assert await store.unsuppress("bob@x.test", "", actor="anna")
    assert await store.forbidding([("bob@x.test", "weekly")]) == [listed[2:]]
    assert len(await rows(store, "SELECT 1 FROM events WHERE event = 'suppression_remove'")) == 2
    assert not await store.unsuppress("bob@x.test", "", actor="anna")


async def test_what_waits_is_told_the_strongest_of_the_reasons_that_come(store: Store) -> None:
    """Two entries of one step stop it once, and the same one is told as before an attempt."""
    await store.accept(accepted(["bob@x.test"]), claimed=False)
    listings = [entry(reason="spam"), entry(reason="manual"), entry("@x.test", reason="complaint")]
    assert (await store.suppress_many(listings, actor="anna")).stopped == 1
    (row,) = await rows(store, "SELECT reason_class FROM email_status")
    (told,) = await store.suppressed([("bob@x.test", "")])
    assert told and row["reason_class"] == told.reason_class == "suppressed_manual"


async def test_the_addresss_own_entry_is_told_before_its_domains(store: Store) -> None:
    """Of several that match, the one that says most about this recipient."""
    await store.suppress(entry("@x.test", reason="manual"), actor="anna")
    await store.suppress(entry(scope="weekly"), actor="anna")
    assert [e and e.scope for e in await store.suppressed([("bob@x.test", "weekly")])] == ["weekly"]
    await store.suppress(entry(reason="complaint"), actor="anna")
    assert [e and e.reason for e in await store.suppressed([("bob@x.test", "weekly")])] == ["complaint"]


async def test_suppressing_stops_what_waits_in_the_same_commit(store: Store) -> None:
    """Created, deferred and held mail to that address becomes rejected; other addresses' and tags' stays."""
    waiting = accepted(["bob@x.test", "eve@x.test"], tag="weekly")
    deferred, held = accepted(["BOB@x.test", "bob@X.TEST"], tag="weekly"), accepted(["bob@x.test"], tag="weekly")
    other = accepted(["bob@x.test"], tag="receipts")
    notice = accepted(["bob@x.test"], tag="weekly", origin="notice")
    await store.accept(held, claimed=False)
    await store.operate("hold", Filter(), actor="anna")
    await store.accept(deferred, claimed=True)
    await settle(store, claimed(deferred, 1), BUSY, due_at=time.time() + 60)
    for mail in (waiting, other, notice):
        await store.accept(mail, claimed=False)
    assert await store.suppress(entry(scope="weekly"), actor=RECIPIENT) == 3
    found = {
        (row["queue_id"], row["number"]): row["status"]
        for row in await rows(store, "SELECT queue_id, number, status FROM delivery_status")
    }
    assert found == {
        (held.message.queue_id, 0): "rejected",
        (deferred.message.queue_id, 0): "creating",  # BOB is somebody else
        (deferred.message.queue_id, 1): "rejected",
        (waiting.message.queue_id, 0): "rejected",
        (waiting.message.queue_id, 1): "creating",
        (other.message.queue_id, 0): "creating",
        (notice.message.queue_id, 0): "creating",
    }
    (told, *_) = await rows(
        store, "SELECT reason_class, dsn, reason, smtp_code FROM email_status WHERE status = 'rejected'"
    )
    assert told == {
        "reason_class": "suppressed_unsubscribe",
        "dsn": "5.7.1",
        "reason": 'unsubscribed from "weekly" on 2027-01-15',
        "smtp_code": None,
    }
    events = await rows(store, "SELECT actor FROM events WHERE event = 'rejected'")
    assert events == [{"actor": RECIPIENT}] * 3
    await boxes_agree(store)


async def test_what_is_stopped_leaves_the_queue_and_keeps_its_content_for_a_while(store: Store) -> None:
    """Nobody claims it any more; it may have been a mistake, so its bytes stay until their own retention is over."""
    alone, shared = accepted(), accepted(["bob@x.test", "eve@x.test"])
    for mail in (alone, shared):
        await store.accept(mail, claimed=False)
    await store.suppress(entry(), actor=RECIPIENT)
    (left,) = await claim_all(store)
    assert str(left.recipient) == "eve@x.test"
    assert len(await rows(store, "SELECT * FROM queue_now")) == 1
    await settle(store, left, SENT)
    await store.prune(Retention(content=0.0, dropped=60.0))
    for mail in (alone, shared):
        assert await store.content(mail.message.queue_id) == mail.content
    await store.prune(Retention(content=0.0, dropped=0.0))
    for mail in (alone, shared):
        assert await store.content(mail.message.queue_id) is None


@pytest.mark.parametrize("verdict", [BUSY, UNKNOWN_USER])
async def test_a_late_answer_does_not_bring_back_what_was_stopped(store: Store, verdict: Verdict) -> None:
    """The claim is gone with the suppression: a refusal that comes after it changes nothing, and sends no notice."""
    mail, notice = accepted(), accepted(["ada@sender.test"], origin="notice", reverse_path=None)
    await store.accept(mail, claimed=True)
    assert await store.suppress(entry(), actor=RECIPIENT) == 1
    assert await store.stopped(mail.deliveries) == {(mail.message.queue_id, 0)}
    await store.renew(mail.deliveries)
    await store.release(mail.deliveries)
    due_at = time.time() if verdict.status is Status.DEFERRED else None
    assert await settle(store, claimed(mail), verdict, due_at=due_at, notices=(notice,)) == Settled(late=True)
    assert await statuses(store) == {"bob@x.test": "rejected"}
    assert await claim_all(store) == []
    await boxes_agree(store)


async def test_what_was_sent_is_told_as_sent(store: Store) -> None:
    """The mail was on its way when its recipient unsubscribed: the server's yes counts, and the boxes follow."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    assert await store.suppress(entry(), actor=RECIPIENT) == 1
    assert await settle(store, claimed(mail), SENT, copy=Made(True, 0)) == Settled(finished=True)
    assert await statuses(store) == {"bob@x.test": "sent"}
    await boxes_agree(store)


async def test_what_is_decided_already_stays_as_it_is(store: Store) -> None:
    """Sent, bounced and cancelled mail is history."""
    mails = [accepted(), accepted(), accepted()]
    for mail, verdict in zip(mails, (SENT, UNKNOWN_USER, None), strict=True):
        await store.accept(mail, claimed=True)
        if verdict:
            await settle(store, claimed(mail), verdict)
    await store.operate("cancel", Filter(), actor="anna")
    assert await store.suppress(entry(), actor="anna") == 0
    found = await rows(store, "SELECT status FROM email_status ORDER BY queue_id")
    assert [row["status"] for row in found] == ["sent", "hard_bounce", "cancelled"]


async def test_a_whole_domain_is_stopped_step_by_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much waits for it, every step is a short transaction of its own, and all of it is stopped."""
    monkeypatch.setattr("relay.store.suppressions.STEP", 3)
    assert STEP > 3
    await store.accept(accepted([f"u{n}@X.test" for n in range(8)]), claimed=False)
    await store.accept(accepted(["u@sub.x.test"]), claimed=False)
    assert await store.suppress(entry("@x.test", reason="manual"), actor="anna") == 8
    assert await store.suppress(entry("@x.test", reason="manual"), actor="anna") == 0
    assert (await statuses(store))["u@sub.x.test"] == "creating"
    await boxes_agree(store)


async def test_an_unsubscription_marks_its_delivery_and_is_told_once(store: Store) -> None:
    """The mark, the box, the event with who and where from; the same once more changes nothing at all."""
    mail = accepted(tag="weekly")
    name = (mail.message.queue_id, 0)
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT)
    for _ in range(2):
        wish = entry(scope="weekly")
        await store.suppress(wish, actor=RECIPIENT, delivery=name, detail={"ip": "203.0.113.9", "agent": "Gmail"})
    events = await rows(store, "SELECT event, recipient, actor, ip FROM events ORDER BY event_id")
    assert events[2:] == [{"event": "unsubscribed", "recipient": "bob@x.test", "actor": RECIPIENT, "ip": "203.0.113.9"}]
    assert await rows(store, "SELECT status, unsubscribed, complained FROM email_status") == [
        {"status": "sent", "unsubscribed": 1, "complained": 0}
    ]
    assert await rows(store, "SELECT address, scope, reason, source, cause_queue_id FROM suppressions") == [
        {
            "address": "bob@x.test",
            "scope": "weekly",
            "reason": "unsubscribe",
            "source": "one-click",
            "cause_queue_id": mail.message.queue_id,
        }
    ]
    await boxes_agree(store)


async def test_a_complaint_is_spam_in_every_view(store: Store) -> None:
    """email_status, the boxes, and the statistics of the recipient's domain."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT)
    await store.suppress(entry(reason="complaint"), actor="relay", delivery=(mail.message.queue_id, 0))
    assert await rows(store, "SELECT complained FROM email_status") == [{"complained": 1}]
    assert await rows(store, "SELECT requests, spam FROM daily_stats") == [{"requests": 1, "spam": 1}]
    assert await rows(store, "SELECT requests, spam, delivered_pct FROM domain_stats") == [
        {"requests": 1, "spam": 1, "delivered_pct": 100.0}
    ]


async def test_a_delivery_that_waits_is_marked_and_stopped_in_one(store: Store) -> None:
    """Deferred after its recipient had it: the mark and the status change together, and the boxes agree."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), BUSY, due_at=time.time() + 60, copy=Made(True, 1))
    assert await store.suppress(entry(), actor=RECIPIENT, delivery=(mail.message.queue_id, 0)) == 1
    assert await rows(store, "SELECT status, unsubscribed FROM email_status") == [
        {"status": "rejected", "unsubscribed": 1}
    ]
    await boxes_agree(store)


async def test_undoing_is_an_event_and_the_address_gets_mail_again(store: Store) -> None:
    """What the recipient takes back is told as such; what was stopped meanwhile stays stopped."""
    mail = accepted(tag="weekly")
    await store.accept(mail, claimed=False)
    await store.suppress(entry(scope="weekly"), actor=RECIPIENT, delivery=(mail.message.queue_id, 0))
    assert await store.unsuppress("bob@X.test", "weekly", actor=RECIPIENT, detail={"ip": "203.0.113.9"})
    assert await store.suppressed([("bob@x.test", "weekly")]) == [None]
    assert await statuses(store) == {"bob@x.test": "rejected"}
    (told,) = await rows(store, "SELECT queue_id, ip FROM events WHERE event = 'resubscribed'")
    assert told == {"queue_id": mail.message.queue_id, "ip": "203.0.113.9"}
    assert not await store.unsuppress("bob@x.test", "weekly", actor=RECIPIENT)


async def test_a_person_may_take_an_entry_off_with_a_reason(store: Store) -> None:
    """The event has who and why, and is told to the log."""
    await store.suppress(entry(reason="hard_bounce"), actor="relay")
    assert await store.unsuppress("bob@x.test", "", actor="anna", because="they have a new server")
    (action,) = await store.unlogged_actions(10)
    assert (action.event, action.actor, action.detail["because"]) == (
        "suppression_remove",
        "anna",
        "they have a new server",
    )


async def test_what_the_recipient_wished_is_told_to_the_page(store: Store) -> None:
    """Who, from whom, which tag, and since when mail like this is stopped; of a purged delivery nothing is known."""
    mail = accepted(tag="weekly", received_at=SINCE)
    queue_id = mail.message.queue_id
    await store.accept(mail, claimed=False)
    known = Subscription("bob@x.test", "ada@sender.test", "sender.test", "weekly", SINCE, None)
    assert await store.subscription(queue_id, 0) == known
    await store.suppress(entry(reason="hard_bounce"), actor="relay")
    assert await store.subscription(queue_id, 0) == known
    await store.suppress(entry(scope="weekly"), actor=RECIPIENT)
    assert await store.subscription(queue_id, 0) == replace(known, unsubscribed_at=SINCE)
    assert await store.subscription(queue_id, 5) is None


async def test_strangers_can_break_no_view_with_their_words(store: Store) -> None:
    """What a server or a program said of itself is text, whatever is in it."""
    said = "550 \0 \udc80 no"
    await store.suppress(entry(reason="hard_bounce", reply=said), actor="relay")
    await store.suppress(entry(), actor=RECIPIENT, detail={"ip": "203.0.113.9", "agent": said})
    assert len(await rows(store, "SELECT * FROM suppressions")) == 2
    assert [row["ip"] for row in await rows(store, "SELECT ip FROM events ORDER BY event_id")] == [None, "203.0.113.9"]
