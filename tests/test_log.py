"""The log: every event has its line, nobody writes into it, addresses can be hidden; JSON bears the views' names."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Address
from relay.delivery import Status, Verdict
from relay.log import Log, Peer
from relay.log_line import MAX_LINE, MAX_VALUE, escape, seconds
from tests.parts.written_log import (
    APP,
    BILLING,
    ID,
    MORNING,
    STRANGER,
    SUBMISSION,
    Written,
    attempt,
    delivery,
    verdict,
    zone,
)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    zone(monkeypatch, "UTC")
    return Written(tmp_path)


def test_a_line_is_what_postfix_would_write(written: Written) -> None:
    """Local time with offset and microseconds, host, name/stage[pid], queue id, then the fields in Postfix's order."""
    ada = delivery(Address("ada", "gmail.com"))
    sent = verdict(Status.SENT, 250, "2.0.0 OK 1763716443 d2e1a72fcca58 - gsmtp")
    written.log.attempt(ada, attempt("gmail-smtp-in.l.google.com", "142.251.2.27"), sent, None)
    assert written.lines == [
        f"2026-11-21T09:14:02.118204+00:00 mx1 postfix-relay/smtp[{os.getpid()}]: 3kq7mvt2z0hy: to=<ada@gmail.com>, "
        "relay=gmail-smtp-in.l.google.com[142.251.2.27]:25, delay=1.3, delays=0.04/0.01/0.62/0.61, dsn=2.0.0, "
        "status=sent (250 2.0.0 OK 1763716443 d2e1a72fcca58 - gsmtp)"
    ]


def test_the_time_is_local_and_follows_the_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When summer time ends, the offset changes with the very second."""
    zone(monkeypatch, "Europe/Berlin")
    written = Written(tmp_path)
    written.clock.now = 1_792_889_999.5  # 2026-10-25T00:59:59.5Z
    written.log.removed(ID)
    written.clock.now += 0.5
    written.log.removed(ID)
    assert [line.split()[0] for line in written.lines] == [
        "2026-10-25T02:59:59.500000+02:00",
        "2026-10-25T02:00:00.000000+01:00",
    ]
    zone(monkeypatch, "UTC")


EVENTS: list[tuple[str, Callable[[Log], None]]] = [
    ("submission/smtpd: connect from app1.internal[10.0.3.17]", lambda log: log.connect(SUBMISSION, APP)),
    (
        "submission/smtpd: disconnect from unknown[192.0.2.66] ehlo=1 auth=0/3 commands=1/4",
        lambda log: log.disconnect(SUBMISSION, STRANGER, {"ehlo": (1, 1), "auth": (0, 3), "mail": (0, 0)}),
    ),
    (
        "submission/smtpd: lost connection after RCPT from unknown[192.0.2.66]",
        lambda log: log.lost_connection(SUBMISSION, STRANGER, "RCPT"),
    ),
    ("smtpd: timeout after DATA from unknown[192.0.2.66]", lambda log: log.timeout("smtpd", STRANGER, "DATA")),
    (
        "submission/smtpd: 3kq7mvt2z0hy: client=app1.internal[10.0.3.17], sasl_method=PLAIN, sasl_username=billing-app",
        lambda log: log.client(ID, SUBMISSION, APP, "PLAIN", "billing-app"),
    ),
    (
        "cleanup: 3kq7mvt2z0hy: message-id=<7f3@billing.example.com>",
        lambda log: log.message_id(ID, "<7f3@billing.example.com>"),
    ),
    (
        "qmgr: 3kq7mvt2z0hy: from=<billing@example.com>, size=18423, nrcpt=3 (queue active)",
        lambda log: log.queued(ID, BILLING, 18423, 3),
    ),
    ("qmgr: 3kq7mvt2z0hy: from=<>, size=900, nrcpt=1 (queue active)", lambda log: log.queued(ID, None, 900, 1)),
    (
        "qmgr: 3kq7mvt2z0hy: from=<billing@example.com>, status=expired, returned to sender",
        lambda log: log.expired(ID, BILLING),
    ),
    ("qmgr: 3kq7mvt2z0hy: removed", lambda log: log.removed(ID)),
    (
        'submission/smtpd: warning: unknown[192.0.2.66]: SASL PLAIN authentication failed: unknown credential "admin", '
        "sasl_username=admin",
        lambda log: log.auth_failed(SUBMISSION, STRANGER, "PLAIN", "admin", 'unknown credential "admin"'),
    ),
    (
        "submission/smtpd: NOQUEUE: reject: RCPT from unknown[192.0.2.66]: 554 5.7.1 <victim@example.net>: "
        "Relay access denied; from=<spam@example.net> to=<victim@example.net> proto=ESMTP helo=<x>",
        lambda log: log.reject(
            SUBMISSION,
            "RCPT",
            STRANGER,
            "554 5.7.1 Relay access denied",
            "spam@example.net",
            "victim@example.net",
            "x",
            "ESMTP",
        ),
    ),
    (
        'admin: 3kq7mvt2z0hy: action=hold, by=anna, via=cli, reason="customer asked"',
        lambda log: log.admin("hold", ID, "anna", "customer asked", via="cli"),
    ),
    (
        'admin: pause: by=anna, scope=gmail.com, reason="421 rate limit"',
        lambda log: log.admin("pause", None, "anna", "421 rate limit", scope="gmail.com"),
    ),
    (
        "relay: ready: hostname=mx1, submission=127.0.0.1:2587, workers=2",
        lambda log: log.note("ready", hostname="mx1", submission="127.0.0.1:2587", submission_tls=None, workers=2),
    ),
    ("relay: warning: disk nearly full: free=3%", lambda log: log.warning("disk nearly full", free="3%")),
]


@pytest.mark.parametrize(("line", "event"), EVENTS)
def test_every_event_has_its_line(written: Written, line: str, event: Callable[[Log], None]) -> None:
    """One event is one line, in the words that Postfix's readers know, and our own for what Postfix has not."""
    event(written.log)
    assert [written.last] == [line]
    assert len(written.lines) == 1


