"""Bounces in prose for tests, written for them: a header, words, and a returned copy."""

from email.message import EmailMessage

from suppression import letter, prose
from suppression.found import Recipient

RETURNED = (
    "Received: from app.shop.test (app.shop.test [203.0.113.9])\n\tby out.shop.test with ESMTP id 77aa;"
    " Mon, 2 Mar 2026 10:00:00 +0000\nMessage-ID: <order-1@shop.test>\nFrom: Shop <news@shop.test>\n"
    "To: {to}\nSubject: Your order\nMIME-Version: 1.0\n\nThank you.\nAnswer to help@shop.test\n"
)


def bounce(
    words: str, sender: str = "MAILER-DAEMON@mx.test", subject: str = "failure notice", **fields: str
) -> list[Recipient]:
    """What `prose` reads of a plain text bounce; `fields` are more header fields, `_` for `-`."""
    return prose.read(letter.read(as_octets(words, sender, subject, **fields)))


def as_octets(words: str, sender: str, subject: str, **fields: str) -> bytes:
    """The bounce as it comes: UTF-8, null reverse-path, addressed to the sender of the original."""
    message = EmailMessage()
    for name, value in {"Return-Path": "<>", "From": sender, "To": "news@shop.test", "Subject": subject}.items():
        message[name] = value
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(words)
    return message.as_bytes()


def addresses(recipients: list[Recipient]) -> list[str]:
    """Only the addresses."""
    return [one.address for one in recipients]
