"""Opens and clicks, and what the public views say of them."""

import asyncio
from typing import Any

import pytest

from relay.delivery import Delivery, Made
from relay.store import Accepted, Store
from relay.store.visits import MOST, RECENT
from tests.parts.mail import SENT, accepted
from tests.store.spooling import claimed, rows, settle
from tests.store.test_sums import boxes_agree
from tests.store.visiting import judged_otherwise, visit

TRACKED = Made(trackable=True, links=2)


async def sent(store: Store, **changes: Any) -> str:
    """A tracked message that was delivered to its one recipient: its queue id."""
    mail = accepted(**changes)
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT, copy=TRACKED)
    return mail.message.queue_id


async def boxes(store: Store, *names: str) -> dict[str, int]:
    """These columns of daily_stats, over everything."""
    columns = ", ".join(f"CAST(coalesce(sum({name}), 0) AS integer) AS {name}" for name in names)
    (found,) = await rows(store, f"SELECT {columns} FROM daily_stats")
    return found


async def test_the_copy_that_was_made_is_told_with_the_delivery(store: Store) -> None:
    """Trackable, links, and why a part was left as it came; an attempt without a copy leaves what is known."""
    mails = [accepted(), accepted()]
    for mail in mails:
        await store.accept(mail, claimed=True)
    await settle(store, claimed(mails[0]), SENT, copy=Made(True, 4, "part 2 is signed"))
    await settle(store, claimed(mails[1]), SENT)
    found = await rows(store, "SELECT trackable, links, copy_note FROM email_status ORDER BY queue_id")
    assert found == [
        {"trackable": 1, "links": 4, "copy_note": "part 2 is signed"},
        {"trackable": 0, "links": 0, "copy_note": None},
    ]


async def test_an_open_and_a_click_are_seen_in_every_view(store: Store) -> None:
    """email_status, events, link_stats and the boxes tell the same, at once."""
    queue_id = await sent(store)
    opened, clicked = visit(queue_id, at=1_800_000_000.0), visit(queue_id, kind="click", at=1_800_000_060.0)
    await store.record([opened, clicked], [])
    (status,) = await rows(
        store, "SELECT opened, opens, auto_opens, first_open_at, clicked, clicks, first_click_at FROM email_status"
    )
    assert status == {
        "opened": 1,
        "opens": 1,
        "auto_opens": 0,
        "first_open_at": "2027-01-15T08:00:00.000Z",
        "clicked": 1,
        "clicks": 1,
        "first_click_at": "2027-01-15T08:01:00.000Z",
    }
    told = await rows(store, "SELECT event, recipient, ip, agent_class FROM events ORDER BY event_id DESC LIMIT 2")
    assert [(row["event"], row["recipient"], row["ip"], row["agent_class"]) for row in reversed(told)] == [
        ("opened", "bob@x.test", "203.0.113.50", "human"),
        ("clicked", "bob@x.test", "203.0.113.50", "human"),
    ]
    links = await rows(store, "SELECT link, url, people, clicks, auto_clicks FROM link_stats")
    assert links == [{"link": 1, "url": "https://shop.test/one", "people": 1, "clicks": 1, "auto_clicks": 0}]
    assert await boxes(store, "trackable", "opened", "unopened", "clicked", "links_clicked") == {
        "trackable": 1,
        "opened": 1,
        "unopened": 0,
        "clicked": 1,
        "links_clicked": 1,
    }


async def test_a_click_counts_as_an_open_and_a_machines_click_does_not(store: Store) -> None:
    """Who follows a link has read the mail, pictures or not; who fetches all links has not."""
    person, machine = await sent(store), await sent(store)
    await store.record([visit(person, kind="click"), visit(machine, kind="click", by="machine")], [])
    found = await rows(store, "SELECT queue_id, opened, first_open_at, clicked, auto_clicks FROM email_status")
    by_id = {row["queue_id"]: row for row in found}
    assert by_id[person]["opened"] == 1 and by_id[person]["first_open_at"] is not None
    assert (by_id[machine]["opened"], by_id[machine]["clicked"], by_id[machine]["auto_clicks"]) == (0, 0, 1)
    assert by_id[machine]["first_open_at"] is None
    assert await boxes(store, "opened", "unopened", "clicked") == {"opened": 1, "unopened": 1, "clicked": 1}


