"""The parts of a notice that programs read, and what comes back of the message."""

import email
import email.message
import email.policy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import parse_address
from relay.compose.dsn import RETURN_CAP, Kind
from relay.delivery import Verdict
from relay.envelope import Message, Ret
from relay.reply import Reply
from tests.compose.letters import ATTEMPT, BUSY, MESSAGE, NOON, ORIGINAL, REFUSED, TAKEN, UNREACHABLE, delivery
from tests.compose.notices import INTERNATIONAL, make, parts_of, read_back, status_of, words_of

# What programs read


def test_a_failure_has_the_fields_of_rfc_3464() -> None:
    """Every field that is known is there, with its type, and none that does not belong."""
    about = delivery(
        message=replace(MESSAGE, envid="QQ+2B314"), orcpt="rfc822;Gone+2Baway@example.org", recipient="gone@example.org"
    )
    message, recipient = status_of(make(about=about)[2])
    assert message == {
        "Reporting-MTA": "dns; relay.example.com",
        "Original-Envelope-Id": "QQ+314",
        "Arrival-Date": "Sat, 21 Nov 2026 12:00:00 +0000",
        "X-Mailtrail-Queue-Id": "0abcdef12345",
    }
    assert recipient == {
        "Original-Recipient": "rfc822; Gone+away@example.org",
        "Final-Recipient": "rfc822; gone@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mx.example.org",
        "Diagnostic-Code": "smtp; 550 5.1.1 User unknown",
        "Last-Attempt-Date": "Sat, 21 Nov 2026 12:00:02 +0000",
    }


def test_what_was_not_given_is_left_out() -> None:
    """RFC 3464 2.2.1, 2.3.1, 2.3.5: no envelope id, original recipient or remote server is invented."""
    message, recipient = status_of(make(verdict=UNREACHABLE, attempt=None)[2])
    assert "Original-Envelope-Id" not in message
    assert set(recipient) == {"Final-Recipient", "Action", "Status", "Diagnostic-Code"}
    assert recipient["Diagnostic-Code"].startswith("X-Mailtrail; "), "the type smtp is for replies alone"


@pytest.mark.parametrize("orcpt", ["", "rfc822", "rfc822;", ";x@example.org"])
def test_a_malformed_orcpt_is_left_out(orcpt: str) -> None:
    """An original recipient without type or address says nothing."""
    assert "Original-Recipient" not in status_of(make(about=delivery(orcpt=orcpt))[2])[1]


@pytest.mark.parametrize(
    ("kind", "verdict", "action"),
    [
        (Kind.FAILURE, REFUSED, "failed"),
        (Kind.DELAY, BUSY, "delayed"),
        (Kind.SUCCESS, TAKEN, "delivered"),
        (Kind.RELAYED, TAKEN, "relayed"),
    ],
)
def test_the_action_tells_the_kind(kind: Kind, verdict: Verdict, action: str) -> None:
    """RFC 3464 2.3.3 and 2.3.9: each kind has its action; only a delay says until when we try."""
    recipient = status_of(make(kind, verdict=verdict, will_retry_until=NOON + 432000)[2])[1]
    assert (recipient["Action"], recipient["Status"]) == (action, verdict.dsn)
    assert recipient.get("Will-Retry-Until") == ("Thu, 26 Nov 2026 12:00:00 +0000" if kind is Kind.DELAY else None)


@pytest.mark.parametrize(("host", "name"), [("192.0.2.1", "[192.0.2.1]"), ("2001:db8::1", "[IPv6:2001:db8::1]")])
def test_a_server_known_by_its_address_stands_in_brackets(host: str, name: str) -> None:
    """RFC 3464 2.1.2: the type dns holds names, and addresses in brackets."""
    assert status_of(make(attempt=replace(ATTEMPT, mx_host=host))[2])[1]["Remote-MTA"] == f"dns; {name}"


# What comes back of the message


