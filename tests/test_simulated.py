"""The simulator's recipients, who do what they do at servers of ours: quickly here, and never beyond this machine."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from relay.address import Address, parse_address
from relay.config import Config, Endpoint, Inbound, Tracking
from relay.deliver.simulator import Act
from relay.delivery import Delivery
from relay.envelope import Role
from relay.simulated import MOST, ONE, TRIES, Recipients
from suppression.report import parse
from tests.parts.mail import message
from tests.parts.mx import FakeMx
from tests.parts.written_log import Written

DOMAIN = "bounce.sender.test"
BASE = "https://t.sender.test"
TOKEN = Address("b-token", DOMAIN)
PACE = 1000.0
PAGE = f"""<html><a href="https://shop.test/">not ours</a> <a href='{BASE}/c/one'>one</a>
<a href="{BASE}/c/two">two</a><img src="{BASE}/o/pixel"></html>"""
COPY = (
    f"From: ada@sender.test\r\nSubject: Hello\r\nMessage-ID: <1@sender.test>\r\nMIME-Version: 1.0\r\n"
    f"List-Unsubscribe: <{BASE}/u/token>, <mailto:u-token@{DOMAIN}>\r\n"
    f"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nContent-Type: text/html\r\n\r\n{PAGE}\r\n"
).encode()


class Site:
    """A web server that keeps what it is asked, and answers in turn with these statuses."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.asked: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split()[1]) for line in head.split("\r\n") if line.startswith("Content-Length:"))
        self.asked.put_nowait((head, await reader.readexactly(length)))
        status = self._statuses.pop(0) if self._statuses else 200
        writer.write(f"HTTP/1.1 {status} So\r\nLocation: https://shop.test/\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def recipients(
    written: Written, *, mx: FakeMx | None = None, site: Site | None = None, bounce_domain: str = DOMAIN
) -> AsyncIterator[Recipients]:
    """Recipients whose relay listens at `mx` and `site`."""
    inbound = Inbound(listen=(Endpoint(mx.listen, mx.port),) if mx else (), bounce_domain=bounce_domain)
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0) if site else None
    listen = (Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]),) if server else ()
    config = Config("relay.test", inbound=inbound, tracking=Tracking(listen=listen, base_url=BASE))
    recipients = Recipients(config, written.log, time.time, pace=PACE)
    keeping = asyncio.create_task(recipients.keep())
    try:
        yield recipients
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        if server:
            server.close()
            await server.wait_closed()


def delivery(reverse_path: Address | None = TOKEN) -> Delivery:
    return Delivery(message(reverse_path=reverse_path), 0, parse_address("somebody@sim.test"), Role.TO, "sim.test")


async def told(written: Written, times: int = 1) -> list[str]:
    """Wait until so many lines are in the log; all of them."""
    async with asyncio.timeout(60):
        while len(lines := written.lines) < times:  # noqa: ASYNC110  nobody tells us of lines
            await asyncio.sleep(0.005)
    return lines


def in_the_way(written: Written) -> list[str]:
    """What kept somebody from doing it; that a test ends before the last goodbye is no matter."""
    return [line for line in written.lines if not line.endswith("cannot: the worker stops")]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@pytest.mark.parametrize(
    ("act", "kind"), [(Act.LATE_BOUNCE, "bounce"), (Act.COMPLAINT, "feedback"), (Act.AUTO_REPLY, "vacation")]
)
async def test_what_they_write_is_what_our_reader_takes_it_for(written: Written, act: Act, kind: str) -> None:
    """With the null reverse-path, to the token of the delivery, and about its recipient and message."""
    async with FakeMx() as mx, recipients(written, mx=mx) as somebody:
        somebody.has(act, delivery(), COPY)
        (mail,) = await mx.received(1)
    assert (mail.mail_from, mail.recipients) == ("", (str(TOKEN),))
    report = parse(mail.content)
    assert report.kind == kind
    if kind == "bounce":
        (one,) = report.recipients
        assert (one.address, one.action, one.status, one.code) == ("somebody@sim.test", "failed", "5.1.1", 550)
    if kind == "feedback":
        assert report.feedback_type == "abuse"
    if kind != "vacation":
        assert report.original.message_id == "1@sender.test"
    assert in_the_way(written) == []


async def test_a_notice_is_never_answered(written: Written) -> None:
    """RFC 5321 4.5.5: what has the null reverse-path goes unanswered; there is nothing to tell about it."""
    async with FakeMx() as mx, recipients(written, mx=mx) as somebody:
        for act in (Act.LATE_BOUNCE, Act.COMPLAINT, Act.AUTO_REPLY):
            somebody.has(act, delivery(None), COPY)
        somebody.has(Act.AUTO_REPLY, delivery(), COPY)
        await mx.received(1)
    assert len(mx.messages) == 1
    assert in_the_way(written) == []


async def test_a_no_for_now_is_followed_by_another_try(written: Written) -> None:
    """As a mail server does: 451 at the dot, a connection that breaks, and then it is taken."""
    dot = ["451 4.3.0 too early", "451 4.3.0 too early", "250 Ok"]
    async with FakeMx(dot=dot) as mx, recipients(written, mx=mx) as somebody:
        somebody.has(Act.LATE_BOUNCE, delivery(), COPY)
        await mx.received(1)
        assert mx.connections == 3
    assert in_the_way(written) == []


