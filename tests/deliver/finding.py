"""A `NextHops` that asks a `FakeDns`, and a clock that a test moves by hand."""

import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from relay.config import Config, DeliverySection, Dns, Endpoint
from relay.deliver.dns import Resolver
from relay.deliver.mx import Hop, NextHops
from relay.delivery import Verdict
from tests.parts.dns import FakeDns


@dataclass
class Clock:
    """Seconds, by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Finding:
    """What a test needs of it."""

    dns: FakeDns
    clock: Clock
    resolver: Resolver
    next_hops: NextHops

    async def hops(self, destination: str) -> tuple[Hop, ...]:
        """The next hops; there must be some."""
        found = await self.next_hops.find(destination)
        assert not isinstance(found, Verdict), found
        return found

    async def ips(self, destination: str) -> list[str]:
        """Their addresses, in order."""
        return [hop.ip for hop in await self.hops(destination)]

    async def verdict(self, destination: str) -> Verdict:
        """Why there is no next hop; there must be none."""
        found = await self.next_hops.find(destination)
        assert isinstance(found, Verdict), found
        return found


@asynccontextmanager
async def finding(
    zone: Mapping[str, Any],
    *,
    listeners: Iterable[Endpoint] = (),
    dns: Mapping[str, Any] | None = None,
    seed: int = 1,
    **delivery: Any,
) -> AsyncIterator[Finding]:
    """`zone` is FakeDns's; `dns` and `delivery` are settings of these sections. Private destinations are allowed."""
    async with FakeDns(zone) as server:
        config = Config(
            hostname="relay.test",
            dns=Dns(nameservers=(server.endpoint,), **({"timeout": 30.0} | dict(dns or {}))),
            delivery=DeliverySection(**({"port": 2525, "allow_private_destinations": True} | delivery)),
        )
        clock = Clock()
        resolver = Resolver(config.dns, clock=clock)
        next_hops = NextHops(resolver, config, listeners=listeners, chance=random.Random(seed))
        yield Finding(server, clock, resolver, next_hops)
        await next_hops.close()
        await resolver.close()
