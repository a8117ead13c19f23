"""Recipients who want no more of it: one click, a page with a button, and the way back."""

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office
from tests.parts.mx import FakeMx
from tests.parts.reader import PERSON, SCANNER, Letter

pytestmark = pytest.mark.asyncio(loop_scope="package")

WEEKLY = {"X-Mailtrail-Tag": "weekly", "X-Mailtrail-Unsubscribe": "yes"}
LATER = "451 4.3.0 try again in 1 hour"


async def subscribed(tracked: Office, mx: FakeMx, to: str, tag: str = "weekly") -> tuple[str, Letter]:
    """A mail that offers to unsubscribe, as it has arrived; its queue id."""
    queue_id = await tracked.send(to, headers=WEEKLY | {"X-Mailtrail-Tag": tag})
    await tracked.outcome(queue_id, "sent", to=to)
    return queue_id, Letter(mx.messages[-1].content)


async def test_one_click_stops_what_waits_and_what_comes(tracked: Office, internet: Internet) -> None:
    """Of that tag, for that address: nothing else is stopped. Undo, and mail goes through again."""
    bob, ann = "bob@weekly.test", "ann@weekly.test"
    async with internet.mx("weekly.test", rcpt={bob: ["250 Ok", LATER, "250 Ok"], ann: [LATER, "250 Ok"]}) as mx:
        sent, letter = await subscribed(tracked, mx, bob)
        waits = await tracked.send(bob, ann, headers=WEEKLY, sender="weekly@sender.test")
        await tracked.outcome(waits, "deferred", count=2)

        assert (await tracked.web.one_click(letter.unsubscribe)).text == "Unsubscribed."
        row = tracked.delivery(waits, bob)
        assert (row["status"], row["reason_class"], row["next_attempt_at"]) == (
            "rejected",
            "suppressed_unsubscribe",
            None,
        )
        assert row["reason"].startswith('unsubscribed from "weekly" on 20')
        assert tracked.delivery(waits, ann)["status"] == "deferred"
        first = tracked.delivery(sent)
        assert (first["status"], bool(first["unsubscribed"])) == ("sent", True)
        (event,) = tracked.rows("SELECT * FROM events WHERE queue_id = ? AND event = 'unsubscribed'", sent)
        assert (event["recipient"], event["actor"], event["ip"]) == (bob, "recipient", PERSON.address)
        (entry,) = tracked.rows("SELECT * FROM suppressions WHERE address = ?", bob)
        assert (entry["scope"], entry["reason"], entry["source"], entry["cause_queue_id"]) == (
            "weekly",
            "unsubscribe",
            "one-click",
            sent,
        )
        await tracked.program.line(rf"/supp\[\d+\]: {sent}: action=add, addr=<{bob}>, scope=weekly")

        heard = len(mx.messages)
        later = await tracked.send(bob, ann, headers=WEEKLY)
        await tracked.dropped(later, to=bob)
        await tracked.outcome(later, "sent", to=ann)
        assert [tracked.delivery(later, one)["status"] for one in (bob, ann)] == ["rejected", "sent"]
        assert [mail.recipients for mail in mx.messages[heard:]] == [(ann,)]
        other, _ = await subscribed(tracked, mx, bob, tag="receipt")
        assert tracked.delivery(other)["status"] == "sent"

        assert (await tracked.web.press(letter.unsubscribe, "undo")).status == 200
        await tracked.program.line(rf"/supp\[\d+\]: {sent}: action=remove, addr=<{bob}>, scope=weekly, .*how=undo")
        again, _ = await subscribed(tracked, mx, bob)
        assert tracked.delivery(again)["status"] == "sent"
        assert tracked.rows("SELECT * FROM suppressions WHERE address = ?", bob) == []
        assert tracked.rows("SELECT 1 FROM events WHERE event = 'resubscribed' AND queue_id = ?", sent)
        assert tracked.delivery(waits, bob)["status"] == "rejected"  # what was stopped stays so
        assert tracked.notices("weekly@sender.test") == 0
        await tracked.cli("queue", "retry", f"to:{ann}", "--yes")
        await tracked.outcome(waits, "sent", to=ann)


async def test_looking_changes_nothing(tracked: Office, internet: Internet) -> None:
    """GET and HEAD by people and by scanners, over and over: the page asks, and mail comes as before."""
    async with internet.mx("looking.test") as mx:
        _, letter = await subscribed(tracked, mx, "bob@looking.test")
        for visitor in (PERSON, SCANNER, PERSON):
            page = await tracked.web.get(letter.unsubscribe, visitor)
            assert page.status == 200
            assert "Weekly offers" in page.text and "@looking.test" in page.text
            assert "bob@looking.test" not in page.text
            assert (await tracked.web.get(letter.unsubscribe, visitor, method="HEAD")).body == b""
        assert tracked.rows("SELECT * FROM suppressions WHERE address = 'bob@looking.test'") == []
        queue_id, _ = await subscribed(tracked, mx, "bob@looking.test")
        assert not tracked.delivery(queue_id)["unsubscribed"]


