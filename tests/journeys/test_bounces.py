"""What comes back: bounces at once and late, complaints, automatic answers; and what it does to the next mail."""

import re
import smtplib
from datetime import UTC, datetime

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office
from tests.journeys.providers import (
    DOMAIN,
    FEEDBACK,
    OPERATOR,
    bring,
    complaint,
    letter,
    out_of_office,
    report,
)
from tests.parts.mx import FakeMx
from tests.parts.reader import Letter
from tests.parts.views import Row

pytestmark = pytest.mark.asyncio(loop_scope="package")

DAY = 86400
FULL = "552 5.2.2 The mailbox is full"
BOXES = "delivered + hard_bounced + soft_bounced + dropped + deferred + in_progress + cancelled"


async def sent(back: Office, mx: FakeMx, to: str, message_id: str = "") -> tuple[str, str]:
    """A message that the recipient's server took: its queue id, and the reverse-path it came with."""
    queue_id = await back.send(to, headers={"Message-ID": message_id} if message_id else None)
    await back.outcome(queue_id, "sent", to=to)
    return queue_id, mx.messages[-1].mail_from


def listed(back: Office, address: str) -> list[Row]:
    """Its entries on the suppression list."""
    return back.rows("SELECT * FROM suppressions WHERE address = ?", address)


# --- bounces ------------------------------------------------------------------------------------------------------


async def test_who_is_unknown_is_not_mailed_again(back: Office, internet: Internet) -> None:
    """A 550 at RCPT is a hard bounce and suppresses; the next mail is dropped untried, to this recipient alone."""
    bob, ann = "bob@unknown.test", "ann@unknown.test"
    async with internet.mx("unknown.test", rcpt={bob: "550 5.1.1 No such user"}) as mx:
        first = await back.send(bob, ann)
        await back.outcome(first, "bounced", to=bob)
        await back.outcome(first, "sent", to=ann)
        row = back.delivery(first, bob)
        assert (row["status"], row["reason_class"], row["dsn"]) == ("hard_bounce", "bad_mailbox", "5.1.1")
        (entry,) = listed(back, bob)
        assert (entry["reason"], entry["scope"], entry["cause_queue_id"]) == ("hard_bounce", "", first)
        assert (entry["expires_at"], "No such user" in entry["reply"]) == (None, True)
        await back.program.line(rf"/supp\[\d+\]: {first}: action=add, addr=<{bob}>")

        heard = len(mx.commands)
        again = await back.send(bob, ann)
        await back.dropped(again, to=bob)
        await back.outcome(again, "sent", to=ann)
        assert not [command for command in mx.commands[heard:] if bob in command]
        row = back.delivery(again, bob)
        assert (row["status"], row["reason_class"], row["mx_host"]) == ("rejected", "suppressed_bounce", None)


async def test_a_late_bounce_finds_its_delivery(back: Office, internet: Internet) -> None:
    """A report to the reverse-path of a copy, in any case, turns `sent` into a hard bounce, with its reason; once."""
    bob, ann = "bob@late.test", "ann@late.test"
    async with internet.mx("late.test") as mx:
        queue_id = await back.send(bob, ann, sender="ada@late-shop.test", headers={"From": "ada@late-shop.test"})
        for one in (bob, ann):
            await back.outcome(queue_id, "sent", to=one)
        paths = {mail.recipients[0]: mail.mail_from for mail in mx.messages}
        assert all(path.endswith(f"@{DOMAIN}") for path in paths.values()) and len(set(paths.values())) == 2
        for path in (paths[bob].upper(), paths[bob]):
            await bring(back, report(bob, "550 5.1.1 This account was closed"), path)
        row = back.delivery(queue_id, bob)
        assert (row["status"], row["reason_class"], row["dsn"]) == ("hard_bounce", "bad_mailbox", "5.1.1")
        assert "This account was closed" in row["reason"]
        assert back.delivery(queue_id, ann)["status"] == "sent"
        assert back.events(queue_id).count("hard_bounce") == 1
        assert [entry["reason"] for entry in listed(back, bob)] == ["hard_bounce"]
        (day,) = back.rows(f"SELECT *, {BOXES} AS boxes FROM daily_stats WHERE sender_domain = 'late-shop.test'")
        assert (day["requests"], day["boxes"], day["delivered"], day["hard_bounced"]) == (2, 2, 1, 1)
        await back.dropped(await back.send(bob), to=bob)


