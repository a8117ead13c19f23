"""No next hop: what that means for a delivery."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import Endpoint, Route
from relay.delivery import Status, Verdict
from tests.deliver.finding import finding

HARD, SOFT, DEFERRED = Status.HARD_BOUNCE, Status.SOFT_BOUNCE, Status.DEFERRED
MX = {"MX": [(10, "mx.x.test")]}


async def verdict(zone: dict[str, Any], destination: str = "x.test", **settings: Any) -> Verdict:
    async with finding(zone, **settings) as f:
        return await f.verdict(destination)


@pytest.mark.parametrize(
    ("zone", "status", "dsn", "reason_class", "words"),
    [
        # The DNS's own word that there is nobody.
        ({}, HARD, "5.1.2", "bad_domain", "domain x.test does not exist"),
        ({"x.test": {"MX": [(0, ".")]}}, HARD, "5.1.10", "bad_domain", "x.test takes no mail (it has a null MX)"),
        ({"x.test": {"TXT": ['"hello"']}}, HARD, "5.4.4", "bad_domain", "neither MX nor address records"),
        ({"x.test": {"CNAME": "gone.test"}}, HARD, "5.1.2", "bad_domain", "x.test does not exist"),
        # A mistake that somebody will mend is no proof.
        ({"x.test": MX}, DEFERRED, "4.4.4", "dns_temp", "mail server of x.test, mx.x.test, has no address"),
        ({"x.test": MX, "mx.x.test": {}}, DEFERRED, "4.4.4", "dns_temp", "mx.x.test, has no address"),
        ({"x.test": {"MX": [(1, "192.0.2.1")]}}, DEFERRED, "4.4.4", "dns_temp", "192.0.2.1, has no address"),
        # Nobody knows.
        ({"x.test": "servfail"}, DEFERRED, "4.4.3", "dns_temp", "DNS look-up of MX x.test failed: SERVFAIL from 127."),
        ({"x.test": "refused"}, DEFERRED, "4.4.3", "dns_temp", "failed: REFUSED from 127."),
        ({"x.test": "lame"}, DEFERRED, "4.4.3", "dns_temp", "refers to other servers"),
        ({"x.test": {"CNAME": "x.test"}}, DEFERRED, "4.4.3", "dns_temp", "CNAME chain is too long"),
        ({"x.test": {"MX": "servfail", "A": ["127.0.0.1"]}}, DEFERRED, "4.4.3", "dns_temp", "SERVFAIL"),
        ({"x.test": {"A": "servfail"}}, DEFERRED, "4.4.3", "dns_temp", "look-up of A x.test failed: SERVFAIL"),
        ({"x.test": MX, "mx.x.test": "servfail"}, DEFERRED, "4.4.3", "dns_temp", "look-up of A mx.x.test failed"),
        # Ourselves.
        ({"x.test": {"MX": [(1, "relay.test")]}}, SOFT, "5.4.6", "policy", "mail for x.test loops back to us"),
    ],
)
async def test_table(zone: dict[str, Any], status: Status, dsn: str, reason_class: str, words: str) -> None:
    """Hard is only what the DNS itself says of the domain; what nobody knows, or somebody will mend, is deferred."""
    found = await verdict(zone)
    assert (found.status, found.dsn, found.reason_class) == (status, dsn, reason_class)
    assert words in found.reason


@pytest.mark.parametrize(
    ("data", "patience", "words"),
    [
        ("timeout", 0.3, "look-up of MX x.test failed: no answer from 127."),
        ("garbage", 0.3, "look-up of MX x.test failed: no answer from 127."),
        ({"AAAA": "timeout"}, 1.0, "look-up of AAAA x.test failed: no answer from 127."),
    ],
)
async def test_silence(data: Any, patience: float, words: str) -> None:
    """No answer, or none that can be read, within `dns.timeout` leaves the question open: deferred."""
    found = await verdict({"x.test": data}, dns={"timeout": patience})
    assert (found.status, found.dsn, found.reason_class) == (DEFERRED, "4.4.3", "dns_temp")
    assert words in found.reason


@pytest.mark.parametrize("data", [None, {"MX": [(0, ".")]}, {}, {"MX": [(1, "gone.test")]}])
async def test_did_you_mean(data: dict[str, Any] | None) -> None:
    """A bounce by a domain one slip away from a well-known one says which was meant."""
    found = await verdict({} if data is None else {"gmial.com": data}, "gmial.com")
    assert found.reason.endswith("; did you mean gmail.com?")


async def test_unknown_outweighs_refused() -> None:
    """While one host may still turn out to be good, the others being bad does not end the delivery."""
    zone = {
        "x.test": {"MX": [(10, "a.test"), (20, "b.test")]},
        "a.test": {"A": ["127.0.0.1"]},
        "b.test": "servfail",
    }
    assert (await verdict(zone, allow_private_destinations=False)).dsn == "4.4.3"


async def test_loop_by_address() -> None:
    """A domain, or a literal, whose only address is a listener of ours loops back to us."""
    listeners = [Endpoint("127.0.0.1", 2525)]
    for destination in ("x.test", "[127.0.0.1]"):
        found = await verdict({"x.test": {"A": ["127.0.0.1"]}}, destination, listeners=listeners)
        assert (found.status, found.dsn) == (SOFT, "5.4.6")
        assert f"mail for {destination} loops back to us" in found.reason


async def test_mail_to_our_own_name() -> None:
    """Mail to the relay's own host name loops, whether or not the name has an address."""
    found = await verdict({"relay.test": {"A": ["127.0.0.1"]}}, "relay.test")
    assert found.dsn == "5.4.6"


