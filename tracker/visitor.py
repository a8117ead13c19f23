"""Person or machine: who opened a mail, and who followed its links.

`judge` looks at visits as they were kept and at what is known of their delivery, and says of
each who it was, of which class, and why. Pure: no clock, no database; the same visits and facts
give the same verdict, whenever one asks.

What one visit tells by itself stands in `RULES`. What several tell together (a hidden link
taken, links taken faster than hands can, a person's click that makes an open plausible) may
change the verdict of visits that were judged before: those come back as changed.

Rules: a person taken for a machine is the worse mistake, since a person's click is what somebody
waits for. So a sign that people give too (quick, from a cloud, no user agent) needs another one
beside it. Nothing here keeps a link from working.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tracker import visit as hints
from tracker.agents import Agent, known
from tracker.bursts import SWEEP, bursts
from tracker.networks import Network, network_of
from tracker.visit import Facts, Judged, Visit

# Seconds after the receiving server had the mail.
UNSEEN = 1.0  # until the mail can be on a screen: filters, the index, the push to the client come first
QUICKEST = 2.0  # until a hand can have found a link in it
SOON = 5.0  # a click until then comes from somebody who waited for this mail, and was seen to open it
EARLY = 60.0  # a click until then from a network where filters and people live is the filter's

_PLAUSIBLE = ("privacy", "prefetch")  # fetched ahead: a person's click shows that it was read after all


@dataclass(frozen=True, slots=True)
class Seen:
    """A visit as the rules look at it."""

    visit: Visit
    agent: Agent | None
    network: Network | None
    after: float | None  # seconds after the receiving server had the mail; None: it has not said so
    shown: bool  # a person had opened the mail before

    @property
    def click(self) -> bool:
        """A link, not the pixel."""
        return self.visit.kind == "click"

    def hint(self, name: str) -> bool:
        """Did the request say so of itself?"""
        return name in self.visit.hints.split(",")

    def inside(self, scope: str) -> bool:
        """Does it come from a network that tells as much as `scope`?"""
        return self.network is not None and self.network.scope == scope

    def within(self, seconds: float) -> bool:
        """Was it before so many seconds after delivery?"""
        return self.after is not None and self.after < seconds

    def agent_says(self, by: str) -> bool:
        """Is the user agent one that we know, and its visit by a person, or a machine?"""
        return self.agent is not None and by == (self.agent.clicks if self.click else self.agent.opens)


@dataclass(frozen=True, slots=True)
class Rule:
    """When it holds, the visit is by a machine. The class is the agent's where the rule has none."""

    when: Callable[[Seen], bool]
    agent_class: str
    reason: str  # with {agent} and {network} filled in


NOT_YET = "a click before the receiving server had taken the mail"

RULES = (
    # What the request itself gives away.
    Rule(lambda s: s.click and s.visit.link == 0, "scanner", "took the hidden link, which no person sees"),
    Rule(lambda s: s.hint(hints.HEAD), "scanner", "HEAD: asked only whether the target is there"),
    Rule(lambda s: s.hint(hints.PREFETCH), "prefetch", "fetched before anybody asked for it, as it said itself"),
    Rule(lambda s: s.agent_says("machine"), "", "{agent}"),
    # Where it comes from.
    Rule(lambda s: s.inside("all"), "scanner", "from {network}, where mail is filtered and nobody reads it"),
    Rule(
        # Safe Links sends the browser on; it does not fetch for it. Who reads mail there clicks from elsewhere.
        lambda s: s.click and s.inside("clicks"),
        "scanner",
        "a click from {network}, where links are tried out; a person's click comes from the person's own address",
    ),
    # When it came.
    Rule(lambda s: s.click and (s.after is None or s.after < 0), "scanner", NOT_YET),
    Rule(lambda s: s.click and s.within(QUICKEST), "scanner", "a click sooner after delivery than a hand can be"),
    Rule(
        lambda s: s.click and s.within(SOON) and not s.shown,
        "scanner",
        "a click within seconds of delivery, in a mail that nobody had opened",
    ),
    Rule(
        lambda s: s.click and s.within(EARLY) and s.inside("early"),
        "scanner",
        "a click from {network} soon after delivery, when links are tried out there",
    ),
    # An open before the server said yes is left in doubt while it has not: its yes may have been lost on the way.
    Rule(lambda s: not s.click and s.within(UNSEEN), "prefetch", "fetched before the mail can have been on a screen"),
)