async def test_the_sender_hears_what_comes_back_late(back: Office, internet: Internet) -> None:
    """Its reverse-path is not the one we send with: what servers report there goes on to it, as far as it asked."""
    bob, ann = "bob@later.test", "ann@later.test"
    async with internet.mx("later.test") as mx:
        sender, wanted = f"{back.directory.name}@sender.test", ["NOTIFY=SUCCESS,FAILURE"]
        queue_id = await back.send(bob, ann, sender=sender, rcpt_options=wanted, headers={"Message-ID": "<9@hears>"})
        for one in (bob, ann):
            await back.outcome(queue_id, "sent", to=one)
        paths = {mail.recipients[0]: mail.mail_from for mail in mx.messages}
        await bring(back, report(bob, "550 5.1.1 This account was closed"), paths[bob])
        failed = str(await back.notice(sender))
        await bring(back, report(ann, "250 2.1.5 In the mailbox", action="delivered"), paths[ann])
        delivered = str(await back.notice(sender, count=2))
    assert "Action: failed" in failed and bob in failed and "This account was closed" in failed
    assert "Action: delivered" in delivered and ann in delivered
    assert "In-Reply-To: <9@hears>" in failed and f"X-Mailtrail-Queue-Id: {queue_id}" in delivered


async def test_three_full_mailboxes_in_a_row_are_enough(back: Office, internet: Internet) -> None:
    """On different days, with no success between: the third is marked as spam, and suppressed for a while."""
    bob = "bob@full.test"
    async with internet.mx("full.test", rcpt={bob: [FULL, FULL, "250 Ok", FULL]}):
        bounced = []
        for attempt in range(5):
            queue_id = await back.send(bob)
            if attempt == 2:  # a success: what was before counts no more
                await back.outcome(queue_id, "sent")
            else:
                await back.outcome(queue_id, "bounced")
                bounced.append(queue_id)
            ago = (5 - attempt) * DAY
            back.views.change("UPDATE deliveries SET status_at = status_at - ? WHERE queue_id = ?", ago, queue_id)
        assert listed(back, bob) == []
        last = await back.send(bob)
        await back.outcome(last, "bounced")
    rows = [back.delivery(queue_id) for queue_id in (*bounced, last)]
    assert {(row["status"], row["reason_class"]) for row in rows} == {("soft_bounce", "mailbox_full")}
    assert [row["spam_source"] for row in rows] == [None, None, None, None, "repeated soft bounces"]
    assert [bool(row["complained"]) for row in rows] == [False, False, False, False, True]
    (entry,) = listed(back, bob)
    assert (entry["reason"], entry["source"]) == ("spam", "repeated soft bounces")
    assert 29 * DAY < entry["expires_ts"] - datetime.now(UTC).timestamp() < 31 * DAY
    await back.dropped(await back.send(bob), to=bob)


async def test_many_on_one_day_count_as_one(back: Office, internet: Internet) -> None:
    """A mailbox that is full today may have room tomorrow."""
    bob = "bob@today.test"
    async with internet.mx("today.test", rcpt={bob: FULL}):
        for _ in range(5):
            await back.outcome(await back.send(bob), "bounced")
    assert len(back.rows("SELECT 1 FROM email_status WHERE recipient = ? AND status = 'soft_bounce'", bob)) == 5
    assert listed(back, bob) == []


