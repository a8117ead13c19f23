"""Bounces of mobile carriers and their gateways, and of Japanese hosts."""

import pytest

from tests.suppression.notices import RETURNED, addresses, bounce

OPENWAVE = (
    "Each of the following recipients was rejected by a remote\nmail server.\n\n"
    "    Recipient: <ada@phone.test>\n    >>> RCPT TO:<ada@phone.test>\n    <<< 550 <ada@phone.test>: nobody here\n\n"
    "    Recipient: <bob@phone.test>\n    Reason:    452 4.2.2 full\n\nPlease reply to "
    "<postmaster@phone.test>\nif you need help.\n"
)


def test_each_rejected_recipient_has_its_own_conversation() -> None:
    """Openwave: the reply stands under "Recipient:"; whom to ask for help is no recipient."""
    first, second = bounce(OPENWAVE, "Postmaster@phone.test", "Mail System Error - Returned Mail")
    assert (first.address, first.code, first.status) == ("ada@phone.test", 550, "")
    assert (second.address, second.code, second.status) == ("bob@phone.test", 452, "4.2.2")


@pytest.mark.parametrize("state", ["disabled", "temporarily over quota", "temporarily limited"])
def test_the_state_of_an_account_is_the_reason_of_all(state: str) -> None:
    """Openwave: one sentence about the accounts, then the addresses, whatever language stands above."""
    found = bounce(
        f"次のあて先へのメッセージは送信できませんでした。\n\nThe user(s) account is {state}.\n\n"
        f"<ada@phone.test>\n<bob@phone.test>\n",
        "Postmaster@phone.test",
        "Mail System Error - Returned Mail",
    )
    assert addresses(found) == ["ada@phone.test", "bob@phone.test"]
    assert all(one.diagnostic == f"The user(s) account is {state}." for one in found)


def test_a_full_mailbox_of_au_one_net() -> None:
    """The KDDI form: the address behind "Could not be delivered to", the reason under it."""
    (found,) = bounce(
        "Your mail sent on: Mon, 2 Mar 2026 19:00:00 +0900\n     Could not be delivered to: <ada@net.test>\n"
        "     As their mailbox is full.\n",
        "no-reply@net.test",
        "メールエラー通知",
    )
    assert (found.address, found.diagnostic) == ("ada@net.test", "As their mailbox is full.")


def test_a_gateway_to_short_messages_repeats_the_envelope() -> None:
    """The recipient is in RCPT TO of the details; the senders named beside it are not."""
    (found,) = bounce(
        "Error: Invalid user address\n\nError message below:\n550 - no such subscriber\n\nMessage details:\n"
        "  Subject: Your order\n  MAIL FROM: news@shop.test\n  RCPT TO: 5550100@text.test\n  From: shop@shop.test\n",
        "post_master@text.test",
        "Re:Your order",
    )
    assert (found.address, found.code, found.diagnostic) == ("5550100@text.test", 550, "550 - no such subscriber")


def test_an_mms_centre_names_the_number_only_in_the_returned_mail() -> None:
    """Where the words name nobody, the one recipient of the returned mail is meant."""
    (found,) = bounce(
        "Message could not be delivered to mobile.\nError: No valid recipients for this MM\n\n\nOriginal Message:\n"
        "From: Shop <news@shop.test>\nTo: 5550100@pix.test\nSubject: Your order\nDate:  Mon, 2 Mar "
        "2026 10:00:00 +0000\n",
        "MMSC NDR Administrator <sysadmin@pix.test>",
        "Undeliverable Message",
    )
    assert found.address == "5550100@pix.test"


def test_biglobe_gives_one_reason_for_all() -> None:
    """A rule, the addresses, a rule, the reason."""
    found = bounce(
        "   ----- The following addresses had delivery problems -----\nada@host.test\nbob@host.test\n\n"
        "   ----- Non-delivered information -----\nThe number of messages exceeded the local limit.\n",
        "postmaster@host.test",
        "Returned mail: Service unavailable",
    )
    assert [(one.address, one.diagnostic) for one in found] == [
        ("ada@host.test", "The number of messages exceeded the local limit."),
        ("bob@host.test", "The number of messages exceeded the local limit."),
    ]


def test_a_reason_may_stand_in_brackets_behind_the_address() -> None:
    """McAfee's gateways and Mail2000 write so."""
    for words in (
        "--- The following addresses had delivery problems ---\n\n<ada@host.test>   (User unknown)\n",
        "---The following addresses had delivery errors---\n\nada@host.test [User unknown]\n",
    ):
        (found,) = bounce(words, "postmaster@host.test", "Returned Mail")
        assert found.address == "ada@host.test"
        assert "User unknown" in found.diagnostic


def test_active_hunter_marks_recipients_with_arrows() -> None:
    """sendmail's words with a mark of its own; the transcript is the reason."""
    (found,) = bounce(
        "The original message was received at Mon, 2 Mar 2026 19:00:00 +0900\nfrom shop.test\n\n"
        "  ----- The following addresses had permanent fatal errors -----\n\n>>> ada@host.test <ada@host.test>\n\n"
        "  ----- Transcript of session follows -----\n550 sorry, no mailbox here by that name (#5.1.1)\n",
        "MAILER-DAEMON@host.test",
    )
    assert (found.address, found.code, found.status) == ("ada@host.test", 550, "5.1.1")


def test_m_filter_frames_reply_command_and_copy() -> None:
    """What counts stands under rules of seven dashes; the Japanese above is not needed."""
    (found,) = bounce(
        "このメールは「m-FILTER」が自動的に生成して送信しています。\n"
        "以下のメールアドレスへの送信に失敗しました。\nada@host.test\n\n\n"
        "-------server message\n550 5.1.1 unknown user <ada@host.test>\n\n-------SMTP command\nRCPT "
        "TO:<ada@host.test>\n\n"
        "-------original message\n" + RETURNED.format(to="bob@host.test"),
        "POSTMASTER <postmaster@host.test>",
    )
    assert (found.address, found.code, found.status) == ("ada@host.test", 550, "5.1.1")
    assert "RCPT" not in found.diagnostic
