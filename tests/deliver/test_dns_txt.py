"""TXT questions: records as they are joined, and asked for anew each time."""

from relay.config import Dns
from relay.deliver.dns import Outcome, Resolver
from tests.parts.dns import FakeDns


async def test_strings_are_joined() -> None:
    """RFC 6376 3.6.2.2: the strings of one record are one text, without blanks between; several records stay apart."""
    strings = " ".join(f'"{letter * 255}"' for letter in "abc")
    async with FakeDns({"x.test": {"TXT": [strings, '"v=spf1 -all"', '"\\228\\000"']}}) as dns:
        resolver = Resolver(Dns(nameservers=(dns.endpoint,), timeout=30.0))
        answer = await resolver.txt("x.test")
        assert answer.outcome is Outcome.FOUND
        assert sorted(answer.records) == [b"a" * 255 + b"b" * 255 + b"c" * 255, b"v=spf1 -all", b"\xe4\x00"]
        await resolver.close()


async def test_nothing_is_remembered() -> None:
    """Who waits for a record to appear, or checks one, asks the DNS and not our memory."""
    async with FakeDns() as dns:
        resolver = Resolver(Dns(nameservers=(dns.endpoint,), timeout=30.0))
        assert (await resolver.txt("x.test")).outcome is Outcome.NXDOMAIN
        dns.zone["x.test"] = {}
        assert (await resolver.txt("x.test")).outcome is Outcome.NODATA
        dns.zone["x.test"] = {"TXT": ['"here"']}
        assert (await resolver.txt("x.test")).records == (b"here",)
        dns.zone["x.test"] = "servfail"
        assert (await resolver.txt("x.test")).outcome is Outcome.FAILED
        await resolver.close()
