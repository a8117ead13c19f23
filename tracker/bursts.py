"""Links taken faster than hands can take them.

A reader who opens some articles in tabs takes a link a second, and not most of what is there.
Mail to a list has many readers who click at once: they differ in address and in user agent. A
filter has one user agent, or one address behind many: so each is looked at by itself.
Pure and linear in the number of clicks.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from tracker.visit import Visit

AT_ONCE, AT_ONCE_LINKS = 2.0, 3  # seconds, and how many different links nobody takes in them
SWEEP, SWEEP_LINKS, SWEEP_SHARE = 10.0, 4, 2 / 3  # most of a mail's links, and at least so many
BOTH = 1.0  # both links of a mail that has two


def bursts(clicks: Iterable[Visit], links: int) -> dict[str, str]:
    """Which of `clicks` were part of a burst: visit id → what the burst was, in words. `links`: of the whole mail."""
    in_order = sorted(clicks, key=lambda visit: visit.at)
    visitors: dict[tuple[str, str], list[Visit]] = {}
    for visit in in_order:
        visitors.setdefault(("agent", visit.agent), []).append(visit)
        if visit.ip:
            visitors.setdefault(("ip", visit.ip), []).append(visit)
    guilty: dict[str, str] = {}
    for mine in visitors.values():
        for seconds, least in _limits(links):
            reason = f"the same visitor took {least} links or more within {seconds:g} s"
            for visit in _quick(mine, seconds, least):
                guilty.setdefault(visit.visit_id, reason)
    return guilty


def _limits(links: int) -> tuple[tuple[float, int], ...]:
    sweep = (SWEEP, max(SWEEP_LINKS, round(links * SWEEP_SHARE)))
    return ((AT_ONCE, AT_ONCE_LINKS), sweep, (BOTH, 2)) if links == 2 else ((AT_ONCE, AT_ONCE_LINKS), sweep)


def _quick(clicks: Sequence[Visit], seconds: float, least: int) -> Iterable[Visit]:
    """The clicks that stand in a window of `seconds` with at least `least` different links; each once."""
    taken: Counter[int] = Counter()  # link → clicks of it in the window
    first = told = 0
    for last, visit in enumerate(clicks):
        taken[visit.link] += 1
        while visit.at - clicks[first].at > seconds:
            taken[clicks[first].link] -= 1
            if not taken[clicks[first].link]:
                del taken[clicks[first].link]
            first += 1
        if len(taken) >= least:
            yield from clicks[max(first, told) : last + 1]
            told = last + 1
