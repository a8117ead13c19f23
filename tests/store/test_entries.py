"""Many entries of the suppression list at once."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from relay.config import Config, Retention, SuppressionSection
from relay.delivery import Status
from relay.store import Store, open_store
from relay.store.entries import Added, Retried, Selection
from suppression.entry import Entry
from tests.parts.mail import BUSY, SENT, accepted
from tests.store.spooling import claim_all, claimed, rows, settle
from tests.store.test_sums import boxes_agree

SINCE = 1_700_000_000.0  # 2023-11-14


def entry(address: str, **changes: Any) -> Entry:
    """An entry for all mail, imported."""
    known: dict[str, Any] = {"scope": "", "reason": "hard_bounce", "source": "import", "since": SINCE}
    return Entry(address, **known | changes)


@pytest.fixture
async def unlabelled(config: Config) -> AsyncIterator[Store]:
    """A store for which ada+news@ is ada@."""
    store = await open_store(replace(config, suppression=SuppressionSection(plus_labels=False)))
    yield store
    await store.close()


async def chosen(store: Store, selection: Selection) -> list[str]:
    """The addresses that it chooses, in order."""
    return [one.address async for one in store.entries(selection)]


async def test_adding_many_says_what_was_new_and_twice_changes_nothing(store: Store) -> None:
    """An import can be interrupted and run again: what is there stays as it is, and leaves no event."""
    many = [entry(f"u{n}@x.test", since=SINCE + n) for n in range(2500)]
    done: list[int] = []
    assert await store.suppress_many(many, actor="anna", progress=done.append) == Added(new=2500)
    assert done == [1000, 2000, 2500]
    assert await store.suppress_many(iter(many), actor="anna") == Added(same=2500)
    longer = replace(many[0], reply="550 no", note="twice")
    assert await store.suppress_many([longer, longer], actor="anna") == Added(changed=1, same=1)
    (events,) = await rows(store, "SELECT count(*) AS n, min(actor) AS actor FROM events")
    assert events == {"n": 2500, "actor": "anna"}
    assert await store.count_entries(Selection()) == 2500


async def test_a_dry_run_counts_and_changes_nothing(store: Store) -> None:
    """Neither the list nor what waits."""
    await store.accept(accepted(["u1@x.test"]), claimed=False)
    added = await store.suppress_many([entry("u1@x.test"), entry("U1@X.test")], actor="anna", dry_run=True)
    assert added == Added(new=2)
    assert await store.count_entries(Selection()) == 0
    assert [d.status for d in await claim_all(store)] == [Status.CREATING]


async def test_adding_many_stops_what_waits_for_each_of_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses and domains together, in as many steps as it takes, each delivery with its own entry's words."""
    monkeypatch.setattr("relay.store.suppressions.STEP", 2)
    await store.accept(accepted([f"u{n}@x.test" for n in range(5)]), claimed=False)
    await store.accept(accepted([f"u{n}@dead.test" for n in range(5)]), claimed=False)
    await store.accept(accepted(["Other@x.test"]), claimed=False)
    listed = [entry(f"u{n}@x.test") for n in range(4)] + [entry("@dead.test", reason="manual")]
    assert (await store.suppress_many(listed, actor="anna")).stopped == 9
    found = await rows(store, "SELECT recipient, reason_class FROM email_status WHERE status <> 'rejected'")
    assert {row["recipient"] for row in found} == {"u4@x.test", "Other@x.test"}
    classes = "SELECT reason_class, count(*) AS n FROM email_status WHERE status = 'rejected' GROUP BY 1 ORDER BY 1"
    assert await rows(store, classes) == [
        {"reason_class": "suppressed_bounce", "n": 4},
        {"reason_class": "suppressed_manual", "n": 5},
    ]
    await boxes_agree(store)


