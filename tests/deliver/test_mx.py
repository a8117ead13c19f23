"""Next hops: whom a destination's mail is brought to, and in which order."""

import asyncio
from typing import Any

import pytest
import uvloop

from relay.config import Endpoint, Route
from relay.deliver.machine import has_way
from relay.deliver.mx import MAX_ADDRESSES, MAX_ADDRESSES_PER_HOST, MAX_HOSTS, Hop
from tests.deliver.finding import finding

needs_ipv6 = pytest.mark.skipif(not has_way("::1"), reason="this machine has no IPv6, not even to itself")

ZONE: dict[str, Any] = {
    "x.test": {"MX": [(20, "b.x.test"), (10, "a.x.test")]},
    "a.x.test": {"A": ["127.0.0.10"]},
    "b.x.test": {"A": ["127.0.0.20"]},
}


async def test_order() -> None:
    """The host with the lowest preference comes first; each hop knows its host, port and preference."""
    async with finding(ZONE) as f:
        assert await f.hops("x.test") == (
            Hop("a.x.test", "127.0.0.10", 2525, None, 10),
            Hop("b.x.test", "127.0.0.20", 2525, None, 20),
        )


async def test_equal_preferences_are_shuffled() -> None:
    """RFC 5321 5.1: hosts of equal preference share the load; a worse one never comes before a better one."""
    zone = {
        "x.test": {"MX": [(10, "a.test"), (10, "b.test"), (20, "c.test")]},
        "a.test": {"A": ["127.0.0.1"]},
        "b.test": {"A": ["127.0.0.2"]},
        "c.test": {"A": ["127.0.0.3"]},
    }
    async with finding(zone) as f:
        orders = [tuple(await f.ips("x.test")) for _ in range(200)]
        assert {order[2] for order in orders} == {"127.0.0.3"}
        assert 50 < sum(order[0] == "127.0.0.1" for order in orders) < 150
        assert f.dns.queries["x.test", "MX"] == 1


async def test_addresses_of_one_host_are_shuffled() -> None:
    """A cached answer does not send all mail to the address that happened to stand first."""
    async with finding({"x.test": {"A": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}}) as f:
        assert {(await f.ips("x.test"))[0] for _ in range(100)} == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}


@needs_ipv6
async def test_families_by_turns() -> None:
    """Every address of a host is tried, IPv6 and IPv4 by turns, before the next host."""
    zone = {
        "x.test": {"MX": [(10, "a.test"), (20, "b.test")]},
        "a.test": {"A": ["127.0.0.1", "127.0.0.2", "127.0.0.3"], "AAAA": ["::1"]},
        "b.test": {"A": ["127.0.0.9"]},
    }
    async with finding(zone) as f:
        first, *rest, last = await f.ips("x.test")
        assert (first, sorted(rest), last) == ("::1", ["127.0.0.1", "127.0.0.2", "127.0.0.3"], "127.0.0.9")


async def test_ipv6_off() -> None:
    """With `ipv6 = false` IPv6 addresses are neither used nor looked up where there is an IPv4 address."""
    async with finding({"x.test": {"A": ["127.0.0.1"], "AAAA": ["::1"]}}, ipv6=False) as f:
        assert await f.ips("x.test") == ["127.0.0.1"]
        assert f.dns.queries["x.test", "AAAA"] == 0


async def test_no_way() -> None:
    """An IPv6 address that this machine has no route to is left out, and looked at again before long."""
    async with finding({"x.test": {"A": ["127.0.0.1"], "AAAA": ["fe80::1"]}}) as f:
        assert await f.ips("x.test") == ["127.0.0.1"]
        f.clock.now += 31
        assert f.next_hops.cached("x.test") is None


async def test_no_mx() -> None:
    """RFC 5321 5.1: a domain without MX records is its own mail host."""
    async with finding({"x.test": {"A": ["127.0.0.1"]}}) as f:
        assert await f.hops("x.test") == (Hop("x.test", "127.0.0.1", 2525, None, 0),)


async def test_aliases() -> None:
    """CNAMEs are followed, of the domain and of its mail host."""
    zone = ZONE | {"y.test": {"CNAME": "z.test"}, "z.test": {"MX": [(1, "m.test")]}, "m.test": {"CNAME": "a.x.test"}}
    async with finding(zone) as f:
        assert await f.hops("y.test") == (Hop("m.test", "127.0.0.10", 2525, None, 1),)


