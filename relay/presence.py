"""A worker among its brothers: signs of life in the database, and what they tell of the others.

Whoever is alive has a share of every limit. A worker that was silent for so long that its number went to
another one takes a new number, and comes anew. A database that is away is a warning, and the next sign comes later.
"""

import asyncio
import time
from contextlib import suppress

from relay.accept.server import Server
from relay.deliver.dispatcher import Dispatcher
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Store, StoreUnavailable
from relay.store.chores import ALIVE, SIGN_OF_LIFE, Peer, Worker

SOON = 0.1  # seconds between two signs of life while somebody waits for the other
PATIENCE = 30.0  # seconds for which a newcomer waits for attempts that are being made with what is its share now


class Presence:
    """One worker's. `me` is what the others know it as.

    Limits hold while workers come: a newcomer uses nothing of them until all others know of it, which they say as
    soon as they have no more connections than is left to them. One that was silent for too long comes anew.
    """

    def __init__(self, me: Worker, store: Store, dispatcher: Dispatcher, queue_ids: QueueIds, log: Log) -> None:
        self.me = me
        self.server: Server | None = None  # as soon as there is one
        self._store = store
        self._dispatcher = dispatcher
        self._queue_ids = queue_ids
        self._log = log
        self._signed = time.monotonic()
        self._joined = 0  # as the how many-th; another number if it was silent for too long
        self._welcome = False
        self._known = 0  # up to which one all are known, as the others were told
        self._patience = (0, 0.0)  # until when (monotonic seconds) the newest of all waits for what is being tried

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            pause = SIGN_OF_LIFE
            self._dispatcher.others.clear()
            try:
                if not await self._meet():
                    pause = SOON
            except StoreUnavailable as error:
                self._log.database_trouble("cannot give a sign of life", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._dispatcher.others.wait()

    async def _meet(self) -> bool:
        """Sign, share the limits with whoever lives, and tell them. False: somebody waits for somebody."""
        alive = await self._sign()
        (mine,) = [peer for peer in alive if peer.writer == self.me.writer]
        if mine.joined != self._joined:
            self._joined, self._known, self._welcome = mine.joined, mine.knows, False
        known = all(peer.knows >= mine.joined or peer.silent for peer in alive if peer is not mine)
        self._welcome = self._welcome or known
        numbers = [peer.writer for peer in alive]
        gathered = self._dispatcher.know_workers(self.me.writer, numbers, welcome=self._welcome)
        newest = max(peer.joined for peer in alive)
        made_room = self._made_room(newest)
        if made_room and newest != self._known:
            await self._store.knows(self.me, newest)
            self._known = newest
        return gathered and self._welcome and made_room

    def _made_room(self, newest: int) -> bool:
        """Has nobody here more than is left beside the newest of all, or too long a time to wait for?"""
        if self._patience[0] != newest:
            self._patience = newest, time.monotonic() + PATIENCE
        return self._dispatcher.made_room or time.monotonic() > self._patience[1]

    async def _sign(self) -> list[Peer]:
        """All living workers; ours has a new number if another worker has the old one now."""
        sessions = self.server.sessions if self.server else 0
        again = time.monotonic() - self._signed > ALIVE - SIGN_OF_LIFE
        while not (
            alive := await self._store.alive(self.me, in_hand=self._dispatcher.in_hand, sessions=sessions, again=again)
        ):
            before, self.me = self.me, await self._store.join()
            self._queue_ids.belong_to(self.me.writer)
            self._log.warning(
                f"silent for too long: worker {before.writer} is another one now, this is {self.me.writer}"
            )
        self._signed = time.monotonic()
        return alive