def test_a_failed_attempt_says_who_said_what_to_which_command(written: Written) -> None:
    """The reply stands in parentheses with the host that gave it and the command it answered."""
    busy = verdict(Status.DEFERRED, 450, "4.2.1 mailbox temporarily unavailable", "throttled")
    written.log.attempt(delivery(Address("bob", "b.test")), attempt("mx.b.test", step="RCPT TO"), busy, MORNING + 900)
    said = "host mx.b.test[203.0.113.9] said: 450 4.2.1 mailbox temporarily unavailable (in reply to RCPT TO command)"
    assert written.last.endswith(f"dsn=4.2.1, status=deferred ({said})")


def test_a_host_that_nobody_reached_is_none(written: Written) -> None:
    """Without a connection there is no relay, and our own reason has no ": " that pflogsumm would cut."""
    away = Verdict(Status.DEFERRED, "network", "4.4.1", "connect to mx.b.test[203.0.113.9]:25: Connection timed out")
    written.log.attempt(delivery(Address("bob", "b.test")), attempt(None), away, MORNING + 900)
    assert "relay=none, " in written.last
    assert written.last.endswith("status=deferred (connect to mx.b.test[203.0.113.9]:25 - Connection timed out)")


@given(st.floats(min_value=-10, max_value=500_000))
def test_delays_are_numbers_that_pflogsumm_can_add(value: float) -> None:
    """A delay is digits and at most one point, never negative, and near what was measured."""
    shown = seconds(value)
    assert re.fullmatch(r"\d+(\.\d+)?", shown)
    assert abs(float(shown) - max(value, 0)) <= 0.01 + 0.06 * abs(value) + 0.5 * (value >= 10)


def test_an_error_of_ours_is_one_line_without_secrets(written: Written) -> None:
    """An exception is told with its type, its text and where it came from; the password in a URL is not."""
    try:
        raise ConnectionError("postgresql://relay:geheim@db/mail\nrefused")
    except ConnectionError as error:
        written.log.error("the database is away", error)
    assert len(written.lines) == 1
    assert "geheim" not in written.last
    assert r'exception="ConnectionError: postgresql://relay:***@db/mail\x0arefused"' in written.last
    assert re.search(r'at="test_log\.py:\d+ test_an_error', written.last)


# --- what comes from the network --------------------------------------------------------------------------------

hostile = st.text(st.characters() | st.sampled_from('\n\r\x00\x1b<>,"\u2028\u202e\udc80'), max_size=3000)


@given(hostile)
def test_an_escaped_value_is_one_printable_piece(value: str) -> None:
    """Control characters, line separators, direction marks and broken UTF-8 are escaped; 512 characters are kept."""
    shown = escape(value)
    assert shown.isprintable()
    assert len(shown) <= MAX_VALUE
    assert escape("a\nb\x1b\udc80\u202e") == r"a\x0ab\x1b\x80\u202e"


