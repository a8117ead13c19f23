"""What follows from a class: the delivery's status, whether it counts against the address, and what is put on the list.

Pure, and a table. It keeps no counts and knows no settings: whoever asks gives `inactive` ("suppress" or "soft"), keeps
the row of soft bounces of each address, and sets the expiry by the `reason` (`[suppression]` has one for each cause).

Rules. Only proof about the address suppresses it: `hard`, and by setting `inactive`. What is about the mailbox and
passes (`full`, `soft`, and what nobody explained) counts: so many in a row, with no success between and on different
days, are `REPEATED`. What is about us (lists, authentication, spam, policy, rate, size, relaying, the conversation)
never counts and never suppresses, and neither does the way there (network, DNS): when our line is down, no address
has failed.
"""

from dataclasses import dataclass, replace
from typing import Literal

from suppression.entry import Reason
from suppression.replies import Judgement

Bounce = Literal["hard_bounce", "soft_bounce"]
Inactive = Literal["suppress", "soft"]


@dataclass(frozen=True, slots=True)
class Consequence:
    """What is done about one failed delivery."""

    status: Bounce
    about: Literal["address", "mailbox", "us", "way"]
    counts: bool = False  # towards `consecutive_soft_bounces`
    suppress: Reason | None = None  # put on the list, for this reason; its expiry is the setting of that reason
    mark: Literal["spam"] | None = None  # lies over the status of the delivery
    source: str = ""  # of the mark and of the entry


_DEAD = Consequence("hard_bounce", "address", suppress="hard_bounce", source="hard bounce")
_PASSES = Consequence("soft_bounce", "mailbox", counts=True)
_OURS = Consequence("soft_bounce", "us")
_WAY = Consequence("soft_bounce", "way")

# class → what follows
TABLE: dict[str, Consequence] = {
    "hard": _DEAD,
    "inactive": _DEAD,
    "full": _PASSES,
    "soft": _PASSES,
    "unclassified": _PASSES,
    "size": _OURS,
    "rate": _OURS,
    "block": _OURS,
    "auth": _OURS,
    "spam": replace(_OURS, mark="spam", source="refused as spam"),
    "virus": _OURS,
    "policy": _OURS,
    "relay": _OURS,
    "protocol": _OURS,
}
_NOT_THE_MAILBOX = frozenset({"network", "dns"})  # kinds of `soft`

# The last of `consecutive_soft_bounces` deliveries in a row.
REPEATED = Consequence("soft_bounce", "mailbox", suppress="spam", mark="spam", source="repeated soft bounces")


def consequence(judgement: Judgement, *, inactive: Inactive = "suppress") -> Consequence:
    """What follows when a delivery has failed for good with `judgement`. A class nobody knows is `unclassified`."""
    if judgement.cls == "inactive" and inactive == "soft":
        return _PASSES
    if judgement.cls == "soft" and judgement.kind in _NOT_THE_MAILBOX:
        return _WAY
    return TABLE.get(judgement.cls, _PASSES)
