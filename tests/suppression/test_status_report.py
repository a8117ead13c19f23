"""Delivery reports are read by their fields: who, what became of it, and the code that says most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.letter import read
from suppression.status_report import address, codes_of, reporter
from suppression.status_report import read as recipients_of
from tests.suppression.letters import FAILED, INNER_DSN, dsn, person


def fields(**changes: str) -> str:
    """FAILED with fields changed: `final_recipient="…"`; "" leaves one out."""
    known = {
        "Final-Recipient": "rfc822; ada@example.test",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such mailbox",
    }
    known |= {name.replace("_", "-").title(): value for name, value in changes.items()}
    return "".join(f"{name}: {value}\n" for name, value in known.items() if value)


def test_one_recipient() -> None:
    """All that the fields say of a recipient is kept, without the types in front."""
    (ada,) = recipients_of(read(dsn()))
    assert (ada.address, ada.action, ada.status, ada.code, ada.mta) == (
        "ada@example.test",
        "failed",
        "5.1.1",
        550,
        "in.example.test",
    )
    assert ada.diagnostic == "550 5.1.1 <ada@example.test>: no such mailbox here"
    assert reporter(read(dsn())) == "mx.example.test"


@pytest.mark.parametrize("between", ["\n", "\n\n  \n", ""], ids=["an empty line", "several", "nothing"])
def test_several_recipients(between: str) -> None:
    """Every group is a recipient of its own, also where the line between two groups got lost."""
    groups = between.join(
        [
            fields(),
            fields(final_recipient="rfc822; bob@example.test", action="delayed", status="4.2.2", diagnostic_code=""),
        ]
    )
    found = recipients_of(read(dsn(groups)))
    assert [(one.address, one.action, one.status) for one in found] == [
        ("ada@example.test", "failed", "5.1.1"),
        ("bob@example.test", "delayed", "4.2.2"),
    ]


def test_fields_torn_apart() -> None:
    """A group that names nobody is more about the one before it; fields before the first name are about that."""
    (one,) = recipients_of(read(dsn("Final-Recipient: rfc822; ada@example.test\n\nAction: failed\nStatus: 5.2.2\n")))
    assert (one.action, one.status) == ("failed", "5.2.2")
    (one,) = recipients_of(read(dsn("Action: delayed\nStatus: 4.4.1\n\nFinal-Recipient: rfc822; ada@example.test\n")))
    assert (one.action, one.status) == ("delayed", "4.4.1")


def test_aliases() -> None:
    """The address that we wrote and the one that failed are two names of one recipient."""
    (one,) = recipients_of(
        read(
            dsn(
                fields(
                    original_recipient="rfc822;ada+2Blists@example.test",
                    x_actual_recipient="rfc822; a@host.example.test",
                )
            )
        )
    )
    assert one.address == "ada@example.test"
    assert one.also == ("ada+lists@example.test", "a@host.example.test")


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("rfc822; ada@example.test", "ada@example.test"),
        ("RFC822;<ada@example.test>", "ada@example.test"),
        ("ada@example.test", "ada@example.test"),
        ("rfc822; ada@example.test (Ada)", "ada@example.test"),
        ("rfc822; <@relay.test:ada@example.test>", "ada@example.test"),
        ('rfc822; "ada l"@example.test', '"ada l"@example.test'),
        (r"utf-8; \x{E4}da@example.test", "äda@example.test"),
        ("x-local; ada", "ada"),
        ("rfc822;", ""),
    ],
)
def test_addresses(written: str, understood: str) -> None:
    """An address is understood in all the ways in which fields give it."""
    assert address(written) == understood


@pytest.mark.parametrize(
    ("action", "status", "understood"),
    [
        ("failed", "5.1.1", "failed"),
        ("Failed (permanently)", "5.1.1", "failed"),
        ("delayed", "4.4.1", "delayed"),
        ("DELAY", "4.4.1", "delayed"),
        ("relayed", "2.1.9", "relayed"),
        ("expanded", "2.1.5", "expanded"),
        ("delivered", "2.0.0", "delivered"),
        ("", "2.0.0", "delivered"),
        ("", "5.0.0", "failed"),
        ("deferred-for-ever", "4.4.7", "failed"),
    ],
)
def test_actions(action: str, status: str, understood: str) -> None:
    """The five actions are told apart; where the word is none of them, the status tells."""
    (one,) = recipients_of(read(dsn(fields(action=action, status=status))))
    assert one.action == understood


@pytest.mark.parametrize(
    ("status", "diagnostic", "precise"),
    [
        ("5.0.0", "smtp; 550 5.1.1 no such user", "5.1.1"),
        ("5.5.0", "smtp; 550-5.2.1 the account is\n    550 5.2.1 disabled", "5.2.1"),
        ("4.0.0", "smtp; 452 4.2.2 over quota", "4.2.2"),
        ("5.2.2", "smtp; 550 5.1.1 no such user", "5.2.2"),
        ("4.0.0", "smtp; 550 5.1.1 no such user", "4.0.0"),
        ("5.0.0", "smtp; 550 no such user", "5.0.0"),
        ("", "smtp; 550 5.1.1 no such user", "5.1.1"),
        ("", "smtp; 550 no such user", ""),
        ("", "smtp; rejected: 5.1.1.1 is listed", ""),
        ("", "smtp; connect to 192.0.2.45[4.4.2.1]: timed out", ""),
        ("5.1.1 (bad mailbox)", "", "5.1.1"),
        ("unknown", "", ""),
    ],
)
def test_codes(status: str, diagnostic: str, precise: str) -> None:
    """A vague status gives way to a precise code of its class; no code is invented, not from an IP address either."""
    (one,) = recipients_of(read(dsn(fields(status=status, diagnostic_code=diagnostic))))
    assert one.status == precise


def test_reply_codes() -> None:
    """The reply code is the one that the diagnostic begins with; a code of success is none."""
    assert codes_of("550 5.1.1 no")[1] == 550
    assert codes_of("host said: 452 over quota")[1] == 452
    assert codes_of("250 2.0.0 ok")[1] is None
    assert codes_of("no code from 192.0.2.250")[1] is None


def test_bare_fields() -> None:
    """Fields that a gateway put into the text are read there, up to the copy of the original."""
    bare = (
        b"From: MAILER-DAEMON@x.test\nSubject: Returned mail\n\nSorry.\n\nReporting-MTA: dns; x.test\n\n"
        + FAILED.encode()
        + b"\nReturn-Path: <a@b.test>\nTo: ada@example.test\n\nFinal-Recipient: rfc822; talk@example.test\n"
    )
    assert [one.address for one in recipients_of(read(bare))] == ["ada@example.test"]


def test_enclosed_fields_are_not_the_reports() -> None:
    """A report inside the returned message is somebody else's."""
    assert [one.address for one in recipients_of(read(dsn(original=INNER_DSN)))] == ["ada@example.test"]