async def test_one_dead_host_of_two() -> None:
    """A host that cannot be resolved, or that does not exist, is passed over while another one is left."""
    for trouble in ("servfail", "nxdomain", "timeout"):
        async with finding(ZONE | {"a.x.test": trouble}, dns={"timeout": 1.0}) as f:
            assert await f.ips("x.test") == ["127.0.0.20"]


async def test_one_dead_family_of_two() -> None:
    """A name server that fails over AAAA does not keep mail from the host's IPv4 address."""
    async with finding({"x.test": {"A": ["127.0.0.1"], "AAAA": "servfail"}}) as f:
        assert await f.ips("x.test") == ["127.0.0.1"]


async def test_our_name_cuts_the_list() -> None:
    """RFC 5321 5.1: where the list names us, it ends: that record and all that are not better are dropped."""
    mx = [(10, "a.x.test"), (20, "Relay.Test"), (20, "b.x.test"), (30, "b.x.test")]
    async with finding(ZONE | {"x.test": {"MX": mx}}) as f:
        assert await f.ips("x.test") == ["127.0.0.10"]


@pytest.mark.parametrize("listener", [Endpoint("127.0.0.20", 2525), Endpoint("0.0.0.0", 2525), Endpoint("::", 2525)])
async def test_our_address_cuts_the_list(listener: Endpoint) -> None:
    """We know ourselves by address and port, whatever name the list gives us; a wildcard listener has every address."""
    zone = ZONE | {"a.x.test": {"A": ["198.51.100.1"]}}
    async with finding(zone, listeners=[listener]) as f:
        assert await f.ips("x.test") == ["198.51.100.1"]


async def test_another_port_is_not_us() -> None:
    """Another program's port at our address is somebody else."""
    async with finding(ZONE, listeners=[Endpoint("0.0.0.0", 2526)]) as f:
        assert await f.ips("x.test") == ["127.0.0.10", "127.0.0.20"]


async def test_route() -> None:
    """A route answers instead of the DNS: the exact destination first, then "*"; its address is not judged."""
    mine, rest = Route("127.0.0.5", 26), Route("10.1.2.3", 27)
    async with finding(ZONE, routes={"X.test": mine, "*": rest}, allow_private_destinations=False) as f:
        assert await f.hops("x.test") == (Hop("127.0.0.5", "127.0.0.5", 26, mine),)
        assert await f.hops("a.x.test") == (Hop("10.1.2.3", "10.1.2.3", 27, rest),)
        assert await f.hops("[192.0.2.1]") == (Hop("10.1.2.3", "10.1.2.3", 27, rest),)
        assert not f.dns.queries


async def test_route_by_name() -> None:
    """A route may name a host: its addresses are looked up, its MX records are not."""
    route = Route("a.x.test", 26)
    async with finding(ZONE, routes={"*": route}, allow_private_destinations=False) as f:
        assert await f.hops("y.test") == (Hop("a.x.test", "127.0.0.10", 26, route),)
        assert {kind for _, kind in f.dns.queries} == {"A", "AAAA"}


async def test_route_to_localhost() -> None:
    """A route may name a host of /etc/hosts, such as localhost; no name server is asked."""
    async with finding({}, routes={"*": Route("localhost", 26)}) as f:
        assert "127.0.0.1" in await f.ips("y.test")
        assert not f.dns.queries


@needs_ipv6
async def test_address_literals() -> None:
    """RFC 5321 4.1.3: mail to user@[address] goes to that address, without any look-up."""
    async with finding({}) as f:
        assert await f.hops("[127.0.0.1]") == (Hop("127.0.0.1", "127.0.0.1", 2525),)
        assert await f.hops("[IPv6:::1]") == (Hop("::1", "::1", 2525),)
        assert not f.dns.queries


