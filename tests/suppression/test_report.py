"""What a message that came back is: failures, complaints, automatic answers, and everything else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.report import class_of, parse
from tests.suppression.letters import FAILED, INNER_DSN, ORIGINAL, dsn, feedback, person

PROSE = """Return-Path: <>
From: MAILER-DAEMON@mx.example.test
To: token@bounce.sender.test
Subject: failure notice

Hi. This is the mail program at mx.example.test.
I was not able to deliver your message to the following addresses.

<ada@example.test>:
192.0.2.7 does not like recipient.
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

{original}"""
ABUSE = feedback("Feedback-Type: abuse\nOriginal-Rcpt-To: ada@example.test\n")
AWAY = b"Auto-Submitted: auto-replied\n" + person("I am away. User unknown? No: 550 holidays.", subject="Away")
EVERYTHING = [dsn(), PROSE.format(original=ORIGINAL).encode(), ABUSE, AWAY, person("Thank you!")]


def test_delivery_report() -> None:
    """A delivery report is a bounce, and says which mail it is about and who reports."""
    report = parse(dsn())
    assert report.kind == "bounce"
    assert [(one.address, class_of(report, one)) for one in report.recipients] == [("ada@example.test", "hard")]
    assert report.reporter == "mx.example.test"
    about = report.original
    assert (about.message_id, about.from_, about.to, about.subject) == (
        "original.1@sender.test",
        "news@sender.test",
        ("ada@example.test",),
        "The March issue",
    )


def test_prose() -> None:
    """A mail system's words of failure are a bounce; the mail it is about is told from the copy at the end."""
    report = parse(PROSE.format(original=ORIGINAL).encode())
    assert report.kind == "bounce"
    assert [(one.address, one.status) for one in report.recipients] == [("ada@example.test", "5.1.1")]
    assert report.original.message_id == "original.1@sender.test"


@pytest.mark.parametrize("auto", ["", "Auto-Submitted: auto-replied\n"])
def test_bounces_that_call_themselves_replies(auto: str) -> None:
    """A mail system that declares its failure an automatic reply still reports a failure."""
    assert parse((auto + PROSE.format(original=ORIGINAL)).encode()).kind == "bounce"


def test_words_complete_the_fields() -> None:
    """A diagnostic that stands in the text only is found there, and so is its code."""
    fields = "Final-Recipient: rfc822; ada@example.test\nAction: failed\nStatus: 5.0.0\n"
    message = dsn(fields).replace(
        b"could not be delivered.",
        b"could not be delivered.\n\n<ada@example.test>: host in.example.test said: 550 5.1.1 User unknown",
    )
    (one,) = parse(message).recipients
    assert (one.status, one.code) == ("5.1.1", 550)
    assert "User unknown" in one.diagnostic


@pytest.mark.parametrize(
    ("fields", "words", "expected"),
    [
        ("550 5.1.1 no such user", "Your mail to <ada> was refused:\nNot enough disk space", "soft"),
        ("550 5.1.1 no such user", "<ada@example.test>: mailbox is full, quota exceeded", "soft"),
        ("550 5.1.1 no such user", "It failed. Perhaps the mailbox is full.", "hard"),
        ("550 5.1.1 no such user", "It failed. Could not be delivered: rejected.", "hard"),
        ("554 Transaction failed", "<ada@example.test>: 550 user unknown", "hard"),
        ("554 Transaction failed", "It failed. The address may not exist.", "soft"),
        ("452 4.2.2 mailbox full", "<ada@example.test>: 550 user unknown", "soft"),
        ("550 5.7.1 listed as a source of spam", "<ada@example.test>: 550 user unknown", "soft"),
        ("550 5.7.1 listed as a source of spam", "<bea@example.test>: 550 user unknown", "soft"),
    ],
)
def test_what_tells_most_is_the_diagnostic(fields: str, words: str, expected: str) -> None:
    """Plain words complete a diagnostic that gives no cause, never one that does; only a lack of room revokes a death
    sentence, and no guess ("may", "perhaps") counts."""
    group = f"Final-Recipient: rfc822; ada@example.test\nAction: failed\nDiagnostic-Code: smtp; {fields}\n"
    report = parse(dsn(group).replace(b"your message could not be delivered.", b"this is sad.\n\n" + words.encode()))
    assert [(one.address, class_of(report, one)) for one in report.recipients] == [("ada@example.test", expected)]


