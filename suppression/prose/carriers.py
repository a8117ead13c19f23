"""Bounces of mobile carriers and of gateways to short messages: au and au one net, Verizon, MMS centres.

A table of forms for `form.read`. Many carriers run the same two or three products under their own names: what
counts is the product's way of writing, never the host. Japanese words of failure are in `languages`.
"""

from suppression.prose.addresses import ADDRESS
from suppression.prose.form import Form

_BRACKETS = r"^\s*<(?P<to>" + ADDRESS + r")>\s*(?P<said>.*)$"

FORMS = (
    # Openwave's mail server (au and many providers): "Recipient:" and its own reply, or one reason for all.
    Form(
        signs=("following recipients was rejected by a remote mail server", "recipient:"),
        names=r"^\s*recipient:\s*{to}",
        stops=r"^\s*$|please reply to",
        ends=r"please reply to",
    ),
    Form(
        signs=("the user(s) account is",),
        names=_BRACKETS,
        reason=r"^(?P<said>\s*the user\(s\) account is.*)",
        stops=r"^\s*$",
    ),
    Form(
        signs=("following recipients did not receive this message|recipients did not receive your message",),
        names=_BRACKETS,
        reason=r"undeliverable due to the following reason",
        stops=r"did not receive (?:this|your) message|please reply to",
    ),
    # au one net and its kin: "Could not be delivered to: <…>" and "As their mailbox is full."
    Form(
        signs=("your mail sent on", "could not be delivered to"),
        names=r"^\s*could not be delivered to:?\s*{to}",
        delays=r"will (?:continue|keep) trying|will be retried",
    ),
    # Short message gateways on James: what failed is only in the envelope that they repeat.
    Form(
        signs=("error message below:", "message details:", "rcpt to:"),
        names=r"^\s*rcpt to:\s*{to}",
        reason=r"^\s*error message below:\s*(?P<said>.*)",
        stops=r"^\s*message details:",
    ),
    # MMS centres: a number, with or without the gateway's domain, and a phrase of the MMS specification.
    Form(
        signs=(
            "could not be delivered to mobile|mms could not be delivered|multimedia message could not be delivered",
        ),
        names=r"^\s*(?:to|recipient|msisdn):\s*<?(?P<to>[+\w.-]{4,60}@[\w.-]+\w)",
        reason=r"^\s*(?:error|reason|cause):\s*(?P<said>.*)",
        stops=r"^\s*$",
    ),
)
