"""Next hops: the servers that take mail for a destination, in the order to try them.

A destination is a domain (A-labels) or an address literal. A route of the operator's answers
first; else the domain's MX records do: best preference first and equal ones shuffled, every
address of each host, IPv6 and IPv4 by turns; a domain without MX stands for itself. What was
found is remembered as long as its shortest TTL; then the answer is one look into a
dictionary (`cached`), and nothing is awaited.

It does not connect, and knows nothing of what became of earlier attempts.

RFC 5321 5.1 (finding the target host), RFC 7505 (null MX), RFC 5321 4.1.3 (literals).

Where there is no next hop the result is a `Verdict` from relay/deliver/nowhere.py; whatever a stranger's
DNS says, nothing is raised.
"""

import asyncio
import ipaddress
import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, zip_longest
from operator import attrgetter
from typing import TypeVar

from relay.config import Config, Endpoint, Route
from relay.deliver import machine, nowhere
from relay.deliver.dns import Mx, Outcome, Resolver
from relay.deliver.lookups import Lookups
from relay.deliver.private import not_public
from relay.delivery import Status, Verdict

MAX_DESTINATIONS = 10_000  # remembered
# A stranger's domain says how many records there are; these are our limits.
MAX_HOSTS = 20
MAX_ADDRESSES_PER_HOST = 10
MAX_ADDRESSES = 40
NETWORK_TTL = 300.0  # seconds; what this machine's network says of a fixed address may change

# RFC 5321 2.3.5, and the underscore that some use. A last label of digits alone makes an address of it (RFC 3696 2).
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*(?![0-9]+$)[a-z0-9_-]{1,63}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hop:
    """One address to connect to. `route` is set where the operator sent us, `preference` where an MX record did."""

    host: str  # the name its certificate should bear; for a literal the address itself
    ip: str
    port: int
    route: Route | None = None
    preference: int | None = None


