"""The public web as the relay serves it: what goes out leads here, and what comes back is known."""

import asyncio
import json
import re
import signal
import smtplib
import ssl
from pathlib import Path
from typing import Any

import aiohttp

from tests.parts.certs import Authority
from tests.parts.mx import FakeMx
from tests.parts.program import Relay, command, relay, write_config
from tests.test_reload import gone

BASE = "http://t.relay.test"  # what links begin with; the tests go to the real address instead
LETTER = (
    "From: shop@relay.test\r\nTo: ada@x.test\r\nSubject: Offers\r\nX-Mailtrail-Unsubscribe: yes\r\n"
    "X-Mailtrail-Tag: weekly\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    '<html><body><p><a href="https://shop.test/a?b=1&amp;c=2">Offers</a></p></body></html>\r\n'
)


def settings(mx: FakeMx, **tracking: Any) -> dict[str, Any]:
    """A relay that sends everything to `mx` and serves the web on a port of the system's choice."""
    return {
        "tracking": {"listen": ["127.0.0.1:0"], "base_url": BASE} | tracking,
        "delivery": {"routes": {"*": f"127.0.0.1:{mx.port}"}},
    }


async def submitted(program: Relay) -> None:
    """Hand in the letter."""

    def send() -> None:
        with smtplib.SMTP(*program.submission) as client:
            client.sendmail("shop@relay.test", ["ada@x.test"], LETTER)

    await asyncio.to_thread(send)


def path_of(content: bytes, kind: str) -> str:
    """The path of the first link of this kind (o, c or u) in a copy."""
    found = re.search(rf"{BASE}(/{kind}/[\w-]+)", re.sub(rb"=\r\n", b"", content).decode())
    assert found
    return found[1]


async def shown(tmp_path: Path, program: Relay) -> dict[str, Any]:
    """The only message, as `message show` has it."""
    queue_id = re.search(r": (\w{12}): from=", await program.line("nrcpt=1"))
    assert queue_id
    code, out, err = await command("message", "show", queue_id[1], "--json", "--config", str(tmp_path / "config.toml"))
    assert code == 0, err
    body: dict[str, Any] = json.loads(out)
    return body


