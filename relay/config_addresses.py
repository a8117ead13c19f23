"""Hosts, ports, networks and URLs as the configuration file writes them.

The rules are those of `relay/config_values.py`. Nothing is looked up: a name stays a name, and where an
address is needed a name is an error.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from relay.address import AddressError, parse_address
from relay.config import Endpoint
from relay.config_values import Kind, list_of, listed, quoted, text

Report = Callable[[str, str], None]  # key, what is wrong

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_WIDEST = {4: 8, 6: 7}  # bits of prefix: the widest networks that can be anybody's own (10.0.0.0/8, fc00::/7)


def host_name(value: object) -> str:
    """A domain name in ASCII, lower-case."""
    name = text(value)
    if not name.isascii():
        raise ValueError(f'"{name}" has letters beyond ASCII. Write its A-labels ("xn--…")')
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(
            f'"{name}" is no host name: letters, digits and hyphens, with dots between, like "mx1.example.com"'
        )
    if name.rpartition(".")[2].isdigit():
        raise ValueError(f'"{name}" is an address. Write the name that belongs to it')
    return name.lower()


def endpoint(value: object) -> Endpoint:
    """Where to listen: an IP address and a port; port 0 lets the system choose."""
    host, port = host_and_port(value)
    try:
        return Endpoint(str(ipaddress.ip_address(host)), port)
    except ValueError:
        raise ValueError(
            f'"{value}" has no IP address before the port. Write "127.0.0.1:{port}" for this machine alone, '
            f'"0.0.0.0:{port}" or "[::]:{port}" for all'
        ) from None


def endpoints(value: object) -> tuple[Endpoint, ...]:
    """Several places to listen."""
    return _distinct([endpoint(item) for item in list_of(value, '["0.0.0.0:587"]')], unless=lambda item: item.port == 0)


def name_servers(value: object) -> tuple[Endpoint, ...]:
    """Addresses of DNS servers, with or without a port (53)."""

    def read(item: object) -> Endpoint:
        try:
            return Endpoint(str(ipaddress.ip_address(text(item).strip("[]"))), 53)
        except ValueError:
            return endpoint(item)

    return _distinct([read(item) for item in list_of(value, '["192.0.2.53", "[2001:db8::53]:5353"]')])


def host_and_port(value: object) -> tuple[str, int]:
    """What is written as "host:port" or "[address]:port"; the host is not looked at."""
    written = text(value)
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):(\d{1,5})", written)
    if found is None:
        hint = f'"[{written}]:PORT"' if written.count(":") > 1 and "[" not in written else '"HOST:PORT"'
        raise ValueError(f'"{written}" does not say host and port. Write {hint}')
    if int(found[3]) > 65535:
        raise ValueError(f"{found[3]} is no port: they go up to 65535")
    return found[1] or found[2], int(found[3])


def trusted_networks(value: object) -> tuple[str, ...]:
    """Networks whose clients need no login; never the whole internet."""
    return _distinct([_network(item) for item in list_of(value, '["127.0.0.0/8", "10.1.0.0/16"]')])


def trusted_proxies(value: object) -> tuple[str, ...]:
    """Networks of proxies whose word about a visitor's address is taken; never the whole internet."""
    because = "anybody could then give any address as a visitor's. Name your proxies"
    return _distinct([_network(item, because) for item in list_of(value, '["127.0.0.1", "10.1.0.0/16"]')])


def _network(value: object, because: str = "that would be an open relay. Name your own networks") -> str:
    written = text(value)
    try:
        network = ipaddress.ip_network(written, strict=False)
    except ValueError:
        raise ValueError(
            f'"{written}" is no network. Write it like "10.1.0.0/16", or one address like "192.0.2.7"'
        ) from None
    if ipaddress.ip_interface(written).ip != network.network_address:
        raise ValueError(f'"{written}" is an address inside a network. Did you mean "{network}"?')
    if network.prefixlen < _WIDEST[network.version]:
        raise ValueError(f'"{written}" is too wide: {because}')
    return str(network)


def base_url(value: object) -> str:
    """Where visitors reach the tracker: scheme, host and perhaps a port; empty for nowhere."""
    if value == "":
        return ""
    written = text(value)
    found = re.fullmatch(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?/?", written, re.IGNORECASE)
    if found is None:
        raise ValueError(
            f'"{written}" is no address for links. Write scheme and host alone, like "https://t.example.com"'
        )
    if int(found[3] or 1) not in range(1, 65536):
        raise ValueError(f"{found[3]} is no port: they go from 1 to 65535")
    host = found[2].lower()
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        host = host_name(host)
    return f"{found[1].lower()}://{host}" + (f":{int(found[3])}" if found[3] else "")


def host_name_or_none(value: object) -> str:
    """A domain name, or nothing."""
    return "" if value == "" else host_name(value)


def by_domain(table: Mapping[str, Any], key: str, report: Report) -> Iterator[tuple[str, str, Any]]:
    """The entries of a table whose keys are domains: domain, the entry's own key, value; what is no domain is told."""
    for written, value in table.items():
        own_key = f"{key}.{quoted(written)}"
        try:
            domain = host_name(written)
        except ValueError as error:
            report(own_key, f"is no domain: {error}")
            continue
        yield domain, own_key, value


def mailbox_or_none(value: object) -> str:
    """A mail address, or nothing."""
    if value == "":
        return ""
    try:
        return str(parse_address(text(value)))
    except AddressError as error:
        raise ValueError(f'"{value}" is no mail address: {error}') from None


def _distinct(items: list[Any], unless: Callable[[Any], bool] = lambda item: False) -> tuple[Any, ...]:
    for position, item in enumerate(items):
        if item in items[:position] and not unless(item):
            raise ValueError(f"names {item} twice")
    return tuple(items)


HOST_NAME = Kind(host_name, quoted)
HOST_NAME_OR_NONE = Kind(host_name_or_none, quoted)
ENDPOINTS = Kind(endpoints, listed)
NAME_SERVERS = Kind(name_servers, listed)
TRUSTED_NETWORKS = Kind(trusted_networks, listed)
TRUSTED_PROXIES = Kind(trusted_proxies, listed)
BASE_URL = Kind(base_url, quoted)
MAILBOX_OR_NONE = Kind(mailbox_or_none, quoted)