Hops = tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class _Host:
    """A mail host and its addresses. None: it has no address, or nobody knows, and `problem` says why."""

    name: str
    preference: int | None
    hops: Hops
    expires: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is remembered of a destination. `groups`, hosts of equal preference, is empty if there is only one order."""

    answer: Hops | Verdict
    expires: float
    groups: tuple[tuple[Hops, ...], ...] = ()


class NextHops:
    """Finds next hops. One per worker; `listeners` are the endpoints at which this relay itself accepts mail."""

    def __init__(
        self, resolver: Resolver, config: Config, *, listeners: Iterable[Endpoint], chance: random.Random | None = None
    ) -> None:
        self._resolver = resolver
        self._delivery = config.delivery
        self._hostname = config.hostname.lower().rstrip(".")
        self._routes = {destination.lower(): route for destination, route in config.delivery.routes.items()}
        self._listeners = tuple(listeners)
        self._chance = chance or random.Random()
        self._found: Lookups[_Found] = Lookups(MAX_DESTINATIONS, resolver.clock)

    def cached(self, destination: str) -> Hops | Verdict | None:
        """What `find` would give, if it is known already; None if somebody must be asked."""
        found = self._found.get(self._key(destination))
        return None if found is None else self._ordered(found)

    async def find(self, destination: str) -> Hops | Verdict:
        """The next hops of `destination`, at least one; or what it means that there are none. May be cancelled."""
        key = self._key(destination)
        return self._ordered(await self._found.fetch(key, lambda: self._look_up(key)))

    async def close(self) -> None:
        """Give up what is being looked up."""
        await self._found.close()

    def _key(self, destination: str) -> str:
        # What the route "*" answers is one entry, however many destinations there are.
        return "*" if "*" in self._routes and destination not in self._routes else destination

    def _ordered(self, found: _Found) -> Hops | Verdict:
        # RFC 5321 5.1: hosts of equal preference are tried in random order, to spread the load. So are the addresses
        # of one host: records of one name have no order (RFC 2181 5), and a cache would freeze the one they came in.
        if not found.groups:
            return found.answer
        hosts = chain.from_iterable(self._shuffled(group) for group in found.groups)
        return tuple(chain.from_iterable(_by_turns(self._shuffled(host)) for host in hosts))

    async def _look_up(self, key: str) -> _Found:
        if key in self._routes:
            return await self._by_route(self._routes[key])
        if key.startswith("["):
            return self._by_literal(key)
        return await self._by_mx(key)

    async def _by_route(self, route: Route) -> _Found:
        # The operator's word: no MX look-up, no judgement of the address, and /etc/hosts counts.
        name = route.host.strip("[]")
        if known := (name,) if _is_address(name) else self._resolver.local(name):
            host = _Host(name, None, tuple(Hop(name, ip, route.port, route) for ip in known), math.inf)
        else:
            host = await self._resolve(name, route.port, route=route)
        if host.hops:
            usable = tuple(hop for hop in host.hops if self._has_way(hop.ip)) or host.hops
            return _found(usable, min(host.expires, self._resolver.clock() + NETWORK_TTL))
        verdict = nowhere.nobody_knows(host.problem) if host.problem else nowhere.no_such_route(name)
        return _Found(verdict, host.expires)

    def _by_literal(self, destination: str) -> _Found:
        # RFC 5321 4.1.3: [192.0.2.1] or [IPv6:2001:db8::1]; there is nothing to look up.
        expires = self._resolver.clock() + NETWORK_TTL
        text = destination[1:-1]
        ip = text[5:] if text[:5].lower() == "ipv6:" else text
        if not _is_address(ip):
            return _Found(nowhere.no_literal(destination), expires)
        host = _Host(ip, None, (Hop(ip, ip, self._delivery.port),), expires)
        return self._judge(destination, [host], expires)

    async def _by_mx(self, domain: str) -> _Found:
        # 1. Ask for MX records. Unknown: wait. No such domain, or a null MX: the end. None: the domain is its own.
        # 2. Cut the list where it names us, and take the best that are left.
        # 3. Ask for the addresses of all these hosts at once, and judge them together.
        mx = await self._resolver.mx(domain)
        if mx.outcome is Outcome.FAILED:
            # RFC 5321 5.1: nothing is concluded from a temporary error, least of all that there is no MX.
            return _Found(nowhere.nobody_knows(mx.problem), mx.expires)
        if mx.outcome is Outcome.NXDOMAIN:
            return _Found(nowhere.no_such_domain(domain), mx.expires)
        # RFC 7505 3: an MX of "." alone says that the domain takes no mail. Beside others it is a mistake, and skipped.
        if mx.records and not any(record.host for record in mx.records):
            return _Found(nowhere.takes_no_mail(domain), mx.expires)
        # RFC 5321 5.1: a domain without MX records is its own mail host, with preference 0.
        records = self._best(mx.records or (Mx(0, domain),))
        if not records:
            return _Found(nowhere.loops_back(domain, self._hostname), mx.expires)
        port = self._delivery.port
        hosts = await asyncio.gather(*(self._resolve(record.host, port, record.preference) for record in records))
        return self._judge(domain, hosts, min(mx.expires, *(host.expires for host in hosts)), implicit=not mx.records)

    def _best(self, records: Iterable[Mx]) -> list[Mx]:
        """Up to MAX_HOSTS records, best first, each host once; cut off where our own name comes."""
        # RFC 5321 5.1: a relay that finds itself drops that record and all that are not better: mail must not circle.
        ours = min((record.preference for record in records if record.host == self._hostname), default=math.inf)
        best: dict[str, Mx] = {}
        for record in sorted(records, key=lambda record: (record.preference, self._chance.random())):
            if record.host and record.preference < ours:
                best.setdefault(record.host, record)
        return list(best.values())[:MAX_HOSTS]

    async def _resolve(self, name: str, port: int, preference: int | None = None, route: Route | None = None) -> _Host:
        """A host and up to MAX_ADDRESSES_PER_HOST of its addresses."""
        if not _HOST.fullmatch(name.lower()):
            # RFC 2181 10.3: an MX names a host; an address written as a name is none.
            return _Host(name, preference, (), math.inf)
        questions = [self._resolver.ipv4, self._resolver.ipv6] if self._delivery.ipv6 else [self._resolver.ipv4]
        answers = list(await asyncio.gather(*(ask(name) for ask in questions)))
        if not self._delivery.ipv6 and not answers[0].records:
            answers.append(await self._resolver.ipv6(name))  # is there nothing, or only nothing that we may use?
        hops = [Hop(name, ip, port, route, preference) for answer in answers for ip in answer.records]
        # One family's failure matters only while the other has nothing to offer.
        problem = "" if hops else next((answer.problem for answer in answers if answer.problem), "")
        expires = min(answer.expires for answer in answers)
        some = tuple(_by_turns(self._shuffled(hops))[:MAX_ADDRESSES_PER_HOST])
        return _Host(name, preference, some, expires, problem)

    def _judge(self, destination: str, hosts: Sequence[_Host], expires: float, *, implicit: bool = False) -> _Found:
        """Of `hosts`, best first, the addresses mail may go to; or why there are none. `implicit`: there was no MX."""
        # RFC 5321 5.1, again: we know ourselves by address too.
        ours = [host for host in hosts if any(machine.is_ours(hop.ip, hop.port, self._listeners) for hop in host.hops)]
        if ours:
            hosts = [host for host in hosts if (host.preference or 0) < (ours[0].preference or 0)]
        if not hosts:
            return _Found(nowhere.loops_back(destination, ours[0].name), expires)

        usable: dict[str, Hop] = {}  # each address once, under its best host
        against: list[Verdict] = []
        for host in hosts:
            if host.problem:
                against.append(nowhere.nobody_knows(host.problem))
            elif not host.hops and implicit:
                against.append(nowhere.no_mail_host(destination))
            elif not host.hops:
                against.append(nowhere.mail_host_missing(destination, host.name))
            for hop in host.hops:
                if not self._delivery.allow_private_destinations and (kind := not_public(hop.ip)):
                    against.append(nowhere.not_allowed(destination, hop.host, hop.ip, kind))
                elif not self._has_way(hop.ip):
                    against.append(nowhere.no_way(hop.host, hop.ip, ipv6=self._delivery.ipv6))
                    expires = min(expires, self._resolver.clock() + self._resolver.failure_ttl)  # routes come and go
                else:
                    usable.setdefault(hop.ip, hop)
        if usable:
            return _found(tuple(usable.values())[:MAX_ADDRESSES], expires)
        # A reason to wait outweighs a reason to give up.
        return _Found(next((verdict for verdict in against if verdict.status is Status.DEFERRED), against[0]), expires)

    def _has_way(self, ip: str) -> bool:
        return ":" not in ip or (self._delivery.ipv6 and machine.has_way(ip))

    def _shuffled(self, items: Iterable[T]) -> list[T]:
        shuffled = list(items)
        self._chance.shuffle(shuffled)
        return shuffled


def _found(hops: Hops, expires: float) -> _Found:
    """`hops`, best first, with what may be shuffled among them."""
    groups = tuple(
        tuple(tuple(host) for _, host in groupby(group, attrgetter("host")))
        for _, group in groupby(hops, attrgetter("preference"))
    )
    fixed = all(len(group) == 1 and len(group[0]) == len({":" in hop.ip for hop in group[0]}) for group in groups)
    return _Found(hops, expires, () if fixed else groups)


def _by_turns(hops: Iterable[Hop]) -> list[Hop]:
    # RFC 8305 4: families by turns, so that one that leads nowhere does not stand before all of the other.
    six: list[Hop] = []
    four: list[Hop] = []
    for hop in hops:
        (six if ":" in hop.ip else four).append(hop)
    return [hop for pair in zip_longest(six, four) for hop in pair if hop is not None]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
