"""The two ends of the program under test: clients that remember every 250, and a next hop that remembers every arrival.

Each message has a key, which is its recipient's local part, and a body made from the key alone: the next hop knows a
message by its recipient and sees whether it came whole. Both run in the test's event loop, on real sockets.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sized
from typing import Self

LOOPBACK = "127.0.0.1"
DOMAIN = "kept.test"


def body(key: str) -> bytes:
    """About 2 KB of lines that only `key` could have made."""
    lines = (hashlib.sha256(f"{key} {number}".encode()).hexdigest() for number in range(30))
    return "".join(f"{line}\r\n" for line in lines).encode()


class Conversation:
    """The client's side of one SMTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, host: str = LOOPBACK) -> Self:
        """Connect and say EHLO; ConnectionError if nobody answers as a server should."""
        conversation = cls(*await asyncio.open_connection(host, port))
        if not (await conversation.reply()).startswith("220"):
            raise ConnectionError("no greeting")
        await conversation.say("EHLO client.test")
        return conversation

    async def say(self, line: str | bytes) -> str:
        """Send a line, return the last line of the reply."""
        self._writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return await self.reply()

    async def reply(self) -> str:
        """The last line of the next reply; ConnectionError at the end of the connection."""
        while line := (await self._reader.readline()).decode():
            if line[3:4] != "-":
                return line.rstrip()
        raise ConnectionError("closed")

    async def send(self, key: str) -> str:
        """One message; the first reply that is not 2yz or 3yz, or the one to the final dot."""
        for command in ("MAIL FROM:<app@client.test>", f"RCPT TO:<{key}@{DOMAIN}>", "DATA"):
            reply = await self.say(command)
            if reply[0] not in "23":
                await self.say("RSET")
                return reply
        head = f"From: app@client.test\r\nTo: {key}@{DOMAIN}\r\nSubject: {key}\r\n\r\n".encode()
        return await self.say(head + body(key) + b".")

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Clients:
    """Applications that send without end and come back when cut off. `accepted`: key → queue id of each 250.

    `name` begins their keys, so that those of several nodes differ.
    """

    def __init__(self, port: int, count: int = 10, *, host: str = LOOPBACK, name: str = "c") -> None:
        self.port = port
        self.host = host
        self.count = count
        self.name = name
        self.accepted: dict[str, str] = {}
        self.refused: list[str] = []  # every other reply to a message
        self.welcome = asyncio.Event()  # set while it makes sense to connect
        self._more = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.welcome.set()
        names = [f"{self.name}{number}" for number in range(self.count)]
        self._tasks = [asyncio.create_task(self._work(name), name=name) for name in names]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def accept_more(self, messages: int) -> None:
        """Wait until that many further messages have their 250."""
        await self._grown(self.accepted, messages)

    async def refuse_more(self, messages: int) -> None:
        """Wait until that many further messages have been answered with anything else."""
        await self._grown(self.refused, messages)

    async def _grown(self, replies: Sized, messages: int) -> None:
        enough = len(replies) + messages
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: len(replies) >= enough)

    async def _work(self, name: str) -> None:
        number = 0
        while True:
            await self.welcome.wait()
            with contextlib.suppress(ConnectionError):
                conversation = await Conversation.open(self.port, self.host)
                try:
                    while True:
                        number += 1
                        await self._send(conversation, f"{name}-{number}")
                finally:
                    conversation.close()

    async def _send(self, conversation: Conversation, key: str) -> None:
        reply = await conversation.send(key)
        if reply.startswith("250 2.0.0 Queued as "):
            self.accepted[key] = reply.split()[4]
        else:
            self.refused.append(reply)
        async with self._more:
            self._more.notify_all()
        if reply.startswith("421"):
            raise ConnectionError(reply)


class Sink:
    """The only next hop. `arrived` counts what it took, by key; `damaged` names what did not come whole.

    While `answers` is not set it takes messages and does not say so; `open` and `most` count connections.
    """

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.answers = asyncio.Event()
        self.answers.set()
        self.open = self.most = 0
        self.damaged: set[str] = set()
        self.port = 0
        self._more = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_for(self, keys: Iterable[str], seconds: float = 60) -> None:
        """Until each of `keys` has arrived; those missing after `seconds` are in the TimeoutError."""
        wanted = set(keys)
        try:
            await self.until(lambda: wanted <= self.arrived.keys(), seconds)
        except TimeoutError:
            missing = wanted - self.arrived.keys()
            raise TimeoutError(f"{len(missing)} of {len(wanted)} never arrived: {sorted(missing)[:10]}") from None

    async def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        """Until it is `true` of what has come, or of the connections."""
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(true)

    async def _tell(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.open += 1
        self.most = max(self.most, self.open)
        await self._tell()
        try:
            await self._converse(reader, writer)
        except ConnectionError:
            pass  # the program was killed: that is what these tests do
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = ""
        writer.write(b"220 sink.test ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                key = line.split(b"<")[1].split(b"@")[0].decode()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                try:
                    content = await reader.readuntil(b"\r\n.\r\n")
                except asyncio.IncompleteReadError:
                    return
                await self._take(key, content[:-3])
            writer.write(
                {b"EHLO": b"250-sink.test\r\n250 PIPELINING\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n")
            )
            if verb == b"QUIT":
                return

    async def _take(self, key: str, content: bytes) -> None:
        self.arrived[key] += 1
        if not content.endswith(body(key)):
            self.damaged.add(key)
        await self._tell()
        await self.answers.wait()
