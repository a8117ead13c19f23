"""The rotation of signing keys: a new key signs as soon as its DNS record is seen, and not before.

`mailtrail domain rotate` leaves a key that waits. One worker of all nodes has the lease (if it dies another one
takes it up within `LEASE`) and asks for the key's record: every minute in the first hour, every ten minutes on the
first day, then every hour. When the record is there the key becomes active, and after that the one of the same
algorithm that it replaces retires: in between both sign, so no message goes out without a signature that
holds. Nobody else had a reason to ask for the new name before, so hardly a resolver remembers that it was not there.

A DNS that does not answer means: not seen yet. A store that is away is a warning, and the keys wait.
"""

import asyncio
from collections.abc import Sequence

from relay.config import DAY, HOUR, MINUTE
from relay.deliver.dns import Resolver
from relay.key_record import wrong
from relay.lease import Lease
from relay.log import Log
from relay.signing_key import SigningKey, State
from relay.store import Store, StoreUnavailable

LOOK = 10.0  # seconds between two looks for keys that wait
LEASE = 60.0  # seconds; longer than a DNS question may take


def pause(age: float) -> float:
    """Seconds until the next question for a key that has been waiting for `age` seconds."""
    if age < HOUR:
        return MINUTE
    return 10 * MINUTE if age < DAY else HOUR


class Rotation:
    """One per worker; those without the lease do nothing."""

    def __init__(self, store: Store, resolver: Resolver, log: Log) -> None:
        self._store = store
        self._resolver = resolver
        self._log = log
        self._lease = Lease(store, "domains", LEASE)
        self._next: dict[str, float] = {}  # name of a record → when to ask for it again, by the store's clock

    async def keep(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self.look(self._store.engine.now())
                except StoreUnavailable as error:
                    self._log.database_trouble("the rotation of signing keys waits", error)
                await asyncio.sleep(LOOK)
        finally:
            await self._lease.give_back()

    async def look(self, now: float) -> None:
        """Ask for what is due, and switch to the keys whose records are there. `now`: Unix seconds."""
        keys = await self._store.signing_keys()
        waiting = [key for key in keys if key.state is State.WAITING]
        self._next = {key.record_name: self._next.get(key.record_name, 0.0) for key in waiting}
        due = [key for key in waiting if self._next[key.record_name] <= now]
        if not due or not await self._lease.take():
            return
        answers = await asyncio.gather(*[self._resolver.txt(key.record_name) for key in due])
        for key, answer in zip(due, answers, strict=True):
            self._next[key.record_name] = now + pause(now - key.created_at)
            if not wrong(key, answer.records):
                await self._switch(key, [one for one in keys if _replaces(key, one)])

    async def _switch(self, key: SigningKey, old: Sequence[SigningKey]) -> None:
        await self._store.key_seen(key.domain, key.selector, self._store.engine.now())
        await self._store.set_key_state(key.domain, key.selector, State.ACTIVE, actor="relay")
        for one in old:
            await self._store.set_key_state(one.domain, one.selector, State.RETIRED, actor="relay")
        retired = ",".join(one.selector for one in old)
        self._log.note("signing key switched", domain=key.domain, selector=key.selector, retired=retired)


def _replaces(new: SigningKey, old: SigningKey) -> bool:
    """Does `old` sign what `new` is to sign?"""
    return (old.domain, old.algorithm, old.state) == (new.domain, new.algorithm, State.ACTIVE)
