"""Bounces of servers that no file describes, and the odd corners of those that one does."""

from textwrap import dedent

import pytest

from suppression import letter, prose
from suppression.found import Recipient


def read(words: str) -> list[Recipient]:
    """What is read of a notice with these words."""
    head = "From: Mail System <postmaster@relay.test>\nTo: owner@lists.test\nSubject: Undeliverable: News\n\n"
    return prose.read(letter.read((head + dedent(words).lstrip("\n")).encode()))


NOTICES = {
    "an address between a sentence and a reason": (
        """
        Your message cannot be delivered to the following recipients:

            ada@x.test

            Reason: 550 5.1.1 unknown user
        """,
        [("ada@x.test", "failed", "5.1.1")],
    ),
    "a list with one reason before it": (
        """
        Delivery failure: the user's mailbox has exceeded its quota.

        Recipient(s):
          - ada@x.test
          - bob@x.test

        Contact: admin@relay.test
        """,
        [("ada@x.test", "failed", ""), ("bob@x.test", "failed", "")],
    ),
    "a list in one line": (
        """
        Your message to: ada@x.test, bob@x.test
        was blocked by our Spam Firewall and has NOT BEEN DELIVERED.
        """,
        [("ada@x.test", "failed", ""), ("bob@x.test", "failed", "")],
    ),
    "a sentence, a reply of two lines, and somebody to ask": (
        """
        Sorry, we could not deliver your message to ada@x.test for the reason below:
        550-5.7.1 this looks like spam
        550 5.7.1 and is refused

        If you have questions please contact helpdesk@relay.test.
        """,
        [("ada@x.test", "failed", "5.7.1")],
    ),
    "a sentence that ends with somebody to ask": (
        """
        Your email to <ada@x.test> has been rejected because the mailbox is full.
        For help write to helpdesk@relay.test.
        """,
        [("ada@x.test", "failed", "")],
    ),
    "labels": (
        """
        Failed Recipient: ada@x.test
        Reason: Remote host said: 550 5.1.1 no such user

           -- The header and top 20 lines of the message follows --

        bob@y.test: 550 5.1.1 is not here either
        """,
        [("ada@x.test", "failed", "5.1.1")],
    ),
    "a session written with arrows": (
        """
        This is a collection of reports about email delivery
        process concerning a message you originated.

        FOLLOWING IS THE REASON:

        <smtp x.test ada@x.test 99>: ...
                <<- RCPT To:<ada@x.test>
                ->> 550 5.1.1 <ada@x.test>... User unknown
        """,
        [("ada@x.test", "failed", "5.1.1")],
    ),
    "nothing but the fact": (
        """
        This is an automatically generated Delivery Status Notification.

        Delivery to the following recipients failed.

               ada@x.test
        """,
        [("ada@x.test", "failed", "")],
    ),
    "nothing but the fact that it takes longer": (
        """
        This is an automatically generated Delivery Status Notification.

        THIS IS A WARNING MESSAGE ONLY.

        Delivery to the following recipients has been delayed.

               ada@x.test
        """,
        [("ada@x.test", "delayed", "")],
    ),
    "it arrived": (
        """
        Your message was successfully delivered to the following recipients:

          ada@x.test
        """,
        [("ada@x.test", "delivered", "")],
    ),
    "Exchange 2013 with the host between address and reply": (
        """
        mx.x.test rejected your message to the following email addresses:

        Ada Byron (ada@x.test)<mailto:ada@x.test>
        The address you sent your message to wasn't found at the destination domain.

        Diagnostic information for administrators:

        Generating server: relay.test

        ada@x.test
        mx.x.test
        Remote Server returned '550 5.1.1 <ada@x.test>: Recipient address rejected'
        """,
        [("ada@x.test", "failed", "5.1.1")],
    ),
    "Exchange is still trying": (
        """
        Delivery is delayed to these recipients or distribution lists:

        ada@x.test

        Subject: News

        This message has not yet been delivered. Microsoft Exchange will continue to try delivering the message.

        Delivery of this message will be attempted until 11/24/2026 10:00:00 AM (GMT+00:00).
        """,
        [("ada@x.test", "delayed", "")],
    ),
    "Exchange knows a name, and the original tells the address": (
        """
        Your message did not reach some or all of the intended recipients.

        The following recipient(s) could not be reached:

              'Ada Byron' on 22/11/2026 10:00
                    The recipient's mailbox is full.
                    < mx.x.test #5.2.2>

        Original message headers:

        Received: from lists.test by relay.test; Sun, 22 Nov 2026 10:00:00 +0000
        To: ada@x.test
        """,
        [("ada@x.test", "failed", "5.2.2")],
    ),
    "GroupWise knows its own people by half their address": (
        """
        The message that you sent was undeliverable to the following:
        \tada (user not found)
        \tbob@y.test (connection refused)

        Possibly truncated original message follows:
        """,
        [("ada@relay.test", "failed", ""), ("bob@y.test", "failed", "")],
    ),
    "sendmail into a program": (
        """
           ----- The following addresses had permanent fatal errors -----
        "|/usr/bin/sort-mail"
            (reason: service unavailable)
            (expanded from: ada@x.test)

           ----- Transcript of session follows -----
        554 5.3.0 unknown mailer error 1
        """,
        [("ada@x.test", "failed", "")],
    ),
    "Notes, twice": (
        """
        ------- Failure Reasons  --------

        User not listed in public Name & Address Book
        ada@x.test

        Mailbox is full
        bob@x.test

        ------- Returned Message --------
        """,
        [("ada@x.test", "failed", ""), ("bob@x.test", "failed", "")],
    ),
}


@pytest.mark.parametrize(("words", "expected"), NOTICES.values(), ids=NOTICES)
def test_an_unknown_server_is_understood(words: str, expected: list[tuple[str, str, str]]) -> None:
    """Who, whether it is over, and the code where there is one; nobody who only helps."""
    assert [(one.address, one.action, one.status) for one in read(words)] == expected


def test_labels_come_in_groups() -> None:
    """What stands under the label of one recipient is not said of another."""
    words = """
        The following recipient(s) could not be reached:

            Recipient: [SMTP:ada@x.test]
            Reason: the mailbox is full

            Recipient: [SMTP:bob@x.test]
            Reason: 550 5.1.1 no such user
        """
    ada, bob = read(words)
    assert (ada.status, ada.code, bob.status, bob.code) == ("", None, "5.1.1", 550)
    assert "full" in ada.diagnostic and "no such user" not in ada.diagnostic


def test_a_reason_stands_nearest_to_its_recipient() -> None:
    """Above or below, as the notice has it for all of them."""
    words, _ = NOTICES["Notes, twice"]
    ada, bob = read(words)
    assert "not listed" in ada.diagnostic and "full" in bob.diagnostic and "full" not in ada.diagnostic