def judge(new: Sequence[Visit], facts: Facts) -> tuple[list[Judged], list[Judged]]:
    """Verdicts of `new`, in their order, and those of `facts.recent` that `new` or the facts have changed.

    A visit of `new` that is among the recent ones was told twice; it is left out.
    """
    before = {judged.visit.visit_id: judged for judged in facts.recent}
    verdicts: dict[str, Judged] = {}
    pending = {visit.visit_id: visit for visit in new if visit.visit_id not in before}
    shown = False
    everything = [*(judged.visit for judged in facts.recent), *pending.values()]
    for visit in sorted(everything, key=lambda visit: visit.at):
        judged = before.get(visit.visit_id)
        if judged is None or _in_doubt(judged, facts.sent_at):
            judged = _alone(visit, facts.sent_at, shown=shown)
        verdicts[visit.visit_id] = judged
        shown = shown or (visit.kind == "open" and judged.by == "person")
    _machines_together(verdicts, facts)
    _readers(verdicts)
    changed = [verdicts[visit_id] for visit_id, judged in before.items() if verdicts[visit_id] != judged]
    return [verdicts[visit_id] for visit_id in pending], changed


def _in_doubt(judged: Judged, sent_at: float | None) -> bool:
    """Was it judged before it was known when the receiving server took the mail, which is known now?"""
    if sent_at is None:
        return False
    too_soon = judged.visit.kind == "open" and judged.visit.at < sent_at + UNSEEN
    return judged.reason == NOT_YET or (judged.by == "person" and too_soon)


def _alone(visit: Visit, sent_at: float | None, *, shown: bool) -> Judged:
    """What one visit tells by itself, and by whether the mail had been opened."""
    after = None if sent_at is None else visit.at - sent_at
    agent, network = known(visit.agent), network_of(visit.ip)
    seen = Seen(visit, agent, network, after, shown)
    for rule in RULES:
        if rule.when(seen):
            reason = rule.reason.format(agent=agent and agent.reason, network=network and network.owner)
            return Judged(visit, "machine", rule.agent_class or _class_of(agent), reason)
    if agent:
        return Judged(visit, "person", agent.agent_class, agent.reason)
    if not seen.click and seen.inside("clicks"):
        return Judged(visit, "person", "proxy", "Microsoft fetches images for people who look at them")
    if visit.agent.startswith(("Mozilla/", "Opera/", "Outlook", "Microsoft Office", "Thunderbird")):
        return Judged(visit, "person", "human", "a browser or mail program, and nothing speaks against a person")
    return Judged(visit, "person", "unknown", "a program we do not know, and nothing speaks against a person")


def _class_of(agent: Agent | None) -> str:
    """A proxy that follows a link is none any more."""
    return agent.agent_class if agent and agent.opens == "machine" else "scanner"


def _machines_together(verdicts: dict[str, Judged], facts: Facts) -> None:
    """Whoever took the hidden link, or links in a burst, is a machine, in all that it did about that time."""
    clicks = [judged.visit for judged in verdicts.values() if judged.visit.kind == "click"]
    guilty = {visit.visit_id: "the same visitor took the hidden link" for visit in clicks if visit.link == 0}
    guilty = bursts(clicks, facts.links) | guilty
    spans: dict[tuple[str, str], tuple[float, float, str]] = {}  # visitor → from when to when, and why
    for visit in clicks:
        if visit.visit_id in guilty:
            start, end, _ = spans.get(_visitor(visit), (visit.at, visit.at, ""))
            spans[_visitor(visit)] = min(start, visit.at), max(end, visit.at), guilty[visit.visit_id]
    condemned = False
    for visit_id, judged in verdicts.items():
        start, end, reason = spans.get(_visitor(judged.visit), (0.0, 0.0, ""))
        if judged.by == "person" and reason and start - SWEEP <= judged.visit.at <= end + SWEEP:
            verdicts[visit_id] = Judged(judged.visit, "machine", "scanner", reason)
            condemned = condemned or judged.visit.kind == "click"
    if condemned:  # whatever its clicks made plausible is not so any more
        for visit_id, judged in verdicts.items():
            if judged.by == "person" and judged.agent_class in _PLAUSIBLE:
                verdicts[visit_id] = _alone(judged.visit, facts.sent_at, shown=False)


def _visitor(visit: Visit) -> tuple[str, str]:
    """The same visitor as far as one can see: address, where it is kept, and user agent."""
    return visit.ip, visit.agent


def _readers(verdicts: dict[str, Judged]) -> None:
    """A person clicked: what that person's mail service had fetched ahead was read after all."""
    if not any(judged.visit.kind == "click" and judged.by == "person" for judged in verdicts.values()):
        return
    for visit_id, judged in verdicts.items():
        # Anybody can have opened too soon; only a service that is known to fetch for people did it for this one.
        ahead = judged.agent_class in _PLAUSIBLE and known(judged.visit.agent)
        if judged.visit.kind == "open" and judged.by == "machine" and ahead:
            verdicts[visit_id] = replace(judged, by="person", reason="fetched ahead, and a person then clicked")
