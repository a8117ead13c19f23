"""Which addresses are refused: those that are not on the public Internet, however they are written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.deliver.private import not_public
from relay.delivery import Status
from tests.deliver.finding import finding

REFUSED = {
    "0.0.0.0": "an unspecified address",
    "10.0.0.1": "a private address",
    "100.64.0.1": "a carrier's shared address",
    "127.0.0.1": "a loopback address",
    "127.255.255.254": "a loopback address",
    "168.63.129.16": "a cloud metadata address",
    "169.254.169.254": "a cloud metadata address",
    "169.254.1.1": "a link-local address",
    "172.31.255.255": "a private address",
    "192.168.1.1": "a private address",
    "192.0.2.1": "a documentation address",
    "198.18.0.1": "a benchmarking address",
    "224.0.0.1": "a multicast address",
    "240.0.0.1": "a reserved address",
    "255.255.255.255": "a broadcast address",
    "::": "an unspecified address",
    "::1": "a loopback address",
    "::7f00:1": "a reserved address",
    "::ffff:127.0.0.1": "an IPv4-mapped address",
    "::ffff:8.8.8.8": "an IPv4-mapped address",
    "64:ff9b::7f00:1": "NAT64 for a loopback address",
    "64:ff9b::a9fe:a9fe": "NAT64 for a cloud metadata address",
    "64:ff9b:1::1": "a local NAT64 address",
    "2001:db8::1": "a documentation address",
    "2001:0:1::1": "a Teredo address",
    "2002:7f00:1::1": "a 6to4 address",
    "2002:808:808::1": "a 6to4 address",
    "3fff::1": "a documentation address",
    "4000::1": "a reserved address",
    "fc00::1": "a private address",
    "fd00:ec2::254": "a cloud metadata address",
    "fe80::1": "a link-local address",
    "fe80::1%lo": "a link-local address",
    "2a00:1450::1%lo": "a link-local address",
    "fec0::1": "a site-local address",
    "ff02::1": "a multicast address",
}


@pytest.mark.parametrize(("ip", "kind"), REFUSED.items())
def test_refused(ip: str, kind: str) -> None:
    """An address that is not public has a name for its kind."""
    assert not_public(ip) == kind


@pytest.mark.parametrize("ip", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00:1450::1", "64:ff9b::808:808"])
def test_public(ip: str) -> None:
    """A public address has none; NAT64's well-known prefix is judged by the address inside (DNS64 makes them)."""
    assert not_public(ip) is None


@given(st.ip_addresses())
def test_never_laxer_than_the_standard_library(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What Python's own table holds for private, link-local, multicast or reserved is refused here too."""
    nat64 = address in ipaddress.ip_network("64:ff9b::/96")  # reserved there; judged by what is inside here
    if not nat64 and (address.is_private or address.is_link_local or address.is_multicast or address.is_reserved):
        assert not_public(str(address)) is not None


@given(st.ip_addresses(v=4))
def test_a_disguise_does_not_help(address: ipaddress.IPv4Address) -> None:
    """An IPv4 address that is refused is refused in every IPv6 form that carries it."""
    number = int(address)
    for form in ((0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | (number << 80), number):
        if not_public(str(address)) is not None:
            assert not_public(str(ipaddress.IPv6Address(form))) is not None


@pytest.mark.parametrize("destination", ["x.test", "mx.test", "[127.0.0.1]"])
async def test_verdict(destination: str) -> None:
    """A domain or literal that leads to such an address is a soft bounce that names the address and the setting."""
    zone = {"x.test": {"A": ["127.0.0.1"]}, "mx.test": {"MX": [(1, "m.test")]}, "m.test": {"A": ["127.0.0.1"]}}
    async with finding(zone, allow_private_destinations=False) as f:
        verdict = await f.verdict(destination)
        assert (verdict.status, verdict.dsn, verdict.reason_class) == (Status.SOFT_BOUNCE, "5.4.4", "policy")
        assert "127.0.0.1" in verdict.reason
        assert "a loopback address" in verdict.reason
        assert "delivery.allow_private_destinations" in verdict.reason


async def test_the_public_ones_are_kept() -> None:
    """One refused address does not spoil the others, whatever their order."""
    zone = {
        "x.test": {"MX": [(10, "a.test"), (20, "b.test")]},
        "a.test": {"A": ["127.0.0.1", "8.8.4.4"]},
        "b.test": {"A": ["10.0.0.1", "8.8.8.8"], "AAAA": ["::ffff:10.0.0.1"]},
    }
    async with finding(zone, allow_private_destinations=False) as f:
        assert await f.ips("x.test") == ["8.8.4.4", "8.8.8.8"]
