"""Reads the content of one message from a client: all of DATA, or one BDAT chunk after the other.

Everything about a content on its way is here: its octets (`Body`), its limits and its time
rules. It does not reply and keeps nothing for later; what is to become of it the session asks
once it has all come (`result`).

Rules. Content that is too big, or that there is no memory for, is read to its end and then
refused: a client reads replies between commands only. Some will never end well: a line as
long as a message may be, many times that in all, or octets that only drip. Then there is
`Unwanted`, the rest is on its way, and the session must end lest it be taken for commands.
Fails with `Unwanted`, and with `Timeout` and `Hangup` as the reader does.
Standards: RFC 5321 4.1.1.4 and 4.5.3.2 (time-outs), RFC 3030 (BDAT), RFC 1870 (SIZE).
"""

import asyncio
import math
from collections.abc import Callable

from relay.accept import texts
from relay.accept.body import Body, Budget
from relay.accept.reader import Reader, Timeout
from relay.accept.texts import Refused
from relay.config import Inbound, Submission

HOPELESS = 10  # times the size limit: whoever still sends then is not waited for


class Unwanted(Exception):
    """Content that nobody waits for any longer: `refused` says why, `late` that it came too slowly."""

    def __init__(self, refused: Refused, *, late: bool = False) -> None:
        super().__init__(refused.rule.number)
        self.refused = refused
        self.late = late


class Content:
    """One content. `limit` is its most octets; `too_big` makes the refusal of that many."""

    __slots__ = ("_body", "_loop", "_reader", "_settings", "_stuffed", "_too_big")

    def __init__(
        self,
        reader: Reader,
        loop: asyncio.AbstractEventLoop,
        settings: Submission | Inbound,
        budget: Budget,
        limit: int,
        too_big: Callable[[int], Refused],
    ) -> None:
        self._reader = reader
        self._loop = loop
        self._settings = settings
        self._too_big = too_big
        self._body = Body(limit, budget)
        self._stuffed = False

    async def data(self) -> None:
        """All of DATA, up to its end; what follows stays with the reader."""
        self._stuffed = True
        started = self._loop.time()
        rest = None
        while rest is None:
            rest = self._body.feed(await self._some(started))
            if rest is None:
                self._check()
        self._reader.put_back(rest)

    async def chunk(self, size: int) -> None:
        """The `size` octets of one more BDAT chunk."""
        await self._announced(size, self._body.add)

    async def skip(self, size: int) -> None:
        """The `size` octets of a BDAT chunk that was refused: read, or they would be taken for commands."""
        await self._announced(size, self._body.skip)

    @property
    def failed(self) -> bool:
        """Is it certain already that it will be refused?"""
        return self._body.too_big or self._body.no_memory

    def result(self) -> bytes | Refused:
        """The content with its line ends settled, or why it cannot be had."""
        body = self._body
        if body.no_memory:
            return Refused(texts.NO_MEMORY)
        octets = b""
        if not body.too_big:
            octets = body.unstuffed() if self._stuffed else body.plain()
        # Settled line ends may have made it too big only now.
        return self._too_big(max(body.received, body.limit + 1)) if body.too_big else octets

    def close(self) -> None:
        """Give the memory back."""
        self._body.close()

    async def _announced(self, size: int, take: Callable[[bytes], None]) -> None:
        started = self._loop.time()
        while size:
            octets = await self._some(started, size)
            size -= len(octets)
            take(octets)
            self._check()

    async def _some(self, started: float, most: int | None = None) -> bytes:
        """Some octets; `Timeout` after data_timeout without any, `Unwanted` where they only drip."""
        settings = self._settings
        now = self._loop.time()
        # A least rate over the whole, the first data_timeout seconds free: slow lines may be slow, drips do not last.
        rate = settings.min_data_rate
        slowest = started + settings.data_timeout + self._body.received / rate if rate else math.inf
        try:
            return await self._reader.chunk(min(now + settings.data_timeout, slowest), most)
        except Timeout:
            if slowest > now + settings.data_timeout:
                raise
            raise Unwanted(Refused(texts.TOO_SLOW, {"rate": rate}), late=True) from None

    def _check(self) -> None:
        """`Unwanted` for what will never end well."""
        body = self._body
        if body.line > body.limit:
            raise Unwanted(Refused(texts.ENDLESS_LINE, {"limit": texts.octets(body.limit)}))
        if body.received > body.limit * HOPELESS:
            raise Unwanted(self._too_big(body.received))
