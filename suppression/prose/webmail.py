"""Bounces of webmail providers that tell in prose only: Google, Yahoo, AOL, Zoho, GMX and 1&1, HotPOP, Hotmail.

A table of forms for `form.read`. Google Groups is in `lists`; reports with RFC 3464 parts never come here.
What they have in common: the provider's own phrase in front, the recipient on a line of its own, and the remote
server's reply behind it, each with a frame of its own making.
"""

from suppression.prose.addresses import ADDRESS
from suppression.prose.form import Form

_ALONE = r"^\s*[\"']?{to}[\"']?\s*:?\s*$"

FORMS = (
    # Google, until 2016: recipients indented, then "Technical details" with the reply at the end of a sentence.
    Form(
        signs=(
            "delivery to the following recipient",
            "technical details of|message will be retried|- original message -",
        ),
        begins=r"^\s*delivery to the following recipient",
        names=r"^\s+(?:\* )?{to}\s*$",
        reason=r"^\s*(?P<said>technical details of \w+ failure.*|message will be retried.*)",
        delays=r"following recipients? has been delayed|message will be retried",
    ),
    # Google, since then: a sentence with the recipient in it, the reply below.
    Form(
        signs=(
            "your message wasn't delivered to|problem delivering your message to|your message to",
            "mailer-daemon@google|the response was:|response from the remote server was:",
        ),
        names=r"(?:wasn't delivered|delivering your message|your message) to {to} ?(?P<said>.*)",
        reason=r"^\s*the response(?: from the remote server)? was:\s*(?P<said>.*)",
        delays=r"(?:gmail|we) will (?:retry|keep trying)|delivery incomplete",
    ),
    # Yahoo, and AOL behind the same gates: "<address>:" and the reply, the step in brackets after it.
    Form(
        signs=("unable to deliver your message to the following address",),
        begins=r"unable to deliver your message to the following address",
        names=r"^\s*{to}:?\s*(?P<said>.*)$",
    ),
    # Yahoo before 2010, in every country, and its local partners.
    Form(
        signs=("message from ", "unable to deliver message to the following address"),
        begins=r"unable to deliver message to the following address",
        names=r"^\s*<(?P<to>" + ADDRESS + r")>:?\s*(?P<said>.*)$",
    ),
    # AOL's users may refuse a sender; their screen names stand without a domain.
    Form(
        signs=("your mail to the following recipients could not be delivered", "not accepting mail from"),
        begins=r"not accepting mail|not be delivered",
        names=r"^\s+(?P<to>[\w.-]{2,40}(?:@[\w.-]+)?)\s*$",
        domain=r"from: [^@]{0,80}@(?P<domain>[\w.-]+\w)",
    ),
    # Zoho: the address, its verdict, and the reply in pieces after "ERROR_CODE :".
    Form(
        signs=("message was created automatically by mail delivery software", "error_code :"),
        names=r"^\s*{to}\s+(?P<said>\S.*)$",
        stops=r"^\s*$",
        ends=r"^received: ?from",
    ),
    # GMX, 1&1, web.de: addresses bare, in quotes or in brackets, and "Reason:" or the command that failed.
    Form(
        signs=(
            "message was created automatically by mail delivery software",
            "the following address",
            "smtp error from remote server|reason:",
        ),
        begins=r"\bthe following address|^\s*failed:\s*$",
        names=_ALONE,
        ends=r"^\s*-{2,} ?the header of the original",
        delays=r"has not (?:yet )?been delivered|will be (?:re)?tried again|warning message only",
    ),
    # HotPOP and hosts of its software.
    Form(
        signs=("undeliverable address:", "reason:"),
        names=r"^\s*undeliverable address:\s*{to}",
        reason=r"^\s*reason:\s*(?P<said>.*)",
        stops=r"^\s*$|^system contact",
    ),
    # Hotmail and Live without RFC 3464 parts.
    Form(
        signs=("delivery to the following recipient",),
        begins=r"delivery to the following recipient",
        names=_ALONE,
        delays=r"has been delayed|delivery status notification \(delay",
    ),
)
