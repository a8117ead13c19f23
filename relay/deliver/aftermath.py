"""What a delivery's end means for the suppression list, and for the marks over it.

  hard bounce                            the address is on the list, until the configured time is over
  refused as spam                        the delivery is marked as spam; the address may still be mailed
  soft bounce because of the mailbox     counts; after so many in a row, on different days and with no success between,
                                         the delivery is marked as spam and the address is on the list for a while
  everything else                        nothing: it is our trouble, not the address's

The same holds for an attempt and for a report that comes back later. Which class of reply is which is said in
`suppression/rules.py`; that a hard bounce is proof about the address, by whoever made the verdict. It keeps nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from relay.config import DAY, SuppressionSection
from relay.delivery import BOUNCED, Status, Verdict
from suppression import rules
from suppression.entry import Entry, Reason
from suppression.replies import Judgement

Days = Callable[[str], Awaitable[set[int]]]  # address → the days (UTC) of its soft bounces in a row


@dataclass(frozen=True, slots=True)
class Aftermath:
    """As the store wants it beside the verdict."""

    entry: Entry | None = None  # comes to the list
    spam: str = ""  # who marks the delivery as spam; "": nobody
    about_mailbox: bool = False  # it counts against the mailbox


@dataclass(frozen=True, slots=True)
class End:
    """The end of a delivery: which one, to whom, when (Unix seconds), how it was judged, and who told us so.

    `judgement` is None where no server said anything about the recipient.
    """

    queue_id: str
    number: int
    recipient: str
    at: float
    verdict: Verdict
    judgement: Judgement | None
    source: str

    def entry(self, reason: Reason, source: str, lasts: float) -> Entry:
        """What comes to the list; it `lasts` so many seconds, or 0: until somebody removes it."""
        until = self.at + lasts if lasts else None
        cause = (self.queue_id, self.number, self.verdict.reason)
        return Entry(self.recipient, "", reason, source, self.at, until, *cause)


async def aftermath(end: End, settings: SuppressionSection, days: Days) -> Aftermath:
    """What follows; `days` is asked only about a soft bounce that counts."""
    if end.verdict.status is Status.HARD_BOUNCE:
        return Aftermath(end.entry("hard_bounce", end.source, settings.hard_bounce_expiry))
    if end.verdict.status not in BOUNCED or end.judgement is None:
        return Aftermath()
    follows = rules.consequence(end.judgement, inactive=settings.inactive)
    spam = follows.source if follows.mark else ""
    if not follows.counts:
        return Aftermath(spam=spam)
    most = settings.consecutive_soft_bounces
    if not most or len(await days(end.recipient) | {int(end.at // DAY)}) < most:
        return Aftermath(spam=spam, about_mailbox=True)
    repeated = rules.REPEATED
    entry = end.entry(repeated.suppress or "spam", repeated.source, settings.soft_bounces_expiry)
    return Aftermath(entry, repeated.source, about_mailbox=True)
