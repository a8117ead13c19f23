"""What all sessions of one listening service share: who is inside, how many may be, and whom we trust.

Decides at the door only; what is said inside is the session's business.
"""

import asyncio
import ipaddress
import ssl
from collections import Counter
from functools import lru_cache
from typing import Protocol

from relay.accept import texts
from relay.accept.body import Budget
from relay.accept.refusals import Refusals, Store
from relay.accept.texts import Refused
from relay.config import Config, Inbound, Submission
from relay.log import Log


class Guest(Protocol):
    """A session, as those see it who let it in and out."""

    task: asyncio.Task[None] | None

    def stop(self, chance: float) -> None:
        """End soon; who has just come may still send a message within `chance` seconds."""

    def abort(self) -> None:
        """End now."""


class Gate:
    """One per worker and service."""

    def __init__(
        self,
        config: Config,
        log: Log,
        store: Store,
        tls: ssl.SSLContext | None = None,
        settings: Submission | Inbound | None = None,
    ) -> None:
        """`settings` are the service's limits; without them it is the submission service."""
        self.config = config
        self.settings: Submission | Inbound = settings or config.submission
        self.log = log
        self.refusals = Refusals(store, log)
        self.tls = tls  # for STARTTLS
        self.budget = Budget(self.settings.memory)
        self.sessions: set[Guest] = set()
        self._clients: Counter[str] = Counter()
        trusted = self.settings.trusted_networks if isinstance(self.settings, Submission) else ()
        networks = [ipaddress.ip_network(network) for network in trusted]

        @lru_cache(maxsize=1024)
        def trusts(ip: str) -> bool:
            address = ipaddress.ip_address(ip)
            return any(address in network for network in networks)

        self.trusts = trusts

    def enter(self, session: Guest, ip: str) -> Refused | None:
        """Let a session in, or say why not. Whoever was let in must `leave`."""
        if len(self.sessions) >= self.settings.max_sessions:
            return Refused(texts.TOO_MANY_SESSIONS, {"limit": self.settings.max_sessions})
        if self._clients[ip] >= self.settings.max_sessions_per_client:
            return Refused(texts.TOO_MANY_FROM_CLIENT, {"limit": self.settings.max_sessions_per_client})
        self.sessions.add(session)
        self._clients[ip] += 1
        return None

    def leave(self, session: Guest, ip: str) -> None:
        """The session is over."""
        self.sessions.discard(session)
        self._clients[ip] -= 1
        if not self._clients[ip]:
            del self._clients[ip]