async def test_what_a_recipient_does_is_known_afterwards(tmp_path: Path) -> None:
    """The copy has a pixel and a link; fetched like a mail program does, the delivery is opened and clicked."""
    async with FakeMx() as mx, relay(tmp_path, settings(mx)) as program, aiohttp.ClientSession() as visitor:
        host, port = program.tracking
        await submitted(program)
        (copy,) = await mx.received(1)
        await program.line("status=sent")
        pixel, link = path_of(copy.content, "o"), path_of(copy.content, "c")
        async with visitor.get(f"http://{host}:{port}{pixel}") as answer:
            assert (answer.status, answer.content_type) == (200, "image/gif")
        async with visitor.get(f"http://{host}:{port}{link}", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://shop.test/a?b=1&c=2")
        await program.line("event=open, to=<ada@x.test>")
        await program.line("event=click, to=<ada@x.test>")
        (row,) = (await shown(tmp_path, program))["recipients"]
        assert (row["trackable"], row["opened"]) == (1, 1)
        assert (row["opens"] + row["auto_opens"], row["clicks"] + row["auto_clicks"]) == (1, 1)
        _, out, _ = await command("message", "show", row["queue_id"], "--config", str(tmp_path / "config.toml"))
        assert "opened 1" in out and "clicked 1" in out
        assert await program.stop() == 0
        assert not program.matching("Traceback|error")


async def test_who_unsubscribes_gets_no_more_of_it(tmp_path: Path) -> None:
    """One click of a mail program; the next message with that tag is rejected without a try."""
    async with FakeMx() as mx, relay(tmp_path, settings(mx)) as program, aiohttp.ClientSession() as visitor:
        host, port = program.tracking
        await submitted(program)
        (copy,) = await mx.received(1)
        await program.line("status=sent")
        assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in copy.content
        url = f"http://{host}:{port}{path_of(copy.content, 'u')}"
        async with visitor.post(url, data={"List-Unsubscribe": "One-Click"}) as answer:
            assert (answer.status, await answer.text()) == (200, "Unsubscribed.")
        await submitted(program)
        await program.line("suppressed")
        assert len(mx.messages) == 1


async def test_visits_are_answered_until_nothing_else_is_left_to_do(tmp_path: Path) -> None:
    """While a stop waits for an attempt in hand, a link still leads to its target, and the visit is kept."""
    async with FakeMx() as mx, relay(tmp_path, settings(mx)) as program, aiohttp.ClientSession() as visitor:
        host, port = program.tracking
        await submitted(program)
        (copy,) = await mx.received(1)
        await program.line("status=sent")
        mx.hold_at = "DOT"
        mx.commands.clear()
        await submitted(program)
        await mx.heard("DATA")
        program.send(signal.SIGTERM)
        await program.line("stopping: ")
        async with visitor.get(f"http://{host}:{port}{path_of(copy.content, 'c')}", allow_redirects=False) as answer:
            assert answer.status == 302
        mx.release.set()
        assert await program.exit_code() == 0
        assert len(program.matching("event=click")) == 1


async def test_tracking_can_be_switched_on_while_the_relay_runs(tmp_path: Path) -> None:
    """A reload opens the web's address and makes the first key; what is sent from then on leads there."""
    async with FakeMx() as mx, aiohttp.ClientSession() as visitor:
        without = settings(mx) | {"tracking": {}}
        async with relay(tmp_path, without) as program:
            assert "tracking" not in program.ready_line
            write_config(tmp_path, settings(mx))
            program.send(signal.SIGHUP)
            program.ready_line = await program.line("reloaded: ")
            host, port = program.tracking
            await submitted(program)
            (copy,) = await mx.received(1)
            url = f"http://{host}:{port}{path_of(copy.content, 'c')}"
            async with visitor.get(url, allow_redirects=False) as answer:
                assert answer.status == 302


async def test_the_pages_are_the_sender_s_own(tmp_path: Path) -> None:
    """His words, colour and logo, as the files were when the relay read them: a reload brings what is new in them."""
    texts, logo = tmp_path / "texts.toml", tmp_path / "shop.svg"
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="{}"/></svg>'
    shop = {"name": "The Shop", "colour": "#0b6e4f", "logo": logo.name}
    async with FakeMx() as mx, aiohttp.ClientSession() as visitor:
        texts.write_text('[en]\nask = "No more of this?"\n')
        logo.write_text(drawing.format(1))
        own = settings(mx, senders={"relay.test": shop}, texts=texts.name)
        async with relay(tmp_path, own) as program:
            host, port = program.tracking
            await submitted(program)
            (copy,) = await mx.received(1)
            url = f"http://{host}:{port}{path_of(copy.content, 'u')}"

            async def page() -> tuple[str, str]:
                """The page, and the logo on it."""
                async with visitor.get(url) as answer:
                    text = await answer.text()
                found = re.search(r'<img src="\.\.(/l/\w+)" alt="The Shop">', text)
                assert found
                async with visitor.get(f"http://{host}:{port}{found[1]}") as answer:
                    assert (answer.status, answer.content_type) == (200, "image/svg+xml")
                    return text, await answer.text()

            text, picture = await page()
            assert "No more of this?" in text and "--fill:#0b6e4f" in text
            assert picture == drawing.format(1)
            texts.write_text('[en]\nask = "Enough?"\n')
            logo.write_text(drawing.format(2))
            assert await page() == (text, picture)
            (before,) = program.children
            program.send(signal.SIGHUP)
            await program.line("reloaded: ")
            await gone(before)
            text, picture = await page()
            assert "Enough?" in text
            assert picture == drawing.format(2)


async def test_the_web_may_have_a_certificate_of_its_own(tmp_path: Path) -> None:
    """Then it speaks TLS and nothing else."""
    authority = Authority(tmp_path)
    certified = authority.certificate("127.0.0.1")
    files = {"tls_certificate": str(certified.certificate), "tls_key": str(certified.key)}
    async with FakeMx() as mx, relay(tmp_path, settings(mx, **files)) as program, aiohttp.ClientSession() as visitor:
        host, port = program.tracking
        trusting: ssl.SSLContext = authority.trust()
        async with visitor.get(f"https://{host}:{port}/o/anything", ssl=trusting) as answer:
            assert answer.status == 200
            assert "Strict-Transport-Security" in answer.headers


async def test_old_links_work_after_tracking_is_switched_off(tmp_path: Path) -> None:
    """Without a base_url nothing new is tracked, and what is out there still leads to its target."""
    async with FakeMx() as mx:
        async with relay(tmp_path, settings(mx)) as program:
            await submitted(program)
            (copy,) = await mx.received(1)
            assert await program.stop() == 0
        async with relay(tmp_path, settings(mx, base_url="")) as program, aiohttp.ClientSession() as visitor:
            host, port = program.tracking
            url = f"http://{host}:{port}{path_of(copy.content, 'c')}"
            async with visitor.get(url, allow_redirects=False) as answer:
                assert answer.status == 302
            await submitted(program)
            _, plain = await mx.received(2)
            assert b'href="https://shop.test/a?b=1&amp;c=2"' in plain.content
