"""Silence: a destination of which no host answers is left alone for a while, by all workers.

Each silence in a row doubles the pause, from the first wait of the retry table up to an
hour; the first answer ends it. The store tells the others; what we know ourselves is
only what we have met. A store that cannot be written loses nothing: the host is tried
again a little sooner or later.

RFC 5321 4.5.4.1: unsuccessful connections are remembered, per host.
"""

from collections.abc import Callable
from dataclasses import replace

from relay.delivery import Status, Verdict
from relay.store import Store, StoreUnavailable

MAX_PAUSE = 3600.0  # seconds for which a silent destination is left alone at most


class Silence:
    """One per worker. `first` is the first pause in seconds; `clock` gives the database's time, Unix seconds."""

    def __init__(self, store: Store, *, first: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._first = first
        self._clock = clock
        self._answering: set[str] = set()  # destinations that have answered since this worker started
        self._until: dict[str, float] = {}  # what this worker has found silent; the store knows what others have

    def holds(self, destination: str) -> bool:
        """Is it left alone now?"""
        until = self._until.get(destination)
        return until is not None and self._clock() < until

    async def judge(self, verdict: Verdict, destination: str) -> Verdict | None:
        """After an attempt: the verdict of all that waits for `destination`, if its hosts are silent. Never raises."""
        try:
            if verdict.about_host and verdict.status is Status.DEFERRED:
                self._answering.discard(destination)
                await self._block(destination, verdict.reason)
                return replace(
                    verdict,
                    reason=f"delivery temporarily suspended: {verdict.reason}",
                    retry_after=None,
                    about_host=False,
                )
            if destination not in self._answering and verdict.reply is not None:
                self._answering.add(destination)
                await self._store.unblock(destination)
        except StoreUnavailable:
            pass
        return None

    async def _block(self, destination: str, reason: str) -> None:
        if self.holds(destination):  # others of the same lane may have met the same silence
            return
        self._until[destination] = self._clock() + self._first  # while the store is asked, and should it fail
        failures = await self._store.failures(destination)
        pause = min(self._first * 2 ** min(failures, 20), MAX_PAUSE)
        now = self._clock()
        self._until[destination] = now + pause
        await self._store.block(destination, now=now, until=now + pause, reason=reason)

    def forget_past(self) -> None:
        """Let go of pauses that are over."""
        now = self._clock()
        for destination in [destination for destination, until in self._until.items() if until <= now]:
            del self._until[destination]
