"""What must be done once for all workers is done by whoever holds its lease in the database.

Taking it and keeping it is the same act. A worker that dies loses it when its time ends; one that goes gives it back.
"""

import os
import secrets
from contextlib import suppress

from relay.store import Store, StoreUnavailable


class Lease:
    """One worker's part in the lease `name`, which lasts so many `seconds` from each time it is taken."""

    def __init__(self, store: Store, name: str, seconds: float) -> None:
        self._store = store
        self._name = name
        self._seconds = seconds
        # Two machines may have the same name and the same pids: containers often do.
        self._holder = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self.ours = False  # when it was last asked for

    async def take(self) -> bool:
        """Have it, or keep it, if nobody else has. Raises StoreUnavailable."""
        self.ours = await self._store.take_lease(self._name, self._holder, self._seconds)
        return self.ours

    async def give_back(self) -> None:
        """Let another worker take it at once."""
        if self.ours:
            with suppress(StoreUnavailable):
                await self._store.take_lease(self._name, self._holder, 0.0)
