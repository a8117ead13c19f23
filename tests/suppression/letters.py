"""Letters for the tests of reading: written for them, in the ways of the programs that send such letters."""

ORIGINAL = """Return-Path: <news@sender.test>
Message-ID: <original.1@sender.test>
From: News <news@sender.test>
To: Ada <ada@example.test>
Subject: The March issue

Hello Ada, user unknown, mailbox full, <nobody@elsewhere.test>: 550 5.1.1 this is only talk.
"""

DSN = """Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example.test>
To: token@bounce.sender.test
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
    boundary="=_b/1"

This is a MIME-encapsulated message.

--=_b/1
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--=_b/1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.test
Arrival-Date: Mon, 2 Mar 2026 10:00:00 +0000

{groups}
--=_b/1
Content-Type: message/rfc822

{original}
--=_b/1--
"""

FAILED = """Final-Recipient: rfc822; ada@example.test
Action: failed
Status: 5.1.1
Remote-MTA: dns; in.example.test
Diagnostic-Code: smtp; 550 5.1.1 <ada@example.test>: no such
    mailbox here
"""

FEEDBACK = """From: Feedback Loop <fbl@provider.test>
To: abuse@sender.test
Subject: FW: The March issue
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary=fbl

--fbl
Content-Type: text/plain

This is an email abuse report for a message received from 192.0.2.1.

--fbl
Content-Type: message/feedback-report

{fields}
--fbl
Content-Type: message/rfc822

{original}
--fbl--
"""

PERSON = """Return-Path: <grace@example.test>
From: Grace Hopper <grace@example.test>
To: news@sender.test
Subject: {subject}
Message-ID: <grace.1@example.test>
Date: Mon, 2 Mar 2026 10:00:00 +0000

{text}
"""


INNER_DSN = DSN.replace("=_b/1", "=_inner").format(groups=FAILED.replace("ada@", "inner@"), original=ORIGINAL)


def dsn(groups: str = FAILED, original: str = ORIGINAL) -> bytes:
    """A delivery report with these groups of fields."""
    return DSN.format(groups=groups, original=original).encode()


def feedback(fields: str, original: str = ORIGINAL) -> bytes:
    """A feedback report with these fields."""
    return FEEDBACK.format(fields=fields, original=original).encode()


def person(text: str, subject: str = "Re: The March issue") -> bytes:
    """What somebody writes."""
    return PERSON.format(subject=subject, text=text).encode()
