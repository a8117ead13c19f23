"""DNS questions: what is heard, what is remembered and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.config import Dns, Endpoint
from relay.deliver.dns import MAX_RECORDS, Mx, Outcome, Resolver, read_hosts
from tests.deliver.finding import Clock
from tests.parts.dns import FakeDns


@asynccontextmanager
async def asking(*servers: FakeDns, **settings: Any) -> AsyncIterator[tuple[Resolver, Clock]]:
    clock = Clock()
    given: dict[str, Any] = {"nameservers": tuple(server.endpoint for server in servers), "timeout": 30.0}
    resolver = Resolver(Dns(**(given | settings)), clock=clock)
    yield resolver, clock
    await resolver.close()


async def test_ttl() -> None:
    """Records are remembered for their TTL, and not longer."""
    async with FakeDns({"x.test": {"A": ["192.0.2.1"], "ttl": 60}}) as dns, asking(dns) as (resolver, clock):
        for now, questions in ((1000, 1), (1059.9, 1), (1060, 2)):
            clock.now = now
            assert (await resolver.ipv4("x.test")).records == ("192.0.2.1",)
            assert dns.queries["x.test", "A"] == questions


async def test_ttl_of_an_alias() -> None:
    """The shortest TTL of the chain counts."""
    zone = {"w.test": {"CNAME": "x.test", "ttl": 20}, "x.test": {"A": ["192.0.2.1"], "ttl": 60}}
    async with FakeDns(zone) as dns, asking(dns) as (resolver, clock):
        assert (await resolver.ipv4("w.test")).expires == clock.now + 20


@pytest.mark.parametrize(("ttl", "kept"), [(2**31 - 1, 3600.0), (0, 1.0)])
async def test_odd_ttls(ttl: int, kept: float) -> None:
    """A huge TTL is cut to `max_ttl`; a TTL of 0 holds for a second, so that a burst does not ask for each message."""
    async with FakeDns({"x.test": {"A": ["192.0.2.1"], "ttl": ttl}}) as dns, asking(dns) as (resolver, clock):
        assert (await resolver.ipv4("x.test")).expires == clock.now + kept


@pytest.mark.parametrize(
    ("data", "outcome", "kept"),
    [
        (None, Outcome.NXDOMAIN, 60.0),
        ({}, Outcome.NODATA, 60.0),
        ({"as": "nosoa"}, Outcome.NODATA, 30.0),
        ("servfail", Outcome.FAILED, 30.0),
        ("refused", Outcome.FAILED, 30.0),
    ],
)
async def test_nothing_is_remembered_too(data: Any, outcome: Outcome, kept: float) -> None:
    """RFC 2308: "there is none" holds as long as the SOA says; without a SOA, and for failures, `failure_ttl`."""
    zone = {} if data is None else {"x.test": data}
    async with FakeDns(zone, negative_ttl=60) as dns, asking(dns, failure_ttl=30.0) as (resolver, clock):
        for _ in range(2):
            answer = await resolver.mx("x.test")
            assert (answer.outcome, answer.records, answer.expires) == (outcome, (), clock.now + kept)
        assert dns.queries["x.test", "MX"] == 1


async def test_mx() -> None:
    """MX records come best first, with host names in lower case and without the last dot; "." is empty."""
    async with FakeDns({"x.test": {"MX": [(20, "B.Test"), (10, "A.Test"), (30, ".")]}}) as dns, asking(dns) as (it, _):
        assert (await it.mx("x.test")).records == (Mx(10, "a.test"), Mx(20, "b.test"), Mx(30, ""))


async def test_too_many_records() -> None:
    """Of an answer too big for UDP the whole is fetched over TCP, and the best are kept."""
    async with (
        FakeDns({"x.test": {"MX": [(number, f"m{number}.x.test") for number in reversed(range(1000))]}}) as dns,
        asking(dns) as (resolver, _),
    ):
        records = (await resolver.mx("x.test")).records
        assert records == tuple(Mx(number, f"m{number}.x.test") for number in range(MAX_RECORDS))
        assert dns.queries["x.test", "MX"] == 2


async def test_spoofed() -> None:
    """An answer that does not bear the question's id is not an answer."""
    zone = {"x.test": {"A": ["192.0.2.1"], "as": "spoofed"}}
    async with FakeDns(zone) as dns, asking(dns) as (resolver, _):
        assert (await resolver.ipv4("x.test")).records == ("192.0.2.1",)


async def test_aliases_that_the_server_leaves_to_us() -> None:
    """An alias without its target's records is followed by asking again; one without end is a failure."""
    zone: dict[str, Any] = {
        "w.test": {"CNAME": "x.test", "as": "unchased"},
        "x.test": {"A": ["192.0.2.1"]},
        "l.test": {"CNAME": "m.test", "as": "unchased"},
        "m.test": {"CNAME": "l.test", "as": "unchased"},
    }
    async with FakeDns(zone) as dns, asking(dns) as (resolver, _):
        assert (await resolver.ipv4("w.test")).records == ("192.0.2.1",)
        assert "do not end" in (await resolver.ipv4("l.test")).problem


@pytest.mark.parametrize("trouble", ["servfail", "refused"])
async def test_second_server(trouble: str) -> None:
    """Where one name server does not know, the next one is asked."""
    async with (
        FakeDns({"x.test": trouble}) as first,
        FakeDns({"x.test": {"A": ["192.0.2.1"]}}) as second,
        asking(first, second) as (resolver, _),
    ):
        assert (await resolver.ipv4("x.test")).records == ("192.0.2.1",)
        assert first.queries["x.test", "A"] == 1


async def test_nobody_there() -> None:
    """A name server that is not running is a failure in words, not an exception."""
    async with FakeDns() as dns:
        gone = dns.endpoint
    async with asking(nameservers=(gone,), timeout=0.3) as (resolver, _):
        answer = await resolver.ipv4("x.test")
        assert answer.outcome is Outcome.FAILED
        assert str(gone) in answer.problem


async def test_system_servers() -> None:
    """Without configured name servers the system's are taken; a machine that has none still starts."""
    async with asking(nameservers=()) as (resolver, _):
        assert resolver.local("localhost")


async def test_shared() -> None:
    """Equal questions at the same time are one query; a waiter that is cancelled does not end it."""
    zone = {"x.test": {"A": ["192.0.2.1"], "as": "slow"}}
    async with FakeDns(zone) as dns, asking(dns) as (resolver, _):
        waiters = [asyncio.create_task(resolver.ipv4("x.test")) for _ in range(50)]
        await dns.asked("x.test", "A")
        waiters[0].cancel()
        dns.release()
        answers = await asyncio.gather(*waiters[1:])
        assert {answer.records for answer in answers} == {("192.0.2.1",)}
        assert dns.queries["x.test", "A"] == 1


def test_hosts(tmp_path: Path) -> None:
    """hosts(5): an address and its names on a line, comments after "#"; localhost is always known."""
    path = tmp_path / "hosts"
    path.write_text("# mine\n10.0.0.1 Mail.Lan mail # comment\n\n10.0.0.2 mail\nnonsense mail\n")
    assert read_hosts(path) == {
        "mail.lan": ("10.0.0.1",),
        "mail": ("10.0.0.1", "10.0.0.2"),
        "localhost": ("127.0.0.1", "::1"),
    }
    assert read_hosts(tmp_path / "none") == {"localhost": ("127.0.0.1", "::1")}


def test_endpoint_text() -> None:
    """A failure names the server as the configuration does."""
    assert str(Endpoint("127.0.0.1", 53)) == "127.0.0.1:53"
