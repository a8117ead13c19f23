"""Person or machine: the yardstick, and what several visits tell of each other."""

import random
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.agents import AGENTS, known
from tracker.networks import NETWORKS, network_of
from tracker.visit import By, Facts, Judged, Kind, Visit, new_visit_id
from tracker.visitor import judge

YARDSTICK = tomllib.loads(Path(__file__).with_name("visitors.toml").read_text())
SENT = 1_790_000_000.0
CLASSES = {"human", "proxy", "privacy", "prefetch", "scanner", "preview", "program", "unknown"}


@dataclass(frozen=True)
class Case:
    """One delivery of the yardstick."""

    name: str
    facts: Facts
    visits: tuple[Visit, ...]
    truth: tuple[By, ...]
    missed: bool


def _visit(after: float, what: str, agent: str, ip: str) -> Visit:
    """A visit `after` seconds; `what` as in the yardstick."""
    doing, _, hints = what.partition("+")
    kind: Kind = "open" if doing == "open" else "click"
    link = int(doing.partition(" ")[2] or 0)
    target = f"https://example.com/{link}" if kind == "click" else ""
    return Visit(new_visit_id(), SENT + after, kind, "3kq7mvt2z0hy", 0, link, target, ip, agent, hints)


def _case(name: str, said: dict[str, Any]) -> Case:
    agents, addresses = YARDSTICK["agents"], YARDSTICK["addresses"]
    return Case(
        name,
        Facts("ada@example.com", "example.com", SENT if said.get("sent", True) else None, said.get("links", 8)),
        tuple(_visit(at, what, agents[agent], addresses[ip]) for at, what, agent, ip, _ in said["visits"]),
        tuple(truth for *_, truth in said["visits"]),
        "missed" in said,
    )


CASES = [_case(name, said) for name, said in YARDSTICK["cases"].items()]


def _at_once(case: Case) -> list[By]:
    """The verdicts when all visits of a case are judged together."""
    return [judged.by for judged in judge(case.visits, case.facts)[0]]


def _one_by_one(case: Case, order: list[Visit]) -> list[By]:
    """The verdicts in the end, when each visit is judged as it comes and what is known grows."""
    kept: dict[str, Judged] = {}
    for visit in order:
        new, changed = judge([visit], replace(case.facts, recent=tuple(kept.values())))
        kept |= {judged.visit.visit_id: judged for judged in (*new, *changed)}
    return [kept[visit.visit_id].by for visit in case.visits]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_yardstick(case: Case) -> None:
    """Every visit is judged rightly, but for the machines of which the table says why they are missed."""
    assert _at_once(case) == (["person"] * len(case.truth) if case.missed else list(case.truth))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_does_not_matter_how_visits_are_grouped(case: Case) -> None:
    """Visits that are judged as they come end with the verdicts of those that are judged at once."""
    assert _one_by_one(case, list(case.visits)) == _at_once(case)


def test_no_person_is_taken_for_a_machine() -> None:
    """The worse mistake is not made once in the table, of eighty persons or more, in whatever order visits come."""
    assert len(CASES) >= 80
    for case in CASES:
        order = list(case.visits)
        random.Random(case.name).shuffle(order)
        for verdicts in (_at_once(case), _one_by_one(case, order)):
            assert [by for by, truth in zip(verdicts, case.truth, strict=True) if truth == "person"].count(
                "machine"
            ) == 0
    assert sum(case.truth.count("person") for case in CASES) >= 80


def test_missed_machines_are_few() -> None:
    """What the table says is missed is less than a tenth of its machines."""
    machines = sum(case.truth.count("machine") for case in CASES)
    missed = sum(case.truth.count("machine") for case in CASES if case.missed)
    assert 0 < missed < machines / 10


def test_every_row_about_agents_is_measured() -> None:
    """Whoever the table of agents knows as a proxy, and each class of machines, is in the yardstick."""
    met = {agent.reason for text in YARDSTICK["agents"].values() if (agent := known(text))}
    assert {agent.agent_class for agent in AGENTS} == {a.agent_class for a in AGENTS if a.reason in met}


def test_each_verdict_has_a_class_and_a_reason() -> None:
    """A verdict names one of the known classes and says why in words, without a hole in them."""
    for case in CASES:
        for judged in judge(case.visits, case.facts)[0]:
            assert judged.agent_class in CLASSES
            assert judged.reason and "{" not in judged.reason and "None" not in judged.reason


def test_links_taken_later_change_what_was_judged_before() -> None:
    """A first click looks like a person's; with the others a second later it was one of a burst."""
    facts = Facts("ada@example.com", "example.com", SENT, 6)
    first, *others = [_visit(30 + n / 4, f"click {n}", YARDSTICK["agents"]["chrome"], "192.0.2.1") for n in (1, 2, 3)]
    new, changed = judge([first], facts)
    assert [judged.by for judged in new] == ["person"] and not changed
    new, changed = judge(others, replace(facts, recent=tuple(new)))
    assert [judged.by for judged in new] == ["machine", "machine"]
    assert [(judged.visit, judged.by) for judged in changed] == [(first, "machine")]