async def test_a_thousand_hosts() -> None:
    """A list without end costs a bounded number of look-ups, and gives a bounded number of hops: the best ones."""
    zone: dict[str, Any] = {"x.test": {"MX": [(number, f"m{number}.test") for number in range(1000)]}}
    zone |= {f"m{number}.test": {"A": [f"127.1.{number}.{n}" for n in range(1, 6)]} for number in range(30)}
    async with finding(zone) as f:
        hops = await f.hops("x.test")
        assert len(hops) == MAX_ADDRESSES
        assert [hop.preference for hop in hops] == [number for number in range(8) for _ in range(5)]
        assert sum(kind == "A" for _, kind in f.dns.queries) == MAX_HOSTS


async def test_a_thousand_addresses() -> None:
    """One host with addresses without end does not push out the others."""
    many = [f"127.2.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    async with finding(ZONE | {"a.x.test": {"A": many}}) as f:
        ips = await f.ips("x.test")
        assert len(ips) == MAX_ADDRESSES_PER_HOST + 1
        assert ips[-1] == "127.0.0.20"


async def test_twice_the_same() -> None:
    """A host that is listed twice, or two names of one address, are tried once."""
    zone = ZONE | {
        "x.test": {"MX": [(10, "a.x.test"), (20, "a.x.test"), (30, "c.x.test")]},
        "c.x.test": {"A": ["127.0.0.10"]},
    }
    async with finding(zone) as f:
        assert [hop.preference for hop in await f.hops("x.test")] == [10]


@pytest.mark.parametrize("host", [".", "127.0.0.1", "::1", "a\\032b.test"])
async def test_no_host_names(host: str) -> None:
    """An MX that names no host (".", an address, blanks) is passed over, and not looked up."""
    async with finding(ZONE | {"x.test": {"MX": [(1, host), (2, "b.x.test")]}}) as f:
        assert await f.ips("x.test") == ["127.0.0.20"]
        assert {name for name, _ in f.dns.queries} == {"x.test", "b.x.test"}


async def test_cached() -> None:
    """What was found is given again without a question and without a pause, until its shortest TTL is over."""
    zone = ZONE | {"b.x.test": {"A": ["127.0.0.20"], "ttl": 50}}
    async with finding(zone) as f:
        assert f.next_hops.cached("x.test") is None
        hops = await f.hops("x.test")
        f.clock.now += 49
        assert f.next_hops.cached("x.test") == hops
        with pytest.raises(StopIteration):  # the coroutine ends at its first step: it has waited for nothing
            f.next_hops.find("x.test").send(None)
        f.clock.now += 1
        assert f.next_hops.cached("x.test") is None
        f.dns.zone["b.x.test"] = {"A": ["127.0.0.21"]}
        assert await f.ips("x.test") == ["127.0.0.10", "127.0.0.21"]
        assert f.dns.queries["x.test", "MX"] == 1


async def test_equal_ones_share_a_query() -> None:
    """Fifty deliveries to one destination at once ask each question once."""
    async with finding(ZONE) as f:
        await asyncio.gather(*(f.hops("x.test") for _ in range(50)))
        assert set(f.dns.queries.values()) == {1}


async def test_a_cancelled_waiter() -> None:
    """A delivery that is cancelled while it waits takes nothing away from the others."""
    zone = ZONE | {"x.test": ZONE["x.test"] | {"as": "slow"}}
    async with finding(zone) as f:
        first, second = (asyncio.create_task(f.ips("x.test")) for _ in range(2))
        await f.dns.asked("x.test", "MX")
        first.cancel()
        f.dns.release()
        assert await second == ["127.0.0.10", "127.0.0.20"]
        assert first.cancelled()
        assert f.dns.queries["x.test", "MX"] == 1


async def test_close() -> None:
    """Closing gives up what is being looked up; those who wait are cancelled, not left behind."""
    async with finding(ZONE | {"x.test": "slow"}) as f:
        waiter = asyncio.create_task(f.ips("x.test"))
        await f.dns.asked("x.test", "MX")
        await f.next_hops.close()
        await asyncio.wait([waiter])
        assert waiter.cancelled()


def test_uvloop() -> None:
    """It works on uvloop as on asyncio's own loop, over UDP and over TCP."""

    async def main() -> list[str]:
        async with finding(ZONE | {"x.test": ZONE["x.test"] | {"as": "truncated"}}) as f:
            assert (await f.verdict("nosuch.test")).dsn == "5.1.2"
            return await f.ips("x.test")

    assert uvloop.run(main()) == ["127.0.0.10", "127.0.0.20"]
