"""Automatic answers are known by what they declare and by their subjects, in many languages."""

import pytest

from suppression.auto_reply import is_auto_reply, is_receipt
from suppression.letter import read
from tests.suppression.letters import person


def with_field(field: str) -> bytes:
    """A person's letter with one field more."""
    return field.encode() + b"\n" + person("I am away.")


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-replied (vacation)",
        "Precedence: auto_reply",
        "X-Autoreply: yes",
        "X-Autorespond: The March issue",
        "X-Mail-Autoreply: 1",
        "X-Vacation: 7",
        "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
        "Return-Path: <spam-challenge+x@example.test>",
    ],
)
def test_declared(field: str) -> None:
    """RFC 3834 5: an answer that declares itself is one."""
    assert is_auto_reply(read(with_field(field)))


@pytest.mark.parametrize(
    "field",
    ["Auto-Submitted: no", "Auto-Submitted: auto-generated", "Precedence: bulk", "X-Autoreply: no", "X-Loop: list"],
)
def test_declared_otherwise(field: str) -> None:
    """News that nobody answered with, and a field that says "no", are no answers."""
    assert not is_auto_reply(read(with_field(field)))


@pytest.mark.parametrize(
    "subject",
    [
        "Out of Office: The March issue",
        "Automatic reply: The March issue",
        "Re: AutoReply - gone fishing",
        "Abwesenheitsnotiz: The March issue",
        "Automatische Antwort: The March issue",
        "Réponse automatique : The March issue",
        "Respuesta automática: The March issue",
        "Resposta automática: The March issue",
        "Risposta automatica: The March issue",
        "Automatisch antwoord: The March issue",
        "Autosvar: The March issue",
        "Automaattinen vastaus: The March issue",
        "Odpowiedź automatyczna: The March issue",
        "Automatická odpověď: The March issue",
        "Автоматический ответ: The March issue",
        "自動応答: The March issue",
        "自动回复: The March issue",
        "자동 응답: The March issue",
    ],
)
def test_subjects(subject: str) -> None:
    """The subjects that mail programs write are known, encoded or not."""
    assert is_auto_reply(read(person("x", subject=subject)))


@pytest.mark.parametrize(
    "subject",
    [
        "Re: The March issue",
        "Automation in the office",
        "Vacation photos",
        "Is the automatic reply broken?",
        "Autos",
        "Reply to all",
    ],
)
def test_subjects_of_people(subject: str) -> None:
    """People write about holidays, offices and automatic replies too."""
    assert not is_auto_reply(read(person("I am out of office, automatic reply: yes.", subject=subject)))


def test_mail_of_a_list() -> None:
    """A list that passes on what looks like an answer is no answer."""
    message = b"List-Id: <friends.example.test>\n" + person("x", subject="Out of Office: x")
    assert not is_auto_reply(read(message))


def test_receipts() -> None:
    """RFC 8098: a receipt is known by its type or by its part."""
    header = b"From: a@b.test\nSubject: Read: The March issue\nContent-Type: multipart/report; boundary=b"
    receipt = b"Content-Type: message/disposition-notification\n\nDisposition: displayed\n"
    body = b"\n\n--b\n\nIt was read.\n--b\n" + receipt + b"--b--\n"
    assert is_receipt(read(header + body))
    assert is_receipt(read(header + b"; report-type=disposition-notification\n\nIt was read."))
    assert not is_receipt(read(person("x", subject="Read: this book")))
