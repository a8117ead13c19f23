"""DNS questions: MX and address records, remembered by their TTL; TXT records, asked for anew.

The only home of dnspython. It asks the configured name servers (or the system's), over
UDP and over TCP where an answer was cut, follows CNAMEs, and remembers what it heard: records for
their TTL, negative answers for the SOA's minimum (RFC 2308), failures for
`dns.failure_ttl`. Equal questions at the same time are one query.

It does not judge what an answer means for mail (relay/deliver/mx.py does), does not validate
DNSSEC, and knows no search list: every name is taken as absolute.

Failures are values: a name server that is silent, refuses or talks nonsense is an `Answer`
with `outcome` FAILED and the story in `problem`. Nothing here raises on what a stranger says.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.resolver

from relay.config import Dns
from relay.deliver.lookups import Lookups
from relay.reply import printable

MAX_ANSWERS = 10_000  # remembered, over all names and types
MAX_RECORDS = 50  # kept of one answer: best MX first
MAX_ALIASES = 8  # CNAMEs we follow ourselves, when the server did not
MAX_QUERIES = 500  # on their way at once: each is a socket
MIN_TTL = 1.0  # seconds; a TTL of 0 would make every message of a burst ask again
SERVER_TIMEOUT = 3.0  # seconds one server has before the next one is asked
EDNS_PAYLOAD = 1232  # octets: what passes everywhere unfragmented (DNS flag day 2020)

R = TypeVar("R", "str", "Mx", "bytes")  # what a record is read as


class Outcome(Enum):
    """What became of a question."""

    FOUND = auto()  # there are records
    NODATA = auto()  # the name exists, without records of this type
    NXDOMAIN = auto()  # the name does not exist
    FAILED = auto()  # nobody knows: SERVFAIL, REFUSED, no answer, nonsense


class Mx(NamedTuple):
    """An MX record; `host` is lower-case without the last dot, and empty for the null MX (RFC 7505)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """An answer, good until `expires` (the resolver's clock); `problem` says in words what FAILED."""

    outcome: Outcome
    expires: float
    records: tuple[R, ...] = ()
    problem: str = ""


