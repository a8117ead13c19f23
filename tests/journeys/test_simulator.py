"""The simulator's addresses: each behaves as its name says, in production too, and nothing leaves the machine."""

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(
    ("name", "status", "reason_class"),
    [
        ("delivered", "sent", None),
        ("delivered+label", "sent", None),
        ("hardbounce", "hard_bounce", "bad_mailbox"),
        ("softbounce", "soft_bounce", "policy"),
        ("mailboxfull", "soft_bounce", "mailbox_full"),
        ("blocked", "soft_bounce", "blocked_ip"),
        ("nobody-has-this-name", "hard_bounce", "bad_mailbox"),
    ],
)
async def test_each_has_one_fate(here: Office, name: str, status: str, reason_class: str | None) -> None:
    """One attempt, and the status that a real server's answer would have brought."""
    queue_id = await here.send(f"{name}@sim.test", sender="tester@sender.test")
    await here.outcome(queue_id, "sent" if status == "sent" else "bounced")
    row = here.delivery(queue_id)
    assert (row["status"], row["reason_class"], row["mx_host"]) == (status, reason_class, "mx.sim.test")
    assert "simulated" in here.attempts(queue_id)[0]["transcript"]


async def test_deferred_twice_then_delivered(here: Office, internet: Internet) -> None:
    """`deferred` is refused twice and accepted at the third attempt; DNS is never asked about sim.test."""
    queue_id = await here.send("deferred@sim.test")
    await here.outcome(queue_id, "sent")
    assert [row["outcome"] for row in here.attempts(queue_id)] == ["deferred", "deferred", "sent"]
    assert not any(name.endswith("sim.test") for name, _ in internet.dns.queries)


HTML = {"MIME-Version": "1.0", "Content-Type": "text/html; charset=utf-8"}
WEEKLY = HTML | {"X-Mailtrail-Tag": "weekly", "X-Mailtrail-Unsubscribe": "yes"}
PAGE = '<p>Hello <a href="https://shop.test/one">one</a> <a href="https://shop.test/two">two</a></p>\r\n'


async def test_latebounce_is_accepted_and_bounces(back: Office) -> None:
    """A delivery report comes to our inbound listener and does what a real one does."""
    to = "latebounce+1@sim.test"
    queue_id = await back.send(to)
    await back.outcome(queue_id, "sent")
    await back.program.line(rf"status=sent \(hard_bounce of {queue_id}")
    row = back.delivery(queue_id)
    assert (row["status"], row["reason_class"]) == ("hard_bounce", "bad_mailbox")
    assert "closed after the message had been accepted" in row["reason"]
    await back.dropped(await back.send(to), to=to)


async def test_complaint_is_accepted_and_complained_of(back: Office) -> None:
    """A feedback report comes: the delivery is marked, the address suppressed."""
    queue_id = await back.send("complaint+1@sim.test")
    await back.program.line(rf"status=sent \(complaint of {queue_id}")
    row = back.delivery(queue_id)
    assert (row["status"], bool(row["complained"])) == ("sent", True)
    (entry,) = back.rows("SELECT reason FROM suppressions WHERE cause_queue_id = ?", queue_id)
    assert entry["reason"] == "complaint"


async def test_autoreply_is_accepted_and_answered(back: Office) -> None:
    """The answer is an event and no more."""
    queue_id = await back.send("autoreply@sim.test")
    await back.program.line(rf"status=sent \(auto-reply of {queue_id}")
    assert back.delivery(queue_id)["status"] == "sent"
    assert back.events(queue_id)[-1] == "auto_reply"
    assert back.rows("SELECT 1 FROM suppressions WHERE address = 'autoreply@sim.test'") == []


async def test_opens_and_clicks_count_as_a_persons(back: Office, internet: Internet) -> None:
    """They take their time; the link leads on, and nobody follows it out of the machine."""
    page = PAGE.replace("shop.test", "nobody-asks.test")
    opened = await back.send("opens@sim.test", headers=HTML, body=page)
    clicked = await back.send("clicks@sim.test", headers=HTML, body=page)
    await back.visited(opened, "open")
    await back.visited(clicked, "click")
    rows = [back.delivery(queue_id) for queue_id in (opened, clicked)]
    assert [(row["opens"], row["auto_opens"], row["clicks"], row["auto_clicks"]) for row in rows] == [
        (1, 0, 0, 0),
        (1, 0, 1, 0),
    ]
    assert [bool(row["clicked"]) for row in rows] == [False, True]
    assert [row["url"] for row in back.rows("SELECT url FROM link_stats WHERE queue_id = ?", clicked)] == [
        "https://nobody-asks.test/one"
    ]
    assert not {name.rstrip(".") for name, _ in internet.dns.queries} & {"sim.test", "mx.sim.test", "nobody-asks.test"}


async def test_unsubscribes_by_one_click(back: Office) -> None:
    """From that tag, and from nothing else."""
    to = "unsubscribes+1@sim.test"
    queue_id = await back.send(to, headers=WEEKLY, body=PAGE)
    await back.program.line(rf"/supp\[\d+\]: {queue_id}: action=add, addr=<{to.replace('+', '[+]')}>, scope=weekly")
    assert back.delivery(queue_id)["unsubscribed"]
    await back.dropped(await back.send(to, headers=WEEKLY, body=PAGE))
    await back.outcome(await back.send(to, headers=HTML, body=PAGE), "sent")


async def test_what_cannot_be_done_is_told(here: Office) -> None:
    """Without tracking and without a way back the mail is accepted, and the log says why nothing follows."""
    for name, why in (("latebounce", "reverse-path"), ("clicks", "no link"), ("unsubscribes", "one click")):
        queue_id = await here.send(f"{name}@sim.test")
        await here.outcome(queue_id, "sent")
        await here.program.line(rf"warning: {queue_id}: simulated recipient {name}@sim\.test, .*{why}")
        assert here.delivery(queue_id)["status"] == "sent"
