"""What a report says of a delivery that was sent, as a verdict: the same that a server's reply would have become.

Pure. Like `outcome.py` for an attempt, with the words and codes of the report. What follows from it for the suppression
list is `aftermath.py`'s affair, what a reply means `suppression`'s.

Rules. Only a reply about the address condemns it. What a report does not say is not made up: without a code the
verdict bears the most general one (RFC 3463 2).
"""

from collections.abc import Sequence

from relay.deliver import evidence
from relay.deliver.exchange import Step
from relay.delivery import Status, Verdict
from relay.reply import Reply, printable
from suppression.found import Recipient
from suppression.replies import Judgement, classify
from suppression.rules import Inactive, consequence

_FOR_GOOD = Reply(554, None, "")  # RFC 5321 3.6.3: what a report without a reply stands for


def verdict(one: Recipient, *, inactive: Inactive, ours: Sequence[str]) -> tuple[Verdict, Judgement]:
    """What it means that mail to `one` has failed, and how its words were judged.

    `inactive` is the setting for mailboxes that are closed; `ours` are our own addresses and names.
    """
    judged = classify(one.diagnostic, status=one.status, mx_host=one.mta, ours=ours)
    reply = Reply.parse(one.code, one.diagnostic.removeprefix(str(one.code)).lstrip(" -")) if one.code else None
    said = printable(one.diagnostic) or "the report gives no reason"
    made = Verdict(
        Status(consequence(judged, inactive=inactive).status),
        evidence.class_of(reply or _FOR_GOOD, Step.DOT, judged),
        one.status or (reply.enhanced if reply and reply.enhanced else "5.0.0"),
        f"host {one.mta} said: {said}" if one.mta and reply else said,
        reply,
    )
    return made, judged
