"""Keeps what was refused, so that it can be looked up by its reference; not without end.

Every refusal is in the log. What is kept besides is bounded for each client and minute, or a
stranger who only knocks could fill the disk for as long as refusals are kept. Clients that we
know, by their login or from trusted_networks, have more room: theirs are asked about.
The log says once a minute for each client that some were not kept. Never raises.
"""

from typing import Protocol

from relay.accept.credentials import neighbours
from relay.event import Refusal

STRANGER = 10  # refusals kept of a client in a minute
KNOWN = 200
MAX_CLIENTS = 1000  # clients counted by themselves in a minute; all others count as one


class Store(Protocol):
    """Where refusals are kept."""

    def refuse_later(self, refusal: Refusal) -> None:
        """Keep it some time soon."""


class Log(Protocol):
    """Where it says what was not kept."""

    def note(self, text: str, **fields: object) -> None: ...


class Refusals:
    """Of one worker and service. A minute is one of the clock, by the refusals' own times."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._minute = 0
        self._kept: dict[tuple[str, bool], int] = {}

    def keep(self, refusal: Refusal, *, known: bool) -> None:
        """Keep it if its client has room left in this minute."""
        minute = int(refusal.at // 60)
        if minute != self._minute:
            self._minute = minute
            self._kept.clear()
        client = (neighbours(refusal.client_ip), known)
        if client not in self._kept and len(self._kept) >= MAX_CLIENTS:
            client = ("all others", known)
        before = self._kept.get(client, 0)
        most = KNOWN if known else STRANGER
        if before > most:
            return
        self._kept[client] = before + 1
        if before < most:
            self._store.refuse_later(refusal)
        else:
            self._log.note("refusals are not kept for the rest of this minute", client=client[0], kept=most)