async def test_the_list_is_read_newest_first_in_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry once, however many share a moment, or an address."""
    monkeypatch.setattr("relay.store.entries.BATCH", 3)
    reasons = ["hard_bounce", "manual", "unsubscribe", "spam"]
    listed = [entry(f"u{n}@x.test", reason=reason, since=SINCE + n // 4) for n in range(11) for reason in reasons]
    await store.suppress_many(listed, actor="anna")
    found = [one.key async for one in store.entries(Selection())]
    assert len(found) == len(set(found)) == 44
    assert list(dict.fromkeys(address for address, _, _ in found))[:3] == ["u9@x.test", "u8@x.test", "u10@x.test"]
    assert [one.key async for one in store.entries(Selection(), limit=7)] == found[:7]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(), {"ada@x.test", "Bob@y.test", "@z.test"}),
        (Selection(address="BO"), {"Bob@y.test"}),
        (Selection(address="%"), set()),
        (Selection(domain="z.test"), {"@z.test"}),
        (Selection(domain="y.test"), {"Bob@y.test"}),
        (Selection(reason="complaint"), {"Bob@y.test"}),
        (Selection(source="anna"), {"@z.test"}),
        (Selection(source="ann"), set()),
        (Selection(scope=""), {"ada@x.test", "@z.test"}),
        (Selection(scope="news"), {"Bob@y.test"}),
        (Selection(reply="dmarc"), {"ada@x.test"}),
        (Selection(note="phone"), {"@z.test"}),
        (Selection(since=SINCE + 1), {"Bob@y.test", "@z.test"}),
        (Selection(until=SINCE + 1), {"ada@x.test"}),
        (Selection(reason="hard_bounce", reply="no such user"), set()),
    ],
)
async def test_entries_are_chosen_by_their_cause(store: Store, selection: Selection, found: set[str]) -> None:
    """All that is given must fit."""
    await store.suppress_many(
        [
            entry("ada@x.test", reply="550 5.7.26 DMARC"),
            entry("Bob@y.test", scope="news", reason="complaint", since=SINCE + 1),
            entry("@z.test", reason="manual", source="anna", note="by Phone", since=SINCE + 2),
        ],
        actor="anna",
    )
    assert set(await chosen(store, selection)) == found
    assert await store.count_entries(selection) == len(found)


async def test_a_mistake_is_repaired_by_its_cause(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that one cause has put there goes, in steps, each with an event that says who and why; the others stay."""
    monkeypatch.setattr("relay.store.entries.BATCH", 3)
    wrong = [entry(f"u{n}@x.test", reply="550 5.7.26 DMARC", since=SINCE + n) for n in range(7)]
    await store.suppress_many([*wrong, entry("dead@x.test", reply="550 5.1.1 no")], actor="relay")
    gone = store.unsuppress_many(Selection(reply="5.7.26"), actor="anna", because="our DMARC was wrong")
    assert {one.address async for one in gone} == {one.address for one in wrong}
    assert await chosen(store, Selection()) == ["dead@x.test"]
    removed = "SELECT actor, detail FROM events WHERE event = 'suppression_remove'"
    events = await rows(store, removed)
    assert len(events) == 7
    assert all(e["actor"] == "anna" and "our DMARC was wrong" in e["detail"] for e in events)