async def test_one_click_as_multipart_and_twice(tracked: Office, internet: Internet) -> None:
    """RFC 8058: both encodings do it; once more is a success, and nothing happens twice."""
    async with internet.mx("twice.test") as mx:
        queue_id, letter = await subscribed(tracked, mx, "bob@twice.test")
    for multipart in (True, False, True):
        said = await tracked.web.one_click(letter.unsubscribe, multipart=multipart)
        assert (said.status, said.text) == (200, "Unsubscribed.")
    assert tracked.events(queue_id).count("unsubscribed") == 1
    assert len(tracked.rows("SELECT * FROM suppressions WHERE address = 'bob@twice.test'")) == 1
    (day,) = tracked.rows("""
        SELECT sum(unsubscribed) AS n, (SELECT sum(unsubscribed) FROM email_status) AS rows FROM daily_stats""")
    assert day["n"] == day["rows"] > 0


async def test_a_page_with_a_button(tracked: Office, internet: Internet) -> None:
    """A person presses it, and the page says that it is done; the next visit says since when."""
    async with internet.mx("button.test") as mx:
        queue_id, letter = await subscribed(tracked, mx, "bob@button.test")
        done = await tracked.web.press(letter.unsubscribe, "unsubscribe")
        assert "You are unsubscribed" in done.text
        assert "already unsubscribed" in (await tracked.web.get(letter.unsubscribe)).text
        (entry,) = tracked.rows("SELECT * FROM suppressions WHERE address = 'bob@button.test'")
        assert (entry["scope"], entry["source"]) == ("weekly", "page")
        said = await tracked.web.press(letter.unsubscribe, "reason", reason="too_many")
        assert said.status == 200
        assert "unsubscribe_reason" in tracked.events(queue_id)
        later = await tracked.send("bob@button.test", headers=WEEKLY)
        await tracked.dropped(later)
        assert not tracked.program.matching("worker died")


async def test_undo_gives_back_the_wish_and_nothing_else(tracked: Office, internet: Internet) -> None:
    """What the operator put on the list stays with its note; the pages say that mail is still stopped."""
    bob = "bob@held.test"
    async with internet.mx("held.test") as mx:
        _, letter = await subscribed(tracked, mx, bob)
        await tracked.cli("suppression", "add", bob, "--note", "legal hold")
        assert (await tracked.web.one_click(letter.unsubscribe)).text == "Unsubscribed."
        page = (await tracked.web.press(letter.unsubscribe, "undo")).text
        assert "You still do not get these emails" in page and "Subscribed again" not in page
        page = (await tracked.web.get(letter.unsubscribe.replace("/u/", "/p/"))).text
        assert " checked" not in page and "lways sent" not in page
        (entry,) = tracked.rows("SELECT * FROM suppressions WHERE address = ?", bob)
        assert (entry["scope"], entry["reason"], entry["note"]) == ("", "manual", "legal hold")
        later = await tracked.send(bob, headers=WEEKLY)
        await tracked.dropped(later)
        assert tracked.delivery(later)["reason_class"] == "suppressed_manual"
        await tracked.cli("suppression", "remove", bob)
        again, _ = await subscribed(tracked, mx, bob)
        assert tracked.delivery(again)["status"] == "sent"


async def test_the_pages_say_what_is_stopped_by_a_mail_without_a_tag(tracked: Office, internet: Internet) -> None:
    """Everything, orders too: nothing is "always sent" then; with a stream chosen again it is, and it comes."""
    bob = "bob@untagged.test"
    async with internet.mx("untagged.test") as mx:
        queue_id = await tracked.send(bob, headers={"X-Mailtrail-Unsubscribe": "yes"})
        await tracked.outcome(queue_id, "sent", to=bob)
        letter = Letter(mx.messages[-1].content)
        choices = letter.unsubscribe.replace("/u/", "/p/")
        assert "Always sent" in (await tracked.web.get(choices)).text
        await tracked.web.one_click(letter.unsubscribe)
        order = {"X-Mailtrail-Tag": "order"}
        await tracked.dropped(await tracked.send(bob, headers=order))
        for page in (await tracked.web.get(choices), await tracked.web.press(choices, "stop_all")):
            assert page.status == 200
            assert "lways sent" not in page.text and "cannot be turned off" not in page.text
        page = await tracked.web.press(choices, "choose", stream="weekly")
        assert "Always sent" in page.text
        await tracked.outcome(await tracked.send(bob, headers=order), "sent", to=bob)


async def test_what_is_on_the_wire_is_finished(tracked: Office, internet: Internet) -> None:
    """Unsubscribed while a server thinks about the next mail: that one is sent, because that is what happened."""
    async with internet.mx("wire.test") as mx:
        _, letter = await subscribed(tracked, mx, "bob@wire.test")
        mx.hold_at = "DATA"
        mx.commands.clear()
        queue_id = await tracked.send("bob@wire.test", headers=WEEKLY)
        await mx.heard("DATA")
        await tracked.web.one_click(letter.unsubscribe)
        mx.release.set()
        await tracked.outcome(queue_id, "sent")
    assert tracked.delivery(queue_id)["status"] == "sent"


async def test_an_applications_own_way_stays(tracked: Office, internet: Internet) -> None:
    """Its List-Unsubscribe is what arrives, alone; without the wish there is none of ours."""
    own = "<https://shop.test/leave?me=1>"
    async with internet.mx("own.test") as mx:
        await tracked.outcome(await tracked.send("bob@own.test", headers=WEEKLY | {"List-Unsubscribe": own}), "sent")
        assert Letter(mx.messages[-1].content).message.get_all("List-Unsubscribe") == [own]
        await tracked.outcome(await tracked.send("bob@own.test", headers={"X-Mailtrail-Tag": "weekly"}), "sent")
        assert "List-Unsubscribe" not in Letter(mx.messages[-1].content).message
