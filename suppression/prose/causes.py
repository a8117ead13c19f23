"""Words of failure, delay and delivery in English prose: what a notice as a whole says, and how much a paragraph tells.

No class of a cause is decided here: that is `replies`, which is asked how much it makes of words. Other languages stand
with the families that write them.
"""

import re
from collections.abc import Iterable

from suppression.found import Action
from suppression.prose.form import enhanced
from suppression.replies import classify

_DELAYED = re.compile(
    r"not yet been delivered|has been delayed|(?:delivery|message|mail) (?:is|was) delayed|been postponed|is postponed"
    r"|delayed (?:\d|mail|message|delivery)|delivery attempts will continue|this is (?:just |only )?a warning"
    r"|\bwill (?:continue|keep|be) (?:\w+ )?(?:to (?:try|attempt|deliver|be)|trying|attempting|retried|tried)"
    r"|still (?:being retried|trying|in the queue)|do not need to (?:resend|take any action)|\bwarning message only\b"
    r"|will retry\b|keep trying\b|not (?:yet )?been (?:able|possible) to deliver .{0,60} yet\b",
    re.IGNORECASE,
)
_DELAYED_SUBJECT = re.compile(
    r"\bdelay(?:ed)?\b|\bwarning: (?:could not send|message)|\bstill trying\b|postponed", re.IGNORECASE
)
_GIVEN_UP = re.compile(
    r"permanent(?:ly)?\b|g(?:iving|iven|ave) up|returned to sender|not going to try|no further attempts|fatal errors",
    re.IGNORECASE,
)
_DELIVERED = re.compile(
    r"(?:was|were|been) (?:successfully )?(?:delivered|relayed) (?:to|successfully)|successful(?:ly)? (mail )?deliver",
    re.IGNORECASE,
)
_UNDONE = re.compile(r"\b(?:not|could|couldn't|fail\w*|un(?:able|deliver\w+|known))\b", re.IGNORECASE)
_CAUSE = re.compile(
    r"\b(?:not (?:yet )?(?:been )?(?:found|known|listed|recogni[sz]ed|exist|accept\w*|be (?:found|reached)|(?:a )?valid"
    r"|available|active|allowed|permitted|collected|responding|unique|open|received?|delivered)"
    r"|no (?:such|mailbox|user|recipients?|account|valid|final|access)|does(?: not|n't) (?:exist|have|like)"
    r"|has (?:moved|been disabled)|bad (?:address|destination|user)|too (?:large|big|many|long)|over ?(?:size|limit)?"
    r"|unknown|invalid|illegal|delayed|postponed|quota|full|exceed\w*|disabled|inactive|suspended|discontinued|expired"
    r"|time[d-]* ?out|refused|refus\w+|reject\w*|denied|blocked|black ?list\w*|spam|virus|unreachable|unrout\w+"
    r"|unavailable|loop|hops?|can(?:not|'t)|could(?: not|n't)|wasn't able|unable|fail(?:ed|ure|s)?|error|undeliver\w+"
    r"|unresolvable)\b",
    re.IGNORECASE,
)
_REPLY = re.compile(r"(?:^|[\s:>\"'(])[45][0-57]\d[ -]")
_HEDGED = re.compile(
    r"\b(?:may|might|maybe|perhaps|possibl[ey]|probabl[ey]|usually|could be|either|if (?:you|the|this|it|your)|whether"
    r"|please|for example|e\.g\.)\b",
    re.IGNORECASE,
)
_NO_ROOM = re.compile(
    r"\b(?:(?:not enough|insufficient|no|out of|lack of)(?: free| more| available)?(?: disk| mailbox| storage)?"
    r" (?:space|room|storage)|(?:disk|mailbox|inbox|mail ?folder) (?:is |was )?full|over (?:the )?quota"
    r"|quota (?:is |was |has been )?exceeded|exceed\w* .{0,30}quota)\b",
    re.IGNORECASE,
)
_MOST_WEIGHED = 8  # paragraphs that tell equally much


def action(subject: str, text: str) -> Action:
    """Failed, delayed or delivered, as a whole notice says."""
    flat = " ".join(text.split())
    if _DELAYED.search(flat) or (_DELAYED_SUBJECT.search(subject) and not _GIVEN_UP.search(flat)):
        return "delayed"
    return "delivered" if _DELIVERED.search(flat) and not _UNDONE.search(flat) else "failed"


def failing(text: str) -> bool:
    """Is there a word of failure in `text`?"""
    return _CAUSE.search(text) is not None


def sentence(text: str, others: Iterable[str] = ()) -> str:
    """The first of the paragraphs that tell most of a failure and name none of `others`; "" when none tells of one."""
    foreign = [name.lower() for name in others]
    paragraphs = (part for part in re.split(r"\n\s*\n", text) if not any(name in part.lower() for name in foreign))
    best = most_telling(paragraphs)
    return best if telling(best) > 1 else ""


def most_telling(places: Iterable[str]) -> str:
    """The one that tells most of a cause; of equals the one with most weight that is no guess, or the first."""
    told = [(telling(place), place) for place in places]
    most = max((much for much, _ in told), default=0)
    equals = [place for much, place in told if much == most]
    if len(equals) < 2 or most < 2:
        return equals[0] if equals else ""
    return max(equals[:_MOST_WEIGHED], key=lambda place: 0 if hedged(place) else weight(place))


def weight(said: str, status: str = "", mta: str = "") -> int:
    """What `replies` makes of words: 2 a cause, 1 that something is wrong (trouble, a refusal), 0 nothing."""
    judgement = classify(said, status=status, mx_host=mta)
    if judgement.cls == "unclassified":
        return 0
    by_code = judgement.rule.startswith("codes:") and judgement.cls not in ("hard", "inactive", "full")
    return 1 if by_code or judgement.kind == "busy" else 2


def hedged(said: str) -> bool:
    """Does it only say what might be, or give advice?"""
    return _HEDGED.search(said) is not None


def no_room(said: str) -> bool:
    """Is a mailbox or a disk full?"""
    return _NO_ROOM.search(said) is not None


def telling(said: str) -> int:
    """How much a paragraph tells of a cause: 3 a server's reply, 2 words of failure, 1 anything, 0 nothing."""
    if not said.strip():
        return 0
    if enhanced(said) or _REPLY.search(said):
        return 3
    return 2 if failing(said) else 1