class Resolver:
    """Asks and remembers. One per worker; `clock` gives seconds and never goes back."""

    def __init__(self, config: Dns, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.failure_ttl = config.failure_ttl
        self._max_ttl = config.max_ttl
        self._stub = _stub(config)
        self._answers: Lookups[Answer[Any]] = Lookups(MAX_ANSWERS, clock)
        self._slots = asyncio.Semaphore(MAX_QUERIES)
        self._hosts = read_hosts()

    async def mx(self, domain: str) -> Answer[Mx]:
        """The MX records of `domain` (A-labels), best first."""
        return await self._ask(domain, dns.rdatatype.MX, _mx)

    async def ipv4(self, host: str) -> Answer[str]:
        """The IPv4 addresses of `host`."""
        return await self._ask(host, dns.rdatatype.A, _address)

    async def ipv6(self, host: str) -> Answer[str]:
        """The IPv6 addresses of `host`."""
        return await self._ask(host, dns.rdatatype.AAAA, _address)

    async def txt(self, name: str) -> Answer[bytes]:
        """The TXT records of `name`, each with its strings joined. Not remembered: who asks waits for it to change."""
        return await self._query(name, dns.rdatatype.TXT, _txt)

    def local(self, host: str) -> tuple[str, ...]:
        """The addresses that /etc/hosts gives `host`: for names of the operator's, never for a stranger's."""
        return self._hosts.get(host.rstrip(".").lower(), ())

    async def close(self) -> None:
        """Give up what is being asked."""
        await self._answers.close()

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType, read: Callable[[dns.rdata.Rdata], R]) -> Answer[R]:
        return await self._answers.fetch((name, kind), lambda: self._query(name, kind, read))

    async def _query(self, name: str, kind: dns.rdatatype.RdataType, read: Callable[[dns.rdata.Rdata], R]) -> Answer[R]:
        try:
            asked = dns.name.from_text(name)
        except dns.exception.DNSException:
            # A label of 64 octets or a name of 256 cannot be in the DNS, so nobody need be asked.
            return Answer(Outcome.NXDOMAIN, self.clock() + self._max_ttl)
        ttl = self._max_ttl
        for _ in range(MAX_ALIASES):
            try:
                async with self._slots:
                    found = await self._stub.resolve(
                        asked, kind, search=False, raise_on_no_answer=False, backend=_BACKEND
                    )
            except dns.resolver.NXDOMAIN as answer:
                return self._negative(Outcome.NXDOMAIN, ttl, answer.kwargs["responses"][asked])
            except dns.exception.DNSException as error:
                return self._failed(name, kind, _why(error))
            ttl = min(ttl, found.chaining_result.minimum_ttl)
            if found.rrset is not None:
                records = sorted(read(record) for record in found.rrset)
                return Answer(Outcome.FOUND, self._until(ttl), tuple(records[:MAX_RECORDS]))
            if _has_soa(found.response) or found.canonical_name == asked:
                break
            asked = found.canonical_name  # an alias whose target the server did not look up
        else:
            return self._failed(name, kind, "its aliases (CNAME) do not end")
        # A server that neither recurses nor knows the zone refers us elsewhere: that is no proof of "no such record".
        if not _has_soa(found.response) and not found.response.flags & dns.flags.RA:
            return self._failed(name, kind, f"{found.nameserver} refers to other servers, it does not resolve for us")
        return self._negative(Outcome.NODATA, ttl, found.response)

    def _negative(self, outcome: Outcome, ttl: float, response: dns.message.Message) -> Answer[R]:
        # RFC 2308 5: a negative answer is kept for the smaller of the SOA's TTL and its minimum; without a SOA, hardly.
        if _has_soa(response) and isinstance(response, dns.message.QueryMessage):
            ttl = min(ttl, response.resolve_chaining().minimum_ttl)
        else:
            ttl = min(ttl, self.failure_ttl)
        return Answer(outcome, self._until(ttl))

    def _failed(self, name: str, kind: dns.rdatatype.RdataType, why: str) -> Answer[R]:
        # RFC 2308 7: a failure may be remembered, for five minutes at most.
        problem = f"DNS look-up of {dns.rdatatype.to_text(kind)} {name} failed: {why}"
        return Answer(Outcome.FAILED, self.clock() + self.failure_ttl, problem=problem)

    def _until(self, ttl: float) -> float:
        return self.clock() + max(MIN_TTL, min(ttl, self._max_ttl))


_BACKEND = dns.asyncbackend.get_backend("asyncio")


def _stub(config: Dns) -> dns.asyncresolver.Resolver:
    if config.nameservers:
        stub = dns.asyncresolver.Resolver(configure=False)
        stub.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in config.nameservers]
    else:
        try:
            stub = dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            # resolv.conf(5): without the file, the name server on this machine is asked.
            stub = dns.asyncresolver.Resolver(configure=False)
            stub.nameservers = ["127.0.0.1"]
    stub.lifetime = config.timeout
    stub.timeout = min(SERVER_TIMEOUT, config.timeout)
    stub.use_edns(0, 0, EDNS_PAYLOAD)
    return stub


def _mx(record: Any) -> Mx:
    return Mx(record.preference, record.exchange.to_text(omit_final_dot=True).lower().removeprefix("."))


def _address(record: Any) -> str:
    return str(record.address)


def _txt(record: Any) -> bytes:
    return b"".join(record.strings)


def _has_soa(response: dns.message.Message) -> bool:
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)


def _why(error: dns.exception.DNSException) -> str:
    """What the name servers did, in words; the last word of each of them."""
    said = {}
    for server, _, _, problem, _ in error.kwargs.get("errors") or ():
        server = server.removeprefix("Do53:").replace("@", ":")
        silent = isinstance(problem, dns.exception.Timeout)
        said[server] = "no answer" if silent else printable(str(problem)).rstrip(".")
    return "; ".join(f"{problem} from {server}" for server, problem in said.items()) or type(error).__name__


def read_hosts(path: Path = Path("/etc/hosts")) -> Mapping[str, tuple[str, ...]]:
    """Name → addresses, as hosts(5) has them. A file that cannot be read says nothing."""
    # RFC 6761 6.3: localhost names are loopback, whatever the file or the DNS says.
    found: dict[str, tuple[str, ...]] = {}
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if dns.inet.is_address(address):
            for name in {name.lower() for name in names}:
                found[name] = (*found.get(name, ()), address)
    found.setdefault("localhost", ("127.0.0.1", "::1"))
    return found