async def test_ipv6_only() -> None:
    """A domain that only IPv6 leads to is not dead because we have none: deferred, with the setting's name."""
    zone = {"x.test": {"AAAA": ["2a00:1450::1"]}}
    found = await verdict(zone, ipv6=False)
    assert (found.status, found.dsn, found.reason_class) == (DEFERRED, "4.4.4", "network")
    assert "delivery.ipv6 is false" in found.reason
    found = await verdict({"x.test": {"AAAA": ["fe80::1"]}})
    assert "this machine has no IPv6 route" in found.reason


@pytest.mark.parametrize("zone", [{}, {"hop.test": "servfail"}, {"hop.test": {"MX": [(1, "mx.x.test")]}}])
async def test_a_wrong_route(zone: dict[str, Any]) -> None:
    """A route that leads nowhere is our mistake: deferred, never a bounce."""
    for destination in ("x.test", "*"):
        found = await verdict(zone, routes={destination: Route("hop.test", 25)})
        assert found.status is DEFERRED
        assert "hop.test" in found.reason


async def test_failures_are_remembered() -> None:
    """A failure is told again without a question until `failure_ttl` is over; then the truth is asked for."""
    async with finding({"x.test": "servfail"}, dns={"failure_ttl": 30.0}) as f:
        await f.verdict("x.test")
        f.dns.zone["x.test"] = {"A": ["127.0.0.1"]}
        f.clock.now += 29
        assert isinstance(f.next_hops.cached("x.test"), Verdict)
        f.clock.now += 1
        assert await f.ips("x.test") == ["127.0.0.1"]


async def test_not_a_literal() -> None:
    """What is no address cannot be anybody's; and no DNS name has a label of 64 letters. Nobody is asked."""
    async with finding({}) as f:
        assert (await f.verdict("[300.1.1.1]")).status is HARD
        assert (await f.verdict(f"{'a' * 64}.test")).status is HARD
        assert not f.dns.queries


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text() | st.from_regex(r"\[?[\w.:\\-]{1,70}\]?"), max_size=20))
async def test_any_text(destinations: list[str]) -> None:
    """Whatever a destination looks like, the answer is a verdict; nothing is raised."""
    async with finding({}) as f:
        for destination in destinations:
            await f.next_hops.find(destination)