def test_a_report_that_names_nobody() -> None:
    """A report of failure that names nobody is a bounce without recipients: the token says whose."""
    assert parse(dsn("")).kind == "bounce"


@pytest.mark.parametrize(
    ("action", "status", "expected"),
    [
        ("failed", "5.1.1", "hard"),
        ("delayed", "4.4.1", "soft"),
        ("delivered", "2.0.0", "none"),
        ("relayed", "2.0.0", "none"),
        ("expanded", "2.0.0", "none"),
    ],
)
def test_classes(action: str, status: str, expected: str) -> None:
    """Only a failure is proof about an address; a delay is soft, and what went well is nothing."""
    fields = f"Final-Recipient: rfc822; ada@example.test\nAction: {action}\nStatus: {status}\n"
    if action == "failed":
        fields += "Diagnostic-Code: smtp; 550 5.1.1 User unknown\n"
    report = parse(dsn(fields))
    assert [(one.action, class_of(report, one)) for one in report.recipients] == [(action, expected)]


def test_complaint() -> None:
    """A feedback report is a complaint of the one whom it names."""
    report = parse(ABUSE)
    assert (report.kind, report.feedback_type) == ("feedback", "abuse")
    assert [(one.address, class_of(report, one)) for one in report.recipients] == [("ada@example.test", "complaint")]
    assert report.original.message_id == "original.1@sender.test"


def test_failed_authentication_is_no_complaint() -> None:
    """RFC 6591: a report of forged mail is feedback and says nothing about the recipient."""
    report = parse(feedback("Feedback-Type: auth-failure\nOriginal-Rcpt-To: ada@example.test\n"))
    assert [class_of(report, one) for one in report.recipients] == ["none"]


@pytest.mark.parametrize("return_path", [b"Return-Path: <>\n", b""])
def test_automatic_answer(return_path: bytes) -> None:
    """An automatic answer is one, with or without a null reverse-path, whatever its text says."""
    report = parse(return_path + AWAY)
    assert report.kind == "vacation"
    assert [(one.address, class_of(report, one)) for one in report.recipients] == [("grace@example.test", "auto-reply")]


def test_read_receipt() -> None:
    """RFC 8098: a receipt is no failure."""
    message = dsn().replace(b"delivery-status", b"disposition-notification")
    assert parse(message).kind == "none"


@pytest.mark.parametrize(
    "text",
    [
        "Thank you!",
        "I got this:\n\n<ada@example.test>: 550 5.1.1 User unknown",
        PROSE.format(original=ORIGINAL),
        "\n".join(f"> {line}" for line in dsn().decode().splitlines()),
        FAILED,
        "",
    ],
    ids=["thanks", "talks of a failure", "pastes one", "quotes one", "pastes its fields", "nothing"],
)
def test_people(text: str) -> None:
    """A person's letter is never a bounce, whatever it talks about, pastes or quotes."""
    assert parse(person(text)).kind == "none"


def test_passed_on_as_attachment() -> None:
    """A report that somebody attached whole is what it was, and about what it was about."""
    message = (
        b"From: Grace <grace@example.test>\nSubject: what is this?\nContent-Type: multipart/mixed; boundary=outer\n\n"
        b"--outer\n\nSee below.\n--outer\nContent-Type: message/rfc822\n\n" + dsn() + b"--outer--\n"
    )
    report = parse(message)
    assert report.kind == "bounce"
    assert [one.address for one in report.recipients] == ["ada@example.test"]
    assert report.original.message_id == "original.1@sender.test"


@pytest.mark.parametrize("field", ["In-Reply-To: <original.1@sender.test>", "References: <original.1@sender.test>"])
def test_null_answer(field: str) -> None:
    """RFC 3834: what answers from a null reverse-path is an automatic answer, whatever mailboxes it talks about."""
    letter = person("I have left. <old@example.test>: this mailbox does not exist any more.")
    message = field.encode() + b"\n" + letter.replace(b"<grace@example.test>", b"<>", 1)
    assert parse(message).kind == "vacation"


