"""What comes back: a report changes the delivery whose token it comes to, or which it can name, and nobody else's."""

import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from relay.accept import headers
from relay.accept.letter import Letter, TooEarly, forwarded
from relay.accept.trace import Client
from relay.address import Address
from relay.compose.dsn import Kind, should_notify
from relay.config import Config, Inbound, SuppressionSection
from relay.delivery import Status, Verdict
from relay.envelope import Notify, Origin
from relay.feedback import Feedback
from relay.queue_id import QueueIds
from relay.return_path import ReturnPaths, bounce_local, read, unsubscribe_local
from relay.store import Accepted, Store
from relay.store.spool import Settlement
from tests.parts.mail import SENT, accepted
from tests.parts.mail import attempt as tried
from tests.parts.written_log import Written
from tests.store.conftest import config, own_postgres, store
from tests.store.spooling import claimed, rows, settle
from tracker.token import Keyring, Purpose, Token

__all__ = ["config", "own_postgres", "store"]

DOMAIN = "bounce.sender.test"
KEYRING = Keyring({1: bytes(range(32))})
BOB = "bob@x.test"
DAY = 86400.0
FULL = Verdict(Status.SOFT_BOUNCE, "mailbox_full", "5.2.2", "552 5.2.2 mailbox full")


def dsn(
    recipient: str = BOB, status: str = "5.1.1", said: str = "550 5.1.1 No such user here", action: str = "failed"
) -> bytes:
    """A delivery report, as RFC 3464 wants it."""
    return (
        f"""From: Mail Delivery System <mailer-daemon@mx.x.test>
To: someone@sender.test
Subject: Delivery report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="edge"

--edge
Content-Type: text/plain

Your message did not arrive.

--edge
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.x.test

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--edge
Content-Type: text/rfc822-headers

From: ada@sender.test
To: {recipient}
Message-ID: <1@sender.test>
Subject: Your receipt

--edge--
""".replace("\n", "\r\n")
    ).encode()


def arf(original: str, recipient: str = "", feedback_type: str = "abuse") -> bytes:
    """A feedback report, as RFC 5965 wants it, about a message with these header lines."""
    to = f"Original-Rcpt-To: {recipient}\n" if recipient else ""
    return (
        f"""From: feedback@provider.test
To: fbl@{DOMAIN}
Subject: complaint
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="edge"

--edge
Content-Type: text/plain

Somebody does not want this.

--edge
Content-Type: message/feedback-report

Feedback-Type: {feedback_type}
User-Agent: Provider/1
Version: 1
{to}
--edge
Content-Type: message/rfc822

{original}
Subject: Your receipt

Hello

--edge--
""".replace("\n", "\r\n")
    ).encode()


AWAY = (
    b"From: bob@x.test\r\nTo: ada@sender.test\r\nSubject: Out of office: Your receipt\r\n"
    b"Auto-Submitted: auto-replied\r\n\r\nI am away until Monday.\r\n"
)
ANSWER = b"From: bob@x.test\r\nTo: ada@sender.test\r\nSubject: Re: Your receipt\r\n\r\nThank you! Best regards, Bob\r\n"