async def test_what_an_entry_dropped_goes_out_when_it_is_removed(store: Store) -> None:
    """Only what this entry stopped, since it is there, and the boxes follow; what others stopped stays."""
    before, mail, other = accepted(["bob@x.test"]), accepted(["bob@x.test", "eve@x.test"]), accepted(["ada@x.test"])
    await store.accept(before, claimed=True)
    await settle(store, claimed(before), SENT)
    listed = [entry("bob@x.test", since=time.time() - 60), entry("ada@x.test", since=time.time() - 60)]
    for one in (mail, other):
        await store.accept(one, claimed=False)
    await store.suppress_many(listed, actor="anna")
    (bob,) = await store.named("bob@x.test", "")
    assert [(one.recipient, one.kept) async for one in store.dropped(bob)] == [("bob@x.test", True)]
    assert await store.unsuppress("bob@x.test", "", actor="anna")
    assert await store.retry_dropped(bob, actor="anna") == Retried(released=1, gone=0, forbidden=0)
    assert await store.retry_dropped(bob, actor="anna") == Retried(released=0, gone=0, forbidden=0)
    due = {(d.message.queue_id, str(d.recipient)): d.status for d in await claim_all(store)}
    assert due[mail.message.queue_id, "bob@x.test"] is Status.DEFERRED
    assert (other.message.queue_id, "ada@x.test") not in due and len(due) == 2
    events = await rows(store, "SELECT actor FROM events WHERE event = 'release'")
    assert events == [{"actor": "anna"}]
    await boxes_agree(store)


async def test_a_whole_domains_dropped_mail_goes_out_too(store: Store) -> None:
    """With its domain's entry, whoever it was for; an entry for a tag has dropped only that tag's."""
    await store.accept(accepted(["u1@x.test", "u2@X.test"], tag="news"), claimed=False)
    await store.accept(accepted(["u3@x.test"], tag="bills"), claimed=False)
    domain = entry("@x.test", scope="news", since=time.time() - 60)
    assert (await store.suppress_many([domain], actor="anna")).stopped == 2
    await store.unsuppress("@x.test", "news", actor="anna")
    assert await store.retry_dropped(domain, actor="anna") == Retried(released=2, gone=0, forbidden=0)
    assert len(await claim_all(store)) == 3


async def test_what_has_no_content_any_more_is_counted_and_stays_dropped(store: Store) -> None:
    """After its retention: there is nothing to send."""
    await store.accept(accepted(["bob@x.test"]), claimed=False)
    listed = entry("bob@x.test", since=time.time() - 60)
    await store.suppress_many([listed], actor="anna")
    await store.prune(Retention(dropped=0.0))
    await store.unsuppress("bob@x.test", "", actor="anna")
    assert await store.retry_dropped(listed, listed, actor="anna") == Retried(released=0, gone=1, forbidden=0)
    assert await claim_all(store) == []
    await boxes_agree(store)


async def test_what_another_entry_still_forbids_is_not_sent_until_that_is_gone_too(store: Store) -> None:
    """Whichever of the two was told as the reason, and whichever goes first: the last one that goes sends it."""
    since = time.time() - 60
    hold = entry("bob@x.test", reason="manual", since=since)
    wish = entry("bob@x.test", reason="unsubscribe", since=since)
    domain = entry("@x.test", reason="manual", scope="news", since=since)
    news, bills = accepted(["bob@x.test"], tag="news"), accepted(["bob@x.test"], tag="bills")
    for mail in (news, bills):
        await store.accept(mail, claimed=False)
    assert (await store.suppress_many([hold, wish, domain], actor="anna")).stopped == 2
    assert await store.retriable(hold) == await store.retriable(wish) == 0
    await store.unsuppress(*wish.key, actor="anna")
    assert await store.retry_dropped(wish, actor="anna") == Retried(released=0, gone=0, forbidden=2)
    assert await store.retriable(hold) == 1 and await store.retriable(hold, domain) == 2
    await store.unsuppress(*hold.key, actor="anna")
    assert await store.retry_dropped(hold, actor="anna") == Retried(released=1, gone=0, forbidden=1)
    await store.unsuppress(*domain.key, actor="anna")
    assert await store.retry_dropped(domain, actor="anna") == Retried(released=1, gone=0, forbidden=0)
    assert len(await claim_all(store)) == 2
    await boxes_agree(store)