def test_an_attached_letter() -> None:
    """An ordinary message that somebody attached is ordinary mail."""
    message = b"From: g@example.test\nContent-Type: message/rfc822\n\n" + person("550 5.1.1 User unknown")
    assert parse(message).kind == "none"


def test_passed_on_as_quotation() -> None:
    """A report quoted whole under "Fwd:" is what it was."""
    quoted = "\n".join(f"> {line}" for line in PROSE.format(original=ORIGINAL).splitlines())
    report = parse(person(f"Begin forwarded message:\n\n{quoted}", subject="Fwd: failure notice"))
    assert report.kind == "bounce"
    assert [one.address for one in report.recipients] == ["ada@example.test"]


def test_a_bounce_of_a_bounce() -> None:
    """What a returned message says, be it a report itself, is not what the report says."""
    report = parse(dsn(original=INNER_DSN))
    assert [one.address for one in report.recipients] == ["ada@example.test"]


def test_notification_of_a_service() -> None:
    """A notification in JSON is read like the report that it stands for."""
    bounce = {
        "notificationType": "Bounce",
        "bounce": {
            "bouncedRecipients": [
                {
                    "emailAddress": "ada@example.test",
                    "action": "failed",
                    "status": "5.1.1",
                    "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                }
            ]
        },
        "mail": {
            "source": "news@sender.test",
            "destination": ["ada@example.test"],
            "commonHeaders": {"messageId": "<m.1@sender.test>"},
        },
    }
    report = parse(
        b"From: no-reply@service.test\n\n"
        + json.dumps({"Type": "Notification", "Message": json.dumps(bounce)}).encode()
    )
    assert (report.kind, report.original.message_id) == ("bounce", "m.1@sender.test")
    assert [(one.address, one.status, one.code) for one in report.recipients] == [("ada@example.test", "5.1.1", 550)]
    assert parse(b"From: a@b.test\n\n" + b'{"a":' * 10_000).kind == "none"
    assert parse(b'From: a@b.test\n\n{"notificationType": "Bounce", "bounce": [1], "mail": 5}').recipients == ()


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("message", EVERYTHING)
def test_line_ends(message: bytes, line_end: bytes) -> None:
    """Line ends change nothing in what a message is found to be."""
    assert parse(message.replace(b"\n", line_end)) == parse(message)


@pytest.mark.parametrize("message", EVERYTHING)
def test_truncated_anywhere(message: bytes) -> None:
    """Cut off at any octet, a message is read without an exception, and nobody is named who is not in it."""
    for end in range(len(message)):
        cut = message[:end]
        assert all(one.address.encode() in cut for one in parse(cut).recipients)


@given(
    st.sampled_from(EVERYTHING),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 40), st.binary(max_size=40)), max_size=4),
)
def test_never_raises(message: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    """Whatever is put, lost or changed in a message, it is read without an exception and values keep their forms."""
    for at, length, noise in changes:
        message = message[:at] + noise + message[at + length :]
    report = parse(message)
    for one in report.recipients:
        assert one.address
        assert "\n" not in one.diagnostic
        assert class_of(report, one) in ("hard", "soft", "complaint", "auto-reply", "none")


def test_the_command(tmp_path: Path) -> None:
    """`python -m suppression parse` prints an object a line for a path a line, and says which file is not there."""
    (tmp_path / "dsn").write_bytes(dsn())
    ran = subprocess.run(
        [sys.executable, "-m", "suppression", "parse"],
        input=f"{tmp_path}/dsn\n{tmp_path}/missing\n",
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = map(json.loads, ran.stdout.splitlines())
    assert first["kind"] == "bounce"
    assert [(one["address"], one["action"], one["status"], one["class"]) for one in first["recipients"]] == [
        ("ada@example.test", "failed", "5.1.1", "hard")
    ]
    assert second["kind"] == "none"
    assert "missing" in second["error"]
    assert ran.returncode == 1


def test_a_wrong_call() -> None:
    """A call without a known command says how it is called."""
    ran = subprocess.run([sys.executable, "-m", "suppression"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.startswith("usage:")