TROUBLE_OF_OURS = [
    ("block", "550 5.7.1 Your IP address is listed by a block list", "blocked_ip"),
    ("auth", "550 5.7.26 This mail has been blocked because the sender is unauthenticated (SPF, DKIM)", "auth_dmarc"),
    ("policy", "554 5.7.1 Message refused by local policy", "policy"),
    ("rate", "550 5.7.1 You send too many messages, daily quota exceeded for your host", None),
]


@pytest.mark.parametrize(("name", "said", "reason_class"), TROUBLE_OF_OURS, ids=[row[0] for row in TROUBLE_OF_OURS])
async def test_trouble_of_ours_suppresses_nobody(
    back: Office, internet: Internet, name: str, said: str, reason_class: str | None
) -> None:
    """At once or late, however often, on however many days: a soft bounce, and the next mail is tried."""
    bob, ann = f"bob@{name}-ours.test", f"ann@{name}-ours.test"
    async with internet.mx(f"{name}-ours.test", rcpt={bob: said}) as mx:
        for days in (3, 2, 1, 0):
            at_once = await back.send(bob)
            await back.outcome(at_once, "bounced", to=bob)
            late, path = await sent(back, mx, ann)
            await bring(back, report(ann, said), path)
            for queue_id in (at_once, late):
                row = back.delivery(queue_id)
                assert (row["status"], row["spam_source"]) == ("soft_bounce", None)
                assert row["reason_class"] == (reason_class or row["reason_class"])
                back.views.change(
                    "UPDATE deliveries SET status_at = status_at - ? WHERE queue_id = ?", days * DAY, queue_id
                )
    assert listed(back, bob) + listed(back, ann) == []


async def test_a_refusal_as_spam_is_marked_and_suppresses_nobody(back: Office, internet: Internet) -> None:
    """The delivery bears the mark, which says by whom; the address may be mailed with something better."""
    bob = "bob@spam-filter.test"
    async with internet.mx(
        "spam-filter.test", dot=["550 5.7.1 Our content filter classified this message as spam", "250 2.0.0 Ok"]
    ):
        queue_id = await back.send(bob, headers={"From": "ada@spam-shop.test"})
        await back.outcome(queue_id, "bounced")
        row = back.delivery(queue_id)
        assert (row["status"], row["reason_class"]) == ("soft_bounce", "blocked_content")
        assert (bool(row["complained"]), row["spam_source"]) == (True, "refused as spam")
        (day,) = back.rows(f"SELECT *, {BOXES} AS boxes FROM daily_stats WHERE sender_domain = 'spam-shop.test'")
        assert (day["requests"], day["boxes"], day["soft_bounced"], day["spam"]) == (1, 1, 1, 1)
        assert listed(back, bob) == []
        await back.outcome(await back.send(bob), "sent")


async def test_a_server_that_is_still_trying_changes_nothing(back: Office, internet: Internet) -> None:
    """A delay notice is an event; the delivery stays `sent`, and the address is mailed."""
    bob = "bob@delayed.test"
    async with internet.mx("delayed.test") as mx:
        queue_id, path = await sent(back, mx, bob)
        await bring(back, report(bob, "451 4.4.1 No answer from the mailbox server", action="delayed"), path)
        assert back.delivery(queue_id)["status"] == "sent"
        assert back.events(queue_id)[-1] == "reported_delayed"
        assert listed(back, bob) == []


async def test_a_report_without_a_token_is_matched_by_its_message(back: Office, internet: Internet) -> None:
    """A bounce that went to From and was forwarded to us: by Message-ID and recipient, if that was sent to it."""
    bob = "bob@forwarded.test"
    async with internet.mx("forwarded.test") as mx:
        queue_id, _ = await sent(back, mx, bob, "<first@sender.test>")
        other, _ = await sent(back, mx, bob, "<second@sender.test>")
        await bring(back, report(bob, original="<third@sender.test>"), FEEDBACK)
        await bring(back, report("eve@forwarded.test", original="<first@sender.test>"), FEEDBACK)
        assert back.delivery(queue_id)["status"] == "sent"
        await bring(back, report("Bob@Forwarded.TEST", original="<first@sender.test>"), FEEDBACK)
    assert [back.delivery(each)["status"] for each in (queue_id, other)] == ["hard_bounce", "sent"]
    assert [entry["cause_queue_id"] for entry in listed(back, bob)] == [queue_id]


