"""A little Internet on loopback: a DNS server, and mail servers that each have an address of their own and one port.

async with Internet() as internet:
    async with internet.mx("x.test", rcpt="550 5.1.1 no") as mx:
        ... a relay with `internet.settings()` delivers to bob@x.test ...
        await mx.received(1)
"""

import itertools
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from tests.parts.dns import FakeDns
from tests.parts.mx import FakeMx


class Internet:
    """`dns.zone` is what everybody knows; `home` takes what comes for sender.test, our own notices too."""

    def __init__(self) -> None:
        self.dns = FakeDns()
        # Not 127.0.0.1, where the system's own ports are, and not where another run of the tests may be.
        self._hosts = itertools.count(256)
        self._network = os.getpid() % 250 + 2

    async def __aenter__(self) -> Self:
        self.port = _free_port(self.address())
        await self.dns.__aenter__()
        self._home = self.mx("sender.test")
        self.home = await self._home.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._home.__aexit__(*exc)
        await self.dns.__aexit__(*exc)

    def address(self) -> str:
        """A loopback address that nobody has."""
        high, low = divmod(next(self._hosts), 250)
        return f"127.{self._network}.{high}.{low + 1}"

    @asynccontextmanager
    async def mx(self, domain: str, *, preference: int = 10, **behaviour: Any) -> AsyncIterator[FakeMx]:
        """A mail server for `domain`, beside those that it has already."""
        host = f"mx{preference}.{domain}"
        async with FakeMx(host=host, listen=self.address(), port=self.port, **behaviour) as mx:
            self.point(domain, host, mx.listen, preference=preference)
            yield mx

    def deserted(self, domain: str, *, preference: int = 10) -> str:
        """The MX of `domain` is an address where nobody listens; the address."""
        address = self.address()
        self.point(domain, f"mx{preference}.{domain}", address, preference=preference)
        return address

    def point(self, domain: str, host: str, address: str, *, preference: int = 10) -> None:
        """`domain` has the mail server `host` at `address`; nobody remembers the answer for long."""
        known = self.dns.zone.get(domain, {})
        servers = known.get("MX", []) if isinstance(known, Mapping) else []
        self.dns.zone[domain] = {"MX": [*servers, (preference, host)], "ttl": 0}
        self.dns.zone[host] = {"A": [address], "ttl": 0}

    def settings(self, **delivery: Any) -> dict[str, Any]:
        """What makes a relay live here, impatient enough for a test; `delivery` over that."""
        nameserver = f"{self.dns.endpoint.host}:{self.dns.endpoint.port}"
        usual = {"port": self.port, "allow_private_destinations": True, "retry": ["200ms"], "lease": "2s"}
        return {"dns": {"nameservers": [nameserver]}, "delivery": usual | delivery}


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
