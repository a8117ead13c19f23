"""Domino and GroupWise: forms for `form.read`.

They know people and not addresses: who failed may be a local part alone, and is completed with the domain of the server
that writes.
"""

from suppression.found import Recipient
from suppression.prose import form
from suppression.prose.form import Form
from suppression.prose.notice import Notice

FORMS = (
    # GroupWise: who, and why in brackets.
    Form(
        signs=("the message that you sent was undeliverable to the following",),
        begins=r"was undeliverable to the following",
        names=r"^\s+(?P<to>[^\s()<>:;,]+)\s+\((?P<said>[^()]+)\)",
        ends=r"original message",
        domain=r"from: [^@]{0,200}@(?P<domain>[\w.-]+\w)",
    ),
    # Domino: a sentence in four paragraphs.
    Form(
        signs=("your message", "was not delivered to:", "because:"),
        begins=r"was not delivered to:",
        names=r"^\s*<?{to}>?\s*$",
        reason=r"^\s*because:\s*(?P<said>.*)$",
    ),
)


def read(notice: Notice) -> list[Recipient]:
    """The recipients as the first form that fits names them."""
    return form.read(FORMS, notice)