async def test_an_open_by_machines_only_has_a_shade_of_its_own(store: Store) -> None:
    """It is opened, and among those opened only automatically until a person opens it."""
    queue_id = await sent(store)
    await store.record([visit(queue_id, by="machine")], [])
    assert await boxes(store, "opened", "opened_only_auto") == {"opened": 1, "opened_only_auto": 1}
    await store.record([visit(queue_id)], [])
    assert await boxes(store, "opened", "opened_only_auto") == {"opened": 1, "opened_only_auto": 0}


async def test_what_is_told_twice_counts_once(store: Store, other: Store) -> None:
    """Twice in one call, again later, and from two workers at once: rows, events, marks and boxes have it once."""
    queue_id = await sent(store)
    one, two = visit(queue_id), visit(queue_id, kind="click")
    await store.record([one, one], [])
    await asyncio.gather(store.record([one, two], []), other.record([two, one], []))
    assert len(await rows(store, "SELECT * FROM visits")) == 2
    assert len(await rows(store, "SELECT * FROM events WHERE event IN ('opened', 'clicked')")) == 2
    assert await rows(store, "SELECT opens, clicks FROM email_status") == [{"opens": 1, "clicks": 1}]
    await boxes_agree(store)


async def test_another_verdict_moves_a_visit_from_one_shade_to_the_other_and_back(store: Store) -> None:
    """The row has the new verdict, the counters follow, and the same verdict once more changes nothing."""
    queue_id = await sent(store)
    opened, clicked = visit(queue_id), visit(queue_id, kind="click")
    await store.record([opened, clicked], [])
    shades = "SELECT opens, auto_opens, clicks, auto_clicks, first_click_at IS NULL AS none FROM email_status"
    for _ in range(2):
        await store.record([], [judged_otherwise(opened), judged_otherwise(clicked)])
        (row,) = await rows(store, shades)
        assert [int(value) for value in row.values()] == [0, 1, 0, 1, 1]
        await boxes_agree(store)
    found = await rows(store, "SELECT made_by, agent_class, reason FROM visits WHERE kind = 'click'")
    assert found == [{"made_by": "machine", "agent_class": "scanner", "reason": "all links in a burst"}]
    await store.record([], [opened, clicked])
    (row,) = await rows(store, shades)
    assert [int(value) for value in row.values()] == [1, 0, 1, 0, 0]
    await boxes_agree(store)


async def test_a_visit_and_a_new_verdict_on_it_may_come_in_one_call(store: Store) -> None:
    """It is counted as the verdict says that came last."""
    queue_id = await sent(store)
    opened = visit(queue_id)
    await store.record([opened], [judged_otherwise(opened)])
    assert await rows(store, "SELECT opens, auto_opens FROM email_status") == [{"opens": 0, "auto_opens": 1}]
    await boxes_agree(store)


async def test_visits_that_come_before_the_delivery_is_settled_are_counted_with_it(store: Store) -> None:
    """The server's 250 may be slower than the reader; opened is a box of what was delivered."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await store.record([visit(mail.message.queue_id)], [])
    assert await boxes(store, "opened", "in_progress") == {"opened": 0, "in_progress": 1}
    await settle(store, claimed(mail), SENT, copy=TRACKED)
    assert await boxes(store, "opened", "unopened", "in_progress") == {"opened": 1, "unopened": 0, "in_progress": 0}


async def test_a_visit_and_the_settlement_of_its_delivery_may_share_a_commit(store: Store) -> None:
    """What is counted off and on is each delivery once, whatever happens to it in a group."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    hand = claimed(mail)
    await asyncio.gather(
        settle(store, hand, SENT, copy=TRACKED),
        store.spooled([hand], 0.0),
        store.record([visit(mail.message.queue_id), visit(mail.message.queue_id, kind="click")], []),
    )
    await boxes_agree(store)
    assert await boxes(store, "requests", "opened", "clicked") == {"requests": 1, "opened": 1, "clicked": 1}


