"""Recipients that the words of a bounce do not name: they stand in its header, or only in the mail that it returns.

The last reader, for notices that no family knows or understands. What the notice says is the reason of all it names.

Rules. A header field of the report's own is believed when it is one that only reports have. An address out of the
returned mail is believed when there is exactly one it can be: the returned mail has one recipient, the notice names
nobody else, speaks of a failure and comes from a machine.
"""

import re
from collections.abc import Sequence

from suppression.found import Recipient
from suppression.prose import causes, form
from suppression.prose.addresses import found, of_a_machine
from suppression.prose.notice import Notice

_REPORT_FIELDS = ("x-failed-recipients", "x-mailer-daemon-recipients", "x-failed-recipient", "x-bounced-address")
_MACHINE = re.compile(
    r"mailer[-_ ]?daemon|post[-_ ]?master|mail deliver|delivery (?:sub)?system|sysadmin|ndr@|bounce", re.I
)
_FAILURE = re.compile(
    r"""(?:could|can|was|has|have|were|did)\ ?(?:not|n't)\ (?:be(?:en)?\ )?(?:deliver|sent|reach|accept)
      |unable\ to\ deliver|undeliver|deliver\w*\ (?:has\ )?fail|fail\w*\ (?:to\ )?deliver
      |returned\ (?:mail|to\ sender)|permanent\ error|no\ valid\ recipients
      |not\ a\ valid\ user|mailbox\ (?:is\ )?full|user\ unknown|unknown\ user|no\ such\ user|bounce\ notification""",
    re.IGNORECASE | re.VERBOSE,
)


def read(notice: Notice) -> list[Recipient]:
    """The recipients in the header, or the only one that the returned mail can have had."""
    text = f"{notice.subject}\n{notice.text}"
    named = [address for name in _REPORT_FIELDS for address in found(notice.field(name))]
    if not named and _MACHINE.search(notice.sender) and _FAILURE.search(text) and not _names_somebody(notice):
        named = _only(notice.sent_to)
    action = causes.action(notice.subject, notice.text)
    return [form.verdict(address, notice.text, action) for address in dict.fromkeys(named)]


def _names_somebody(notice: Notice) -> bool:
    """Is there an address in the words that is not the reader's, or a helper's? Then nobody else is guessed."""
    known = f"{notice.sender} {notice.field('to')}".lower()
    return any(address.lower() not in known and not of_a_machine(address) for address in found(notice.text))


def _only(addresses: Sequence[str]) -> list[str]:
    """The address that stands there, when it is only one and a person's."""
    different = list({address.lower(): address for address in addresses if not of_a_machine(address)}.values())
    return different if len(different) == 1 else []
