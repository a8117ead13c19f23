"""What this machine's network says about an address: is it ours, is there a way to it.

The kernel is asked with a UDP socket that sends nothing, so that the answer is the one a
connection would meet: interfaces that come and go need no list. Both questions take some ten
microseconds, and are asked when a destination is looked up, not for each message.

Behind NAT our public address is not on any interface: then only our name tells.
"""

import ipaddress
import socket
from collections.abc import Iterable

from relay.config import Endpoint

_WILDCARDS = frozenset({"", "0.0.0.0", "::"})


def has_way(ip: str) -> bool:
    """Is there a route to `ip`, and an address of ours to use it from?"""
    try:
        with _socket(ip) as probe:
            probe.connect((ip, 9))
    except OSError:
        return False
    return True


def is_local(ip: str) -> bool:
    """Is `ip` an address of this machine?"""
    try:
        with _socket(ip) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True


def is_ours(ip: str, port: int, listeners: Iterable[Endpoint]) -> bool:
    """Would a connection to `ip` and `port` reach one of `listeners`?"""
    ip = _plain(ip)
    return any(
        listener.port == port and (is_local(ip) if listener.host in _WILDCARDS else _plain(listener.host) == ip)
        for listener in listeners
    )


def _plain(ip: str) -> str:
    address = ipaddress.ip_address(ip)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _socket(ip: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
