"""The one table: what happened at which step, and what it means."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.deliver.exchange import Failure, Kind, Sent, Step
from relay.deliver.outcome import TABLE, What, judge, what_happened
from relay.delivery import Status, Verdict
from relay.reply import Reply

PEER = "mx.x.test[203.0.113.9]:25"


def said(line: str) -> Reply:
    return Reply.parse(int(line[:3]), line[4:])


def refused(step: Step, line: str) -> Failure:
    return Failure(step, Kind.REPLY, PEER, reply=said(line))


def verdict(exchange: Sent | Failure, *, more_hops: bool = False) -> Verdict:
    judged = judge(exchange, more_hops=more_hops)
    assert judged is not None
    return judged


def test_an_accepted_message_is_sent() -> None:
    """2yz after the dot: sent, with the server's words."""
    assert verdict(Sent(said("250 2.0.0 Ok: queued as 4X"))) == Verdict(
        Status.SENT, None, "2.0.0", "250 2.0.0 Ok: queued as 4X", said("250 2.0.0 Ok: queued as 4X")
    )


# step, what the server says there → status, class, enhanced code
REPLIES = """
RCPT   550 5.1.1 User unknown                                        hard_bounce  bad_mailbox        5.1.1
RCPT   550 No such user here                                         hard_bounce  bad_mailbox        5.1.1
RCPT   550 5.1.1 <spam@x.test>: User unknown in relay recipient table hard_bounce bad_mailbox        5.1.1
RCPT   550 5.1.10 recipient's domain takes no mail                   hard_bounce  bad_domain         5.1.10
RCPT   550 5.2.1 the account is disabled                             hard_bounce  bad_mailbox        5.2.1
RCPT   550 5.0.0 mailbox does not exist                              hard_bounce  bad_mailbox        5.0.0
DOT    554 delivery error: dd This user doesn't have a x.test account hard_bounce bad_mailbox        5.1.1
RCPT   550                                                           soft_bounce  unknown_permanent  5.0.0
RCPT   554 Transaction failed                                        soft_bounce  unknown_permanent  5.0.0
RCPT   550 5.4.1 Recipient address rejected: Access denied           hard_bounce  bad_mailbox        5.4.1
RCPT   550 5.4.1 Access denied                                       soft_bounce  policy             5.4.1
RCPT   552 5.2.2 Mailbox full                                        soft_bounce  mailbox_full       5.2.2
RCPT   552 over quota                                                soft_bounce  mailbox_full       5.2.2
DOT    552 message too large                                         soft_bounce  too_big            5.3.4
DOT    552 5.3.4 message size exceeds limit                          soft_bounce  too_big            5.3.4
RCPT   550 5.7.1 Client host [1.2.3.4] blocked using zen.spamhaus.org soft_bounce blocked_ip         5.7.1
RCPT   550 5.1.1 rejected, your IP is on our blacklist               soft_bounce  blocked_ip         5.1.1
DOT    554 5.7.1 Message refused by local policy                     soft_bounce  policy             5.7.1
DOT    550 5.7.26 Unauthenticated email is not accepted              soft_bounce  auth_dmarc         5.7.26
DOT    550 message looks like spam                                   soft_bounce  blocked_content    5.7.1
DOT    554 5.6.0 malformed message                                   soft_bounce  policy             5.6.0
DOT    500 Line too long                                             soft_bounce  unknown_permanent  5.0.0
RCPT   500 What?                                                     soft_bounce  unknown_permanent  5.0.0
RCPT   550 Sender verify failed: user unknown                        soft_bounce  policy             5.7.1
RCPT   550 5.7.1 Relaying denied                                     soft_bounce  policy             5.7.1
MAIL   554 Transaction failed                                        soft_bounce  unknown_permanent  5.0.0
MAIL   550 5.1.1 user unknown                                        soft_bounce  unknown_permanent  5.1.1
DATA   554 5.5.1 no valid recipients                                 soft_bounce  unknown_permanent  5.5.1
GREETING 554 5.7.1 blocked, see https://x.test/blocked               soft_bounce  blocked_ip         5.7.1
EHLO   550 5.7.1 I do not know this ehlo                             soft_bounce  policy             5.7.1
RCPT   450 4.2.1 mailbox temporarily unavailable                     deferred     throttled          4.2.1
RCPT   451 4.7.1 Greylisted, come back in 60 seconds                 deferred     greylisted         4.7.1
RCPT   452 4.2.2 over quota                                          deferred     mailbox_full       4.2.2
RCPT   450 4.1.8 Sender address rejected: Domain not found           deferred     dns_temp           4.1.8
MAIL   421 4.7.0 our system has detected an unusual rate             deferred     throttled          4.7.0
DOT    451 4.4.2 something timed out                                 deferred     network            4.4.2
DOT    451 later                                                     deferred     throttled          4.0.0
AUTH   535 5.7.8 bad credentials                                     deferred     policy             4.7.0
"""


