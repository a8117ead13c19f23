"""One worker: opens everything, serves, stops.

Start: store, then delivery, then the listeners; ready when every listener answers. Stop
(SIGTERM): take no new mail, claim no more, finish what is in hand within the grace time,
give the rest back, close. SIGHUP: read the TLS certificate again and reopen the log.
Everything lives in one exit stack and one task group; every task has a name.

`prepare` and `finish` are the supervisor's: before the first worker and after the last.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict

import uvloop

from relay.accept.server import serve_submission
from relay.accept.submission import Submission
from relay.config import Config
from relay.deliver.carrier import Carrier
from relay.deliver.client import Client
from relay.deliver.contents import Contents
from relay.deliver.dispatcher import Dispatcher
from relay.deliver.dns import Resolver
from relay.deliver.mx import NextHops
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Pruned, Store, StoreUnavailable, migrate, open_store, settle_down

SIGN_OF_LIFE = 3.0  # seconds between two
TIDY = 1.0  # seconds between two looks at the database's own housekeeping
SUM_UP = 60.0  # seconds between two rounds of summing up
PRUNE = 600.0  # seconds between two rounds of retention
MEMORY = 64 * 1024 * 1024  # octets of content in hand, besides what is being received


def prepare(config: Config) -> None:
    """Before any worker: the database exists and has this program's schema. Raises SchemaTooNew, StoreUnavailable."""
    migrate(config)


def finish(config: Config) -> None:
    """After the last worker: the database is one plain file."""
    settle_down(config)


def work(index: int, config: Config, ready: Callable[[], None]) -> None:
    """A worker's whole life: until SIGTERM."""
    uvloop.run(_work(index, config, ready))


async def _work(index: int, config: Config, ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    log = Log(config)
    async with AsyncExitStack() as stack:
        stack.callback(log.close)
        store = await open_store(config)
        stack.push_async_callback(store.close)
        queue_ids = QueueIds(index)
        contents = Contents(store, MEMORY)
        resolver = Resolver(config.dns)
        stack.push_async_callback(resolver.close)
        next_hops = NextHops(resolver, config, listeners=config.submission.listen + config.submission.listen_tls)
        stack.push_async_callback(next_hops.close)
        client = Client(config.hostname, config.delivery.timeouts)
        carrier = Carrier(client, next_hops, contents, sandbox=config.sandbox)
        dispatcher = Dispatcher(config, store, carrier, contents, log, queue_ids)
        submission = Submission(store, config, log, queue_ids, dispatcher)

        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(_signs_of_life(index, store, dispatcher, log), name="signs of life"),
                tasks.create_task(dispatcher.keep_in_hand(), name="claims in hand"),
                tasks.create_task(_chores(config, store, log), name="chores"),
            ]
            looking = tasks.create_task(dispatcher.run(), name="dispatcher")
            server = await serve_submission(submission, config, log)
            loop.add_signal_handler(signal.SIGHUP, _reload, server.reload, log)
            ready()
            await stop.wait()
            deadline = time.monotonic() + config.grace
            await server.close(config.grace)
            await dispatcher.stop(max(0.0, deadline - time.monotonic()))
            await looking
            for task in running:
                task.cancel()
        with suppress(StoreUnavailable):
            await store.gone(index)


def _reload(certificate: Callable[[], None], log: Log) -> None:
    log.reopen()
    certificate()
    log.note("reloaded")


async def _signs_of_life(index: int, store: Store, dispatcher: Dispatcher, log: Log) -> None:
    started_at = time.time()
    while True:
        try:
            dispatcher.know_workers(index, await store.alive(index, started_at))
        except StoreUnavailable as error:
            log.warning(f"cannot write to the database: {error}")
        await asyncio.sleep(SIGN_OF_LIFE)


async def _chores(config: Config, store: Store, log: Log) -> None:
    """What one of the workers does for all; whoever holds the lease."""
    holder = f"{os.uname().nodename}:{os.getpid()}"
    next_sum = next_prune = time.monotonic() + SUM_UP
    while True:
        await asyncio.sleep(TIDY)
        try:
            await store.tidy()
            now = time.monotonic()
            if now < min(next_sum, next_prune) or not await store.take_lease("chores", holder, 2 * SUM_UP):
                continue
            if now >= next_sum:
                next_sum = now + SUM_UP
                await store.sum_up()
            if now >= next_prune:
                next_prune = now + PRUNE
                pruned = await store.prune(config.retention)
                if pruned != Pruned():
                    log.note("retention", **asdict(pruned))
        except StoreUnavailable as error:
            log.warning(f"chores wait: {error}")
