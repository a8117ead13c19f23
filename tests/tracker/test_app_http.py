"""The public web as an HTTP server: what else it answers, its limits, its end."""

import asyncio
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from aiohttp import ClientConnectionError

from tests.parts.certs import Authority
from tests.tracker.web import NOON, SHOP, TARGET, Ledger, bound, link, running
from tracker import app, listeners
from tracker.token import Purpose
from tracker.wire import GIF

PIXEL = f"/o/{link(Purpose.OPEN)}"
CLICK = f"/c/{link(Purpose.CLICK)}"


def request(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request as bytes."""
    return "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/{version}", "Host: t", *fields, "")).encode()


def answers(received: bytes) -> list[bytes]:
    """The status lines in what a server sent."""
    return re.findall(rb"HTTP/1\.1 \d{3} [A-Za-z ]+(?=\r\n)", received)


async def test_every_page_has_the_fields_that_keep_it_private() -> None:
    """Not kept, not indexed, not framed, nothing loaded, no way back told, no cookie."""
    async with running() as web:
        for path in ("/", f"/u/{link()}", "/u/forged", "/c/forged", "/nothing"):
            response = await web.get(path)
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Robots-Tag"] == "noindex"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "script" not in policy
            assert not {"Set-Cookie", "Server", "Strict-Transport-Security"} & set(response.headers)


async def test_the_host_says_what_it_is_for() -> None:
    """The root names the senders and where abuse is reported; RFC 9116: security.txt has Contact and Expires."""
    async with running() as web:
        page = await (await web.get("/")).text()
        assert "emails sent by <bdi>Example Shop</bdi>" in page
        assert '<a href="mailto:abuse@example.com">abuse@example.com</a>' in page
        response = await web.get("/.well-known/security.txt")
        expires = "2026-12-21T12:00:00+00:00"
        assert await response.text() == f"Contact: mailto:abuse@example.com\nExpires: {expires}\n"
        assert response.headers["Content-Type"].startswith("text/plain")
        assert await (await web.get("/robots.txt")).text() == "User-agent: *\nDisallow: /\n"
    async with running(replace(SHOP, contact="")) as web:
        assert (await web.get("/.well-known/security.txt")).status == 404


@pytest.mark.parametrize("path", ["/nothing", "/o", "/favicon.ico", "/C/x", "/u", "/../o/x", "/%2e%2e/", "//o/x", "/o"])
async def test_everything_else_is_404_and_echoes_nothing(path: str) -> None:
    """GET and POST alike; what was asked for does not come back."""
    async with running() as web:
        received = await web.raw(request(f"{path}<b>zebra</b>", "Connection: close"))
        assert answers(received) == [b"HTTP/1.1 404 Not Found"]
        assert b"zebra" not in received
        assert answers(await web.raw(request(path, "Connection: close", method="POST"))) == [b"HTTP/1.1 404 Not Found"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
async def test_other_methods_are_405(method: str) -> None:
    """RFC 9110 15.5.6: with the methods that are allowed."""
    async with running() as web:
        for path, allowed in ((PIXEL, "GET, HEAD"), (f"/u/{link()}", "GET, HEAD, POST"), ("/", "GET, HEAD")):
            response = await web.get(path, method=method)
            assert (response.status, response.headers["Allow"]) == (405, allowed)
        assert web.ledger.visits == []


async def test_the_other_forms_of_a_request_line_are_405() -> None:
    """RFC 9112 3.2.3 and 3.2.4: for a proxy, and for the server as a whole; we are neither's."""
    async with running() as web:
        for sent in (request("t.example.com:443", method="CONNECT"), request("*", method="OPTIONS")):
            assert answers(await web.raw(sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == [
                b"HTTP/1.1 405 Method Not Allowed"
            ]


async def test_a_post_does_not_count_as_an_open_or_a_click() -> None:
    """Neither is it redirected."""
    async with running() as web:
        for path in (PIXEL, CLICK):
            response = await web.post(path, b"x=y")
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert web.ledger.visits == []


async def test_a_connection_is_kept() -> None:
    """RFC 9112 9.3: several requests on one connection, pipelined too, each answered in its turn."""
    async with running() as web:
        received = await web.raw(
            request(PIXEL) + request(CLICK, method="HEAD") + request("/nothing"), request(CLICK, "Connection: close")
        )
        assert answers(received) == [
            b"HTTP/1.1 200 OK", b"HTTP/1.1 302 Found", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 302 Found",
        ]  # fmt: skip
        assert received.count(b"Connection: close") == 1
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert received.split(b"\r\n\r\n", 1)[1].startswith(GIF + b"HTTP/1.1 302")
        assert [visit.kind for visit in web.ledger.visits] == ["open", "click", "click"]


async def test_an_old_client_is_answered_in_kind() -> None:
    """RFC 9112 9.3: HTTP/1.0 ends after one answer, unless it asks otherwise and is told so."""
    async with running() as web:
        received = await web.raw(request(PIXEL, version="1.0"))
        assert b"Connection: close\r\n" in received
        received = await web.raw(request(PIXEL, "Connection: keep-alive", version="1.0"), request(PIXEL, version="1.0"))
        assert received.count(b"Connection: keep-alive\r\n") == 1
        assert received.count(GIF) == 2


async def test_the_absolute_form_is_understood() -> None:
    """RFC 9112 3.2.2: as a proxy would send it."""
    async with running() as web:
        received = await web.raw(request(f"http://t.example.com{CLICK}", "Connection: close"))
        assert b"Location: " + TARGET.encode() in received


async def test_every_answer_has_the_date_of_its_second() -> None:
    """RFC 9110 6.6.1."""
    async with running(ledger=Ledger()) as web:
        assert (await web.get(PIXEL)).headers["Date"] == "Sat, 21 Nov 2026 12:00:00 GMT"
        web.ledger.now = NOON + 1.5
        assert (await web.get(PIXEL)).headers["Date"] == "Sat, 21 Nov 2026 12:00:01 GMT"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01zebra",
        b"EHLO zebra\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nzebra\r\n\r\n",
        request("/" + "z" * 20_000),
        request("/", "X: " + "z" * 20_000),
        request("/", *["X: y"] * 200),
        request("/", "Content-Length: 3", "Content-Length: 4"),
        request("/", "Content-Length: 4", "Transfer-Encoding: chunked"),
    ],
    ids=["tls", "smtp", "field", "long line", "long field", "many fields", "two lengths", "smuggling"],
)
async def test_what_is_not_http_or_too_large_is_400(sent: bytes) -> None:
    """In few words, without an echo; the connection ends, and our log stays silent."""
    async with running() as web:
        received = await web.raw(sent)
        assert answers(received) == [b"HTTP/1.1 400 Bad Request"]
        assert b"zebra" not in received
        assert b"aiohttp" not in received
        assert web.troubles == []


async def test_a_body_is_read_up_to_8_kb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before or found out later: 413, and the connection ends."""
    monkeypatch.setattr(listeners, "LINGER", 0.05)
    here = f"/u/{link()}"
    async with running() as web:
        assert (await web.post(here, b"a" * 8192)).status == 400
        large = await web.raw(request(here, "Content-Length: 8193", method="POST"))
        assert answers(large) == [b"HTTP/1.1 413 Request Entity Too Large"]
        piece = b"1000\r\n" + b"a" * 4096 + b"\r\n"
        chunked = await web.raw(request(here, "Transfer-Encoding: chunked", method="POST"), piece * 3)
        assert answers(chunked) == [b"HTTP/1.1 413 Request Entity Too Large"]
        assert web.ledger.done == []


async def test_a_client_that_waits_for_100_is_told_to_go_on() -> None:
    """RFC 9110 10.1.1; and the body may come in chunks."""
    body = b"List-Unsubscribe=One-Click"
    fields = ("Expect: 100-continue", "Connection: close", "Transfer-Encoding: chunked")
    async with running() as web:
        sent = request(f"/u/{link()}", *fields, method="POST")
        received = await web.raw(sent, b"1a\r\n" + body + b"\r\n0\r\n\r\n")
        assert answers(received) == [b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK"]
        assert len(web.ledger.done) == 1


async def test_a_body_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """408, and nothing is done with the half of it."""
    monkeypatch.setattr(app, "SLOWEST_BODY", 0.05)
    monkeypatch.setattr(listeners, "LINGER", 0.05)
    async with running() as web:
        sent = request(f"/u/{link()}", "Content-Length: 100", method="POST") + b"List-Unsubscribe=One-Click"
        assert answers(await web.raw(sent)) == [b"HTTP/1.1 408 Request Timeout"]
        assert web.ledger.done == []


async def test_a_request_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nothing whole comes is closed, and so is one that stays idle after an answer."""
    monkeypatch.setattr(listeners, "IDLE", 0.05)
    async with running() as web:
        assert await web.raw(b"GET / HT") == b""
        assert answers(await web.raw(request(PIXEL))) == [b"HTTP/1.1 200 OK"]


async def test_who_never_reads_the_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for page after page and takes none holds no memory for ever."""
    monkeypatch.setattr(app, "SLOWEST_READER", 0.05)
    async with running() as web:
        with socket.create_connection(web.server.addresses[0]) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            with pytest.raises(ConnectionError):
                while True:
                    await asyncio.wait_for(loop.sock_sendall(client, request("/") * 50), timeout=20)


async def test_a_crowd_does_not_keep_others_out() -> None:
    """Beyond a quarter of the files we may open, the oldest connection makes room for the newest."""
    async with running() as web:
        web.server._room._most = 2
        opened = [await asyncio.open_connection(*web.server.addresses[0]) for _ in range(3)]
        assert await opened[0][0].read() == b"", "the oldest has ended"
        for reader, writer in opened[1:]:
            writer.write(request(PIXEL, "Connection: close"))
            assert GIF in await reader.read()
        for _, writer in opened:
            writer.close()


async def test_workers_share_a_port() -> None:
    """SO_REUSEPORT: two servers on one address, each on a socket of its own; one goes, the other answers."""
    first, second = bound(), socket.socket()
    second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    second.bind(first.getsockname())
    second.setblocking(False)
    async with running(sockets=[first]) as one, running(sockets=[second]) as other:
        assert one.url == other.url
        await other.server.close(grace=1)
        assert [answers(await one.raw(request(PIXEL, "Connection: close"))) for _ in range(8)] == [
            [b"HTTP/1.1 200 OK"]
        ] * 8


async def test_several_addresses_are_served_by_one() -> None:
    """Each socket is listened on."""
    async with running(sockets=[bound(), bound()]) as web:
        assert len({port for _, port in web.server.addresses}) == 2
        for host, port in web.server.addresses:
            async with web.client.get(f"http://{host}:{port}{PIXEL}") as response:
                assert response.status == 200


class Slow(Ledger):
    """Its answers come when `let` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def unsubscribe(self, *args: object, **named: object) -> None:
        self.asked.set()
        await self.let.wait()


async def test_closing_ends_what_is_idle_and_finishes_what_is_begun() -> None:
    """Who is being answered is answered; who waits for nothing is let go; nobody new comes in."""
    slow = Slow()
    async with running(ledger=slow) as web:
        idle, idle_writer = await asyncio.open_connection(*web.server.addresses[0])
        begun = asyncio.create_task(web.post(f"/u/{link()}", {"List-Unsubscribe": "One-Click"}))
        await slow.asked.wait()
        closing = asyncio.create_task(web.server.close(grace=30))
        assert await idle.read() == b""
        idle_writer.close()
        slow.let.set()
        response = await begun
        assert (response.status, response.headers["Connection"]) == (410, "close")
        await closing
        with pytest.raises(ClientConnectionError):
            await web.get(PIXEL)


async def test_closing_does_not_wait_for_ever() -> None:
    """After the grace time the rest is cut."""
    slow = Slow()
    async with running(ledger=slow) as web:
        begun = asyncio.create_task(web.post(f"/u/{link()}", {"List-Unsubscribe": "One-Click"}))
        await slow.asked.wait()
        await web.server.close(grace=0.05)
        with pytest.raises(ClientConnectionError):
            await begun


async def over_tls(here: Path) -> None:
    """Everything once, over TLS."""
    authority = Authority(here)
    tls = authority.certificate("127.0.0.1").server_context()
    async with running(tls=tls, client_tls=authority.trust()) as web:
        for path, status in ((PIXEL, 200), (CLICK, 302), (f"/u/{link()}", 200)):
            response = await web.get(path)
            assert response.status == status
            assert response.headers["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_serves_over_tls_and_says_so(loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    """RFC 6797: browsers are told to stay with TLS; on both event loops."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(over_tls(tmp_path))


async def test_tls_of_a_trusted_proxy_counts() -> None:
    """It speaks TLS for us: what base_url says is what visitors see."""
    for settings, expected in ((replace(SHOP, trusted_proxies=("127.0.0.1",)), True), (SHOP, False)):
        async with running(settings) as web:
            assert ("Strict-Transport-Security" in (await web.get("/")).headers) is expected