# --- complaints, automatic answers, wishes --------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["token", "message"])
async def test_a_complaint_marks_and_suppresses(back: Office, internet: Internet, named: str) -> None:
    """The mail was delivered and stays so; the mark lies over it, and nothing more is sent to who complained."""
    bob = f"bob@{named}-complains.test"
    async with internet.mx(f"{named}-complains.test") as mx:
        message_id = f"<{named}@sender.test>"
        queue_id, path = await sent(back, mx, bob, message_id)
        if named == "token":
            await bring(back, complaint(), path)
        else:
            await bring(back, complaint(bob, original=message_id), FEEDBACK)
        row = back.delivery(queue_id)
        assert (row["status"], bool(row["complained"]), row["spam_source"]) == ("sent", True, "feedback report")
        assert back.events(queue_id).count("spam") == 1
        assert [entry["reason"] for entry in listed(back, bob)] == ["complaint"]
        again = await back.send(bob)
        await back.dropped(again, to=bob)
        assert back.delivery(again)["reason_class"] == "suppressed_complaint"


async def test_a_failed_authentication_is_no_complaint(back: Office, internet: Internet) -> None:
    """RFC 6591: such a report comes about mail that others forged; it changes nothing."""
    bob = "bob@auth-failure.test"
    async with internet.mx("auth-failure.test") as mx:
        queue_id, path = await sent(back, mx, bob)
        await bring(back, complaint(bob, feedback_type="auth-failure"), path)
        assert not back.delivery(queue_id)["complained"]
        assert listed(back, bob) == []


async def test_out_of_office_is_an_event_and_nothing_else(back: Office, internet: Internet) -> None:
    """The mail has arrived; the next one is sent."""
    bob = "bob@away.test"
    async with internet.mx("away.test") as mx:
        queue_id, path = await sent(back, mx, bob)
        before = dict(back.delivery(queue_id))
        await bring(back, out_of_office(bob), path, sender=bob)
        assert dict(back.delivery(queue_id)) == before
        assert back.events(queue_id)[-1] == "auto_reply"
        assert listed(back, bob) == []
        await sent(back, mx, bob)


async def test_a_mail_unsubscribes(back: Office, internet: Internet) -> None:
    """RFC 2369: an empty mail to the address in List-Unsubscribe stops mail of that tag, and no other."""
    bob, wish = "bob@wish.test", {"X-Mailtrail-Tag": "weekly", "X-Mailtrail-Unsubscribe": "yes"}
    async with internet.mx("wish.test") as mx:
        queue_id = await back.send(bob, headers=wish)
        await back.outcome(queue_id, "sent")
        found = re.search(r"<mailto:([^>]*)>", Letter(mx.messages[-1].content).message["List-Unsubscribe"])
        assert found
        await bring(back, letter(bob, "unsubscribe", ""), found[1].upper(), sender=bob)
        assert back.delivery(queue_id)["unsubscribed"]
        assert [(entry["scope"], entry["source"]) for entry in listed(back, bob)] == [("weekly", "mail")]
        await back.dropped(await back.send(bob, headers=wish), to=bob)
        await back.outcome(await back.send(bob), "sent")


# --- who may say what ----------------------------------------------------------------------------------------------


