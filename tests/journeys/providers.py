"""What others send back to us: delivery reports, complaints, automatic answers, and who brings them.

    mail = mx.messages[0]
    await bring(here, report("bob@x.test"), mail.mail_from)

Each is written as RFC 3464, RFC 5965 and RFC 3834 want it; the reverse-path is null unless it is said.
"""

import asyncio
from email.message import EmailMessage

from tests.journeys.internet import Internet
from tests.journeys.office import Office, submit
from tests.parts.reader import TRACKING

DOMAIN = "bounce.sender.test"
FEEDBACK = f"fbl@{DOMAIN}"
OPERATOR = "ops@sender.test"


def settings(internet: Internet, **sections: object) -> dict[str, object]:
    """A relay to which mail comes back; `sections` over that."""
    inbound = {"listen": ["127.0.0.1:0"], "bounce_domain": DOMAIN, "forward_to": OPERATOR}
    return internet.settings() | {"inbound": inbound, "tracking": TRACKING} | sections


async def bring(here: Office, content: bytes, *to: str, sender: str = "") -> str:
    """A stranger's server brings it to our inbound listener; its name in our log. What it changes is committed then.

    `smtplib.SMTPResponseException` for a no.
    """
    return await asyncio.to_thread(submit, here.program.inbound, sender, to, content)


def report(
    recipient: str, said: str = "550 5.1.1 No such user here", *, action: str = "failed", original: str = ""
) -> bytes:
    """A delivery report of what a server `said`, about the message with the Message-ID `original`."""
    fields = [
        "Reporting-MTA: dns; mx.provider.test",
        "",
        f"Final-Recipient: rfc822; {recipient}",
        f"Action: {action}",
        f"Status: {said.split()[1]}",
        f"Diagnostic-Code: smtp; {said}",
    ]
    head = [f"From: ada@sender.test\r\nTo: {recipient}", *([f"Message-ID: {original}"] if original else [])]
    parts = [
        ("text/plain; charset=us-ascii", "Your message was not delivered.\r\n"),
        ("message/delivery-status", "\r\n".join(fields) + "\r\n"),
        ("text/rfc822-headers", "\r\n".join([*head, "Subject: Your receipt"]) + "\r\n"),
    ]
    return _in_parts("delivery-status", "Mail Delivery System <mailer-daemon@mx.provider.test>", parts)


def complaint(recipient: str = "", *, original: str = "", feedback_type: str = "abuse") -> bytes:
    """A feedback report of a mailbox provider, which may hide whose it is."""
    fields = [f"Feedback-Type: {feedback_type}", "User-Agent: Provider/2", "Version: 1"]
    fields += [f"Original-Rcpt-To: <{recipient}>"] if recipient else []
    head = ["From: ada@sender.test", *([f"Message-ID: {original}"] if original else []), "Subject: Your receipt"]
    parts = [
        ("text/plain; charset=us-ascii", "One of our users does not want this mail.\r\n"),
        ("message/feedback-report", "\r\n".join(fields) + "\r\n"),
        ("message/rfc822", "\r\n".join([*head, "", "Thank you."]) + "\r\n"),
    ]
    return _in_parts("feedback-report", "feedback@provider.test", parts)


def out_of_office(sender: str) -> bytes:
    """RFC 3834: an automatic answer."""
    mail = _mail(sender, "Out of office: Your receipt", "I am away until Monday.\n")
    mail["Auto-Submitted"] = "auto-replied"
    return _written(mail)


def letter(sender: str, subject: str = "A question", text: str = "Who are you?\n") -> bytes:
    """What a person writes."""
    return _written(_mail(sender, subject, text))


def _mail(sender: str, subject: str, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, "somebody@sender.test", subject
    mail.set_content(text)
    return mail


def _written(mail: EmailMessage) -> bytes:
    return mail.as_bytes().replace(b"\n", b"\r\n")


def _in_parts(kind: str, sender: str, parts: list[tuple[str, str]]) -> bytes:
    head = f"From: {sender}\r\nTo: somebody@sender.test\r\nSubject: Report\r\nMIME-Version: 1.0\r\n"
    head += f'Content-Type: multipart/report; report-type={kind}; boundary="edge"\r\n\r\n'
    body = "".join(f"--edge\r\nContent-Type: {media}\r\n\r\n{text}\r\n" for media, text in parts)
    return f"{head}{body}--edge--\r\n".encode()
