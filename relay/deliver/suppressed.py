"""May this address still be mailed? Asked before every attempt: somebody may have unsubscribed a second ago.

All that is asked while one look-up runs goes into the next one, so that a busy relay asks the database once for
many deliveries. What a person or a report has put on the list counts from its commit on, for mail that was spooled
long before too. Our own notices are not asked about: they go to senders, not to recipients.

A delivery is asked about as soon as it is in hand (`expect`), and once more if it has waited since then. While the
list cannot be read, what was found first counts: the claim ends soon, and so does that. Of what was never found out
nothing is sent: StoreUnavailable. It does not change the list, and does not settle.
"""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from relay.delivery import Delivery, Status, Verdict
from relay.envelope import Origin
from relay.store import StoreUnavailable
from suppression.entry import Entry

FRESH = 0.5  # seconds for which an answer is as good as a new one

Asked = tuple[str, str]  # address, and tag ("": none)


class List(Protocol):
    """Where the entries are kept."""

    async def suppressed(self, asked: list[Asked]) -> list[Entry | None]:
        """Of each, the entry that stops mail there now."""


class Suppressed:
    """One per worker."""

    def __init__(self, store: List) -> None:
        self._store = store
        self._waiting: list[tuple[Asked, asyncio.Future[Entry | None]]] = []
        self._looking: asyncio.Task[None] | None = None
        # Of what is in hand and not tried yet: the answer, and when it was asked for (monotonic seconds).
        self._expected: dict[tuple[str, int], tuple[float, asyncio.Future[Entry | None]]] = {}

    def expect(self, deliveries: Iterable[Delivery]) -> None:
        """These are in hand now and will be asked about, unless they are forgotten."""
        now = time.monotonic()
        for delivery in deliveries:
            if delivery.message.origin is Origin.APPLICATION:
                answer = self._entry(_question(delivery))
                answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody asks
                self._expected[_name(delivery)] = now, answer

    def forget(self, delivery: Delivery) -> None:
        """It will not be tried by us."""
        self._expected.pop(_name(delivery), None)

    async def check(self, delivery: Delivery) -> Verdict | None:
        """`rejected`, with why and since when; None: it may be tried. Raises StoreUnavailable."""
        if delivery.message.origin is not Origin.APPLICATION:
            return None
        asked_at, first = self._expected.pop(_name(delivery), (0.0, None))
        if first is not None and time.monotonic() - asked_at < FRESH:
            with suppress(StoreUnavailable):
                return _verdict(await first)
        try:
            return _verdict(await self._entry(_question(delivery)))
        except StoreUnavailable:
            if first is None:
                raise
            return _verdict(await first)

    def _entry(self, asked: Asked) -> "asyncio.Future[Entry | None]":
        answer: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="suppression look-ups")
        return answer

    async def _look(self) -> None:
        await asyncio.sleep(0)  # whatever is ready in this turn of the loop asks with it
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                found = await self._store.suppressed([question for question, _ in asked])
            except Exception as error:  # whatever went wrong is for those who asked: each of them has its own attempt
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), entry in zip(asked, found, strict=True):
                    if not answer.done():
                        answer.set_result(entry)
        self._looking = None


def _name(delivery: Delivery) -> tuple[str, int]:
    return delivery.message.queue_id, delivery.number


def _question(delivery: Delivery) -> Asked:
    return str(delivery.recipient), delivery.message.tag or ""


def _verdict(entry: Entry | None) -> Verdict | None:
    return Verdict(Status.REJECTED, entry.reason_class, entry.dsn, entry.words) if entry else None
