"""One connection to PostgreSQL that comes back by itself.

While it is away every call fails at once with `StoreUnavailable`; about once a second a task
tries to connect again, and everybody goes on when it could. What counts as away: the
connection is lost or cannot be made, the server starts, stops, fails over (read-only), has no
connection or no disk space left, or does not answer in time. Everything else is our own
mistake, raises as it is, and leaves the connection in place.

A statement that is not answered for a moment may be slow, or the server may be gone without a
word. Whether it answers a stranger's first word tells which, while the statement is waited for.
If it has nothing to say to him, nor on any link of this worker, all links let go: one second
after the statement was sent at the latest. TCP's own patience (keepalive, user time-out) is set
on both sides: ours for what lies between, the server's so that a dead node's row locks go.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from relay.store.errors import SchemaTooNew, StoreUnavailable

T = TypeVar("T")
Connection = Any  # asyncpg's: it comes without types

CONNECT = 3.0  # seconds to connect
ANSWER = 10.0  # seconds for one statement
DOUBT = 0.4  # seconds without an answer until we ask whether the server is there
WORD = 0.6  # seconds for which it may answer that
LATE = 0.1  # seconds by which a timer that ends later proves that it was us who were too busy to hear
AGAIN = 1.0  # seconds between two tries to connect
VANISHED = 5  # seconds after which a peer that acknowledges nothing is given up

# The protocol's SSLRequest: answered by a single letter before a name is asked for, however full or busy the server is.
_FIRST_WORD = struct.pack("!II", 8, 80877103)

# What the server must know of us: how soon to give us up, and how long we may keep others waiting.
PATIENCE = {
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": f"{VANISHED}s",
    "lock_timeout": "5s",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",  # a node frozen in a transaction holds locks
}

# SQLSTATEs (or classes of them) of a server that cannot do it now, though our statement is right.
_CANNOT_NOW = ("08", "53", "57", "58", "25006", "25P03", "55P03")
# Of these, what is no fault of the connection: it stays.
_STAYS = ("53100", "53200", "55P03", "57014")

# The last: there is a server, but none that can be written.
CANNOT_CONNECT = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.TargetServerAttributeNotMatched,
)


class Pulse:
    """When the server was last heard, on any link that shares this (monotonic seconds)."""

    def __init__(self) -> None:
        self.at = 0.0


class Link:
    """A connection, the lock around it, and the task that brings it back.

    `opened` is run on every new connection before anybody else has it; `silent` is called when the server is found
    to be gone without a word, and must `lose` this link. Links of one worker to one server share a `pulse`.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        settings: dict[str, str],
        target: str,
        answer: float | None = ANSWER,
        opened: Callable[[Connection], Awaitable[None]] | None = None,
        silent: Callable[[str], None] | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        self._url = url
        self._settings = PATIENCE | settings | {"application_name": f"mailtrail {name}"}
        self._target = target
        self._answer = answer
        self._opened = opened
        self._silent = silent or self.lose
        self._pulse = pulse or Pulse()
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self._returning: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._why = "not connected yet"
        self._closed = False

    async def open(self) -> None:
        """Connect, unless it is there. Raises StoreUnavailable."""
        async with self._lock:
            if self._connection is None:
                await self._connect()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Have the connection to oneself for `work`. Raises StoreUnavailable at once while it is away."""
        async with self._lock:
            connection = self._connection
            if connection is None:
                raise StoreUnavailable(self._why)
            doubt = self._doubt_soon(connection)
            try:
                result = await work(connection)
                self._pulse.at = time.monotonic()
                return result
            except asyncio.CancelledError:
                if connection.is_closed() or connection.is_in_transaction():
                    self._lose(connection, "a transaction was cut off")
                raise
            except Exception as error:
                if not unavailable(error, connection):
                    raise
                state = getattr(error, "sqlstate", None)
                if connection.is_closed() or connection.is_in_transaction() or state not in _STAYS:
                    self._lose(connection, _words(error))
                raise StoreUnavailable(f"cannot use {place(self._url)}: {_words(error)}") from error
            finally:
                if doubt is not None:
                    doubt.cancel()
                if self._asking is not None:
                    self._asking.cancel()
                    self._asking = None

    def _doubt_soon(self, connection: Connection) -> asyncio.TimerHandle | None:
        """A query in people's words may take its time; everything else is watched."""
        if self._answer is None:
            return None
        return asyncio.get_running_loop().call_later(DOUBT, self._doubt, connection)

    def _doubt(self, connection: Connection) -> None:
        if connection is self._connection:
            self._asking = asyncio.create_task(self._ask(connection), name="is the database there?")

    async def _ask(self, connection: Connection) -> None:
        """Until the statement is answered, or nobody is there: then whoever waits hears so."""
        address = connection._transport.get_extra_info("peername")
        while True:
            asked = time.monotonic()
            there = await _answers(address)
            heard = self._pulse.at >= asked
            busy = time.monotonic() - asked > WORD + LATE
            if not (there or heard or busy):
                break
            await asyncio.sleep(DOUBT)
        self._asking = None  # it is not to be cancelled by what it causes
        if connection is self._connection:
            self._silent("it does not answer")

    def lose(self, why: str) -> None:
        """Let go of the connection, if there is one; the task brings another one."""
        if self._connection is not None:
            self._lose(self._connection, why)

    def _lose(self, connection: Connection, why: str) -> None:
        connection.terminate()
        if connection is not self._connection:  # another one is there already
            return
        self._connection = None
        self._why = f"cannot use {place(self._url)}: {why}"
        if not self._closed and (self._returning is None or self._returning.done()):
            self._returning = asyncio.create_task(self._come_back(), name="reconnect")

    async def close(self) -> None:
        """Say goodbye; no task is left."""
        self._closed = True
        for task in (self._asking, self._returning):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        connection, self._connection = self._connection, None
        self._why = "the store is closed"
        if connection is not None:
            try:
                await connection.close(timeout=2.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def _come_back(self) -> None:
        while True:
            try:
                await self._connect()
            except (StoreUnavailable, SchemaTooNew) as error:
                self._why = str(error)
                await asyncio.sleep(AGAIN)
            else:
                return

    async def _connect(self) -> None:
        connection = None
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT,
                command_timeout=self._answer,
                statement_cache_size=256,
                max_cached_statement_lifetime=0,  # our statements are few, and are for ever
                server_settings=self._settings,
                target_session_attrs=self._target,
            )
            _watch_over(connection)
            if self._opened is not None:
                await self._opened(connection)
        except CANNOT_CONNECT as error:
            if connection is not None:
                connection.terminate()
            raise StoreUnavailable(f"cannot connect to {place(self._url)}: {_words(error)}") from error
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        connection.add_termination_listener(self._ended)
        self._connection = connection

    def _ended(self, connection: Connection) -> None:
        if connection is self._connection:
            self._lose(connection, "the connection was lost")