def test_the_header_comes_back() -> None:
    """RFC 3461 4.3: without RET, and with RET=HDRS, the header and nothing of the body."""
    for ret in (None, Ret.HDRS):
        part = parts_of(make(about=delivery(message=replace(MESSAGE, ret=ret)))[2])[2]
        assert part.get_content_type() == "text/rfc822-headers"
        octets = part.get_payload(decode=True)
        assert isinstance(octets, bytes)
        assert octets == ORIGINAL.split(b"\r\n\r\n")[0] + b"\r\n"


@pytest.mark.parametrize("original", [ORIGINAL, ORIGINAL + b"Gr\xfc\xdfe\r\n", ORIGINAL.replace(b"invoice", b"f\xfcr")])
def test_the_whole_message_comes_back_byte_for_byte(original: bytes) -> None:
    """RET=FULL: the message as it was sent; 8-bit text (and old 8-bit headers) are carried by 8BITMIME."""
    message, _, content = make(about=delivery(message=replace(MESSAGE, ret=Ret.FULL)), original=original)
    part = parts_of(content)[2]
    assert part.get_content_type() == "message/rfc822"
    assert b"\r\n\r\n" + original + b"\r\n--=_" in content
    assert message.eight_bit is not original.isascii()
    assert part["Content-Transfer-Encoding"] == read_back(content)["Content-Transfer-Encoding"]


def test_only_failures_bring_the_whole_message_back() -> None:
    """RFC 3461 4.3: RET speaks of failures; other notices have the header."""
    about = delivery(message=replace(MESSAGE, ret=Ret.FULL))
    assert parts_of(make(Kind.DELAY, about, BUSY)[2])[2].get_content_type() == "text/rfc822-headers"


