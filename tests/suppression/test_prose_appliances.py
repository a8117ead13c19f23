"""Bounces of filter appliances and services, of hosts of mailing lists, and recipients that stand elsewhere."""

import pytest

from tests.suppression.notices import RETURNED, addresses, bounce

# what a product writes → address, action, reply code, enhanced code, words of the diagnostic
NOTICES = {
    "InterScan, conversation": (
        "****** Message from InterScan Messaging Security Suite ******\n\nSent <<< RCPT TO:<ada@dead.test>\n"
        "Received >>> 550 5.1.1 nobody here\n\n****     End of message     ****\n",
        ("ada@dead.test", "failed", 550, "5.1.1", "nobody here"),
    ),
    "InterScan, sentence": (
        "****** Message from InterScan Messaging Security Suite ******\n\nThe following mail could "
        "not be delivered.\n"
        "Reason:  Unable to deliver message to <ada@dead.test> (and other recipients in the same domain).\n",
        ("ada@dead.test", "failed", None, "", "Unable to deliver"),
    ),
    "MailFoundry": (
        "Unable to deliver message to: <ada@dead.test>\nDelivery failed for the following reason:\n"
        "Server mx.dead.test[198.51.100.4] failed with: 550 nobody here\n\n\nThis has been a permanent failure.\n",
        ("ada@dead.test", "failed", 550, "", "nobody here"),
    ),
    "IronPort": (
        "The following message to <ada@dead.test> was undeliverable.\nThe reason for the problem:\n"
        "5.1.2 - Bad destination host 'DNS Hard Error looking up dead.test'\n",
        ("ada@dead.test", "failed", None, "5.1.2", "Bad destination host"),
    ),
    "MX Logic": (
        "This message was created automatically by mail delivery software.\n\nA message that you "
        "have sent could not be "
        "delivered to one or more\nrecipients.  This is a permanent error.  The following address failed:\n\n"
        "  <ada@dead.test>: 550 5.1.1 nobody here\n\n\nIncluded is a copy of the message header:\n----------------\n",
        ("ada@dead.test", "failed", 550, "5.1.1", "nobody here"),
    ),
    "one sentence": (
        "----------------------\nYour Message\n\nTo:      <bob@shop.test>\n\nSubject: Order\n\n"
        "Did not reach the following recipient: ada@dead.test\n",
        ("ada@dead.test", "failed", None, "", "Did not reach"),
    ),
    "Symantec, which goes on trying": (
        "Your message with Subject: Your order\ncould not be delivered to the following recipients:\n"
        "\nada@slow.test\n\n"
        "Please do not resend your original message.\n\nDelivery attempts will continue to be made for 4  day(s).\n",
        ("ada@slow.test", "delayed", None, "", ""),
    ),
    "Mimecast": (
        "This is a delivery failure notification message indicating that\nan email addressed to email address :\n"
        "-- ada@slow.test\n\ncould not be delivered. The problem appears to be :\n-- Recipient "
        "server unavailable or busy\n\n"
        "Additional information follows :\n-- 4.4.1 no answer\n\nThis condition occurred after 30 attempt(s)\n",
        ("ada@slow.test", "failed", None, "4.4.1", "no answer"),
    ),
    "Vade": (
        'Delivery has failed to these recipients or distribution lists:\n\nServer "198.51.100.4:25" '
        'returned an error:\n\n'
        "\t* [ada@full.test]: 552 the mailbox is overquota\n\nOriginal message details:\n\n\t* From: "
        "news@shop.test\n",
        ("ada@full.test", "failed", 552, "", "overquota"),
    ),
    "MailMarshal": (
        "Your message:\n   From:    news@shop.test\n   To:      ada@dead.test\n   Subject: Your order\n\n"
        "Could not be delivered because of\n\n550 5.1.1 nobody here\n\nThe following recipients were "
        "affected:\n    ada@dead.test\n",
        ("ada@dead.test", "failed", 550, "5.1.1", "nobody here"),
    ),
    "SurfControl": (
        "Your message could not be sent.\nA transcript of the attempts to send the message follows.\n"
        "The number of attempts made: 1\nAddressed To: ada@dead.test\n\nMon 2 Mar 2026 10:00:00 +0000\n"
        "Failed to send to identified host,\nada@dead.test: [198.51.100.4], 550 nobody here\n--- "
        "Message non-deliverable.\n",
        ("ada@dead.test", "failed", 550, "", "nobody here"),
    ),
    "GFI": (
        "--- Non-Delivery Report ---\nThe email below could not be delivered to the following user:\n\n"
        '"ada@dead.test" <ada@dead.test>\n\nOld message:\n\nDear bob@shop.test\n',
        ("ada@dead.test", "failed", None, "", ""),
    ),
    "FrontBridge": (
        "This is an automated message created by mail delivery software.\n\nYour message to:\n\tada@slow.test\n\n"
        "has not yet been delivered because the recipient server did not respond.\n\nWe will "
        "continue to attempt delivery.\n",
        ("ada@slow.test", "delayed", None, "", "did not respond"),
    ),
    "a hosted filter": (
        "We had trouble delivering your message. Full details follow:\n\n1 error(s):\n\nThe "
        "following recipients returned "
        "permanent errors: ada@dead.test. Reason: SMTP Server <198.51.100.4> refused to accept your "
        "message (RCPT), with "
        "the following error message: [550 5.1.1 nobody here]\n\nThe attachment contains the "
        "original mail headers.\n",
        ("ada@dead.test", "failed", 550, "5.1.1", "nobody here"),
    ),
    "a frame of equal signs": (
        "==================\n  This is an automatically generated Delivery Status Notification.\n\n"
        "Delevery to the following recipients failed permanently:\n\n   * ada@dead.test\n\n==================\n"
        "     Technical details:\n\nSMTP:RCPT host 198.51.100.4: 553 5.3.0 nobody here\n\n==================\n",
        ("ada@dead.test", "failed", 553, "5.3.0", "nobody here"),
    ),
    "labels": (
        "This message is to inform you that an email you sent was rejected.\n\nreject reason: Mailbox full\n"
        "target mail address: ada@full.test\n",
        ("ada@full.test", "failed", None, "", "Mailbox full"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("product", NOTICES)
def test_the_words_of_a_product_tell_who_and_why(product: str) -> None:
    """Address, delay or failure, codes and reason stand where the product writes them; it has no code, we have none."""
    words, (address, action, code, status, reason) = NOTICES[product]
    (found,) = bounce(words, "postmaster@filter.test", "Undeliverable mail")
    assert (found.address, found.action, found.code, found.status) == (address, action, code, status)
    assert reason in found.diagnostic


def test_a_directory_names_people_without_a_domain() -> None:
    """A bare name is told as it stands; examples in the explanation are nobody."""
    (found,) = bounce(
        " --------Message not delivered to the following:\n\n abyron    No matches to nameserver query\n\n"
        " --------Error Detail (phquery V4.1):\n\n If ada.byron@uni.test fails, try a.byron@uni.test.\n",
        "MAILER-DAEMON@mail.uni.test",
        "Returned mail - nameserver error report",
    )
    assert (found.address, found.diagnostic) == ("abyron", "No matches to nameserver query")


@pytest.mark.parametrize(
    "words",
    [
        "Hello news@shop.test,\n\nWe're writing to let you know that the group (birds) may not exist.",
        "Hallo news@shop.test,\n\ndie Gruppe (birds) ist möglicherweise nicht vorhanden.",
        "news@shop.test様\n\nグループ（birds）は存在しないか、投稿する権限がありません。",
    ],
)
def test_google_groups_names_the_list_in_its_header_only(words: str) -> None:
    """In every language; the reader who is greeted is not the recipient."""
    found = bounce(
        f"{words}\n\nhttps://groups.google.test/support/\n\nGoogle Groups\n\n\n\n----- Original message -----\n\n"
        + RETURNED.format(to="birds@groups.test"),
        "Mail Delivery Subsystem <mailer-daemon@googlemail.test>",
        "Delivery Status Notification (Failure)",
        X_Failed_Recipients="birds@groups.test",
    )
    assert addresses(found) == ["birds@groups.test"]


def test_fml_refuses_as_the_list() -> None:
    """A list's host says in its header what it is, and writes as the list's administrator."""
    for words in (
        "Duplicated Message-ID in <birds@host.test>.\n",
        "You are not a member of this list: <news@shop.test>\n",
    ):
        found = bounce(words, "birds-admin@host.test", "Loop Alert (birds ML)", X_MLServer="fml [fml 4.0.3 release]")
        assert addresses(found) == ["birds@host.test"]


def test_a_recipient_may_stand_in_the_header_of_the_report_only() -> None:
    """X-Failed-Recipients is written by servers that report, and is believed; several are told each."""
    found = bounce(
        "We are sorry, this mail could not be delivered.\n", X_Failed_Recipients="ada@dead.test, bob@dead.test"
    )
    assert addresses(found) == ["ada@dead.test", "bob@dead.test"]


def test_the_only_recipient_of_the_returned_mail_is_meant_when_nobody_is_named() -> None:
    """One address in the returned To, none in the words: that is who failed."""
    words = "A message that you sent could not be delivered. The recipient is not a valid user of the system.\n\n"
    copy = "------ This is a copy of the message ------\n\n"
    assert addresses(bounce(words + copy + RETURNED.format(to="Ada <ada@dead.test>"))) == ["ada@dead.test"]


def test_nobody_is_guessed_when_two_could_be_meant() -> None:
    """Two recipients in the returned mail, or a letter that comes from a person: no address is told."""
    words = "A message that you sent could not be delivered. The recipient is not a valid user of the system.\n\n"
    copy = "------ This is a copy of the message ------\n\n"
    assert bounce(words + copy + RETURNED.format(to="ada@dead.test, bob@dead.test")) == []
    letter = "I saw your note that the mail could not be delivered. Did it work?\n\n"
    assert bounce(letter + copy + RETURNED.format(to="ada@dead.test"), "Ada <ada@home.test>", "Re: Your order") == []