@dataclass
class Desk:
    """What comes back, its store and its log."""

    config: Config
    store: Store
    written: Written
    queue_ids: QueueIds

    async def take(self, content: bytes, local: str) -> None:
        """A letter to this local part at our domain; KeyError for one that RCPT would refuse."""
        own = read(KEYRING, local)
        if own is None:
            raise KeyError(local)
        letter = Letter(
            "0incoming000",
            self.store.engine.now(),
            Client("192.0.2.25", helo="mx.x.test", extended=True),
            None,
            headers.read(content, 256 * 1024),
            content,
        )
        feedback = Feedback(self.store, self.config, lambda: KEYRING, self.written.log, self.queue_ids)
        await feedback.take(letter, Address(local, DOMAIN), own)

    async def sent(self, recipient: str = BOB, *, notify: str = "", **changes: Any) -> Accepted:
        """A message that a server took."""
        mail = accepted([recipient], **changes)
        wanted = frozenset(Notify(word) for word in notify.split(",") if word)
        mail = replace(mail, deliveries=tuple(replace(one, notify=wanted) for one in mail.deliveries))
        await self.store.accept(mail, claimed=True)
        await settle(self.store, claimed(mail), SENT)
        return mail

    async def status(self, mail: Accepted) -> dict[str, object]:
        """Its row for people."""
        named = f"queue_id = '{mail.message.queue_id}'"
        (row,) = await rows(self.store, f"SELECT * FROM email_status WHERE {named}")
        return row

    async def events(self, mail: Accepted) -> list[str]:
        """What happened to it since it was sent."""
        named = f"queue_id = '{mail.message.queue_id}'"
        found = [
            row["event"] for row in await rows(self.store, f"SELECT event FROM events WHERE {named} ORDER BY event_id")
        ]
        return found[found.index("sent") + 1 :]

    async def notices(self) -> list[tuple[str, str]]:
        """What the relay wrote to senders: to whom, and the content."""
        found = await rows(
            self.store,
            "SELECT d.queue_id, d.recipient FROM deliveries AS d JOIN messages AS m ON m.queue_id = d.queue_id"
            " WHERE m.origin = 'notice' ORDER BY d.queue_id",
        )
        return [(row["recipient"], (await self.store.content(row["queue_id"]) or b"").decode()) for row in found]

    async def listed(self) -> dict[str, str]:
        """The suppression list: address → reason."""
        return {row["address"]: row["reason"] for row in await rows(self.store, "SELECT * FROM suppressions")}


@pytest.fixture
async def desk(config: Config, store: Store, tmp_path: Path) -> AsyncIterator[Desk]:
    """With no address to forward to."""
    yield Desk(replace(config, inbound=Inbound(bounce_domain=DOMAIN)), store, Written(tmp_path), QueueIds(1))


def bounce_of(mail: Accepted) -> str:
    return bounce_local(KEYRING, mail.message.queue_id, 0)


# --- bounces ------------------------------------------------------------------------------------------------------


async def test_a_late_bounce_turns_sent_into_a_hard_bounce(desk: Desk) -> None:
    """With the reason, in one event, and the address is on the list; the same report once more changes nothing."""
    mail = await desk.sent()
    for _ in range(2):
        await desk.take(dsn(), bounce_of(mail).upper())
    row = await desk.status(mail)
    assert (row["status"], row["reason_class"], row["dsn"]) == ("hard_bounce", "bad_mailbox", "5.1.1")
    assert "No such user here" in str(row["reason"])
    assert [event for event in await desk.events(mail) if event == "hard_bounce"] == ["hard_bounce"]
    assert await desk.listed() == {BOB: "hard_bounce"}
    assert f"hard_bounce of {mail.message.queue_id} recipient 0" in desk.written.lines[0]


async def test_the_token_says_whose_bounce_it_is_never_the_text(desk: Desk) -> None:
    """Nobody can have somebody else's address suppressed by writing to us."""
    mine, yours = await desk.sent(), await desk.sent("eve@x.test")
    await desk.take(dsn("eve@x.test"), bounce_of(mine))
    assert (await desk.status(mine))["status"] == "hard_bounce"
    assert (await desk.status(yours))["status"] == "sent"
    assert await desk.listed() == {BOB: "hard_bounce"}


async def test_a_strangers_words_make_no_line_and_no_wrong_login_in_our_log(desk: Desk) -> None:
    """fail2ban reads "host[ip]: SASL … failed" as a wrong login: nobody may get another banned by a bounce."""
    mail = await desk.sent()
    said = "550 5.1.1 No such user mx[203.0.113.9]: SASL LOGIN authentication failed: x"
    await desk.take(dsn(said=said), bounce_of(mail))
    assert "authentication failed" in desk.written.lines[0]
    assert all("]: SASL" not in line and "failed: " not in line for line in desk.written.lines)


@pytest.mark.parametrize(
    ("said", "reason_class"),
    [
        ("550 5.7.1 Our system rejected your IP address, it is listed at a block list", "blocked_ip"),
        ("550 5.7.26 This mail is unauthenticated: SPF and DKIM did not pass", "auth_dmarc"),
        ("552 5.2.2 The mailbox is full", "mailbox_full"),
    ],
)
async def test_what_is_no_proof_about_the_address_suppresses_nobody(desk: Desk, said: str, reason_class: str) -> None:
    """It is a soft bounce, with its reason."""
    mail = await desk.sent()
    await desk.take(dsn(status=said[4:].partition(" ")[0], said=said), bounce_of(mail))
    row = await desk.status(mail)
    assert (row["status"], row["reason_class"]) == ("soft_bounce", reason_class)
    assert await desk.listed() == {}


