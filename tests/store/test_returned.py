"""What comes back to deliveries that were sent."""

import asyncio
import json
from typing import Any

import pytest

from relay.delivery import Status, Verdict
from relay.reply import Reply
from relay.store import Store
from relay.store.returned import Late
from relay.store.spool import Settlement
from suppression.entry import Entry
from tests.parts.mail import BUSY, SENT, UNKNOWN_USER, accepted, attempt
from tests.store.spooling import claimed, rows, settle
from tests.store.test_sums import boxes_agree

DAY = 86400.0
NOON = 1_700_000_000 // DAY * DAY + DAY / 2
GONE = Verdict(Status.HARD_BOUNCE, "bad_mailbox", "5.1.1", "550 5.1.1 gone", Reply(550, "5.1.1", "gone"))
FULL = Verdict(Status.SOFT_BOUNCE, "mailbox_full", "5.2.2", "552 5.2.2 full", Reply(552, "5.2.2", "full"))


async def sent(store: Store, address: str = "bob@x.test", **changes: Any) -> tuple[str, int]:
    """A delivery that was sent, by name."""
    mail = accepted([address], **changes)
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT)
    return mail.message.queue_id, 0


async def ended(store: Store, verdict: Verdict, day: float, address: str = "bob@x.test", **more: Any) -> None:
    """A delivery that ended on that day, counted from `NOON`."""
    mail = accepted([address])
    await store.accept(mail, claimed=True)
    done = store.settle(Settlement(claimed(mail), attempt(NOON + day * DAY), verdict, **more))
    await asyncio.wait([done])


@pytest.mark.parametrize(("verdict", "box"), [(GONE, "hard_bounced"), (FULL, "soft_bounced")])
async def test_a_late_bounce_moves_what_was_sent(store: Store, verdict: Verdict, box: str) -> None:
    """Status, reason, event, the boxes and the statistics of the domain: one commit, and they agree."""
    name = await sent(store)
    assert await store.late_bounce(*name, verdict, detail={"reporter": "mx.x.test"}) is Late.DONE
    assert await rows(store, "SELECT status, dsn, reason, delivered_at FROM email_status") == [
        {"status": verdict.status, "dsn": verdict.dsn, "reason": verdict.reason, "delivered_at": None}
    ]
    (told,) = await rows(store, f"SELECT actor, detail FROM events WHERE event = '{verdict.status}'")
    assert told["actor"] == "relay" and '"late":true' in told["detail"] and "mx.x.test" in told["detail"]
    assert await rows(store, f"SELECT delivered, {box} FROM daily_stats") == [{"delivered": 0, box: 1}]
    await boxes_agree(store)


async def test_the_same_report_twice_changes_nothing(store: Store) -> None:
    """Reports come again; the second one finds a bounce, also when it says something else."""
    name = await sent(store)
    assert await store.late_bounce(*name, FULL) is Late.DONE
    assert await store.late_bounce(*name, FULL) is Late.ALREADY
    assert await store.late_bounce(*name, GONE, entry=Entry("bob@x.test", "", "hard_bounce", "b", NOON)) is Late.ALREADY
    assert await store.suppressed([("bob@x.test", "")]) == [None]
    assert len(await rows(store, "SELECT 1 AS one FROM events WHERE event LIKE '%bounce'")) == 1


async def test_two_reports_at_once_are_one_bounce(store: Store, other: Store) -> None:
    """Two workers hear the same at the same moment."""
    name = await sent(store)
    became = await asyncio.gather(store.late_bounce(*name, GONE), other.late_bounce(*name, FULL))
    assert sorted(one.name for one in became) == ["ALREADY", "DONE"]
    assert len(await rows(store, "SELECT 1 AS one FROM events WHERE event LIKE '%bounce'")) == 1
    await boxes_agree(store)


async def test_what_was_never_sent_cannot_bounce(store: Store) -> None:
    """Unknown names, rejected mail, and what still is on its way: that report came too early."""
    assert await store.late_bounce("0123456789ab", 0, GONE) is Late.NOT_OURS
    waiting, deferred, dropped = accepted(), accepted(), accepted(["eve@x.test"])
    await store.accept(waiting, claimed=True)
    await store.accept(deferred, claimed=True)
    await settle(store, claimed(deferred), BUSY, due_at=NOON)
    await store.accept(dropped, claimed=False)
    await store.suppress(Entry("eve@x.test", "", "manual", "anna", NOON), actor="anna")
    became = [await store.late_bounce(mail.message.queue_id, 0, GONE) for mail in (waiting, deferred, dropped)]
    assert became == [Late.TOO_EARLY, Late.TOO_EARLY, Late.NOT_OURS]


async def test_a_late_hard_bounce_lists_the_address_and_stops_what_waits(store: Store) -> None:
    """The entry names its cause, and other mail to it goes nowhere."""
    name = await sent(store)
    await store.accept(accepted(["bob@x.test", "eve@x.test"]), claimed=False)
    entry = Entry("bob@x.test", "", "hard_bounce", "bounce", NOON, None, *name, reply="550 gone")
    assert await store.late_bounce(*name, GONE, entry=entry) is Late.DONE
    assert await store.suppressed([("bob@x.test", "news")]) == [entry]
    found = await rows(store, "SELECT recipient, status FROM email_status ORDER BY queue_id, recipient")
    assert [row["status"] for row in found] == ["hard_bounce", "rejected", "creating"]
    assert await rows(store, "SELECT cause_queue_id FROM suppressions") == [{"cause_queue_id": name[0]}]
    await boxes_agree(store)


