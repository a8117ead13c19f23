"""Those who read Postfix logs read ours: real pflogsumm counts a day right, real fail2ban finds whom it should."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from relay.address import Address
from relay.delivery import Status, Verdict
from tests.parts.written_log import APP, BILLING, ID, STRANGER, SUBMISSION, Written, attempt, delivery, verdict, zone


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    zone(monkeypatch, "UTC")
    return Written(tmp_path)


def tool(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert path, f"{name} is missing. Fix: apt-get install pflogsumm fail2ban"
    return path


def a_day(written: Written) -> None:
    """Twenty messages to three recipients each, with everything that can become of them, and the noise around it."""
    log, clock = written.log, written.clock
    ids = [f"3kq7mvt2z{n:03d}" for n in range(20)]
    ada, bob, gone = Address("ada", "gmail.com"), Address("bob", "busy.example.net"), Address("gone", "example.org")
    sent = verdict(Status.SENT, 250, "2.0.0 Ok: forwarded as 4Xyz")
    busy = verdict(Status.DEFERRED, 450, "4.2.1 mailbox temporarily unavailable", "throttled")
    unknown = verdict(Status.HARD_BOUNCE, 550, "5.1.1 User unknown", "bad_mailbox")
    silent = "no answer from any host of this domain: it was tried for very long"
    away = Verdict(Status.DEFERRED, "network", "4.4.1", silent)
    for queue_id in ids:
        log.connect(SUBMISSION, APP)
        log.client(queue_id, SUBMISSION, APP, "PLAIN", "billing-app")
        log.message_id(queue_id, f"{queue_id}@billing.example.com")
        log.queued(queue_id, BILLING, 1000, 3)
        log.attempt(delivery(ada, queue_id), attempt("mx.google.com"), sent, None)
        log.attempt(delivery(bob, queue_id), attempt("mx.busy.example.net", step="RCPT TO"), busy, clock.now + 900)
        log.attempt(delivery(gone, queue_id), attempt("mx.example.org", step="RCPT TO"), unknown, None)
        log.disconnect(SUBMISSION, APP, {"ehlo": (1, 1), "mail": (1, 1), "rcpt": (3, 3), "data": (1, 1)})
        clock.now += 60
    for queue_id in ids:
        if queue_id == ids[0]:
            log.attempt(delivery(bob, queue_id), attempt(None), away, clock.now + 900)
            continue
        log.attempt(delivery(bob, queue_id), attempt("mx.busy.example.net", took=905), sent, None)
        log.removed(queue_id)
    old = Verdict(Status.REJECTED, "suppressed_bounce", "5.1.1", "hard bounce 2026-11-02")
    log.attempt(delivery(Address("old", "example.org"), ids[0]), attempt(None), old, None)
    log.reject(SUBMISSION, "RCPT", STRANGER, "554 5.7.1 Relay access denied", "s@x.test", "v@y.test", "x", "ESMTP")
    reply = "553 5.7.1 Sender domain x.test is not set up. [R4104]"
    log.reject(SUBMISSION, "MAIL", APP, reply, "a@x.test", None, "a", "ESMTP")
    log.auth_failed(SUBMISSION, STRANGER, "PLAIN", "admin", "user name or password is wrong")
    log.note("ready", workers=2)
    log.admin("hold", ids[0], "anna", None)


def test_pflogsumm_counts_a_day_right(written: Written) -> None:
    """Real pflogsumm, told our name, counts what was received, delivered, deferred, bounced and rejected."""
    a_day(written)
    written.log.close()
    command = [tool("pflogsumm"), "--syslog-name=postfix-relay", str(written.path)]
    report = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    totals = {name: int(count) for count, name in re.findall(r"^ +(\d+) +([a-z]+)\b", report, re.M)}
    assert totals["received"] == 20
    assert totals["delivered"] == 39
    assert totals["forwarded"] == 0
    assert totals["deferred"] == 20
    assert re.search(r"\(21 +deferrals\)", report)
    assert totals["bounced"] == 20
    assert totals["rejected"] == 2
    assert totals["discarded"] == 1
    assert totals["senders"] == 1
    assert re.search(r"^ +20 +20000 +0 .* gmail\.com$", report, re.M), report
    assert re.search(r"^ +19 +19000 +21 .* 15\.1 m .* busy\.example\.net$", report, re.M), report
    assert re.search(r"^ +20 +5\.1\.1 User unknown", report, re.M), report
    assert re.search(r"^ +1 +no answer from any host of this domain - it was", report, re.M), report
    assert re.search(r"Recipient address suppressed.*\(total: 1\)", report), report
    assert re.search(r"Relay access denied.*\(total: 1\)", report), report


def matches(path: Path, mode: str) -> int:
    """How many lines the stock postfix filter of fail2ban finds in `mode`."""
    command = [tool("fail2ban-regex"), str(path), f"postfix[mode={mode}]"]
    report = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"(\d+) matched", report)
    assert found, report
    return int(found[1])


def test_fail2ban_catches_a_wrong_login(written: Written) -> None:
    """In mode=auth the stock filter finds each failed login, and nothing else of a whole day."""
    a_day(written)
    written.log.close()
    assert matches(written.path, "auth") == 1


def test_fail2ban_catches_whoever_wants_to_relay(written: Written) -> None:
    """In mode=more the stock filter finds "Relay access denied", and nothing else of a whole day."""
    a_day(written)
    written.log.close()
    assert matches(written.path, "more") == 1


def test_an_application_with_wrong_settings_is_never_banned(written: Written) -> None:
    """No login, a sender not set up, too many recipients, a message too big, a rate: 0 matches in every mode."""
    for stage, reply in [
        ("MAIL", "530 5.7.0 Login required. Fix: set SMTP user and password. [R4101 8Fq3]"),
        ("MAIL", "553 5.7.1 Sender domain exmaple.com is not set up on this relay. [R4104 8Fq4]"),
        ("RCPT", "452 4.5.3 Too many recipients, limit 100 per message. [R4107]"),
        ("DATA", "552 5.3.4 Message is 31 MiB, limit is 25 MiB. [R4109]"),
        ("MAIL", "421 4.7.0 Credential billing-app is over its limit of 10 per second. [R4108]"),
        ("AUTH", "538 5.7.11 Encryption required before login. [R4103]"),
        ("RCPT", '501 5.1.3 Recipient "bad" is not a valid address. [R4106]'),
    ]:
        written.log.reject(SUBMISSION, stage, APP, reply, BILLING, "ada@gmail.com", "app1", "ESMTP")
    written.log.close()
    assert [matches(written.path, mode) for mode in ("auth", "more", "aggressive")] == [0, 0, 0]


def test_nobody_can_get_somebody_else_banned(written: Written) -> None:
    """A failed login of 198.51.100.1, pretended in a name, a reply or our own warning, is not found."""
    fake = "x[198.51.100.1]: SASL PLAIN authentication failed: no"
    written.log.warning(fake, detail=fake)
    written.log.error("cannot read a message", ValueError(fake))
    written.log.reject(SUBMISSION, "MAIL", APP, "553 5.7.1 No", f"warning: {fake}", None, f"\nwarning: {fake}", "ESMTP")
    written.log.message_id(ID, f"warning: {fake}")
    bounced = verdict(Status.HARD_BOUNCE, 550, f"5.1.1 NOQUEUE: reject: RCPT from {fake}")
    written.log.attempt(delivery(Address("a", "b.test")), attempt("mx.b.test"), bounced, None)
    written.log.close()
    assert [matches(written.path, mode) for mode in ("auth", "more", "aggressive")] == [0, 0, 0]
