"""What one worker does for all: summing up, retention, telling the log what operators did.

Whoever holds the lease in the database does it, and gives it back when it goes; if it dies
another one takes it up within `LEASE`. The housekeeping of a worker's own connection is
everybody's. A database that cannot be used now is a warning, and the chores wait.
"""

import asyncio
import time
from dataclasses import asdict

from relay.config import Config
from relay.lease import Lease
from relay.log import Log
from relay.log_actions import log_actions
from relay.store import Pruned, Store, StoreUnavailable

LOOK = 1.0  # seconds between two looks at what is to be done
LEASE = 30.0  # seconds
RENEW = 10.0  # seconds between two tries to have it or to keep it
SUM_UP = 60.0  # seconds between two rounds of summing up
PRUNE = 600.0  # seconds between two rounds of retention
ACTIONS = 10_000  # events of operators read at once


async def do_chores(config: Config, store: Store, log: Log) -> None:
    """Until cancelled."""
    chores = _Chores(config, store, log)
    try:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await chores.look(time.monotonic())
            except StoreUnavailable as error:
                log.database_trouble("chores wait", error)
    finally:
        await chores.lease.give_back()


class _Chores:
    def __init__(self, config: Config, store: Store, log: Log) -> None:
        self._retention = config.retention
        self._store = store
        self._log = log
        self.lease = Lease(store, "chores", LEASE)
        self._next_lease = 0.0  # monotonic seconds, like the others
        self._next_sum = self._next_prune = time.monotonic() + SUM_UP

    async def look(self, now: float) -> None:
        """Do what is due."""
        await self._store.tidy()
        if now >= self._next_lease:
            self._next_lease = now + RENEW
            await self.lease.take()
        if not self.lease.ours:
            return
        while await self._tell_actions():
            pass
        if now >= self._next_sum:
            self._next_sum = now + SUM_UP
            await self._store.sum_up()
        if now >= self._next_prune:
            self._next_prune = now + PRUNE
            pruned = await self._store.prune(self._retention)
            if pruned != Pruned():
                self._log.note("retention", **asdict(pruned))

    async def _tell_actions(self) -> bool:
        """True if there may be more."""
        actions = await self._store.unlogged_actions(ACTIONS)
        if actions:
            try:
                log_actions(self._log, actions)
            except Exception as error:  # one that cannot be told must not end this worker, and then the next one
                self._log.error("what an operator did cannot be told", error)
            await self._store.action_logged(actions[-1].last)
        return sum(action.deliveries for action in actions) == ACTIONS