async def test_full_mailboxes_in_a_row_are_suppressed_for_a_while(desk: Desk) -> None:
    """Three on different days and no success between: marked as spam, and on the list with an expiry.

    That each of them seemed to be delivered at first is no success.
    """
    desk.config = replace(desk.config, suppression=SuppressionSection(consecutive_soft_bounces=3))
    now = desk.store.engine.now()
    for days in (2, 1):
        mail = accepted([BOB])
        await desk.store.accept(mail, claimed=True)
        await desk.store.settle(Settlement(claimed(mail), tried(now - days * DAY), FULL, about_mailbox=True))
    late = await desk.sent()
    assert await desk.listed() == {}
    await desk.take(dsn(status="5.2.2", said="552 5.2.2 The mailbox is full"), bounce_of(late))
    row = await desk.status(late)
    assert row["status"] == "soft_bounce"
    (entry,) = await rows(desk.store, "SELECT * FROM suppressions")
    assert (entry["address"], entry["reason"], entry["source"]) == (BOB, "spam", "repeated soft bounces")
    assert entry["expires_at"] is not None


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed"])
async def test_a_server_that_tells_how_far_it_is_changes_nothing(desk: Desk, action: str) -> None:
    """It is an event, and no more."""
    mail = await desk.sent()
    status, said = ("4.4.1", "450 4.4.1 still trying") if action == "delayed" else ("2.0.0", "250 2.0.0 taken")
    await desk.take(dsn(action=action, status=status, said=said), bounce_of(mail))
    assert (await desk.status(mail))["status"] == "sent"
    assert await desk.events(mail) == [f"reported_{action}"]
    assert await desk.listed() == {}


# --- what the sender hears of it ----------------------------------------------------------------------------------


async def test_a_late_bounce_is_told_to_the_sender_once(desk: Desk) -> None:
    """As if the attempt itself had failed, with the report's own words; the report once more tells nobody again."""
    mail = await desk.sent()
    for _ in range(2):
        await desk.take(dsn(), bounce_of(mail))
    ((to, content),) = await desk.notices()
    assert to == "ada@sender.test"
    assert "Action: failed" in content and "Status: 5.1.1" in content and BOB in content
    assert "reports now" in content and "No such user here" in content
    assert f"In-Reply-To: {mail.message.message_id}" in content


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        ("", []),
        ("NEVER", []),
        ("FAILURE", []),
        ("SUCCESS", ["delivered", "relayed", "expanded"]),
        ("DELAY", ["delayed"]),
        ("SUCCESS,DELAY", ["delayed", "delivered", "relayed", "expanded"]),
    ],
)
async def test_how_far_it_is_is_told_to_who_asked_for_it(desk: Desk, notify: str, told: list[str]) -> None:
    """RFC 3461 4.1: success and delay by NOTIFY alone; each once, though the server repeats itself."""
    mail = await desk.sent(notify=notify)
    for action in ("delayed", "delayed", "delivered", "relayed", "expanded", "expanded"):
        status, said = ("4.4.1", "450 4.4.1 still trying") if action == "delayed" else ("2.0.0", "250 2.0.0 taken")
        await desk.take(dsn(action=action, status=status, said=said), bounce_of(mail))
    actions = [re.findall(r"^Action: (\w+)", content, re.MULTILINE) for _, content in await desk.notices()]
    assert actions == [[action] for action in told]


async def test_nobody_is_told_who_wanted_to_hear_nothing(desk: Desk) -> None:
    """NOTIFY=NEVER, and the null reverse-path (RFC 3464 2)."""
    silent, nobody = await desk.sent(notify="NEVER"), await desk.sent("ann@x.test", reverse_path=None)
    for mail in (silent, nobody):
        await desk.take(dsn(), bounce_of(mail))
        assert (await desk.status(mail))["status"] == "hard_bounce"
    assert await desk.notices() == []


# --- whose it is --------------------------------------------------------------------------------------------------


