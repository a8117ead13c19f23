"""Opens the doors of an SMTP service and closes them; how the submission service is made.

    server = await serve_submission(submission, config, log)
    …
    server.refuse_new()              # new clients are not answered any more
    await server.close(grace=30.0)   # those inside finish the command in hand, then hear 421

Who has come a moment before the end may still send one message.

Every worker listens on the same ports (SO_REUSEPORT). A port of 0 lets the system choose;
`addresses` says what it chose. Both kinds of listener use the same certificate.
Fails with `OSError` where a port or a certificate file cannot be had.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

from relay.accept.connection import TLS_HANDSHAKE
from relay.accept.conversation import Conversation
from relay.accept.credentials import Logins
from relay.accept.gate import Gate
from relay.accept.session import SubmissionSession
from relay.accept.submission import Submission
from relay.certificate import server_context
from relay.config import Config, Endpoint
from relay.log import Log

BACKLOG = 1024
NewSession = Callable[[asyncio.AbstractEventLoop], Conversation]
CHANCE = 2.0  # seconds after its arrival in which a client may begin its first message although we are stopping


class Server:
    """Listeners, and the sessions that came through them."""

    def __init__(self, gate: Gate, session: NewSession, settle: Callable[[], Awaitable[None]]) -> None:
        """`settle` waits until what was taken is kept."""
        self._gate = gate
        self._session = session
        self._settle = settle
        self._listeners: list[asyncio.Server] = []
        self.addresses: list[Endpoint] = []
        self.tls_addresses: list[Endpoint] = []

    @property
    def sessions(self) -> int:
        """How many clients are inside."""
        return len(self._gate.sessions)

    def refuse_new(self) -> None:
        """Stop listening. Sessions go on."""
        for listener in self._listeners:
            listener.close()

    async def close(self, grace: float) -> None:
        """Stop listening; 421 to each session that has no command in hand; after `grace` seconds cut the rest.

        A client that came in the last moment finds a relay that looked well, so it may still send a message.
        """
        self.refuse_new()
        await asyncio.sleep(0)  # whom the loop has let in already, and has not told us of yet
        deadline = asyncio.get_running_loop().time() + grace
        tasks: set[asyncio.Task[None]] = set()
        while fresh := {session.task: session for session in self._gate.sessions if session.task not in tasks}:
            for session in fresh.values():
                session.stop(min(CHANCE, grace / 2))
            tasks |= {task for task in fresh if task}
            await asyncio.wait(tasks, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        for session in list(self._gate.sessions):
            session.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._settle()

    async def open(
        self,
        endpoints: Sequence[Endpoint],
        doors: Mapping[Endpoint, socket.socket] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Listen on every endpoint; for one in `doors` on the bound socket there. Raises `OSError`."""
        try:
            for endpoint in endpoints:
                await self.listen((doors or {}).get(endpoint, endpoint), tls)
        except BaseException:  # half a service is none
            self.refuse_new()
            raise

    async def listen(self, at: Endpoint | socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Open one door: an endpoint, or a socket that was bound before (by systemd, by a test)."""
        loop = asyncio.get_running_loop()

        def session() -> Conversation:
            return self._session(loop)

        handshake = TLS_HANDSHAKE if tls else None
        if isinstance(at, Endpoint):
            listener = await loop.create_server(
                session,
                at.host,
                at.port,
                ssl=tls,
                ssl_handshake_timeout=handshake,
                reuse_port=True,
                backlog=BACKLOG,
            )
        else:
            listener = await loop.create_server(
                session, sock=at, ssl=tls, ssl_handshake_timeout=handshake, backlog=BACKLOG
            )
        self._listeners.append(listener)
        for opened in listener.sockets:
            host, port = opened.getsockname()[:2]
            (self.tls_addresses if tls else self.addresses).append(Endpoint(host, port))


async def serve_submission(
    submission: Submission,
    config: Config,
    log: Log,
    *,
    logins: Logins | None = None,
    doors: Mapping[Endpoint, socket.socket] | None = None,
) -> Server:
    """Listen on every endpoint of `[submission]`; for one in `doors` on the bound socket there. Raises `OSError`."""
    settings = config.submission
    tls = server_context(settings.tls_certificate, settings.tls_key)
    if settings.listen_tls and not tls:
        raise OSError("submission.listen_tls needs submission.tls_certificate")
    gate = Gate(config, log, submission.store, tls)
    known = logins or Logins(submission.store)

    def session(loop: asyncio.AbstractEventLoop) -> Conversation:
        return SubmissionSession(gate, submission, known, loop)

    server = Server(gate, session, submission.settle)
    await server.open(settings.listen, doors)
    await server.open(settings.listen_tls, doors, tls)
    return server
