"""Networks of mail filters: what comes from them is not the recipient.

A table of prefixes that their owners publish as the addresses of their mail services, with how
much one tells:

    all      the network only filters mail; nobody sits behind it
    clicks   it also fetches images for people who look at them, so that opens count: Outlook
    early    people use it too (cloud desktops, company gateways): a click counts as a machine's
             only soon after delivery, or together with other signs

Not here, on purpose: web gateways (Zscaler, Forcepoint, Netskope, Symantec's), VPN and hosting
companies, Google's and Amazon's clouds. Filters work there, and so do people.
"""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Scope = Literal["all", "clicks", "early"]


@dataclass(frozen=True, slots=True)
class Network:
    """Somebody's addresses, and what a visit from there tells."""

    owner: str
    scope: Scope
    prefixes: tuple[str, ...]


NETWORKS = (
    # Exchange Online Protection, as in Microsoft's list of Office 365 endpoints and spf.protection.outlook.com.
    Network(
        "Exchange Online Protection",
        "clicks",
        (
            "40.92.0.0/15",
            "40.94.0.0/16",  # where Safe Links opens links before it delivers
            "40.107.0.0/16",
            "52.100.0.0/14",
            "104.47.0.0/17",
            "2a01:111:f400::/48",
            "2a01:111:f403::/48",
        ),
    ),
    # Azure at large: Defender tries links out from here, and Windows 365 gives people their desktops here.
    Network(
        "Microsoft's cloud",
        "early",
        (
            "4.144.0.0/12",
            "13.64.0.0/11",
            "13.104.0.0/14",
            "20.33.0.0/16",
            "20.34.0.0/15",
            "20.36.0.0/14",
            "20.40.0.0/13",
            "20.48.0.0/12",
            "20.64.0.0/10",
            "20.160.0.0/11",
            "20.192.0.0/10",
            "23.96.0.0/13",
            "40.64.0.0/10",
            "51.104.0.0/15",
            "51.120.0.0/16",
            "51.124.0.0/16",
            "51.132.0.0/16",
            "51.136.0.0/15",
            "51.138.0.0/16",
            "51.140.0.0/14",
            "52.96.0.0/12",
            "52.112.0.0/14",
            "52.136.0.0/13",
            "52.145.0.0/16",
            "52.146.0.0/15",
            "52.148.0.0/14",
            "52.152.0.0/13",
            "52.160.0.0/11",
            "52.224.0.0/11",
            "65.52.0.0/14",
            "70.37.0.0/17",
            "104.40.0.0/13",
            "104.146.0.0/16",
            "104.208.0.0/13",
            "137.116.0.0/15",
            "168.61.0.0/16",
            "168.62.0.0/15",
            "191.232.0.0/13",
            "2603:1000::/24",
            "2a01:111::/32",
        ),
    ),
    Network(
        "Proofpoint",
        "all",
        (
            "67.231.144.0/20",
            "148.163.128.0/19",
            "205.220.160.0/19",
            "208.84.64.0/22",
            "208.86.200.0/22",
            "91.207.212.0/23",
            "185.132.180.0/22",
            "185.183.28.0/22",
        ),
    ),
    Network(
        "Mimecast",
        "all",
        (
            "91.220.42.0/24",
            "146.101.78.0/24",
            "195.130.217.0/24",
            "205.139.110.0/23",
            "207.211.30.0/23",
            "207.211.41.0/24",
            "207.82.80.0/24",
            "213.167.75.0/24",
            "213.167.81.0/24",
        ),
    ),
    Network("Barracuda", "all", ("64.235.144.0/20", "209.222.80.0/21")),
    Network("Cisco", "all", ("68.232.128.0/19", "184.94.240.0/20")),
    Network("Trend Micro", "all", ("150.70.0.0/16",)),
)

_Table = dict[tuple[int, int], dict[int, Network]]  # IP version and how many bits are not looked at → prefix → network


def _table() -> _Table:
    table: _Table = {}
    for network in NETWORKS:
        for prefix in network.prefixes:
            net = ipaddress.ip_network(prefix)
            bits = net.max_prefixlen - net.prefixlen
            table.setdefault((net.version, bits), {})[int(net.network_address) >> bits] = network
    return dict(sorted(table.items()))  # the narrowest first


_TABLE = _table()


@lru_cache(maxsize=4096)
def network_of(ip: str) -> Network | None:
    """Whose network `ip` (whole, shortened, or empty) is in, if we know it. The narrowest prefix says so."""
    try:
        address = ipaddress.ip_address(ip.partition("/")[0].partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    number = int(address)
    for (version, bits), prefixes in _TABLE.items():
        if version == address.version and (network := prefixes.get(number >> bits)):
            return network
    return None
