"""What recipients choose: each choice stops what it says and nothing else, can be taken back, and leaves its event."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.config import Config
from relay.delivery import Status
from relay.store import Accepted, Store, open_store
from relay.track.desk import ALL, Desk
from relay.track.journal import Journal
from suppression.entry import Entry, Reason
from tests.parts.mail import SENT, accepted
from tests.parts.written_log import Written
from tests.store.spooling import claimed, rows, settle
from tests.track.visiting import everything, visit
from tracker.backend import UNDO, Subscription, Unavailable
from tracker.token import Token

STREAMS = ("weekly", "offers", "events")
WHO = {"ip": "203.0.113.7", "agent": "Mozilla/5.0 (X11)"}


async def sent(store: Store, tag: str | None = "weekly", recipient: str = "bob@x.test") -> tuple[Accepted, Token]:
    """A message that was delivered, and the token of its unsubscribe link."""
    mail = accepted([recipient], tag=tag, sender="shop@sender.test")
    await store.accept(mail, claimed=True)
    await settle(store, claimed(mail), SENT)
    return mail, Token(mail.message.queue_id, 0)


async def stopped(
    store: Store, recipient: str = "bob@x.test", tags: Sequence[str] = (*STREAMS, "receipt", "")
) -> set[str]:
    """The tags of which mail to the recipient is stopped now."""
    found = await store.suppressed([(recipient, tag) for tag in tags])
    return {tag for tag, entry in zip(tags, found, strict=True) if entry}


async def events(store: Store, mail: Accepted) -> list[tuple[str, str]]:
    """What recipients did to a message: event and visitor's address."""
    sql = (
        "SELECT event, detail FROM events WHERE actor = 'recipient' "
        f"AND queue_id = '{mail.message.queue_id}' ORDER BY event_id"
    )
    return [(row["event"], json.loads(row["detail"])["ip"]) for row in await rows(store, sql)]


@pytest.fixture
def desk(store: Store, journal: Journal, written: Written) -> Desk:
    """A desk with three streams."""
    return Desk(store, journal, written.log, STREAMS)


@pytest.fixture
def plain(store: Store, journal: Journal, written: Written) -> Desk:
    """A desk without streams."""
    return Desk(store, journal, written.log, ())


async def test_a_page_is_told_what_it_needs(store: Store, desk: Desk) -> None:
    """Recipient, sender's domain and tag, and that nothing is stopped."""
    _, token = await sent(store)
    assert await desk.subscription(token) == Subscription("bob@x.test", "sender.test", "weekly")


async def test_a_purged_delivery_is_told_as_such(desk: Desk) -> None:
    """Nobody is unsubscribed by a link whose delivery is not kept any more: the page must say so."""
    token = Token("0000000000aa", 0)
    assert await desk.subscription(token) is None
    assert await desk.unsubscribe(token, everything=False, how="one-click", **WHO) is None
    assert await desk.resubscribe(token, **WHO) is None
    assert await desk.choose(token, wanted=frozenset(), **WHO) is None
    assert await desk.tell_reason(token, "other", **WHO) is None


async def test_unsubscribing_stops_the_tag_and_nothing_else(store: Store, desk: Desk) -> None:
    """One click on "weekly": offers and receipts still come; the event says who it was."""
    mail, token = await sent(store)
    after = await desk.unsubscribe(token, everything=False, how="one-click", **WHO)
    assert after and after.unsubscribed_at and not after.everything
    assert after.stopped == {"weekly"}
    assert await stopped(store) == {"weekly"}
    assert await events(store, mail) == [("unsubscribed", "203.0.113.7")]


async def test_what_already_waits_is_stopped_too(store: Store, desk: Desk) -> None:
    """A message of the tag that lies in the queue is not delivered any more; one of another tag is."""
    _, token = await sent(store)
    waiting = accepted(["bob@x.test"], tag="weekly"), accepted(["bob@x.test"], tag="receipt")
    for mail in waiting:
        await store.accept(mail, claimed=False)
    await desk.unsubscribe(token, everything=False, how="page", **WHO)
    ids = [mail.message.queue_id for mail in waiting]
    found = await rows(store, f"SELECT queue_id, status, reason FROM email_status WHERE queue_id IN {tuple(ids)}")
    assert {row["queue_id"]: row["status"] for row in found} == {ids[0]: Status.REJECTED, ids[1]: Status.CREATING}