@pytest.mark.parametrize(("said", "tries"), [("550 5.1.1 no such address", 1), ("451 4.3.0 never", TRIES)])
async def test_what_stays_refused_is_told(written: Written, said: str, tries: int) -> None:
    """A no for good at once, a no for now after a few tries; in one line with the message's queue id."""
    async with FakeMx(rcpt=said) as mx, recipients(written, mx=mx) as somebody:
        mine = delivery()
        somebody.has(Act.COMPLAINT, mine, COPY)
        (line,) = await told(written)
        assert mx.connections == tries
    assert f"warning: {mine.message.queue_id}: simulated recipient somebody@sim.test" in line
    assert said in line


async def test_a_person_opens_and_then_clicks(written: Written) -> None:
    """The picture first, then the first link that leads through us; the redirect is not followed."""
    site = Site(200, 302)
    async with recipients(written, site=site) as somebody:
        somebody.has(Act.CLICKS, delivery(), COPY)
        asked = [await site.asked.get() for _ in range(2)]
    assert [head.split(" HTTP")[0] for head, _ in asked] == ["GET /o/pixel", "GET /c/one"]
    assert all("\r\nHost: t.sender.test\r\n" in head for head, _ in asked)
    assert site.asked.empty() and in_the_way(written) == []


async def test_one_click_unsubscribes(written: Written) -> None:
    """RFC 8058 3.1: a POST that says so, to the address in the header; once more when the server cannot just now."""
    site = Site(503, 200)
    async with recipients(written, site=site) as somebody:
        somebody.has(Act.UNSUBSCRIBES, delivery(), COPY)
        asked = [await site.asked.get() for _ in range(2)]
    assert all(head.startswith("POST /u/token HTTP/1.1\r\n") for head, _ in asked)
    assert [body for _, body in asked] == [b"List-Unsubscribe=One-Click"] * 2
    assert in_the_way(written) == []


Changed = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("act", "change", "why"),
    [
        (Act.OPENS, lambda copy: copy.replace(b"/o/", b"/p/"), "no picture of ours"),
        (Act.CLICKS, lambda copy: copy.replace(b"/o/", b"/p/").replace(b"/c/", b"/d/"), "no link in it leads through"),
        (Act.UNSUBSCRIBES, lambda copy: copy.replace(b"<" + BASE.encode(), b"<https://x.test"), "no address for one"),
        (Act.UNSUBSCRIBES, lambda copy: copy.replace(b"-Post:", b"-Pot:"), "no address for one"),
    ],
)
async def test_nothing_leaves_the_machine(written: Written, act: Act, change: Changed, why: str) -> None:
    """Links, pictures and addresses of others are left alone, and that is told."""
    site = Site()
    async with recipients(written, site=site) as somebody:
        somebody.has(act, delivery(), change(COPY))
    assert len(written.lines) == 1
    assert why in written.last
    assert site.asked.empty()


async def test_without_listeners_it_is_told(written: Written) -> None:
    """No inbound listener, another's reverse-path, no public web."""
    async with FakeMx() as mx, recipients(written) as deaf, recipients(written, mx=mx) as hears:
        deaf.has(Act.LATE_BOUNCE, delivery(), COPY)
        hears.has(Act.LATE_BOUNCE, delivery(Address("ada", "sender.test")), COPY)
        deaf.has(Act.OPENS, delivery(), COPY)
    assert ["inbound" in line for line in written.lines] == [True, True, False]
    assert "tracking.listen is empty" in written.last


async def test_what_waits_is_bounded_and_told_at_the_end(written: Written) -> None:
    """Above the limit nobody comes in any more; those who wait when the worker stops are not forgotten silently."""
    config = Config("relay.test", tracking=Tracking(listen=(Endpoint("127.0.0.1", 1),), base_url=BASE))
    somebody = Recipients(config, written.log, time.time)
    most = MOST // ONE
    for _ in range(most + 3):
        somebody.has(Act.OPENS, delivery(), COPY)
    assert [line.endswith("too many others are waiting to do something") for line in written.lines] == [True] * 3
    keeping = asyncio.create_task(somebody.keep())
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert len(written.lines) == 3 + most
    assert "the worker stops" in written.last


async def test_a_large_header_comes_back_in_part(written: Written) -> None:
    """What is brought back is bounded, and ends with a whole line."""
    mine = delivery()
    mine = replace(mine, message=replace(mine.message, subject="Grüße"))
    copy = b"".join(b"X-Long-%d: %s\r\n" % (number, b"a" * 900) for number in range(200)) + COPY
    for act in (Act.LATE_BOUNCE, Act.COMPLAINT, Act.AUTO_REPLY):
        async with FakeMx() as mx, recipients(written, mx=mx) as somebody:
            somebody.has(act, mine, copy)
            (mail,) = await mx.received(1)
        assert len(mail.content) < 32 * 1024
        assert mail.content.isascii()
        assert all(len(line) <= 998 for line in mail.content.split(b"\r\n"))