@pytest.mark.parametrize("row", REPLIES.strip().splitlines())
def test_what_a_reply_means(row: str) -> None:
    """5yz about the address is hard; about us, our content or nothing in particular, soft; 4yz is tried again."""
    step, rest = row.split(maxsplit=1)
    line, status, reason_class, dsn = rest.rsplit(maxsplit=3)
    judged = verdict(refused(Step[step], line))
    assert (judged.status, judged.reason_class, judged.dsn) == (status, reason_class, dsn)


STEPS_OF_A_CONNECTION = [Step.CONNECT, Step.GREETING, Step.EHLO, Step.AUTH, Step.MAIL, Step.RCPT, Step.DATA, Step.BODY]


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.TIMEOUT, Kind.GARBAGE])
@pytest.mark.parametrize("step", STEPS_OF_A_CONNECTION)
def test_a_broken_connection_is_tried_at_the_next_hop(step: Step, kind: Kind) -> None:
    """Before the final dot a broken line harms nobody: the next hop, and after the last one later."""
    failure = Failure(step, kind, PEER, "broken")
    assert judge(failure, more_hops=True) is None
    assert (verdict(failure).status, verdict(failure).reason_class) == (Status.DEFERRED, "network")


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.TIMEOUT, Kind.GARBAGE])
def test_after_the_final_dot_no_other_hop_is_tried(kind: Kind) -> None:
    """RFC 1047: the message may be theirs already; it is tried later, and the reason says that it may come twice."""
    judged = verdict(Failure(Step.DOT, kind, PEER, "gone"), more_hops=True)
    assert judged.status is Status.DEFERRED and "may be sent more than once" in judged.reason


@pytest.mark.parametrize("step", [Step.GREETING, Step.EHLO, Step.MAIL])
def test_a_host_that_is_busy_has_others_beside_it(step: Step) -> None:
    """4yz and 421 before the recipient was named: the next hop may have time."""
    for line in ("450 4.3.2 busy", "421 4.3.2 busy"):
        assert judge(refused(step, line), more_hops=True) is None
        assert verdict(refused(step, line)).status is Status.DEFERRED


def test_a_recipient_that_is_busy_is_busy_everywhere() -> None:
    """4yz to RCPT (greylisting, a full box): no other hop is bothered; 421 is the host's own weakness."""
    assert verdict(refused(Step.RCPT, "450 4.2.1 busy"), more_hops=True).status is Status.DEFERRED
    assert judge(refused(Step.RCPT, "421 4.3.2 going down"), more_hops=True) is None


def test_a_5yz_greeting_is_asked_elsewhere_first() -> None:
    """One host of a domain may be closed to us and another not."""
    assert judge(refused(Step.GREETING, "554 no"), more_hops=True) is None
    assert verdict(refused(Step.GREETING, "554 no")).status is Status.SOFT_BOUNCE


def test_a_refused_recipient_is_final_at_once() -> None:
    """5yz to RCPT is the domain's answer: no other hop is asked."""
    assert verdict(refused(Step.RCPT, "550 5.1.1 no"), more_hops=True).status is Status.HARD_BOUNCE


def test_tls_that_fails_is_temporary() -> None:
    """Demanded TLS that cannot be had: the next hop, then later."""
    failure = Failure(Step.STARTTLS, Kind.TLS, PEER, "certificate has expired")
    assert judge(failure, more_hops=True) is None
    assert (verdict(failure).reason_class, verdict(failure).dsn) == ("tls", "4.7.5")


def test_what_cannot_be_sent_there_bounces_softly() -> None:
    """Too big: 5.3.4. SMTPUTF8 not offered: 5.6.7."""
    big = verdict(Failure(Step.MAIL, Kind.TOO_BIG, PEER, "message size 9 exceeds size limit 5"))
    assert (big.status, big.reason_class, big.dsn) == (Status.SOFT_BOUNCE, "too_big", "5.3.4")
    utf8 = verdict(Failure(Step.MAIL, Kind.NO_SMTPUTF8, PEER, "SMTPUTF8 is required, but was not offered"))
    assert (utf8.status, utf8.dsn) == (Status.SOFT_BOUNCE, "5.6.7")


def test_only_a_host_that_did_not_answer_is_left_alone() -> None:
    """No connection, no greeting, or a refusing one is about the host; a refused recipient is not."""
    for failure in (
        Failure(Step.CONNECT, Kind.UNREACHABLE, PEER, "Connection refused"),
        Failure(Step.CONNECT, Kind.TIMEOUT, PEER),
        Failure(Step.GREETING, Kind.TIMEOUT, PEER),
        refused(Step.GREETING, "421 busy"),
    ):
        assert verdict(failure).about_host
    for failure in (refused(Step.RCPT, "450 busy"), Failure(Step.RCPT, Kind.LOST, PEER), refused(Step.DOT, "550 no")):
        assert not verdict(failure).about_host


