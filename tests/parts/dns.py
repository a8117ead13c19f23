"""A real DNS server on loopback, UDP and TCP, that answers from plain data and misbehaves by name.

    async with FakeDns({
        "x.test": {"MX": [(10, "mx.x.test"), (20, "mx2.x.test")]},
        "mx.x.test": {"A": ["127.0.0.1"], "AAAA": ["::1"], "ttl": 60},
        "www.x.test": {"CNAME": "x.test"},
        "null.test": {"MX": [(0, ".")]},
        "broken.test": "servfail",
        "half.test": {"MX": [(10, "mx.x.test")], "AAAA": "timeout"},
        "far.test": {"MX": [(10, "mx.x.test")], "as": "slow"},
    }) as dns:
        config = Dns(nameservers=(dns.endpoint,))

A name that is not in the data does not exist (NXDOMAIN); a type that a name lacks is NODATA. Other types
(TXT, PTR, …) are lists of strings as a zone file has them. Aliases are followed within the data, as a
recursive server does. An answer too big for UDP is cut. `zone` may be changed while it runs;
`queries["x.test", "MX"]` counts questions (a retry over TCP is one more).

`MISBEHAVIOURS` may stand in the place of a name's data, of one type's records, or, with data, under "as".
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from relay.config import Endpoint

MISBEHAVIOURS = {
    "servfail": "the server failed, or could not reach those who know",
    "refused": "it does not answer to us",
    "nxdomain": "said as if the name did not exist",
    "timeout": "no answer at all",
    "slow": "the true answer, but not before `release()`",
    "garbage": "bytes that are no DNS message",
    "truncated": "cut over UDP whatever its size, whole over TCP",
    "spoofed": "a lie with a wrong id comes just before the true answer",
    "lame": "no error, no records and no recursion: a server that knows nothing about it",
    "unchased": "an alias alone, without the records of its target",
    "nosoa": "a negative answer does not say how long it is good",
}
RCODES = {"servfail": dns.rcode.SERVFAIL, "refused": dns.rcode.REFUSED, "nxdomain": dns.rcode.NXDOMAIN}

Name = Mapping[str, Any] | str  # type → records, "ttl" → seconds, "as" → misbehaviour; or a misbehaviour


class FakeDns:
    """Serves `zone` at `endpoint`; `negative_ttl` is what its SOA says of answers that are not there (seconds)."""

    endpoint: Endpoint

    def __init__(self, zone: Mapping[str, Name] | None = None, *, negative_ttl: int = 60) -> None:
        self.zone: dict[str, Name] = dict(zone or {})
        self.negative_ttl = negative_ttl
        self.queries: Counter[tuple[str, str]] = Counter()
        self._news = asyncio.Condition()
        self._released = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()

    def release(self) -> None:
        """Give the answers that are "slow", now and from now on."""
        self._released.set()

    async def asked(self, name: str, kind: str, times: int = 1) -> None:
        """Wait until `name` has been asked for `times` times."""
        async with self._news:
            await self._news.wait_for(lambda: self.queries[name, kind] >= times)

    async def __aenter__(self) -> "FakeDns":
        loop = asyncio.get_running_loop()
        while True:
            self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
            port = self._tcp.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), ("127.0.0.1", port))
                break
            except OSError:  # somebody has this port for UDP: take another one
                self._tcp.close()
        self.endpoint = Endpoint("127.0.0.1", port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tcp.close()
        self._udp.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._tcp.wait_closed()

    def start(self, wire: bytes, address: Any) -> None:
        """Answer one datagram, in a task of its own."""
        task = asyncio.create_task(self._answer_udp(wire, address))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer_udp(self, wire: bytes, address: Any) -> None:
        for answer in await self._answers(wire, udp=True):
            self._udp.sendto(answer, address)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._answering.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                for answer in await self._answers(await reader.readexactly(length), udp=False):
                    writer.write(struct.pack("!H", len(answer)) + answer)
        writer.close()
        self._answering.discard(task)

    async def _answers(self, wire: bytes, *, udp: bool) -> list[bytes]:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        async with self._news:
            self.queries[name, kind] += 1
            self._news.notify_all()
        how = self._how(name, kind)
        if how == "timeout":
            await asyncio.Event().wait()
        if how == "slow":
            await self._released.wait()
        if how == "garbage":
            return [wire[:2] + b"\x80\x00 no DNS message"]
        response = self._response(query, name, kind, how)
        if not udp:
            return [response.to_wire(max_size=65535)]
        answer = _datagram(response, query, cut=how == "truncated")
        return [_lie(query), answer] if how == "spoofed" else [answer]

    def _how(self, name: str, kind: str) -> str | None:
        data = self.zone.get(name, {})
        if isinstance(data, str):
            how: str | None = data
        elif kind != "CNAME" and isinstance(data.get(kind), str):
            how = data[kind]
        else:
            how = data.get("as")
        if how is not None and how not in MISBEHAVIOURS:
            raise ValueError(f"{how!r} is no misbehaviour: {', '.join(MISBEHAVIOURS)}")
        return how

    def _response(self, query: dns.message.Message, name: str, kind: str, how: str | None) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=how != "lame")
        if how in RCODES:
            response.set_rcode(RCODES[how])
        elif how != "lame":
            self._add_records(response, name, kind, follow=how != "unchased")
        found = any(dns.rdatatype.to_text(rrset.rdtype) == kind for rrset in response.answer)
        if not found and how not in ("servfail", "refused", "lame", "unchased", "nosoa"):
            soa = f"ns.test. admin.test. 1 3600 600 86400 {self.negative_ttl}"
            response.authority.append(dns.rrset.from_text(".", self.negative_ttl, "IN", "SOA", soa))
        return response

    def _add_records(self, response: dns.message.Message, name: str, kind: str, *, follow: bool) -> None:
        """Add what `name` has of `kind`, the aliases on the way first."""
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            data = self.zone.get(name)
            if data is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
            if isinstance(data, str):
                response.set_rcode(RCODES.get(data, dns.rcode.SERVFAIL))
                return
            alias = data.get("CNAME") if kind != "CNAME" else None
            records = [f"{alias}."] if alias else [_text(record) for record in data.get(kind, ())]
            if records:
                found = "CNAME" if alias else kind
                response.answer.append(dns.rrset.from_text(f"{name}.", data.get("ttl", 300), "IN", found, *records))
            if not alias or not follow:
                return
            name = alias


def _text(record: tuple[int, str] | str) -> str:
    """A record as a zone file has it; (10, "mx.x.test") is an MX."""
    return record if isinstance(record, str) else f"{record[0]} {record[1].rstrip('.')}."


def _datagram(response: dns.message.Message, query: dns.message.Message, *, cut: bool) -> bytes:
    """The response for UDP: without its records where it is too big."""
    with suppress(dns.exception.TooBig):
        if not cut:
            return response.to_wire(max_size=max(query.payload, 512))
    response.answer.clear()
    response.authority.clear()
    response.flags |= dns.flags.TC
    return response.to_wire()


def _lie(query: dns.message.Message) -> bytes:
    """What somebody says who has not seen the question's id."""
    lie = dns.message.make_response(query)
    lie.set_rcode(dns.rcode.NXDOMAIN)
    lie.id ^= 0xFFFF
    return lie.to_wire()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDns) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.start(data, addr)
