"""A real SMTP server on loopback that is plain data, for every test that sends mail.

    async with FakeMx(rcpt={"a@x.test": "550 5.1.1 no"}) as mx:
        ... deliver to mx.hop() ...
        await mx.received(1)
        mx.messages[0].content

Replies are text; lines of one reply are split by "\\n" ("250 one\\ntwo": the code is repeated). A
list of replies is used up one by one, the last one stays. Misbehaviours have names and
are set to the step where they happen: "GREETING", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL",
"RCPT", "DATA", "BODY", "DOT", "RSET", "QUIT". Nothing here waits for time; a server that is silent
stays so until the client hangs up or the test ends.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from relay.config import Route
from relay.deliver.mx import Hop

Replies = str | Sequence[str]
EXTENSIONS = ("SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN", "PIPELINING", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True)
class Received:
    """One accepted message. The paths are without brackets, the parameters as they stood on the line."""

    mail_from: str
    mail_parameters: str
    recipients: tuple[str, ...]
    rcpt_parameters: tuple[str, ...]
    content: bytes
    tls: bool
    user: str | None = None


class _Hangup(Exception):
    """The connection ends here."""


@dataclass
class FakeMx:
    """What the server says, and how it misbehaves."""

    greeting: Replies = "220 mx.test ESMTP"
    ehlo: Sequence[str] = EXTENSIONS  # keywords; STARTTLS and AUTH are added where they are set
    ehlo_reply: Replies | None = None  # instead of the keywords: "500 what?"
    helo: Replies = "250 mx.test"
    mail: Replies = "250 2.1.0 Ok"
    rcpt: Mapping[str, Replies] | Replies = "250 2.1.5 Ok"  # by address; who is not named is accepted
    data: Replies = "354 Go ahead"
    dot: Replies = "250 2.0.0 Ok: queued"
    rset: Replies = "250 2.0.0 Ok"
    starttls: Replies = "220 2.0.0 Go ahead"
    tls: ssl.SSLContext | None = None  # STARTTLS is offered
    implicit_tls: bool = False  # TLS from the first byte (`tls` says which)
    users: Mapping[str, str] = field(default_factory=dict)  # who may log in; AUTH is offered
    mechanisms: str = "PLAIN LOGIN"

    bad_tls: bool = False  # answers 220 to STARTTLS and then talks nonsense
    silent_at: str | None = None  # takes the command and says nothing
    drop_at: str | None = None  # takes the command and hangs up
    drop_after: str | None = None  # answers, and then hangs up
    garbage_at: str | None = None  # answers in no language of ours
    no_crlf_at: str | None = None  # answers without ending the line
    endless_reply_at: str | None = None  # "250-more" for ever
    extra_reply_at: str | None = None  # answers twice
    lone_lf_at: str | None = None  # ends its lines with LF alone
    closes_after: int | None = None  # messages per connection; then it hangs up without a word
    idle_421: bool = False  # after each message: "421 idle" and hangs up
    accepts_data_for_nobody: bool = False  # 354 although no recipient was accepted
    stops_reading_at_data: bool = False  # says 354 and reads no more
    refuse_in_body: str | None = None  # says this in the middle of the content, and hangs up
    hold_at: str | None = None  # answers when `release` is set

    host: str = "mx.test"
    listen: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        self.messages: list[Received] = []
        self.commands: list[str] = []  # every line that came, over all connections
        self.connections = 0
        self.open = 0
        self.release = asyncio.Event()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._used: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        context = self.tls if self.implicit_tls else None
        self._server = await asyncio.start_server(self._serve, self.listen, self.port, ssl=context, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def hop(self, route: Route | None = None) -> Hop:
        """How to get here."""
        return Hop(self.host, self.listen, self.port, route)

    async def received(self, count: int) -> list[Received]:
        """Wait until `count` messages have come."""
        await self._until(lambda: len(self.messages) >= count)
        return self.messages

    async def connected(self, count: int) -> None:
        """Wait until `count` connections have been made in all."""
        await self._until(lambda: self.connections >= count)

    async def closed(self) -> None:
        """Wait until no connection is open."""
        await self._until(lambda: self.open == 0)

    async def heard(self, command: str) -> None:
        """Wait until a line that begins with `command` has come."""
        await self._until(lambda: any(line.startswith(command) for line in self.commands))

    async def _until(self, true: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(true)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        await self._notify()
        try:
            await _Session(self, reader, writer).run()
        except (_Hangup, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's server would report a cancelled handler as an error
        finally:
            writer.transport.abort()
            self.open -= 1
            self._tasks.discard(task)
            await self._notify()

    def next_reply(self, step: str, replies: Replies) -> str:
        """The reply whose turn it is; a 421 is followed by a hang-up."""
        if isinstance(replies, str):
            return replies
        turn = self._used.get(step, 0)
        self._used[step] = turn + 1
        return replies[min(turn, len(replies) - 1)]


class _Session:
    """One connection."""

    def __init__(self, mx: FakeMx, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.mx, self.reader, self.writer = mx, reader, writer
        self.secure = mx.implicit_tls
        self.user: str | None = None
        self.taken = 0
        self._reset()

    def _reset(self) -> None:
        self.mail: tuple[str, str] | None = None
        self.recipients: list[tuple[str, str]] = []

    async def run(self) -> None:
        await self._say("GREETING", self.mx.next_reply("GREETING", self.mx.greeting))
        while line := await self.reader.readline():
            command = line.decode().rstrip("\r\n")
            self.mx.commands.append(command)
            await self.mx._notify()
            await self._obey(command)

    async def _obey(self, command: str) -> None:
        mx = self.mx
        verb, _, rest = command.partition(" ")
        match verb.upper():
            case "EHLO":
                await self._say("EHLO", self._hello())
            case "HELO":
                await self._say("HELO", mx.next_reply("HELO", mx.helo))
            case "STARTTLS":
                await self._start_tls()
            case "AUTH":
                await self._authenticate(rest)
            case "MAIL" if self.mail is not None:
                await self._say("MAIL", "503 5.5.1 nested MAIL command")
            case "MAIL":
                if await self._say("MAIL", mx.next_reply("MAIL", mx.mail)):
                    self.mail = _path(rest)
            case "RCPT" if self.mail is None:
                await self._say("RCPT", "503 5.5.1 need MAIL first")
            case "RCPT":
                await self._recipient(_path(rest))
            case "DATA" if not self.recipients and not mx.accepts_data_for_nobody:
                await self._say("DATA", "554 5.5.1 no valid recipients")
            case "DATA":
                if await self._say("DATA", mx.next_reply("DATA", mx.data)):
                    await self._content()
            case "RSET":
                self._reset()
                await self._say("RSET", mx.next_reply("RSET", mx.rset))
            case "QUIT":
                await self._say("QUIT", "221 2.0.0 Bye")
                raise _Hangup
            case _:
                await self._say(verb.upper(), "502 5.5.1 unknown command")

    def _hello(self) -> str:
        if self.mx.ehlo_reply is not None:
            return self.mx.next_reply("EHLO", self.mx.ehlo_reply)
        keywords = list(self.mx.ehlo)
        if (self.mx.tls or self.mx.bad_tls) and not self.secure:
            keywords.append("STARTTLS")
        if self.mx.users:
            keywords.append(f"AUTH {self.mx.mechanisms}")
        return "\n".join(("250 mx.test", *keywords))

    async def _recipient(self, path: tuple[str, str]) -> None:
        rcpt = self.mx.rcpt
        replies = rcpt.get(path[0], "250 2.1.5 Ok") if isinstance(rcpt, Mapping) else rcpt
        if await self._say("RCPT", self.mx.next_reply(f"RCPT {path[0]}", replies)):
            self.recipients.append(path)

    async def _content(self) -> None:
        if self.mx.drop_at == "BODY":
            raise _Hangup
        if self.mx.stops_reading_at_data:
            self.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await self.mx.release.wait()
        if self.mx.refuse_in_body:
            await self.reader.readline()
            self.writer.write(self.mx.refuse_in_body.encode() + b"\r\n")
            raise await self._hangup()
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise _Hangup
            lines.append(line[1:] if line.startswith(b".") else line)
        assert self.mail is not None
        reply = self.mx.next_reply("DOT", self.mx.dot) if self.recipients else "554 5.5.1 no valid recipients"
        if reply.startswith("2"):
            mail_from, parameters = self.mail
            paths, rcpt_parameters = zip(*self.recipients, strict=True)
            content = b"".join(lines)
            self.mx.messages.append(
                Received(mail_from, parameters, paths, rcpt_parameters, content, self.secure, self.user)
            )
            self.taken += 1
            await self.mx._notify()
        self._reset()
        await self._say("DOT", reply)
        if self.mx.idle_421:
            self.writer.write(b"421 4.4.2 idle for too long\r\n")
            raise await self._hangup()
        if self.taken == self.mx.closes_after:
            raise await self._hangup()

    async def _start_tls(self) -> None:
        if not await self._say("STARTTLS", self.mx.next_reply("STARTTLS", self.mx.starttls)):
            return
        if self.mx.bad_tls:
            self.writer.write(b"this is not TLS\r\n" * 10)
            await self.writer.drain()
            await self._never()
        assert self.mx.tls is not None
        await self.writer.start_tls(self.mx.tls)
        self.secure = True

    async def _authenticate(self, rest: str) -> None:
        mechanism, _, initial = rest.partition(" ")
        if mechanism == "PLAIN":
            _, user, password = base64.b64decode(initial).decode().split("\0")
        else:
            user, password = [await self._prompt(prompt) for prompt in ("Username:", "Password:")]
        good = self.mx.users.get(user) == password
        self.user = user if good else None
        await self._say("AUTH", "235 2.7.0 welcome" if good else "535 5.7.8 bad credentials")

    async def _prompt(self, prompt: str) -> str:
        self.writer.write(b"334 " + base64.b64encode(prompt.encode()) + b"\r\n")
        return base64.b64decode(await self.reader.readline()).decode()

    async def _say(self, step: str, reply: str) -> bool:
        """Answer as the data says; is the answer positive?"""
        mx = self.mx
        if mx.drop_at == step:
            raise _Hangup
        if mx.silent_at == step:
            await self._never()
        if mx.hold_at == step:
            await mx.release.wait()
        if mx.endless_reply_at == step:
            while True:
                self.writer.write(b"250-and another thing\r\n" * 100)
                await self.writer.drain()
        if mx.garbage_at == step:
            self.writer.write(b"\x00\x16\x03\xff what do you want\x1b[31m\r\n")
        else:
            self.writer.write(self._on_the_wire(step, reply))
        await self.writer.drain()
        if mx.drop_after == step or reply.startswith("421"):
            raise await self._hangup()
        return reply[0] in "23"

    def _on_the_wire(self, step: str, reply: str) -> bytes:
        code, lines = reply[:3], reply[4:].split("\n")
        text = "".join(f"{code}-{line}\r\n" for line in lines[:-1]) + f"{code} {lines[-1]}\r\n"
        if self.mx.no_crlf_at == step:
            text = text.rstrip("\r\n")
        if self.mx.lone_lf_at == step:
            text = text.replace("\r\n", "\n")
        if self.mx.extra_reply_at == step:
            text += text
        return text.encode("utf-8", "surrogateescape")

    async def _never(self) -> None:
        """Say nothing until the client hangs up."""
        while await self.reader.read(2**16):
            pass
        raise _Hangup

    async def _hangup(self) -> _Hangup:
        """Everything that was said still arrives."""
        await self.writer.drain()
        if self.writer.can_write_eof():
            self.writer.write_eof()
        else:
            self.writer.close()
        while await self.reader.read(2**16):
            pass
        return _Hangup()


def _path(rest: str) -> tuple[str, str]:
    """ "FROM:<a@x.test> SIZE=5" → ("a@x.test", "SIZE=5")."""
    path, _, parameters = rest.partition(">")
    return path.partition("<")[2], parameters.strip()