async def test_twice_is_once(store: Store, desk: Desk) -> None:
    """A mail program that tries again changes nothing and succeeds: same time, one event."""
    mail, token = await sent(store)
    first = await desk.unsubscribe(token, everything=False, how="one-click", **WHO)
    second = await desk.unsubscribe(token, everything=False, how="one-click", **WHO)
    assert first == second
    assert len(await events(store, mail)) == 1


async def test_everything_is_every_stream_and_never_the_rest(store: Store, desk: Desk) -> None:
    """Orders and passwords are in no stream: they come whatever is chosen here."""
    _, token = await sent(store)
    after = await desk.unsubscribe(token, everything=True, how="page", **WHO)
    assert after and after.everything and after.stopped == set(STREAMS) and not after.all_mail
    assert await stopped(store) == set(STREAMS)


async def test_without_streams_everything_is_all_mail(store: Store, plain: Desk) -> None:
    """Where nothing says what else there is, who asks for no more mail gets no more mail."""
    _, token = await sent(store)
    after = await plain.unsubscribe(token, everything=True, how="page", **WHO)
    assert after and after.everything
    assert await stopped(store) == {*STREAMS, "receipt", ""}


async def test_mail_without_a_tag_is_stopped_as_a_whole(store: Store, desk: Desk) -> None:
    """There is no smaller wish to honour than no more mail."""
    _, token = await sent(store, tag=None)
    after = await desk.unsubscribe(token, everything=False, how="one-click", **WHO)
    assert after and after.unsubscribed_at and after.everything and after.all_mail and not after.barred
    assert await stopped(store) == {*STREAMS, "receipt", ""}


async def test_undo_takes_all_of_it_back(store: Store, desk: Desk) -> None:
    """One button after "everything": every stream comes again, and both events stand in the record."""
    mail, token = await sent(store)
    await desk.unsubscribe(token, everything=True, how="page", **WHO)
    after = await desk.resubscribe(token, **WHO)
    assert after == Subscription("bob@x.test", "sender.test", "weekly")
    assert await stopped(store) == set()
    assert {name for name, _ in await events(store, mail)} == {"unsubscribed", "resubscribed"}


async def test_undo_leaves_what_another_mail_s_link_stopped(store: Store, desk: Desk) -> None:
    """Offers were stopped from an offer: taking "weekly" back is another choice."""
    _, weekly = await sent(store)
    _, offer = await sent(store, tag="offers")
    await desk.unsubscribe(offer, everything=False, how="page", **WHO)
    await desk.unsubscribe(weekly, everything=False, how="page", **WHO)
    await desk.resubscribe(weekly, **WHO)
    assert await stopped(store) == {"offers"}


async def test_undo_is_for_thirty_days(store: Store, desk: Desk) -> None:
    """After that the link in an old mail does not bring mail back."""
    _, token = await sent(store)
    long_ago = time.time() - UNDO - 60
    await store.suppress(Entry("bob@x.test", "weekly", "unsubscribe", "page", long_ago), actor="recipient")
    after = await desk.resubscribe(token, **WHO)
    assert after and after.unsubscribed_at == pytest.approx(long_ago, abs=0.01)
    assert await stopped(store) == {"weekly"}


@pytest.mark.parametrize("reason", ["hard_bounce", "complaint", "manual"])
async def test_nobody_takes_back_what_was_not_his_own_wish(store: Store, desk: Desk, reason: str) -> None:
    """A dead address or a complaint is not undone by a link that anybody may hold."""
    _, token = await sent(store)
    for scope in ("weekly", ALL):
        entry = Entry("bob@x.test", scope, reason, "dsn", time.time())  # type: ignore[arg-type]
        await store.suppress(entry, actor="relay")
    await desk.resubscribe(token, **WHO)
    await desk.choose(token, wanted=frozenset(STREAMS), **WHO)
    assert await stopped(store) == {*STREAMS, "receipt", ""}