async def test_a_forged_token_is_refused(back: Office, internet: Internet) -> None:
    """One letter changed anywhere in it: 550 at RCPT, as if the address had never been."""
    bob = "bob@forged-token.test"
    async with internet.mx("forged-token.test") as mx:
        queue_id, path = await sent(back, mx, bob)
    local = path.partition("@")[0]
    for at in range(2, len(local), 5):
        forged = local[:at] + ("b" if local[at] != "b" else "c") + local[at + 1 :]
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            await bring(back, report(bob), f"{forged}@{DOMAIN}")
        assert refused.value.smtp_code == 550
    assert back.delivery(queue_id)["status"] == "sent"
    assert listed(back, bob) == []


async def test_nobody_can_have_somebody_else_suppressed(back: Office, internet: Internet) -> None:
    """A token speaks for its own delivery, whatever the text says; of what we never sent nobody can complain."""
    bob, eve = "bob@others.test", "eve@others.test"
    async with internet.mx("others.test") as mx:
        yours, _ = await sent(back, mx, bob, "<yours@sender.test>")
        mine, path = await sent(back, mx, eve, "<mine@sender.test>")
        await bring(back, report(bob, original="<yours@sender.test>"), path)
        await bring(back, complaint(bob, original="<mine@sender.test>"), FEEDBACK)
        await bring(back, complaint(bob), FEEDBACK)
        await bring(back, report(bob), FEEDBACK)
    assert [back.delivery(each)["status"] for each in (yours, mine)] == ["sent", "hard_bounce"]
    assert not back.delivery(yours)["complained"]
    assert (listed(back, bob), len(listed(back, eve))) == ([], 1)


async def test_strangers_are_refused_at_rcpt(back: Office, internet: Internet) -> None:
    """Nothing is relayed: not for other domains, not for other names at ours; the log says it as Postfix does."""
    for to in ("bob@elsewhere.test", f"nobody@{DOMAIN}", f"b-@{DOMAIN}", "ada@sender.test", f"bob%x.test@{DOMAIN}"):
        with pytest.raises(smtplib.SMTPResponseException) as refused:
            await bring(back, letter("eve@x.test"), to, sender="eve@x.test")
        assert refused.value.smtp_code == 550, to
    await back.program.line(r"NOQUEUE: reject: RCPT from .*<bob@elsewhere\.test>")
    assert back.rows("SELECT 1 FROM delivery_status WHERE recipient = 'bob@elsewhere.test'") == []


async def test_letters_to_people_are_passed_on(back: Office, internet: Internet) -> None:
    """Postmaster, with and without a domain, abuse, and what is no report: to the operator, as it came, unanswered."""
    bob = "bob@person.test"
    async with internet.mx("person.test") as mx:
        queue_id, path = await sent(back, mx, bob)
    for number, to in enumerate(("postmaster", f"PostMaster@{DOMAIN}", f"abuse@{DOMAIN}", path)):
        content = letter(bob, f"Question {number}")
        name = await bring(back, content, to, sender=bob)
        told = await back.program.line(rf"{name}: .*forwarded as (\w+)")
        found = re.search(r"forwarded as (\w+)", told)
        assert found
        await back.outcome(found[1], "sent", to=OPERATOR)
        mail = [mail for mail in back.internet.home.messages if mail.recipients == (OPERATOR,)][-1]
        assert (mail.mail_from, mail.recipients) == ("", (OPERATOR,))
        assert mail.content.endswith(content)
    assert back.delivery(queue_id)["status"] == "sent"
    assert back.notices(bob) == 0


async def test_one_bad_recipient_costs_the_others_nothing(back: Office, internet: Internet) -> None:
    """A report to several of our addresses is heard at each that is one."""
    bob, ann = "bob@several.test", "ann@several.test"
    async with internet.mx("several.test") as mx:
        (first, one), (second, two) = [await sent(back, mx, to) for to in (bob, ann)]
    await bring(back, report("somebody@several.test"), one, two)
    assert {back.delivery(each)["status"] for each in (first, second)} == {"hard_bounce"}
