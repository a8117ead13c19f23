"""One worker: opens everything, serves, stops.

Start: store, then delivery, then the listeners; ready when every listener answers. Stop
(SIGTERM): take no new mail, claim no more, finish what is in hand within the grace time,
give the rest back, close. A new configuration is for the next worker in this place.
Everything lives in one exit stack and one task group; every task has a name.

`prepare` and `finish` are the supervisor's: before the first worker and after the last.
"""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

import uvloop

from relay.accept.server import serve_submission
from relay.accept.submission import Submission
from relay.chores import do_chores
from relay.config import Config, Endpoint
from relay.deliver.carrier import Carrier
from relay.deliver.client import Client
from relay.deliver.contents import Contents
from relay.deliver.dispatcher import Dispatcher
from relay.deliver.dns import Resolver
from relay.deliver.mx import NextHops
from relay.lifeline import Lifeline
from relay.log import Log
from relay.queue_id import QueueIds
from relay.store import Store, StoreUnavailable, migrate, open_store, settle_down

SIGN_OF_LIFE = 3.0  # seconds between two
# Seconds after which the loop lets the database's thread go on. Each statement of a transaction waits for that; with
# Python's 5 ms a worker made 15 % less.
SWITCH = 0.0002
MEMORY = 64 * 1024 * 1024  # octets of content in hand, besides what is being received


def prepare(config: Config) -> None:
    """Before any worker: the database exists and has this program's schema. Raises SchemaTooNew, StoreUnavailable."""
    migrate(config)


def finish(config: Config) -> None:
    """After the last worker: the database is one plain file."""
    settle_down(config)


def work(config: Config, lifeline: Lifeline, doors: Mapping[Endpoint, socket.socket]) -> None:
    """A worker's whole life: until SIGTERM."""
    sys.setswitchinterval(SWITCH)
    uvloop.run(_work(config, lifeline, doors))


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
        store = await open_store(config)
        stack.push_async_callback(store.close)
        queue_ids = QueueIds(lifeline.number)
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
                tasks.create_task(_signs_of_life(lifeline.number, store, dispatcher, log), name="signs of life"),
                tasks.create_task(dispatcher.keep_in_hand(), name="claims in hand"),
                tasks.create_task(do_chores(config, store, log), name="chores"),
            ]
            looking = tasks.create_task(dispatcher.run(), name="dispatcher")
            server = await serve_submission(submission, config, log, doors=doors)
            lifeline.ready()
            await stop.wait()
            deadline = time.monotonic() + config.grace
            await server.close(config.grace)
            await dispatcher.stop(max(0.0, deadline - time.monotonic()))
            await looking
            for task in running:
                task.cancel()
        with suppress(StoreUnavailable):
            await store.gone(lifeline.number)


def _unexpected(log: Log, context: Mapping[str, Any]) -> None:
    """What nobody caught in a callback or a forgotten task: a mistake of ours, told in one line."""
    log.error(str(context["message"]), context.get("exception"))


async def _signs_of_life(number: int, store: Store, dispatcher: Dispatcher, log: Log) -> None:
    started_at = time.time()
    while True:
        pause = SIGN_OF_LIFE
        try:
            if not dispatcher.know_workers(number, await store.alive(number, started_at)):
                pause = SIGN_OF_LIFE / 10
        except StoreUnavailable as error:
            log.warning(f"cannot write to the database: {error}")
        await asyncio.sleep(pause)
