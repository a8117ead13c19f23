"""One worker: opens everything, serves, stops.

Start: store, keys, then delivery, then the listeners; ready when every listener answers. Stop
(SIGTERM): take no new mail, claim no more, finish what is in hand within the grace time,
give the rest back, answer the web no more, close. A new configuration is for the next worker in this place.
Everything lives in one exit stack and one task group; every task has a name.

The worker's number comes from the database: no other living one has it, on any node. One that
was silent for so long that its number went to another (frozen, cut off) takes a new one.

`prepare` and `finish` are the supervisor's: before the first worker and after the last. A
database server that is away is waited for, by `prepare` and by every worker, and that is said
once in words; a wrong password, a missing database or a newer schema ends the start.
"""

import asyncio
import gc
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing, suppress
from functools import partial
from typing import Any, NamedTuple

import uvloop

from relay.accept.server import Server, serve_submission
from relay.accept.submission import Submission
from relay.chores import do_chores
from relay.compose.render import Making
from relay.config import Config, Endpoint
from relay.deliver.carrier import Carrier
from relay.deliver.client import Client
from relay.deliver.contents import Contents
from relay.deliver.copying import Copies
from relay.deliver.dispatcher import Dispatcher
from relay.deliver.dns import Resolver
from relay.deliver.mx import NextHops
from relay.deliver.suppressed import Suppressed
from relay.domains import Rotation
from relay.lifeline import Lifeline
from relay.log import Log
from relay.public_web import open_web
from relay.queue_id import QueueIds
from relay.signing import Signing
from relay.store import Store, StoreAway, StoreUnavailable, migrate, open_store, settle_down
from relay.store.chores import ALIVE, Peer, Worker
from relay.track.keys import Tokens, open_tokens

SIGN_OF_LIFE = 3.0  # seconds between two
SOON = 0.1  # seconds between two while somebody waits for the other
PATIENCE = 30.0  # seconds for which a newcomer waits for attempts that are being made with what is its share now
LEAST = 1.0  # seconds that visitors and what they did have at the end, however long the rest took
AGAIN = 1.0  # seconds between two tries to open a database that is away
# Seconds after which the loop lets the database's thread go on. Each statement of a transaction waits for that; with
# Python's 5 ms a worker made 15 % less.
SWITCH = 0.0002
# Values of messages come and go without cycles: the collector need not look at them every 700 allocations (7 %).
COLLECT = (50_000, 50, 50)
MEMORY = 64 * 1024 * 1024  # octets of content in hand, besides what is being received


def prepare(config: Config) -> None:
    """Before any worker: the database exists and has this program's schema. Raises SchemaTooNew, StoreUnavailable."""
    waiting = _Waiting(config)
    while True:
        try:
            migrate(config)
            return
        except StoreAway as error:
            waiting.tell(error)
        time.sleep(AGAIN)


def finish(config: Config) -> None:
    """After the last worker: the database is one plain file."""
    settle_down(config)


def work(config: Config, lifeline: Lifeline, doors: Mapping[Endpoint, socket.socket]) -> None:
    """A worker's whole life: until SIGTERM."""
    sys.setswitchinterval(SWITCH)
    gc.set_threshold(*COLLECT)
    uvloop.run(_work(config, lifeline, doors))


class _Waiting:
    """Says what is waited for: once, and again when the reason is another."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._told = ""

    def tell(self, error: StoreUnavailable) -> None:
        if str(error) != self._told:
            self._told = str(error)
            with closing(Log(self._config)) as log:
                log.warning(f"waiting for the database: {error}")


async def _work(config: Config, lifeline: Lifeline, doors: Mapping[Endpoint, socket.socket]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    log = Log(config)
    async with AsyncExitStack() as stack:
        stack.callback(log.close)
        loop.set_exception_handler(lambda _, context: _unexpected(log, context))
        alive = asyncio.create_task(lifeline.keep(), name="lifeline")
        stack.callback(alive.cancel)
        opening = asyncio.create_task(_opened(config, log), name="opening")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        stack.callback(stopped.cancel)
        await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            return
        store, me, tokens, signing = opening.result()
        stack.push_async_callback(store.close)
        queue_ids = QueueIds(me.writer, store.engine.now)
        contents = Contents(store, MEMORY)
        resolver = Resolver(config.dns)
        stack.push_async_callback(resolver.close)
        next_hops = NextHops(resolver, config, listeners=config.submission.listen + config.submission.listen_tls)
        stack.push_async_callback(next_hops.close)
        client = Client(config.hostname, config.delivery.timeouts)
        # One clock for everything that is kept: the database's, so that the nodes' own may differ.
        clock = store.engine.now
        copies = Copies(contents, partial(_making, config, tokens, signing), clock)
        carrier = Carrier(client, next_hops, copies, Suppressed(store), sandbox=config.sandbox, clock=clock)
        dispatcher = Dispatcher(config, store, carrier, contents, log, queue_ids)
        presence = _Presence(me, store, dispatcher, queue_ids, log)
        submission = Submission(store, config, log, queue_ids, dispatcher, clock)
        web = await open_web(config, store, tokens, log, doors)

        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(presence.keep(), name="signs of life"),
                tasks.create_task(dispatcher.keep_in_hand(), name="claims in hand"),
                tasks.create_task(do_chores(config, store, log), name="chores"),
                tasks.create_task(signing.keep(), name="signing keys"),
                tasks.create_task(Rotation(store, resolver, log).keep(), name="rotation of signing keys"),
                tasks.create_task(web.record(), name="visits"),
            ]
            if tokens:
                running.append(tasks.create_task(tokens.keep_fresh(log), name="token keys"))
            looking = tasks.create_task(dispatcher.run(), name="dispatcher")
            server = await serve_submission(submission, config, log, doors=doors)
            presence.server = server
            lifeline.ready()
            await stopped
            deadline = time.monotonic() + config.grace
            await server.close(config.grace)
            await dispatcher.stop(max(0.0, deadline - time.monotonic()))
            await looking
            for task in running:
                task.cancel()
        await web.close(max(LEAST, deadline - time.monotonic()))
        with suppress(StoreUnavailable):
            await store.gone(presence.me)


def _unexpected(log: Log, context: Mapping[str, Any]) -> None:
    """What nobody caught in a callback or a forgotten task: a mistake of ours, told in one line."""
    log.error(str(context["message"]), context.get("exception"))


class _Ground(NamedTuple):
    """What a worker stands on: the store, its place among the workers, and the keys. No mail goes out without these."""

    store: Store
    me: Worker
    tokens: Tokens | None  # None: nothing is tracked, and nobody is listened to
    signing: Signing


async def _opened(config: Config, log: Log) -> _Ground:
    waiting = _Waiting(config)
    while True:
        try:
            store = await open_store(config)
            try:
                me = await store.join()
                tracking = config.tracking
                tokens = await open_tokens(store.engine) if tracking.on or tracking.listen else None
                signing = Signing(config.dkim, store, log)
                await signing.refresh()
                return _Ground(store, me, tokens, signing)
            except BaseException:
                await store.close()
                raise
        except StoreUnavailable as error:
            waiting.tell(error)
        await asyncio.sleep(AGAIN)


def _making(config: Config, tokens: Tokens | None, signing: Signing) -> Making:
    """What copies are made with at this moment: keys change while we work."""
    return Making(config.hostname, config.tracking, tokens.signing if tokens else None, signing.sign)


class _Presence:
    """Signs of life in the database, and what they tell of the others.

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
