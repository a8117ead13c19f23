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

from relay.accept.inbound import Inbound, serve_inbound
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
from relay.deliver.outcome import judge
from relay.deliver.suppressed import Suppressed
from relay.delivery import Delivery
from relay.domains import Rotation
from relay.feedback import Feedback
from relay.lifeline import Lifeline
from relay.log import Log
from relay.presence import Presence
from relay.public_web import open_web
from relay.queue_id import QueueIds
from relay.return_path import ReturnPaths
from relay.signing import Signing
from relay.simulated import Recipients
from relay.store import Store, StoreAway, StoreUnavailable, migrate, open_store, settle_down
from relay.store.chores import Worker
from relay.track.keys import Tokens, open_tokens
from suppression import replies

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
    replies.use(config.suppression.rules)
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
        outgoing = partial(_outgoing, config.inbound.bounce_domain, tokens)
        recipients = Recipients(config, log, clock)
        carrier = Carrier(
            client,
            next_hops,
            copies,
            Suppressed(store),
            sandbox=config.sandbox,
            outgoing=outgoing,
            afterwards=recipients.has,
            judge=partial(judge, inactive=config.suppression.inactive, ours=(config.hostname,)),
            clock=clock,
        )
        dispatcher = Dispatcher(config, store, carrier, contents, log, queue_ids)
        presence = Presence(me, store, dispatcher, queue_ids, log)
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
                tasks.create_task(recipients.keep(), name="simulated recipients"),
            ]
            if tokens:
                running.append(tasks.create_task(tokens.keep_fresh(log), name="token keys"))
            looking = tasks.create_task(dispatcher.run(), name="dispatcher")
            server = await serve_submission(submission, config, log, doors=doors)
            presence.server = server
            # Whoever brings a bounce has it still if we go; it may come again.
            inbound = await _serve_inbound(config, store, tokens, log, queue_ids, doors)
            lifeline.ready()
            await stopped
            deadline = time.monotonic() + config.grace
            dispatcher.claim_no_more()  # sessions may take all of the grace to end
            closing = [asyncio.create_task(each.close(config.grace)) for each in (server, inbound) if each]
            await asyncio.sleep(0)  # they have begun: nobody is let in
            lifeline.leaving()
            await asyncio.gather(*closing)
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
    tokens: Tokens | None  # None: nothing is tracked, nothing comes back, and nobody is listened to
    signing: Signing


async def _opened(config: Config, log: Log) -> _Ground:
    waiting = _Waiting(config)
    while True:
        try:
            store = await open_store(config)
            try:
                me = await store.join()
                wanted = config.tracking.on or config.tracking.listen or config.inbound.bounce_domain
                tokens = await open_tokens(store.engine) if wanted else None
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
    return Making(
        config.hostname,
        config.tracking,
        tokens.signing if tokens else None,
        signing.sign,
        config.inbound.bounce_domain or None,
    )


def _outgoing(domain: str, tokens: Tokens | None, delivery: Delivery) -> Delivery:
    """The delivery as the next server is to see it: with a reverse-path that comes back to us, if we have any."""
    return ReturnPaths(tokens.signing, domain).outgoing(delivery) if tokens and domain else delivery


async def _serve_inbound(
    config: Config,
    store: Store,
    tokens: Tokens | None,
    log: Log,
    queue_ids: QueueIds,
    doors: Mapping[Endpoint, socket.socket],
) -> Server | None:
    """What comes back comes in here; None where nobody is listened to."""
    if not tokens or not config.inbound.listen:
        return None
    clock = store.engine.now
    feedback = Feedback(store, config, lambda: tokens.reading, log, queue_ids)
    inbound = Inbound(config, feedback, lambda: tokens.reading, log, queue_ids, clock)
    return await serve_inbound(inbound, store, log, doors)
