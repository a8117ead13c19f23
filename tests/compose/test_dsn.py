"""Notices tell the sender what happened: whom we tell, and what people read."""

from dataclasses import replace

import pytest

from relay.compose.dsn import Kind, should_notify
from relay.envelope import Notify, Origin
from relay.reply import Reply
from tests.compose.letters import BUSY, MESSAGE, NOON, REFUSED, TAKEN, UNREACHABLE, delivery
from tests.compose.notices import make, read_back, words_of

# Whom we tell


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("notify", [frozenset[Notify](), frozenset({Notify.SUCCESS, Notify.FAILURE, Notify.DELAY})])
def test_the_null_reverse_path_gets_nothing(kind: Kind, notify: frozenset[Notify]) -> None:
    """RFC 3464 2: nobody is told about a message without a sender, whatever NOTIFY says."""
    assert not should_notify(kind, delivery(message=replace(MESSAGE, reverse_path=None), notify=notify))


@pytest.mark.parametrize("kind", Kind)
def test_there_is_no_notice_about_a_notice(kind: Kind) -> None:
    """A notice that cannot be delivered ends there: no loops."""
    ours, its_delivery, _ = make()
    assert ours.origin is Origin.NOTICE
    assert not should_notify(kind, its_delivery)
    assert not should_notify(kind, delivery(message=replace(MESSAGE, origin=Origin.NOTICE), notify=frozenset(Notify)))


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        (set(), {Kind.FAILURE, Kind.DELAY}),
        ({Notify.NEVER}, set()),
        ({Notify.FAILURE}, {Kind.FAILURE}),
        ({Notify.DELAY}, {Kind.DELAY}),
        ({Notify.SUCCESS}, {Kind.SUCCESS, Kind.RELAYED, Kind.EXPANDED}),
        ({Notify.SUCCESS, Notify.FAILURE}, {Kind.SUCCESS, Kind.RELAYED, Kind.EXPANDED, Kind.FAILURE}),
    ],
)
def test_the_sender_is_told_what_notify_asked_for(notify: set[Notify], told: set[Kind]) -> None:
    """RFC 3461 4.1: exactly the kinds that were asked for; without NOTIFY failures and delays."""
    assert {kind for kind in Kind if should_notify(kind, delivery(notify=frozenset(notify)))} == told


def test_one_warning_is_enough() -> None:
    """A delay is told once."""
    assert not should_notify(Kind.DELAY, delivery(warned=True))
    assert should_notify(Kind.FAILURE, delivery(warned=True))


# The message


def test_a_notice_is_a_message_like_any_other() -> None:
    """It goes from the null reverse-path to the sender, and its values describe its content."""
    message, its_delivery, content = make()
    assert message.reverse_path is None
    assert (message.queue_id, message.received_at, message.size) == ("0abcdef99999", NOON + 7200, len(content))
    assert its_delivery.message is message
    assert str(its_delivery.recipient) == "billing@example.com"
    assert (its_delivery.number, its_delivery.destination, its_delivery.notify) == (0, "example.com", frozenset())
    parsed = read_back(content)
    assert parsed["Subject"] == message.subject == "Not delivered: your message to gone@example.org"
    assert parsed["Message-ID"] == message.message_id
    assert (message.eight_bit, message.smtputf8) == (False, False)


def test_its_header_says_who_writes_and_that_no_answer_is_wanted() -> None:
    """RFC 3834: a program wrote it, in answer to the original; RFC 6522: it is a report."""
    parsed = read_back(make()[2])
    assert parsed["From"] == "Mail Delivery System <MAILER-DAEMON@relay.example.com>"
    assert parsed["To"] == "billing@example.com"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["In-Reply-To"] == "<1@example.com>"
    assert parsed["Date"] == "Sat, 21 Nov 2026 14:00:00 +0000"
    assert parsed["MIME-Version"] == "1.0"
    assert parsed.get_param("report-type") == "delivery-status"


def test_without_a_sender_there_is_no_notice() -> None:
    """To make one all the same is our own mistake."""
    with pytest.raises(ValueError, match="null reverse-path"):
        make(about=delivery(message=replace(MESSAGE, reverse_path=None)))


# What people read


def test_a_failure_says_what_to_whom_why_and_what_now() -> None:
    """The human part names the recipient, quotes the server, explains, and says what anybody will do."""
    words = words_of(make()[2])
    for said in (
        "This is the mail relay at relay.example.com.",
        "could not be delivered to gone@example.org",
        "the mail server mx.example.org [198.51.100.4] answered to RCPT TO 550 5.1.1 User unknown",
        "Why: There is no such mailbox.",
        "What we do now: nothing more. It was with us for 2 hours, and it will not be tried again.",
        "What you can do: Look for a typing mistake",
        "Subject: Your invoice",
        "0abcdef12345",
        "Its header is attached.",
    ):
        assert said in words


def test_where_no_server_answered_it_says_what_happened() -> None:
    """Without a reply the reason stands in its place, and nobody is quoted."""
    words = words_of(make(verdict=UNREACHABLE)[2])
    assert "no mail server answered us about it. gave up after 5 days: connection refused" in words


def test_what_another_server_reports_is_told_as_its_own_words() -> None:
    """Without an attempt of ours: it had taken the message, and it is no longer with us."""
    words = words_of(make(attempt=None)[2])
    assert f"a mail server had taken it, and reports now {REFUSED.reason}" in words
    assert "What we do now: nothing more. It is no longer with us." in words


def test_a_delay_is_a_warning() -> None:
    """The sender need not send it again, and learns until when we try."""
    words = words_of(make(Kind.DELAY, verdict=BUSY, will_retry_until=NOON + 5 * 86400)[2])
    assert "This is only a warning: you need not send your message again." in words
    assert "we keep trying until Thu, 26 Nov 2026 12:00:00 +0000." in words


@pytest.mark.parametrize(("kind", "said"), [(Kind.SUCCESS, "was delivered to"), (Kind.RELAYED, "was passed on")])
def test_good_news_needs_no_advice(kind: Kind, said: str) -> None:
    """Delivered and relayed say so, and neither why nor what to do."""
    words = words_of(make(kind, verdict=TAKEN)[2])
    assert said in words
    assert "Why:" not in words
    assert "What you can do" not in words


def test_links_in_replies_stay_whole() -> None:
    """What the server said can be copied and opened: a long word is not broken."""
    link = "https://postmaster.example.org/help?" + "a" * 200
    verdict = replace(REFUSED, reply=Reply(550, "5.7.1", f"Blocked, see {link}"))
    assert link in words_of(make(verdict=verdict)[2])