def test_an_open_that_a_machine_s_click_made_plausible_is_not_so_any_more() -> None:
    """When the click that spoke for an open turns out to be a machine's, the open is automatic again."""
    facts = Facts("ada@example.com", "example.com", SENT, 6)
    chrome = YARDSTICK["agents"]["chrome"]
    opened = _visit(10, "open", "Mozilla/5.0", "172.224.226.1")
    clicks = [_visit(30 + n / 4, f"click {n}", chrome, "192.0.2.1") for n in (1, 2, 3)]
    new, _ = judge([opened, clicks[0]], facts)
    assert [judged.by for judged in new] == ["person", "person"]
    _, changed = judge(clicks[1:], replace(facts, recent=tuple(new)))
    assert {judged.visit.visit_id: judged.by for judged in changed} == {
        opened.visit_id: "machine",
        clicks[0].visit_id: "machine",
    }


def test_what_was_judged_before_the_time_of_delivery_was_known_is_judged_again() -> None:
    """A click while the server had not said yes is a machine's, until it is known that it had."""
    chrome = YARDSTICK["agents"]["chrome"]
    not_yet = Facts("ada@example.com", "example.com", None, 6)
    click, early = _visit(20, "click 1", chrome, "192.0.2.1"), _visit(-3, "open", chrome, "192.0.2.9")
    new, _ = judge([click, early], not_yet)
    assert [judged.by for judged in new] == ["machine", "person"]
    _, changed = judge((), replace(not_yet, sent_at=SENT, recent=tuple(new)))
    assert {judged.visit.visit_id: judged.by for judged in changed} == {
        click.visit_id: "person",
        early.visit_id: "machine",
    }


def test_a_visit_that_is_told_twice_is_judged_once() -> None:
    """A visit that is known already is neither new nor changed."""
    facts = Facts("ada@example.com", "example.com", SENT, 6)
    visit = _visit(60, "open", YARDSTICK["agents"]["gmail"], "66.249.84.1")
    new, _ = judge([visit, visit], facts)
    assert [judged.visit for judged in new] == [visit]
    assert judge([visit], replace(facts, recent=tuple(new))) == ([], [])


@given(
    st.lists(
        st.tuples(
            st.floats(-5, 90),
            st.sampled_from(
                ["open", "click 0", "click 1", "click 2", "click 3", "click 4", "click 2+head", "open+prefetch"]
            ),
            st.sampled_from(sorted(YARDSTICK["agents"].values())) | st.text(max_size=40),
            st.sampled_from(sorted(YARDSTICK["addresses"].values())) | st.text(max_size=8),
        ),
        max_size=12,
    ),
    st.booleans(),
    st.integers(0, 6),
)
def test_judging_is_steady(said: list[tuple[float, str, str, str]], sent: bool, links: int) -> None:
    """Whatever strangers send is judged without an error, each visit once, and looking again changes nothing."""
    visits = [_visit(*each) for each in said]
    facts = Facts("ada@example.com", "example.com", SENT if sent else None, links)
    new, changed = judge(visits, facts)
    assert [judged.visit for judged in new] == visits and not changed
    again = judge((), replace(facts, recent=tuple(sorted(new, key=lambda judged: judged.visit.at))))
    assert again == ([], [])


def test_a_flood_of_visits_costs_no_more_than_each_of_them() -> None:
    """Five hundred clicks of one delivery by a hundred agents are judged, and the burst among them is seen."""
    facts = Facts("ada@example.com", "example.com", SENT, 500)
    visits = [_visit(60 + n / 1000, f"click {n + 1}", f"Mozilla/5.0 (X{n % 100})", "192.0.2.1") for n in range(500)]
    new, _ = judge(visits, facts)
    assert {judged.by for judged in new} == {"machine"}


def test_networks_are_looked_up_by_the_narrowest_prefix() -> None:
    """An address in a filter's network and in the cloud around it is the filter's; other addresses are nobody's."""
    assert (network := network_of("40.107.1.1")) and network.scope == "clicks"
    assert (network := network_of("40.110.1.1")) and network.scope == "early"
    assert (network := network_of("::ffff:148.163.128.1")) and network.owner == "Proofpoint"
    assert network_of("40.107.1.0/24") == network_of("40.107.1.1")
    for nobody in ("", "unknown", "203.0.113.7", "2001:db8::1", "fe80::1%eth0", "8.8.8.8", "127.0.0.1", "10.0.0.1"):
        assert network_of(nobody) is None
    assert {network.scope for network in NETWORKS} == {"all", "clicks", "early"}
