"""What the simulator's recipients do once they have their mail: they write back, open it, follow a link, unsubscribe.

    recipients = Recipients(config, log, clock)
    carrier = Carrier(…, afterwards=recipients.has)
    …  asyncio.create_task(recipients.keep())

The real thing comes back, the way it comes back from the Internet: by SMTP to our inbound listener, by HTTP to the
public web. Nothing leaves the machine: both are asked at their own addresses here, wherever names and links lead.

Rules. One task per worker, one thing after the other. They wait as long as people do: who is quicker than a hand
counts as a machine (`tracker/visitor.py`). A later try follows a no for now, a few times. What waits is held in bounded
memory, and is gone when the worker stops. Whatever does not come about is told in the log.
Fails: never; a mail to a simulated recipient costs nobody else anything.
Standards: RFC 8058 3.1 (one click), RFC 9112 (HTTP).
"""

import asyncio
import heapq
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from urllib.parse import urlsplit

from relay.compose import answers
from relay.compose.seen import seen
from relay.config import Config, Endpoint, Timeouts
from relay.deliver.client import Client
from relay.deliver.conversation import Conversation
from relay.deliver.exchange import Failure
from relay.deliver.mx import Hop
from relay.deliver.simulator import HOST, Act
from relay.delivery import Delivery
from relay.log import Log

# Seconds after the copy was accepted.
ANSWERED = 1.0  # by a machine
OPENED = 3.0  # by a person, who needs a moment to see it
CLICKED = 6.0  # by one who has read it
COMPLAINED = 3.0

AGAIN = 2.0  # seconds until the next try
TRIES = 5
PATIENCE = 10.0  # seconds for an answer
MOST = 16 * 1024 * 1024  # octets of answers that wait
ONE = 4096  # octets that anything else counts

_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0 (simulated)"
_ONE_CLICK = b"List-Unsubscribe=One-Click"
_ANSWERS = {
    Act.LATE_BOUNCE: (ANSWERED, answers.late_bounce),
    Act.COMPLAINT: (COMPLAINED, answers.complaint),
    Act.AUTO_REPLY: (ANSWERED, answers.auto_reply),
}
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # listening everywhere is reached here


class _Cannot(Exception):
    """It does not come about; the text says what is in the way, `for_now` whether that may pass."""

    def __init__(self, why: str, *, for_now: bool) -> None:
        super().__init__(why)
        self.for_now = for_now


@dataclass(frozen=True, slots=True)
class _Request:
    """One request to the public web."""

    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True, order=True)
class _Appointment:
    """Something that a recipient will do, `due` at (monotonic seconds)."""

    due: float
    order: int
    what: answers.Answer | _Request = field(compare=False)
    delivery: Delivery = field(compare=False)
    act: Act = field(compare=False)
    tried: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        return ONE if isinstance(self.what, _Request) else ONE + len(self.what[1])


