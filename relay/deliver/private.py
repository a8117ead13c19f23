"""Which addresses are no place on the public Internet: mail is not sent there unasked.

A domain's owner decides where its MX points, so a stranger who may send mail through us
could make us talk to machines behind our firewall. Every address is judged as the
one that the connection is made to, in whatever form it is written. Pure.

IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190); what they list as not
globally reachable is here, and so are the transition mechanisms that carry an IPv4 address inside.
"""

import ipaddress

# The first network that holds the address names it.
_IPV4 = [
    ("0.0.0.0/8", "an unspecified address"),
    ("10.0.0.0/8", "a private address"),  # RFC 1918
    ("100.64.0.0/10", "a carrier's shared address"),  # RFC 6598
    ("127.0.0.0/8", "a loopback address"),
    ("168.63.129.16/32", "a cloud metadata address"),  # Azure: routed like a public one
    ("169.254.169.254/32", "a cloud metadata address"),
    ("169.254.0.0/16", "a link-local address"),  # RFC 3927
    ("172.16.0.0/12", "a private address"),
    ("192.0.0.0/24", "a reserved address"),  # RFC 6890
    ("192.0.2.0/24", "a documentation address"),  # RFC 5737, and so for the next two of them
    ("192.88.99.0/24", "a 6to4 relay address"),  # RFC 7526
    ("192.168.0.0/16", "a private address"),
    ("198.18.0.0/15", "a benchmarking address"),  # RFC 2544
    ("198.51.100.0/24", "a documentation address"),
    ("203.0.113.0/24", "a documentation address"),
    ("224.0.0.0/4", "a multicast address"),
    ("255.255.255.255/32", "a broadcast address"),
    ("240.0.0.0/4", "a reserved address"),
]
_IPV6 = [
    ("::/128", "an unspecified address"),
    ("::1/128", "a loopback address"),
    ("::ffff:0:0/96", "an IPv4-mapped address"),  # RFC 4291 2.5.5.2: never seen on the wire
    ("64:ff9b:1::/48", "a local NAT64 address"),  # RFC 8215
    ("2001:db8::/32", "a documentation address"),  # RFC 3849
    ("2001::/32", "a Teredo address"),  # RFC 4380
    ("2001::/23", "a reserved address"),  # RFC 2928
    ("2002::/16", "a 6to4 address"),  # RFC 3056
    ("3fff::/20", "a documentation address"),  # RFC 9637
    ("fd00:ec2::254/128", "a cloud metadata address"),
    ("fc00::/7", "a private address"),  # RFC 4193
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a site-local address"),  # RFC 3879
    ("ff00::/8", "a multicast address"),
]
_NETWORKS_4 = [(ipaddress.IPv4Network(network), kind) for network, kind in _IPV4]
_NETWORKS_6 = [(ipaddress.IPv6Network(network), kind) for network, kind in _IPV6]
# RFC 6052 2.1: on a network without IPv4, DNS64 answers every IPv4-only host with an address of this prefix.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # nothing else of IPv6 has been given out


def not_public(ip: str) -> str | None:
    """What kind of address `ip` is, in words ("a loopback address"); None for one on the public Internet.

    An address of NAT64's well-known prefix is judged by the IPv4 address inside. ValueError if `ip` is no address.
    """
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv4Address):
        return next((kind for network, kind in _NETWORKS_4 if address in network), None)
    if address in _NAT64:
        inside = not_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        return inside and f"NAT64 for {inside}"
    if address.scope_id is not None:
        return "a link-local address"
    kind = next((kind for network, kind in _NETWORKS_6 if address in network), None)
    return kind or (None if address in _GLOBAL_UNICAST else "a reserved address")