async def test_a_bounce_without_a_token_needs_the_message_and_its_recipient(desk: Desk) -> None:
    """Providers that answer to From: matched by our Message-ID and the address, if that was sent."""
    other = await desk.sent(message_id="<2@sender.test>")
    await desk.take(dsn("eve@x.test"), "fbl")
    await desk.take(dsn(), "fbl")
    assert (await desk.status(other))["status"] == "sent"
    mail = await desk.sent()
    await desk.take(dsn(BOB.upper()), "fbl")
    assert (await desk.status(mail))["status"] == "hard_bounce"
    assert await desk.listed() == {BOB: "hard_bounce"}


async def test_a_token_of_a_delivery_that_never_was_changes_nothing(desk: Desk) -> None:
    """It may be of a delivery that is not kept any more; the report is told in the log."""
    mail = await desk.sent()
    never = bounce_local(KEYRING, "zzzzzzzzzzzz", 0)
    for content in (dsn(), arf("Message-ID: <9@sender.test>"), AWAY, ANSWER):
        await desk.take(content, never)
    await desk.take(ANSWER, unsubscribe_local(KEYRING, "zzzzzzzzzzzz", 0))
    assert await desk.events(mail) == []
    assert await desk.listed() == {}
    assert len(desk.written.lines) == 5


async def test_a_bounce_that_overtakes_its_own_250_comes_again(desk: Desk) -> None:
    """The server was quicker than our commit: later, it is said, and nothing is lost."""
    mail = accepted([BOB])
    await desk.store.accept(mail, claimed=True)
    with pytest.raises(TooEarly):
        await desk.take(dsn(), bounce_of(mail))
    await settle(desk.store, claimed(mail), SENT)
    await desk.take(dsn(), bounce_of(mail))
    assert (await desk.status(mail))["status"] == "hard_bounce"


# --- complaints, wishes, automatic answers ------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["token", "message", "unsubscribe link", "return path", "copy"])
async def test_a_complaint_marks_the_delivery_and_stops_all_mail(desk: Desk, named: str) -> None:
    """However it names the delivery, even where the provider hides the address; twice is once."""
    mail = await desk.sent(tag="weekly")
    token = Token(mail.message.queue_id, 0)
    sent_as = ReturnPaths(KEYRING, DOMAIN).outgoing(mail.deliveries[0]).message.reverse_path
    content, local = {
        "token": (arf("From: ada@sender.test"), bounce_of(mail)),
        "message": (arf("Message-ID: <1@sender.test>", BOB), "fbl"),
        "unsubscribe link": (
            arf(f"List-Unsubscribe: <https://t.sender.test/u/{KEYRING.write(Purpose.UNSUBSCRIBE, token)}>"),
            "fbl",
        ),
        "return path": (arf(f"Return-Path: <{sent_as}>"), "fbl"),
        "copy": (arf(f"X-Delivery-ID: {bounce_of(mail)}"), "fbl"),
    }[named]
    for _ in range(2):
        await desk.take(content, local)
    row = await desk.status(mail)
    assert row["status"] == "sent"
    assert await desk.events(mail) == ["spam"]
    assert await desk.listed() == {BOB: "complaint"}


@pytest.mark.parametrize(
    "content",
    [
        arf("Message-ID: <1@sender.test>", "eve@x.test"),
        arf("Message-ID: <7@sender.test>", BOB),
        arf("Message-ID: <1@sender.test>"),
        arf("Message-ID: <1@sender.test>", BOB, "auth-failure"),
        arf("List-Unsubscribe: <https://t.sender.test/u/" + "A" * 34 + ">"),
    ],
)
async def test_a_complaint_that_names_no_delivery_of_ours_changes_nothing(desk: Desk, content: bytes) -> None:
    """A wrong recipient, a wrong message, nobody at all, a forged token; and an auth-failure is none."""
    mail = await desk.sent()
    await desk.take(content, "fbl")
    assert await desk.events(mail) == []
    assert await desk.listed() == {}


@pytest.mark.parametrize("content", [arf("Message-ID: <1@sender.test>", BOB), dsn()])
async def test_who_has_a_message_can_report_it_for_himself_alone(desk: Desk, content: bytes) -> None:
    """All recipients know its Message-ID: of a message to several, only the token in one's own copy is believed."""
    mail = accepted([BOB, "eve@x.test"])
    await desk.store.accept(mail, claimed=True)
    for number in (0, 1):
        await settle(desk.store, claimed(mail, number), SENT)
    await desk.take(content, "fbl")
    assert await desk.listed() == {}
    await desk.take(arf(f"X-Delivery-ID: {bounce_local(KEYRING, mail.message.queue_id, 1)}", BOB), "fbl")
    assert await desk.listed() == {"eve@x.test": "complaint"}