async def _answers(address: Any) -> bool:
    """Does the server at this address (of a socket) answer a first word in time?"""
    try:
        async with asyncio.timeout(WORD):
            if isinstance(address, str):
                reader, writer = await asyncio.open_unix_connection(address)
            else:
                reader, writer = await asyncio.open_connection(*address[:2])
            try:
                writer.write(_FIRST_WORD)
                return bool(await reader.read(1))
            finally:
                writer.transport.abort()
    except OSError:  # TimeoutError is one
        return False


def unavailable(error: BaseException, connection: Connection) -> bool:
    """Is it the server that cannot now, and not our statement that is wrong?"""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_CANNOT_NOW)
    return isinstance(error, OSError | TimeoutError) or bool(connection.is_closed())


def away(error: BaseException) -> bool:
    """Did the connection fail for a reason that passes by itself, and not for a wrong name or password?"""
    state = getattr(error, "sqlstate", None)
    passing = OSError | TimeoutError | asyncpg.exceptions.TargetServerAttributeNotMatched
    return str(state).startswith(_CANNOT_NOW) if state is not None else isinstance(error, passing)


def place(url: str) -> str:
    """The server and the database, without the password."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return str(error) or type(error).__name__


def _watch_over(connection: Connection) -> None:
    """TCP's own patience, which asyncpg has no parameters for."""
    wire = connection._transport.get_extra_info("socket")
    if wire is None or wire.family == socket.AF_UNIX:
        return
    options = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": VANISHED * 1000}
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # not every system has them all
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
