"""Whose request it is: the peer's, or behind a proxy that is trusted, that of whom the proxy names.

Does not know HTTP beyond two header fields. Rules: a proxy appends the address it was called
from, so the list is read from its end, and the first hop that is not a trusted proxy is the
visitor; what stands before it was written by strangers. A hop that cannot be read ends the
walk: the proxy that wrote it is named then. Where X-Forwarded-For and Forwarded are both there
and name different visitors, one of them was sent by the visitor, and neither is believed.
Standards: RFC 7239 (Forwarded); X-Forwarded-For has none.
Fails: `Visitors` raises ValueError for a proxy that is no address or network; reading never does.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from tracker.backend import Address

IP = IPv4Address | IPv6Address

_REMEMBERED = 4096  # addresses; a burst comes from few
_LONGEST_HOP = 60  # characters: a whole IPv6 address with brackets and port has less
# RFC 7239 4: for=value; a value with brackets or colons is quoted.
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"\\]*)"|([^";\s]*))', re.IGNORECASE)
_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([\d.]+):\d+")  # [v6], [v6]:port, v4:port


class Visitors:
    """Finds a visitor's address and keeps as much of it as the operator wants."""

    def __init__(self, trusted: Iterable[str], kept: Address) -> None:
        """`trusted`: addresses and networks ("10.0.0.0/8") of our own proxies."""
        networks = tuple(ip_network(each, strict=False) for each in trusted)
        self.behind_proxies = bool(networks)  # if not, no header needs to be looked at
        self._trusts = lru_cache(_REMEMBERED)(lambda ip: any(ip in network for network in networks))
        self._kept = lru_cache(_REMEMBERED)(lambda address: _kept(_ip(address), kept))

    def address(self, peer: str, x_forwarded_for: Sequence[str] = (), forwarded: Sequence[str] = ()) -> str:
        """The visitor's address as it is kept, "" for none. Both fields are given line by line."""
        if not self.behind_proxies or not (x_forwarded_for or forwarded):
            return self._kept(peer)
        here = _ip(peer)
        if here is None or not self._trusts(here):  # a stranger's word about himself
            return self._kept(peer)
        named = {self._walk(here, hops) for hops in (_plain_hops(x_forwarded_for), _standard_hops(forwarded)) if hops}
        return self._kept(str(named.pop())) if len(named) == 1 else self._kept(peer)

    def _walk(self, here: IP, hops: list[str]) -> IP:
        """From the peer back along the hops to the first that is not ours."""
        for hop in reversed(hops):
            before = _ip(_bare(hop))
            if before is None:
                return here
            here = before
            if not self._trusts(here):
                return here
        return here


def _plain_hops(lines: Sequence[str]) -> list[str]:
    """Hops of X-Forwarded-For, oldest first. Several lines are one list (RFC 9110 5.3)."""
    return ",".join(lines).split(",") if lines else []


def _standard_hops(lines: Sequence[str]) -> list[str]:
    """Hops of Forwarded, oldest first; "" where one does not say for whom."""
    hops = []
    for element in ",".join(lines).split(",") if lines else []:
        found = _FOR.search(element)
        hops.append((found[1] or found[2] or "") if found else "")
    return hops


def _bare(hop: str) -> str:
    """Without port and brackets."""
    hop = hop.strip()
    found = _PORT.fullmatch(hop)
    return (found[1] or found[2] or "") if found else hop


def _ip(text: str) -> IP | None:
    """The address that `text` spells, an IPv4 address mapped into IPv6 as the former; None: it spells none."""
    if len(text) > _LONGEST_HOP:
        return None
    try:
        ip = ip_address(text.partition("%")[0])  # a zone is of no use elsewhere
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _kept(ip: IP | None, kept: Address) -> str:
    if ip is None or kept == "none":
        return ""
    if kept == "whole":
        return str(ip)
    # /24 and /48: a neighbourhood and a site, as large as what one provider gives to many.
    return str(ip_network((ip, 24 if isinstance(ip, IPv4Address) else 48), strict=False).network_address)
