"""The public web of one worker: pixel, links and unsubscribe pages, and what becomes of the visits.

Ties the tracker's web to the journal, the recorder and the desk of `relay/track`. It knows no pages and
no tokens by itself.

    web = await open_web(config, store, tokens, log, doors)
    …  asyncio.create_task(web.record())
    await web.close(grace)

Rules. The recorder works in every worker, with listeners or without: another's file may be left to take over.
The web is the last to go: a link in somebody's hand is answered until nothing else is left to do.
Fails with `OSError` where an address or a certificate cannot be had.
"""

import socket
import time
from collections.abc import Mapping

from relay.certificate import server_context
from relay.config import Config, Endpoint
from relay.log import Log
from relay.store import Store
from relay.track.desk import Desk
from relay.track.journal import Journal
from relay.track.keys import Tokens
from relay.track.recorder import Recorder
from tracker.app import Server, Settings, serve
from tracker.texts import LANGUAGES

VISITS = "visits"  # the journal's directory in data_dir


class PublicWeb:
    """What is open; `server` is None where nobody is listened to."""

    def __init__(self, server: Server | None, journal: Journal, recorder: Recorder) -> None:
        self._server = server
        self._journal = journal
        self._recorder = recorder

    async def record(self) -> None:
        """Bring visits into the database, until cancelled."""
        await self._recorder.run()

    async def close(self, grace: float) -> None:
        """After `record` was cancelled: answer no more, and write what was seen, within `grace` seconds."""
        deadline = time.monotonic() + grace
        if self._server:
            await self._server.close(grace)
        await self._recorder.finish(max(0.0, deadline - time.monotonic()))
        self._journal.close()


async def open_web(
    config: Config, store: Store, tokens: Tokens | None, log: Log, doors: Mapping[Endpoint, socket.socket]
) -> PublicWeb:
    """Listen on every address of `[tracking]`, on its bound socket in `doors`."""
    journal = Journal(config.data_dir / VISITS, log)
    tracking = config.tracking
    server = None
    if tokens and tracking.listen:
        server = await serve(
            [doors[endpoint] for endpoint in tracking.listen],
            keyring=lambda: tokens.reading,
            backend=Desk(store, journal, log, tracking.streams),
            settings=settings(config),
            trouble=log.error,
            tls=server_context(tracking.tls_certificate, tracking.tls_key),
            clock=store.engine.now,
        )
    return PublicWeb(server, journal, Recorder(journal, store, log))


def settings(config: Config) -> Settings:
    """What the operator chose, in the tracker's words."""
    tracking = config.tracking
    return Settings(
        base_url=tracking.base_url,
        client_address=tracking.client_address,
        trusted_proxies=tracking.trusted_proxies,
        respect_do_not_track=tracking.respect_do_not_track,
        senders=tracking.senders,
        streams=tracking.streams,
        contact=tracking.contact or f"postmaster@{config.inbound.bounce_domain or config.hostname}",
        languages=tracking.texts.languages if tracking.texts else LANGUAGES,
    )
