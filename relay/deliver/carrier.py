"""One attempt at one delivery: may it go, the copy, the hops in order, the transaction, the verdict.

It is given a connection that may be kept from the delivery before, and gives back the
one that may be kept for the next. What others do wrong is in the verdict; nothing is
raised but our own mistakes. It does not settle: that is the dispatcher's.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.deliver import outcome, simulator
from relay.deliver.client import Client, Connection
from relay.deliver.conversation import Conversation
from relay.deliver.copying import Copies
from relay.deliver.exchange import Failure, Sent
from relay.deliver.mx import Hop, NextHops
from relay.deliver.suppressed import Suppressed
from relay.delivery import Attempt, Delivery, Made, Status, Verdict


class Judge(Protocol):
    """The table of `outcome.py`, with its settings filled in."""

    def __call__(self, exchange: Sent | Failure, *, more_hops: bool) -> Verdict | None: ...


_CONTENT_GONE = Verdict(
    Status.SOFT_BOUNCE, "unknown_permanent", "5.3.0", "the content of this message is no longer kept by this relay"
)


@dataclass(frozen=True, slots=True)
class Carried:
    """What an attempt came to. `relayed`: the next server took no responsibility for NOTIFY (RFC 3461).

    `made` says what the copy was; None: there was no attempt, or no copy.
    """

    attempt: Attempt
    verdict: Verdict
    connection: Connection | None
    relayed: bool = False
    made: Made | None = None


class _Try:
    """The state of one attempt while it is made."""

    def __init__(self, delivery: Delivery, in_hand_since: float, clock: Callable[[], float]) -> None:
        self.delivery = delivery
        self.outgoing = delivery
        self._clock = clock
        self.started_at = clock()
        self.ms_queue = max(0, int((self.started_at - in_hand_since) * 1000))
        self.ms_dns: int | None = None
        self.conversation = Conversation()
        self.hop: Hop | None = None
        self.exchange: Sent | Failure | None = None
        self.made: Made | None = None

    def told(self) -> Attempt:
        talk, hop = self.conversation, self.hop
        replied = isinstance(self.exchange, Failure) and self.exchange.reply is not None
        return Attempt(
            started_at=self.started_at,
            finished_at=self._clock(),
            mx_host=hop.host if hop else None,
            mx_ip=hop.ip if hop else None,
            mx_port=hop.port if hop else None,
            source_ip=talk.source_ip,
            tls=talk.tls,
            in_reply_to=self.exchange.step if replied and isinstance(self.exchange, Failure) else None,
            ms_queue=self.ms_queue,
            ms_dns=self.ms_dns,
            ms_connect=talk.ms_connect,
            ms_tls=talk.ms_tls,
            ms_data=talk.ms_data,
            transcript=talk.lines,
        )


class Carrier:
    """Makes attempts; one per worker. `clock` gives Unix seconds."""

    def __init__(
        self,
        client: Client,
        next_hops: NextHops,
        copies: Copies,
        suppressed: Suppressed,
        *,
        sandbox: bool,
        outgoing: Callable[[Delivery], Delivery] = lambda delivery: delivery,
        judge: Judge = outcome.judge,
        afterwards: Callable[[simulator.Act, Delivery, bytes], None] = lambda act, delivery, copy: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`outgoing` gives a delivery as the next server is to see it: with our reverse-path in place of its own.

        `judge` says what an exchange means, as the configuration wants it. `afterwards` is told what a simulated
        recipient does with the copy that it has accepted.
        """
        self._clock = clock
        self._client = client
        self._next_hops = next_hops
        self._copies = copies
        self._suppressed = suppressed
        self._sandbox = sandbox
        self._outgoing = outgoing
        self._judge = judge
        self._afterwards = afterwards

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """These are in hand now: whether they may go is asked at once, for all in one."""
        self._suppressed.expect(deliveries)

    def forget(self, delivery: Delivery) -> None:
        """This one will not be carried after all."""
        self._suppressed.forget(delivery)

    async def carry(self, delivery: Delivery, in_hand_since: float, kept: Connection | None, lane: str) -> Carried:
        """Try `delivery` of that lane once, over `kept` if that still works."""
        this = _Try(delivery, in_hand_since, self._clock)
        if stopped := await self._suppressed.check(delivery):
            return Carried(this.told(), stopped, kept)
        async with self._copies.make(delivery, lane) as copy:
            if copy is None:
                return Carried(this.told(), _CONTENT_GONE, kept)
            this.made = Made(copy.trackable, copy.links, copy.note)
            this.outgoing = self._outgoing(delivery)
            simulated = simulator.answer(delivery.recipient, delivery.attempt, sandbox=self._sandbox)
            if simulated is not None:
                return await self._simulate(this, simulated, copy.content, kept)
            return await self._deliver(this, copy.content, kept)

    async def _simulate(
        self, this: _Try, fate: simulator.SimulatedReply, copy: bytes, kept: Connection | None
    ) -> Carried:
        await asyncio.sleep(fate.delay)
        this.hop = Hop(simulator.HOST, simulator.IP, simulator.PORT)
        this.exchange = fate.play(this.outgoing, copy, this.conversation)
        verdict = self._judge(this.exchange, more_hops=False)
        assert verdict is not None  # without another hop there is always one
        if fate.then and isinstance(this.exchange, Sent):
            self._afterwards(fate.then, this.outgoing, copy)
        return Carried(this.told(), verdict, kept, made=this.made)

    async def _deliver(self, this: _Try, copy: bytes, kept: Connection | None) -> Carried:
        # 1. Where to: known already, or asked now. Nowhere: that is the verdict.
        # 2. Over the kept connection, if it is alive.
        # 3. Else each hop in turn, until one of them decides.
        destination = this.delivery.destination
        hops: Sequence[Hop] | Verdict | None = self._next_hops.cached(destination)
        if hops is None:
            began = time.monotonic()
            hops = await self._next_hops.find(destination)
            this.ms_dns = int((time.monotonic() - began) * 1000)
        if isinstance(hops, Verdict):
            this.conversation.note(hops.reason)
            return Carried(this.told(), hops, kept, made=this.made)
        if kept is not None:
            this.hop = kept.hop
            this.exchange = await kept.send(this.outgoing, copy, this.conversation)
            if not (isinstance(this.exchange, Failure) and this.exchange.stale):
                others = [hop for hop in hops if hop != kept.hop]
                if done := self._judged(this, kept, more_hops=bool(others)):
                    return done
                hops = others
            await kept.close()
        return await self._each(this, copy, hops)

    async def _each(self, this: _Try, copy: bytes, hops: Sequence[Hop]) -> Carried:
        for left, hop in zip(range(len(hops) - 1, -1, -1), hops, strict=True):
            this.hop = hop
            opened = await self._client.open(hop, this.conversation)
            connection = None
            if isinstance(opened, Failure):
                this.exchange = opened
            else:
                connection = opened
                this.exchange = await connection.send(this.outgoing, copy, this.conversation)
            if done := self._judged(this, connection, more_hops=left > 0):
                return done
            if connection is not None:
                await connection.close()
        raise AssertionError("the last hop always decides")

    def _judged(self, this: _Try, connection: Connection | None, *, more_hops: bool) -> Carried | None:
        assert this.exchange is not None
        verdict = self._judge(this.exchange, more_hops=more_hops)
        if verdict is None:
            return None
        relayed = isinstance(this.exchange, Sent) and not this.exchange.dsn
        return Carried(this.told(), verdict, connection, relayed, this.made)
