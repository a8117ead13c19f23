"""Complaints are known in every form, and what is none is not taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.feedback_report import is_complaint
from suppression.feedback_report import read as feedback_of
from suppression.letter import read
from tests.suppression.letters import ORIGINAL, dsn, feedback, person

ABUSE = "Feedback-Type: abuse\nUser-Agent: Loop/1.0\nVersion: 1\n"


def complained(message: bytes) -> tuple[str, list[str]]:
    """The type and the addresses."""
    found = feedback_of(read(message))
    assert found is not None
    return found[0], [one.address for one in found[1]]


def test_named_in_the_report() -> None:
    """Original-Rcpt-To names who complained, in brackets or not, once or several times."""
    assert complained(feedback(ABUSE + "Original-Rcpt-To: <bob@example.test>\n")) == ("abuse", ["bob@example.test"])
    two = "Original-Rcpt-To: bob@example.test\nOriginal-Rcpt-To: eve@example.test\n"
    assert complained(feedback(ABUSE + two))[1] == ["bob@example.test", "eve@example.test"]


@pytest.mark.parametrize(
    "veiled", ["", "Original-Rcpt-To: redacted@redacted.invalid\n", f"Original-Rcpt-To: {'0aF9' * 10}@example.test\n"]
)
def test_left_out_or_veiled(veiled: str) -> None:
    """Where the report veils the address, the one recipient of the enclosed message is meant."""
    assert complained(feedback(ABUSE + veiled))[1] == ["ada@example.test"]


def test_several_in_the_original() -> None:
    """Of several recipients of the message it cannot be told who complained."""
    original = ORIGINAL.replace("Ada <ada@example.test>", "ada@example.test, bob@example.test")
    assert complained(feedback(ABUSE, original)) == ("abuse", [])


def test_the_report_without_fields() -> None:
    """A report that says in its header what it is, and lost its fields, is a complaint."""
    assert complained(feedback("").replace(b"message/feedback-report", b"text/plain"))[0] == "abuse"


def test_enclosing_mail_of_a_provider() -> None:
    """The older form: the message sent back, under a subject that only complaints have."""
    message = (
        b"From: staff@hotmail.com\nSubject: complaint about message from 192.0.2.1\n"
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
        b"X-HmXmrOriginalRecipient: bob@example.test\n" + ORIGINAL.encode() + b"--b--\n"
    )
    assert complained(message) == ("abuse", ["bob@example.test"])


def test_older_words() -> None:
    """A message sent back with the words that such reports begin with is a complaint."""
    message = (
        b"From: loop@provider.test\nSubject: FW: The March issue\nContent-Type: multipart/mixed; boundary=b\n\n"
        b"--b\n\nThis is an email abuse report for an email message received from 192.0.2.1.\n"
        b"--b\nContent-Type: message/rfc822\n\n" + ORIGINAL.encode() + b"--b--\n"
    )
    assert complained(message) == ("abuse", ["ada@example.test"])


def test_unsubscribing_by_mail() -> None:
    """A mail that only says "unsubscribe" is the wish of its sender, and no complaint."""
    assert complained(person("unsubscribe", subject="Unsubscribe")) == ("opt-out", ["grace@example.test"])
    assert feedback_of(read(person("How do I unsubscribe? " * 10, subject="Unsubscribe"))) is None


@pytest.mark.parametrize(
    ("feedback_type", "complaint"),
    [
        ("abuse", True),
        ("fraud", True),
        ("virus", True),
        ("other", True),
        ("auth-failure", False),
        ("not-spam", False),
        ("opt-out", False),
    ],
)
def test_what_is_a_complaint(feedback_type: str, complaint: bool) -> None:
    """A failed signature, a mail that is called no spam, and a wish to unsubscribe are no complaints."""
    fields = f"Feedback-Type: {feedback_type.upper()}\nOriginal-Rcpt-To: bob@example.test\n"
    assert complained(feedback(fields))[0] == feedback_type
    assert is_complaint(feedback_type) is complaint


@pytest.mark.parametrize("message", [dsn(), person("I complain about your abuse report for IP 192.0.2.1."), b""])
def test_other_mail(message: bytes) -> None:
    """Delivery reports and people's letters are no feedback reports."""
    assert feedback_of(read(message)) is None


@given(st.text(max_size=300))
def test_never_raises(noise: str) -> None:
    """Any text among the fields leaves the report a feedback report."""
    assert feedback_of(read(feedback(f"Original-Rcpt-To: {noise}\n" + ABUSE))) is not None


def test_nested_comments() -> None:
    """A field of ten thousand open comments is read like any other."""
    assert complained(feedback(ABUSE + "Original-Rcpt-To: " + "((" * 5000 + "\n"))[1] == ["ada@example.test"]