async def test_what_was_stopped_after_an_entry_had_expired_is_not_its_own(store: Store) -> None:
    """Another one has stopped it; taking the expired one off sends nothing."""
    expired = entry("bob@x.test", since=time.time() - 60, expires_at=time.time() - 30)
    wish = entry("bob@x.test", reason="unsubscribe", since=time.time() - 60)
    await store.suppress(expired, actor="anna")
    await store.accept(accepted(["bob@x.test"]), claimed=False)
    assert await store.suppress(wish, actor="recipient") == 1
    await store.unsuppress(*wish.key, actor="recipient")
    await store.unsuppress(*expired.key, actor="anna")
    assert await store.retry_dropped(expired, actor="anna") == Retried(released=0, gone=0, forbidden=0)


async def test_labels_count_unless_the_configuration_says_otherwise(store: Store, unlabelled: Store) -> None:
    """By default ada+news@ is somebody else; without labels it is ada@, however either of them came on the list."""
    await store.suppress(entry("ada@x.test"), actor="anna")
    await store.suppress(entry("bob+shop@x.test"), actor="anna")
    asked = [("ada+news@x.test", ""), ("bob@x.test", ""), ("bob+shop@x.test", ""), ("adam@x.test", "")]
    assert [found is not None for found in await store.suppressed(asked)] == [False, False, True, False]
    assert [found is not None for found in await unlabelled.suppressed(asked)] == [True, False, True, False]
    await unlabelled.suppress(entry("eve+shop@x.test"), actor="anna")
    assert await unlabelled.named("eve+other@x.test", "") == [entry("eve@x.test")]
    assert [found is not None for found in await unlabelled.suppressed([("eve+x@x.test", "")])] == [True]
    assert await unlabelled.unsuppress("bob+shop@x.test", "", actor="anna")


async def test_without_labels_an_entry_stops_what_waits_for_any_label(unlabelled: Store) -> None:
    """And nobody whose name only begins alike."""
    waiting = [
        "ada@x.test",
        "ada+a@x.test",
        "ada+b@X.test",
        "adam@x.test",
        "ADA+a@x.test",
        "ada-a@x.test",
        "ada+a@y.test",
    ]
    await unlabelled.accept(accepted(waiting), claimed=False)
    assert await unlabelled.suppress(entry("ada+c@x.test"), actor="anna") == 3
    found = await rows(unlabelled, "SELECT recipient FROM email_status WHERE status = 'rejected'")
    assert {row["recipient"] for row in found} == set(waiting[:3])


async def test_everything_about_an_address_is_found(store: Store) -> None:
    """All scopes, its domain's entries last, expired ones too."""
    listed = [entry("@x.test", scope="news"), entry("ada@x.test"), entry("ada@x.test", scope="news", expires_at=SINCE)]
    await store.suppress_many([*listed, entry("eve@x.test")], actor="anna")
    found = await store.entries_of("ada@X.test")
    assert [(one.address, one.scope) for one in found] == [
        ("ada@x.test", ""),
        ("ada@x.test", "news"),
        ("@x.test", "news"),
    ]
    assert [one.address for one in await store.entries_of("ada@x.test", domain=False)] == ["ada@x.test"] * 2
    assert [one.address for one in await store.entries_of("@x.test")] == ["@x.test"]


async def test_a_deferred_delivery_of_a_listed_address_stops_in_the_next_step(store: Store) -> None:
    """`stop_waiting`: the entry was there before; what still waits for it is stopped, and that is all."""
    mail = accepted(["bob@x.test"])
    await store.accept(mail, claimed=True)
    await settle(
        store, claimed(mail), BUSY, due_at=time.time() + 60, listing=(await store.listings([entry("bob@x.test")]))[0]
    )
    assert await store.suppressed([("bob@x.test", "")]) == [entry("bob@x.test")]
    assert await store.stop_waiting(entry("bob@x.test"), actor="relay") == 1
    assert [r["status"] for r in await rows(store, "SELECT status FROM email_status")] == ["rejected"]
    assert len(await rows(store, "SELECT event FROM events WHERE event = 'suppression_add'")) == 1
    await boxes_agree(store)