def test_a_file_that_failed() -> None:
    """Where a file or a pipe is named as recipient, the mailbox is in the header."""
    message = dsn(fields(final_recipient="rfc822;/var/mail/ada")).replace(
        b"From:", b"X-Failed-Recipients: ada@example.test\nFrom:", 1
    )
    assert [one.address for one in recipients_of(read(message))] == ["ada@example.test"]


def test_a_diagnostic_that_is_not_folded() -> None:
    """A reply that was copied with its line ends goes on to the next field, and the fields behind it count."""
    reply = "smtp; 550 5.1.1 <ada@example.test>: Recipient address\nrejected: nobody here by that name"
    (ada,) = recipients_of(
        read(dsn(fields(diagnostic_code=reply, status="") + "Status: 5.1.1\nRemote-MTA: dns; in.test\n"))
    )
    assert ada.diagnostic.endswith("Recipient address rejected: nobody here by that name")
    assert (ada.status, ada.mta) == ("5.1.1", "in.test")


def test_no_fields() -> None:
    """A letter without such fields names nobody."""
    assert recipients_of(read(person("Final things first: recipient of the prize is ada@example.test"))) == ()


@given(st.text(max_size=200), st.text(max_size=100), st.text(max_size=40))
def test_never_raises(diagnostic: str, recipient: str, status: str) -> None:
    """Whatever fields say, the codes that are given stand in them."""
    groups = f"Final-Recipient: {recipient}\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n"
    for one in recipients_of(read(dsn(groups))):
        assert one.status in groups
        assert str(one.code or "") in groups