async def test_a_refusal_as_spam_is_marked_with_who_said_so(store: Store) -> None:
    """While it is settled, and when it comes back later: the mark lies over the status, and is in the spam box."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    refused = Verdict(Status.SOFT_BOUNCE, "blocked_content", "5.7.1", "550 spam", Reply(550, "5.7.1", "spam"))
    await settle(store, claimed(mail), refused, spam="refused as spam")
    await store.late_bounce(*await sent(store), refused, spam="refused as spam")
    assert (
        await rows(store, "SELECT status, complained, spam_source FROM email_status")
        == [{"status": "soft_bounce", "complained": 1, "spam_source": "refused as spam"}] * 2
    )
    assert await rows(store, "SELECT sum(spam) AS spam FROM domain_stats") == [{"spam": 2}]
    told = await rows(store, "SELECT detail FROM events WHERE event = 'spam'")
    assert [json.loads(row["detail"]) for row in told] == [{"source": "refused as spam"}] * 2
    await boxes_agree(store)


async def test_a_hard_bounce_and_its_entry_are_one_commit(store: Store) -> None:
    """Promise 2: status, attempt, event and suppression; a late answer to a lapsed claim brings none of them."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    (listing,) = await store.listings(
        [Entry("Bob@X.test", "", "hard_bounce", "smtp", NOON, None, mail.message.queue_id, 0)]
    )
    assert (await settle(store, claimed(mail), UNKNOWN_USER, listing=listing)).finished
    assert [e["event"] for e in await rows(store, "SELECT event FROM events ORDER BY event_id")] == [
        "creating",
        "hard_bounce",
        "suppression_add",
    ]
    assert await rows(store, "SELECT address, reason FROM suppressions") == [
        {"address": "Bob@x.test", "reason": "hard_bounce"}
    ]
    (listing,) = await store.listings([Entry("late@x.test", "", "hard_bounce", "smtp", NOON)])
    assert (await settle(store, claimed(mail), UNKNOWN_USER, listing=listing)).late
    assert await store.suppressed([("late@x.test", "")]) == [None]


async def test_soft_bounces_are_counted_by_days_since_the_last_success(store: Store) -> None:
    """Two on one day are one day; what is not about the mailbox does not count; a delivery ends the row."""
    today = int(NOON // DAY)
    for day in (0, 0.1, 1):
        await ended(store, FULL, day, about_mailbox=True)
    await ended(store, FULL, 2)
    await ended(store, FULL, 2, address="eve@x.test", about_mailbox=True)
    await ended(store, FULL, 3, address="bob@X.TEST", about_mailbox=True)
    assert await store.soft_bounce_days("bob@x.test") == {today, today + 1, today + 3}
    assert await store.soft_bounce_days("BOB@x.test") == set()
    await ended(store, SENT, 2)
    assert await store.soft_bounce_days("bob@x.test") == {today + 3}


async def test_a_late_bounce_counts_and_its_delivery_was_no_success(store: Store) -> None:
    """What came back was not delivered after all."""
    await ended(store, FULL, -400, about_mailbox=True)
    name = await sent(store)
    assert await store.soft_bounce_days("bob@x.test") == set()
    assert len(await store.soft_bounce_days("bob@x.test", apart_from=name)) == 1
    await store.late_bounce(*name, FULL, about_mailbox=True)
    assert len(await store.soft_bounce_days("bob@x.test")) == 2


async def test_an_address_that_is_taken_off_the_list_is_counted_anew(store: Store) -> None:
    """Or its next bounce would put it there again."""
    for day in range(3):
        await ended(store, FULL, day, about_mailbox=True)
    await store.suppress(Entry("bob@x.test", "", "spam", "repeated soft bounces", NOON), actor="relay")
    assert len(await store.soft_bounce_days("bob@x.test")) == 3
    await store.unsuppress("bob@x.test", "", actor="anna")
    assert await store.soft_bounce_days("bob@x.test") == set()


async def test_a_report_is_matched_by_message_id_and_recipient(store: Store) -> None:
    """Whatever case the report has made of the address; only what was sent, and of several the newest."""
    first = await sent(store, "Bob@x.test", message_id="<1@a.test>")
    second = await sent(store, "Bob@x.test", message_id="<2@a.test>")
    again = await sent(store, "Bob@x.test", message_id="<2@a.test>")
    await store.accept(accepted(["bob@x.test"], message_id="<3@a.test>"), claimed=False)

    async def found(**asked: str) -> tuple[str, int] | None:
        one = await store.find_sent(**asked)
        return (one.queue_id, one.number) if one else None

    assert second != again
    assert await found(recipient="bob@X.test", message_id="1@a.test") == first
    assert await found(recipient="bob@x.test", message_id="<2@a.test>") == again
    assert await found(recipient="BOB@x.test", queue_id=first[0]) == first
    assert await found(recipient="eve@x.test", message_id="<1@a.test>") is None
    assert await found(recipient="bob@x.test", message_id="<3@a.test>") is None
    assert await found(recipient="bob@x.test") is None
    assert await found(recipient="", queue_id=first[0]) == first
    assert await found(recipient="", message_id="<1@a.test>") is None


async def test_who_had_it_is_not_guessed(store: Store) -> None:
    """Without an address a message to several says nothing about any of them."""
    mail = accepted(["bob@x.test", "eve@x.test"])
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT)
    assert await store.find_sent(recipient="", queue_id=mail.message.queue_id) is None
