"""Refusals of hosts of mailing lists: Google Groups in any language, Yahoo Groups, fml.

What failed is a list, and never because somebody's mailbox is dead: mostly we are not allowed to write to it.
Not here: a list's questions to its moderators or subscribers, which are no bounces at all.
"""

import re

from suppression.found import Recipient
from suppression.prose import form
from suppression.prose.addresses import ADDRESS, found
from suppression.prose.form import Form
from suppression.prose.notice import Notice

FORMS = (
    # Yahoo Groups: sender and list in one sentence.
    Form(
        signs=("unable to deliver the message from", "group"),
        names=r"(?:^|\s)to\s+<?{to}",
        stops=r"^\s*-{3,}",
    ),
)
_REFUSED_BY_FML = re.compile(
    r"loop alert|duplicated message-id|not (?:a )?member|reject|not allowed|overflow|filter", re.I
)
_IN_BRACKETS = re.compile(rf"<({ADDRESS})>")


def read(notice: Notice) -> list[Recipient]:
    """The list that did not take the mail."""
    # Google Groups writes in the language of the group's owner; the list's address is only in the header.
    failed = found(notice.field("x-failed-recipients"))
    if failed and "groups" in notice.text and "/support/" in notice.text and "google" in notice.text.lower():
        return [form.verdict(address, notice.text, "failed") for address in failed]
    if notice.field("x-mlserver").startswith("fml") and _REFUSED_BY_FML.search(f"{notice.subject}\n{notice.text}"):
        return _of_fml(notice)
    return form.read(FORMS, notice)


def _of_fml(notice: Notice) -> list[Recipient]:
    """fml writes as LIST-admin@ and names the list, or the member, in brackets."""
    admin = next(iter(found(notice.sender)), "")
    named = [address for address in _IN_BRACKETS.findall(notice.text) if address.split("@")[0] == _list_of(admin)]
    address = named[0] if named else admin.replace("-admin@", "@")
    return [form.verdict(address, notice.text)] if address else []


def _list_of(admin: str) -> str:
    return admin.split("@")[0].removesuffix("-admin")