REASONS = [
    (
        refused(Step.RCPT, "450 4.2.1 busy"),
        "host mx.x.test[203.0.113.9] said: 450 4.2.1 busy (in reply to RCPT TO command)",
    ),
    (refused(Step.DOT, "554 no"), "host mx.x.test[203.0.113.9] said: 554 no (in reply to end of DATA command)"),
    (refused(Step.GREETING, "554 no"), "host mx.x.test[203.0.113.9] refused to talk to me: 554 no"),
    (refused(Step.AUTH, "535 no"), "SASL authentication failed; server mx.x.test[203.0.113.9] said: 535 no"),
    (
        Failure(Step.CONNECT, Kind.UNREACHABLE, PEER, "Connection refused"),
        "connect to mx.x.test[203.0.113.9]:25: Connection refused",
    ),
    (Failure(Step.CONNECT, Kind.TIMEOUT, PEER), "connect to mx.x.test[203.0.113.9]:25: Connection timed out"),
    (Failure(Step.RCPT, Kind.LOST, PEER), "lost connection with mx.x.test[203.0.113.9] while sending RCPT TO"),
    (
        Failure(Step.GREETING, Kind.TIMEOUT, PEER),
        "conversation with mx.x.test[203.0.113.9] timed out while receiving the initial server greeting",
    ),
    (
        Failure(Step.STARTTLS, Kind.TLS, PEER, "certificate has expired"),
        "Cannot start TLS with mx.x.test[203.0.113.9]: certificate has expired",
    ),
    (
        Failure(Step.MAIL, Kind.TOO_BIG, PEER, "message size 9 exceeds size limit 5"),
        "message size 9 exceeds size limit 5 of host mx.x.test[203.0.113.9]",
    ),
]


@pytest.mark.parametrize(("failure", "words"), REASONS)
def test_reasons_are_worded_as_postfix_words_them(failure: Failure, words: str) -> None:
    """People and their tools know these sentences."""
    assert verdict(failure).reason == words


def test_an_ipv6_host_keeps_its_brackets() -> None:
    """The port is taken off the peer, not a part of the address."""
    assert "said" in (
        words := verdict(Failure(Step.RCPT, Kind.REPLY, "mx[2001:db8::1]:25", reply=said("450 x"))).reason
    )
    assert words.startswith("host mx[2001:db8::1] said")


HINTS = [
    ("450 4.7.1 try again in 300 seconds", 300),
    ("451 Greylisted, please come back in 5 minutes", 300),
    ("450 4.2.0 Greylisted for 60 seconds, try again later", None),
    ("451 4.7.1 retry after 00:05:00", 300),
    ("451 retry after 05:00", 300),
    ("450 please wait 2 hours", 7200),
    ("450 try again in 1 s", 10),
    ("450 try again in 99 days", 86400),
    ("450 4.2.1 try again later", None),
    ("450 mail from 192.0.2.1 deferred", None),
    ("550 5.1.1 try again in 5 minutes", None),
]


@pytest.mark.parametrize(("line", "seconds"), HINTS)
def test_hints_are_read_within_bounds(line: str, seconds: float | None) -> None:
    """A 4yz may say how long to wait: never less than 10 s, never more than a day; a 5yz has nothing to ask."""
    assert verdict(refused(Step.RCPT, line)).retry_after == seconds


FAILURES = st.builds(
    Failure,
    st.sampled_from(Step),
    st.sampled_from(Kind),
    st.just(PEER),
    st.text(max_size=30),
    st.none() | st.builds(Reply.parse, st.integers(200, 599), st.text(max_size=80)),
)


@given(FAILURES, st.booleans())
def test_every_failure_has_a_verdict_and_unknown_is_temporary(failure: Failure, more_hops: bool) -> None:
    """No failure escapes the table; only a 5yz reply, or what cannot be sent there at all, ends a delivery; only an
    address that was asked for can bounce hard; the enhanced code agrees with the status."""
    judged = judge(failure, more_hops=more_hops)
    if judged is None:
        assert more_hops
        return
    assert judged.status in (Status.DEFERRED, Status.SOFT_BOUNCE, Status.HARD_BOUNCE)
    assert judged.dsn[0] == ("4" if judged.status is Status.DEFERRED else "5")
    if judged.status is not Status.DEFERRED:
        assert what_happened(failure) in (What.NEVER, What.TOO_BIG, What.NO_SMTPUTF8)
    if judged.status is Status.HARD_BOUNCE:
        assert failure.step in (Step.RCPT, Step.DOT, Step.BODY)
    assert "\n" not in judged.reason or "\n" in failure.text


def test_the_table_is_whole() -> None:
    """Every step that talks has a row for every way to be refused or broken."""
    talking = [Step.GREETING, Step.EHLO, Step.AUTH, Step.MAIL, Step.RCPT, Step.DATA, Step.BODY, Step.DOT]
    for step, what in product(talking, [What.TRY_LATER, What.CLOSING, What.NEVER, What.BROKEN]):
        assert (step, what) in TABLE