async def test_what_is_not_tracked_is_neither_opened_nor_unopened(store: Store) -> None:
    """Text-only mail lies outside both boxes; a click on it is a click all the same."""
    mail = accepted()
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT, copy=Made(False, 1))
    await store.record([visit(mail.message.queue_id, kind="click")], [])
    found = await boxes(store, "delivered", "trackable", "opened", "unopened", "clicked")
    assert found == {"delivered": 1, "trackable": 0, "opened": 0, "unopened": 0, "clicked": 1}


async def test_the_facts_of_a_delivery_have_its_visits_of_the_last_minute(store: Store) -> None:
    """The newest of them, the oldest first, as they were recorded; older ones and other deliveries' are left out."""
    queue_id, silent = await sent(store), await sent(store)
    now = store.engine.now()
    many = [visit(queue_id, at=now - RECENT / 2 + n / 10) for n in range(MOST + 5)]
    await store.record([*many, visit(queue_id, at=now - RECENT - 5)], [])
    facts = await store.known([(queue_id, 0), (silent, 0), (silent, 7), ("nosuchqueueid", 0)])
    assert facts.keys() == {(queue_id, 0), (silent, 0)}
    assert facts[silent, 0].recent == ()
    assert facts[queue_id, 0].recent == tuple(many[5:])
    assert (facts[queue_id, 0].recipient, facts[queue_id, 0].destination) == ("bob@x.test", "x.test")
    assert facts[queue_id, 0].links == 2 and facts[queue_id, 0].sent_at is not None


async def test_nobody_is_asked_about_nothing(store: Store) -> None:
    """No names, no facts; no visits, no write."""
    assert await store.known([]) == {}
    await store.record([], [])


async def test_a_visit_of_what_is_not_kept_any_more_is_passed_over(store: Store) -> None:
    """Links outlive statistics: others of the same call are kept, and nothing is left that belongs to nobody."""
    queue_id = await sent(store)
    await store.record([visit("nosuchqueueid"), visit(queue_id), visit(queue_id, number=9)], [])
    assert [row["queue_id"] for row in await rows(store, "SELECT queue_id FROM visits")] == [queue_id]
    assert [row["queue_id"] for row in await rows(store, "SELECT queue_id FROM marks")] == [queue_id]


async def test_each_recipient_has_marks_of_its_own(store: Store) -> None:
    """Of three copies of one message only the one that was opened is opened."""
    mail: Accepted = accepted(["to@x.test", "cc@x.test", "bcc@y.test"])
    await store.accept(mail, claimed=True)
    for number in range(3):
        await settle(store, claimed(mail, number), SENT, copy=TRACKED)
    await store.record([visit(mail.message.queue_id, number=2)], [])
    found = await rows(store, "SELECT recipient FROM email_status WHERE opened = 1")
    assert found == [{"recipient": "bcc@y.test"}]
    assert await boxes(store, "opened", "unopened") == {"opened": 1, "unopened": 2}


@pytest.mark.parametrize("agent", ["nul \0 in it", "broken \udc80 octets", '"quotes" and \\u0000', "\U0001f600"])
async def test_strangers_can_break_no_view_with_what_their_programs_are_called(store: Store, agent: str) -> None:
    """The events view reads JSON; whatever is in a User-Agent, it can be read."""
    queue_id = await sent(store)
    await store.record([visit(queue_id, agent=agent)], [])
    found = await rows(store, "SELECT ip, agent_class FROM events WHERE event = 'opened'")
    assert found == [{"ip": "203.0.113.50", "agent_class": "human"}]


async def test_workers_that_record_visits_of_the_same_messages_do_not_lose_any(store: Store, other: Store) -> None:
    """Two nodes, one newsletter: each visit is counted, whatever order the commits come in."""
    mail: Accepted = accepted([f"u{n}@x.test" for n in range(10)])
    await store.accept(mail, claimed=True)
    hands: list[Delivery] = [claimed(mail, number) for number in range(10)]
    visits = [visit(mail.message.queue_id, number=n % 10) for n in range(60)]
    await asyncio.gather(
        *(settle(store, hand, SENT, copy=TRACKED) for hand in hands),
        *(store.record(visits[at : at + 5], []) for at in range(0, 30, 5)),
        *(other.record(visits[at : at + 5], []) for at in range(30, 60, 5)),
    )
    assert await rows(store, "SELECT CAST(sum(opens) AS integer) AS opens FROM email_status") == [{"opens": 60}]
    await boxes_agree(store)