@given(hostile, hostile, hostile, hostile)
def test_nobody_writes_a_line_into_our_log(
    tmp_path_factory: pytest.TempPathFactory, one: str, two: str, three: str, four: str
) -> None:
    """Whatever a client or a server says, an event stays one line of at most 2 kB, and one JSON object."""
    directory = tmp_path_factory.mktemp("log")
    written = Written(directory, json_file=directory / "events.jsonl")
    log = written.log
    log.reject(SUBMISSION, "RCPT", Peer(one, two), f"550 5.1.1 {three}", one, two, four, three)
    log.auth_failed(SUBMISSION, STRANGER, one, two, three)
    log.client(ID, SUBMISSION, APP, one, two)
    log.message_id(ID, one)
    log.queued(ID, Address(one, two), 1, 1)
    failed = verdict(Status.HARD_BOUNCE, 550, four, "bad_mailbox")
    log.attempt(delivery(Address(one, two), ID, Address(three, four)), attempt(three), failed, None)
    log.admin("hold", ID, one, two, via=three)
    log.error(one, ValueError(two), field=three)
    lines = written.lines
    log.close()
    assert len(lines) == 8
    assert all(re.match(r"\S+ mx1 postfix-relay/\S+\[\d+\]: ", line) for line in lines)
    assert all(len(line.encode()) < MAX_LINE and line.isprintable() for line in lines)
    assert len([json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]) == 8


def test_an_address_cannot_pretend_to_be_fields(written: Written) -> None:
    """A quoted local part with ">, size=1" in it stays inside its angle brackets."""
    written.log.queued(ID, Address('"a>, size=1"', "x.test"), 900, 1)
    assert r'from=<"a\x3e, size=1"@x.test>, size=900, nrcpt=1' in written.last


@pytest.mark.parametrize(
    ("privacy", "shown"),
    [("domain", r"\*@gmail\.com"), ("hash", r"[0-9a-f]{12}@gmail\.com"), ("full", r"Ada@gmail\.com")],
)
def test_privacy_hides_addresses_wherever_they_stand(tmp_path: Path, privacy: str, shown: str) -> None:
    """Envelope, free text of a reply and JSON all show an address in the same way; the same address looks the same."""
    written = Written(tmp_path, privacy=privacy, json_file=tmp_path / "events.jsonl")
    gone = verdict(Status.HARD_BOUNCE, 550, "5.1.1 <Ada@gmail.com>: no such user", "bad_mailbox")
    written.log.attempt(delivery(Address("Ada", "gmail.com")), attempt("mx.test", step="RCPT TO"), gone, None)
    assert re.search(rf"to=<({shown})>, .* said: 550 5\.1\.1 <\1>: no such user", written.last)
    text = (tmp_path / "events.jsonl").read_text()
    assert ("Ada@" in written.last + text) == (privacy == "full")
    assert re.fullmatch(shown, json.loads(text)["recipient"])


# --- JSON -------------------------------------------------------------------------------------------------------


def test_json_bears_the_names_of_the_views(tmp_path: Path) -> None:
    """Beside the text, or instead of it, each event is a JSON object a line, with the columns of the public views."""
    written = Written(tmp_path, format="json")
    busy = verdict(Status.DEFERRED, 450, "4.2.1 mailbox temporarily unavailable", "throttled")
    bob = delivery(Address("bob", "busy.example.net"))
    written.log.attempt(bob, attempt("mx.busy.example.net", step="RCPT TO"), busy, MORNING + 900)
    record = json.loads(written.lines[0])
    expected = {
        "ts": "2026-11-21T09:14:02.118204Z",
        "host": "mx1",
        "stage": "smtp",
        "event": "deferred",
        "queue_id": ID,
        "recipient": "bob@busy.example.net",
        "recipient_type": "to",
        "recipient_domain": "busy.example.net",
        "attempt": 1,
        "mx_host": "mx.busy.example.net",
        "mx_ip": "203.0.113.9",
        "smtp_code": 450,
        "dsn": "4.2.1",
        "class": "throttled",
        "reason": "450 4.2.1 mailbox temporarily unavailable",
        "in_reply_to": "RCPT TO",
        "delay_s": 1.3,
        "ms_connect": 100,
        "next_attempt_at": "2026-11-21T09:29:02Z",
        "sender": "billing@example.com",
        "credential": "billing-app",
    }
    assert record.items() >= expected.items()


def test_trouble_with_the_database_that_lasts_is_told_once_a_minute(written: Written) -> None:
    """However often something is tried in vain; each kind of waiting is told for itself."""
    for _ in range(3):
        written.log.database_trouble("chores wait", OSError("gone"))
    written.log.database_trouble("cannot claim work", OSError("gone"))
    assert [line.partition("warning: ")[2] for line in written.lines] == [
        "chores wait: gone",
        "cannot claim work: gone",
    ]
    written.clock.now += 60
    written.log.database_trouble("chores wait", OSError("gone"))
    assert len(written.lines) == 3