async def test_a_notice_of_ours_is_reported_by_nobody(desk: Desk) -> None:
    """Its Message-ID can be guessed, and its recipient is the sender of our own mail."""
    await desk.sent(origin=Origin.NOTICE, reverse_path=None)
    await desk.take(arf("Message-ID: <1@sender.test>", BOB), "fbl")
    assert await desk.listed() == {}


async def test_a_mail_unsubscribes_whatever_it_says(desk: Desk) -> None:
    """RFC 2369: from what the mail was, once; other mail goes on."""
    mail = await desk.sent(tag="weekly")
    local = unsubscribe_local(KEYRING, mail.message.queue_id, 0)
    for content in (ANSWER, b"Subject: unsubscribe\r\n\r\n", AWAY):
        await desk.take(content, local.upper())
    assert await desk.events(mail) == ["unsubscribed"]
    assert await desk.listed() == {BOB: "unsubscribe"}
    weekly, receipts = await desk.store.suppressed([(BOB, "weekly"), (BOB, "receipts")])
    assert weekly and not receipts


async def test_an_automatic_answer_is_an_event_and_no_bounce(desk: Desk) -> None:
    """Out of office: the mail arrived."""
    mail = await desk.sent()
    await desk.take(AWAY, bounce_of(mail))
    assert (await desk.status(mail))["status"] == "sent"
    named = f"queue_id = '{mail.message.queue_id}' AND event = 'auto_reply'"
    (event,) = await rows(desk.store, f"SELECT detail FROM events WHERE {named}")
    assert json.loads(event["detail"])["subject"] == "Out of office: Your receipt"
    assert await desk.listed() == {}


# --- mail for people ----------------------------------------------------------------------------------------------


async def _kept(desk: Desk) -> list[dict[str, object]]:
    return await rows(desk.store, "SELECT * FROM delivery_status WHERE origin = 'notice'")


async def test_ordinary_mail_is_dropped_without_an_address_for_it(desk: Desk) -> None:
    """With a line in the log."""
    mail = await desk.sent()
    for local in ("postmaster", bounce_of(mail), "fbl"):
        await desk.take(ANSWER, local)
    assert await _kept(desk) == []
    assert sum("dropped" in line for line in desk.written.lines) == 3
    assert await desk.events(mail) == []


async def test_ordinary_mail_is_forwarded_byte_for_byte(desk: Desk) -> None:
    """With the null reverse-path and a Received field on top; letters to people are not read, whatever they hold."""
    desk.config = replace(desk.config, inbound=Inbound(bounce_domain=DOMAIN, forward_to="ops@sender.test"))
    await desk.sent()
    for local, content in (("abuse", ANSWER), ("postmaster", dsn())):
        await desk.take(content, local)
    kept = await _kept(desk)
    assert [row["recipient"] for row in kept] == ["ops@sender.test"] * 2
    contents = [await desk.store.content(str(row["queue_id"])) for row in kept]
    assert sorted(content.endswith(ANSWER) for content in contents if content) == [False, True]
    assert all(content and content.startswith(b"Received: from mx.x.test ([192.0.2.25])\r\n") for content in contents)
    assert await desk.listed() == {}


async def test_what_is_forwarded_is_never_answered_and_never_signed(desk: Desk) -> None:
    """No notice about it can go in circles, and a stranger's From is not vouched for with our key."""
    content = b"From: chief@sender.test\r\nSubject: \xc3\xbcrgent\r\n\r\nPay this.\r\n"
    letter = Letter("0incoming000", time.time(), Client("192.0.2.25"), None, headers.read(content, 1000), content)
    mail = forwarded(
        letter, Address("abuse", DOMAIN), Address("ops", "sender.test"), queue_id="0outgoing000", hostname="relay.test"
    )
    assert mail.message.reverse_path is None
    assert not any(should_notify(kind, mail.deliveries[0]) for kind in Kind)
    assert mail.message.sender == ""
    assert mail.message.smtputf8