@pytest.mark.parametrize(
    "body", [b"x\r\n" * (RETURN_CAP // 3), b"x" * 999 + b"\r\n"], ids=["too large", "too long a line"]
)
def test_what_cannot_come_back_whole_comes_back_as_its_header(body: bytes) -> None:
    """A huge message, or one with lines that no message may have, is not sent around again."""
    about = delivery(message=replace(MESSAGE, ret=Ret.FULL))
    content = make(about=about, original=ORIGINAL + body)[2]
    assert parts_of(content)[2].get_content_type() == "text/rfc822-headers"
    assert "Its header is attached." in words_of(content)


def test_a_message_that_is_gone_is_not_attached() -> None:
    """Without the content the notice has two parts, and promises no third."""
    content = make(original=b"")[2]
    assert len(parts_of(content)) == 2
    assert "attached" not in words_of(content)


def test_a_message_cannot_break_out_of_its_part() -> None:
    """An original that holds our boundary gets another one."""
    about = delivery(message=replace(MESSAGE, ret=Ret.FULL))
    original = ORIGINAL + b"--=_0abcdef99999_0--\r\n--=_0abcdef99999_1\r\n"
    assert len(parts_of(make(about=about, original=original)[2])) == 3


# Beyond ASCII


def test_an_ascii_sender_gets_an_ascii_notice_about_an_international_recipient() -> None:
    """RFC 6533 3: the recipient's address is utf-8 with embedded characters; the way back needs no SMTPUTF8."""
    about = delivery("gr=ün@bücher.example", orcpt=r"utf-8;gr\x{3D}\x{FC}n@b\x{FC}cher.example")
    original = ORIGINAL.replace(b"gone@", "grün@".encode())
    message, _, content = make(about=about, original=original)
    assert content.isascii()
    assert not message.smtputf8
    assert not message.eight_bit
    recipient = status_of(content)[1]
    assert recipient["Final-Recipient"] == r"utf-8; gr\x{3D}\x{FC}n@b\x{FC}cher.example"
    assert recipient["Original-Recipient"] == recipient["Final-Recipient"]
    assert "gr=ün@bücher.example" in words_of(content)
    header = parts_of(content)[2]
    assert header.get_content_type() == "message/global-headers"
    assert "grün@".encode() in content or header["Content-Transfer-Encoding"] == "quoted-printable"
    decoded = email.message_from_bytes(content, policy=email.policy.default)["Subject"]
    assert str(decoded) == message.subject


def test_an_international_sender_gets_an_international_notice() -> None:
    """RFC 6533: where SMTPUTF8 is needed anyway, addresses and text stand as they are."""
    about = delivery("grün@bücher.example", message=INTERNATIONAL, orcpt=r"utf-8;gr\x{FC}n@b\x{FC}cher.example")
    message, its_delivery, content = make(about=about, original=ORIGINAL.replace(b"gone@", "grün@".encode()))
    assert (message.smtputf8, message.eight_bit) == (True, True)
    assert its_delivery.recipient == INTERNATIONAL.reverse_path
    parts = parts_of(content)
    assert [part.get_content_type() for part in parts[1:]] == [
        "message/global-delivery-status",
        "message/global-headers",
    ]
    recipient = status_of(content)[1]
    assert recipient["Final-Recipient"] == recipient["Original-Recipient"] == "utf-8; grün@bücher.example"
    assert "\r\nTo: rechnung-für@example.com\r\n" in content.decode("utf-8")


@pytest.mark.parametrize(("sender", "encoding"), [(MESSAGE, "base64"), (INTERNATIONAL, "8bit")])
def test_an_international_message_comes_back_whole(sender: Message, encoding: str) -> None:
    """RFC 6532 3.7: as message/global, encoded where the way back is not known to be clean."""
    original = ORIGINAL.replace(b"gone@", "grün@".encode())
    content = make(about=delivery(message=replace(sender, ret=Ret.FULL)), original=original)[2]
    part = parts_of(content)[2]
    assert (part.get_content_type(), part["Content-Transfer-Encoding"]) == ("message/global", encoding)
    if encoding == "base64":
        assert content.isascii()
    else:
        assert original in content


def test_an_international_domain_alone_needs_no_smtputf8() -> None:
    """A domain can be written in A-labels, for the sender and for the recipient."""
    message = replace(MESSAGE, reverse_path=parse_address("billing@bücher.example"))
    ours, its_delivery, content = make(about=delivery("gone@bücher.example", message=message))
    assert not ours.smtputf8
    assert str(its_delivery.recipient) == "billing@xn--bcher-kva.example"
    assert status_of(content)[1]["Final-Recipient"] == "rfc822; gone@xn--bcher-kva.example"


# Anything

STRANGE = st.text(max_size=1500)


@given(
    kind=st.sampled_from(Kind),
    reply=STRANGE,
    subject=STRANGE,
    message_id=STRANGE,
    envid=st.none() | STRANGE,
    orcpt=st.none() | STRANGE.map(lambda text: f"utf-8;{text}") | STRANGE,
    original=st.binary(max_size=300).map(lambda octets: octets.replace(b"\r", b"").replace(b"\n", b"\r\n")),
    native=st.booleans(),
    ret=st.sampled_from([None, Ret.FULL]),
)
def test_whatever_others_wrote_the_notice_is_well_formed(**drawn: Any) -> None:
    """No reply, subject, envelope id or message can add a field or a part, end a line, or make one too long."""
    message = replace(
        INTERNATIONAL if drawn["native"] else MESSAGE,
        **{name: drawn[name] for name in ("subject", "message_id", "envid", "ret")},
    )
    verdict = replace(REFUSED, reply=Reply.parse(550, drawn["reply"]), reason=drawn["reply"])
    about = delivery(message=message, orcpt=drawn["orcpt"])
    ours, _, content = make(drawn["kind"], about, verdict, original=drawn["original"])
    assert set(read_back(content).keys()) <= {
        *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "Auto-Submitted"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    }
    assert len(parts_of(content)) == (3 if drawn["original"] else 2)
    assert status_of(content)[1]["Action"] == drawn["kind"].value
    if not ours.eight_bit:
        assert content.isascii()
