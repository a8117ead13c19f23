"""A little Internet on loopback: a DNS server, and mail servers that each have an address of their own and one port.

async with Internet() as internet:
    async with internet.mx("x.test", rcpt="550 5.1.1 no") as mx:
        ... a relay with `internet.settings()` delivers to bob@x.test ...
        await mx.received(1)
"""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import dkim
import dns.message
import dns.query

from tests.parts.dns import FakeDns
from tests.parts.mx import FakeMx

PATIENCE = 60.0  # seconds for an answer


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

    def publish(self, record: Mapping[str, str]) -> None:
        """A TXT record (`name`, `value`, as `mailtrail domain … --json` prints it) is there for everybody."""
        value = record["value"]
        pieces = [f'"{value[start : start + 255]}"' for start in range(0, len(value), 255)]
        self.dns.zone[record["name"]] = {"TXT": [" ".join(pieces)], "ttl": 0}

    async def verified(self, content: bytes) -> bool:
        """Does a receiver, who asks our DNS, find that this mail is signed and that every signature holds?"""
        return await asyncio.to_thread(self._verified, content)

    def _verified(self, content: bytes) -> bool:
        mail = dkim.DKIM(content)
        signatures = sum(name.lower() == b"dkim-signature" for name, _ in mail.headers)
        try:
            return signatures > 0 and all(mail.verify(idx=at, dnsfunc=self._txt) for at in range(signatures))
        except dkim.ValidationError:  # its way to say that the body is another one
            return False

    def _txt(self, name: bytes, timeout: int = 0) -> bytes | None:
        endpoint = self.dns.endpoint
        question = dns.message.make_query(name.decode(), "TXT")
        said = dns.query.tcp(question, endpoint.host, timeout=PATIENCE, port=endpoint.port)
        found = [b"".join(record.strings) for rrset in said.answer for record in rrset]
        return found[0] if found else None

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