class Recipients:
    """One per worker. `clock` gives Unix seconds; at another `pace` they are that many times as quick as people."""

    def __init__(self, config: Config, log: Log, clock: Callable[[], float], *, pace: float = 1.0) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._pace = pace
        self._client = Client(HOST, Timeouts(**{each.name: PATIENCE for each in fields(Timeouts)}))
        self._waiting: list[_Appointment] = []  # a heap
        self._held = 0  # octets
        self._count = 0
        self._more = asyncio.Event()

    def has(self, act: Act, delivery: Delivery, copy: bytes) -> None:
        """The recipient has its copy, under the reverse-path of `delivery`, and will do as it does."""
        if act in _ANSWERS:
            self._will_answer(act, delivery, copy)
            return
        found = seen(copy, self._config.tracking.base_url)
        if act is Act.UNSUBSCRIBES:
            self._will_visit(act, delivery, OPENED, found.unsubscribe, "no address for one click in it is ours")
            return
        if found.pixel or act is Act.OPENS:
            self._will_visit(act, delivery, OPENED, found.pixel, "no picture of ours is in it")
        if act is Act.CLICKS:
            self._will_visit(act, delivery, CLICKED, found.link, "no link in it leads through us")

    async def keep(self) -> None:
        """Have done what is due, until cancelled; what waits then is told."""
        try:
            while True:
                await self._next_due()
                appointment = self._take()
                try:
                    await self._do(appointment)
                except _Cannot as why:
                    self._later(appointment, why)
                except asyncio.CancelledError:
                    self._waiting.append(appointment)
                    raise
        finally:
            for appointment in self._waiting:
                self._tell(appointment.act, appointment.delivery, "the worker stops")

    # What will be done.

    def _will_answer(self, act: Act, delivery: Delivery, copy: bytes) -> None:
        seconds, write = _ANSWERS[act]
        to = delivery.message.reverse_path
        if to is None:  # RFC 5321 4.5.5: what has the null reverse-path is a notice, and nobody answers it
            return
        if not self._config.inbound.listen or to.destination != self._config.inbound.bounce_domain:
            self._tell(act, delivery, "its reverse-path is none of ours (inbound.bounce_domain and inbound.listen)")
            return
        self._will(act, delivery, seconds, write(delivery, copy, host=HOST, now=self._clock()))

    def _will_visit(self, act: Act, delivery: Delivery, seconds: float, path: str, otherwise: str) -> None:
        if not path:
            self._tell(act, delivery, otherwise)
        elif not self._config.tracking.listen:
            self._tell(act, delivery, "tracking.listen is empty")
        else:
            one_click = act is Act.UNSUBSCRIBES
            what = _Request("POST", path, _ONE_CLICK) if one_click else _Request("GET", path)
            self._will(act, delivery, seconds, what)

    def _will(self, act: Act, delivery: Delivery, seconds: float, what: answers.Answer | _Request) -> None:
        self._put(_Appointment(time.monotonic() + seconds / self._pace, 0, what, delivery, act))

    def _put(self, appointment: _Appointment) -> None:
        """Have it wait for its time, if there is room."""
        if self._held + appointment.size > MOST:
            self._tell(appointment.act, appointment.delivery, "too many others are waiting to do something")
            return
        self._held += appointment.size
        self._count += 1
        heapq.heappush(self._waiting, replace(appointment, order=self._count))
        self._more.set()

    def _take(self) -> _Appointment:
        appointment = heapq.heappop(self._waiting)
        self._held -= appointment.size
        return appointment

    async def _next_due(self) -> None:
        """Until the first of those that wait is due."""
        while True:
            self._more.clear()
            left = self._waiting[0].due - time.monotonic() if self._waiting else None
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._more.wait()
            except TimeoutError:
                return

    def _later(self, appointment: _Appointment, why: _Cannot) -> None:
        """Once more, if that may help."""
        tried = appointment.tried + 1
        if not why.for_now or tried >= TRIES:
            self._tell(appointment.act, appointment.delivery, str(why))
        else:
            self._put(replace(appointment, due=time.monotonic() + AGAIN / self._pace, tried=tried))

    def _tell(self, act: Act, delivery: Delivery, why: str) -> None:
        name = f"{delivery.message.queue_id}: simulated recipient {delivery.recipient}"
        self._log.warning(f"{name}, who {act.value}, cannot: {why}")

    # Doing it.

    async def _do(self, appointment: _Appointment) -> None:
        what = appointment.what
        if isinstance(what, _Request):
            await self._visit(what)
        else:
            await self._send(*what)

    async def _send(self, to: Delivery, content: bytes) -> None:
        endpoint = _here(self._config.inbound.listen)
        talk = Conversation()
        opened = await self._client.open(Hop(endpoint.host, endpoint.host, endpoint.port), talk)
        if isinstance(opened, Failure):
            raise _refused(opened)
        said = await opened.send(to, content, talk)
        await opened.close()
        if isinstance(said, Failure):
            raise _refused(said)

    async def _visit(self, request: _Request) -> None:
        tracking = self._config.tracking
        host = urlsplit(tracking.base_url).netloc
        tls = _unverified() if tracking.tls_certificate else None
        try:
            async with asyncio.timeout(PATIENCE):
                status = await _ask(_here(tracking.listen), request, host, tls)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            why = f"the public web does not answer: {str(error) or type(error).__name__}"
            raise _Cannot(why, for_now=True) from error
        if status >= 400:
            raise _Cannot(f"the public web answers {status}", for_now=status >= 500)


def _here(listen: Sequence[Endpoint]) -> Endpoint:
    """How one of our listeners is reached from this machine."""
    return replace(listen[0], host=_ANY_ADDRESS.get(listen[0].host, listen[0].host))


def _refused(failure: Failure) -> _Cannot:
    reply = failure.reply
    said = f"answers {reply.line}" if reply else f"does not take it: {failure.text}"
    return _Cannot(f"{failure.peer} {said}", for_now=reply is None or not reply.permanent)


def _unverified() -> ssl.SSLContext:
    """We speak to ourselves, by address: there is nobody to be proven."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _ask(endpoint: Endpoint, request: _Request, host: str, tls: ssl.SSLContext | None) -> int:
    """The status of the answer; a redirect is not followed, as it leads away from here."""
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=tls)
    try:
        form = "Content-Type: application/x-www-form-urlencoded\r\n" if request.body else ""
        writer.write(
            f"{request.method} {request.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {_AGENT}\r\n"
            f"{form}Content-Length: {len(request.body)}\r\nConnection: close\r\n\r\n".encode("latin-1")
        )
        writer.write(request.body)
        await writer.drain()
        line = await reader.readuntil(b"\r\n")
        while await reader.read(65536):
            pass
    finally:
        writer.close()
    return int(line.split()[1])