@pytest.mark.parametrize("tag", ["weekly", None])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("reason", ["manual", "hard_bounce", "invalid", "spam", "complaint"])
async def test_undo_takes_back_only_what_the_recipient_asked_for(
    store: Store, desk: Desk, reason: Reason, before: bool, tag: str | None
) -> None:
    """Unsubscribed before or after it came on the list: what others put there stays as it is, and a page is told."""
    _, token = await sent(store, tag)
    hold = Entry("bob@x.test", "", reason, "anna", time.time(), time.time() + 60, note="legal hold")
    if before:
        await store.suppress(hold, actor="anna")
    await desk.unsubscribe(token, everything=False, how="one-click", **WHO)
    if not before:
        await store.suppress(hold, actor="anna")
    after = await desk.resubscribe(token, **WHO)
    assert after and after.unsubscribed_at is None and after.stopped == set() and not after.everything
    assert after.barred and after.all_mail and after.barred_streams == set(STREAMS)
    assert await store.forbidding([("bob@x.test", tag or "")]) == [[hold]]


async def test_a_choice_of_streams_leaves_what_others_stopped(store: Store, desk: Desk) -> None:
    """The wish is kept beside it, and counts when the other reason has gone."""
    _, token = await sent(store)
    await store.suppress(Entry("bob@x.test", "weekly", "manual", "anna", time.time()), actor="anna")
    await desk.choose(token, wanted=frozenset({"events"}), **WHO)
    after = await desk.choose(token, wanted=frozenset({"weekly", "events"}), **WHO)
    assert after == Subscription(
        "bob@x.test",
        "sender.test",
        "weekly",
        stopped=frozenset({"offers"}),
        barred=True,
        barred_streams=frozenset({"weekly"}),
    )
    await store.unsuppress("bob@x.test", "weekly", "manual", actor="anna")
    assert await stopped(store) == {"offers"}


async def test_choosing_streams_stops_the_others(store: Store, desk: Desk) -> None:
    """Who keeps "events" gets events; choosing again brings back what is chosen then."""
    _, token = await sent(store)
    after = await desk.choose(token, wanted=frozenset({"events"}), **WHO)
    assert after and after.stopped == {"weekly", "offers"} and not after.everything
    after = await desk.choose(token, wanted=frozenset({"weekly", "events"}), **WHO)
    assert after and after.stopped == {"offers"} and after.unsubscribed_at is None
    after = await desk.choose(token, wanted=frozenset(), **WHO)
    assert after and after.everything
    assert await stopped(store) == set(STREAMS)


async def test_choosing_a_stream_after_all_mail_was_stopped_brings_back_that_one(store: Store, desk: Desk) -> None:
    """What was not chosen stays stopped, now by itself."""
    _, token = await sent(store, tag=None)
    await desk.unsubscribe(token, everything=False, how="one-click", **WHO)
    after = await desk.choose(token, wanted=frozenset({"events"}), **WHO)
    assert after and after.stopped == {"weekly", "offers"}
    assert await stopped(store) == {"weekly", "offers"}


async def test_the_same_choice_twice_leaves_no_second_event(store: Store, desk: Desk) -> None:
    """Saving a page that was not changed is no news."""
    mail, token = await sent(store)
    await desk.choose(token, wanted=frozenset({"events"}), **WHO)
    before = await events(store, mail)
    await desk.choose(token, wanted=frozenset({"events"}), **WHO)
    assert await events(store, mail) == before


async def test_a_reason_is_kept_and_never_signed_up_is_told(store: Store, desk: Desk, written: Written) -> None:
    """Every reason is an event; "I did not sign up" is half a complaint, so the operator reads it in the log."""
    mail, token = await sent(store)
    await desk.tell_reason(token, "too_many", **WHO)
    assert "never signed up" not in "\n".join(written.lines)
    await desk.tell_reason(token, "not_signed_up", **WHO)
    assert [name for name, _ in await events(store, mail)] == [
        "unsubscribe_reason",
        "unsubscribe_reason",
        "not_signed_up",
    ]
    assert f"{mail.message.queue_id}: bob@x.test says it never signed up" in written.last


async def test_a_database_that_is_away_is_said_to_be_so(
    store: Store, config: Config, journal: Journal, written: Written
) -> None:
    """Nothing is claimed to be saved that is not."""
    _, token = await sent(store)
    away = await open_store(config)
    await away.close()
    desk = Desk(away, journal, written.log, STREAMS)
    with pytest.raises(Unavailable):
        await desk.unsubscribe(token, everything=False, how="one-click", **WHO)


async def test_what_was_seen_goes_to_the_journal(desk: Desk, journal: Journal, tmp_path: Path) -> None:
    """The web tells the desk, and the desk the journal, at once."""
    desk.saw(seen := visit())
    journal.flush()
    assert everything(journal) == [seen]
