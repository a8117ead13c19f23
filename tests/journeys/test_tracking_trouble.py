"""Tracking where something is off, away, killed or renewed: links lead on all the same, and no visit is lost."""

import asyncio
import signal
import smtplib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import PATIENCE, Office, hand_in, installed, office
from tests.journeys.test_tracking import HTML, LINKS, NEITHER, PAGE, PIXEL, SHOP, seen, write
from tests.parts.certs import Authority
from tests.parts.postgres import TEMPLATE, Server, fresh
from tests.parts.reader import TRACKING, Letter

pytestmark = pytest.mark.asyncio(loop_scope="package")

SECRET = "correct horse battery staple"


class Fragile:
    """A database of our own, which can be away: stopped, or locked by somebody who does not let go."""

    def __init__(self, server: Server | None) -> None:
        self._server = server

    @contextmanager
    def away(self, here: Office) -> Iterator[None]:
        """Nobody can write there while the block lasts."""
        if self._server:
            self._server.stop()
            try:
                yield
            finally:
                self._server.start()
            return
        with closing(sqlite3.connect(here.views.place, isolation_level=None, timeout=PATIENCE)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            yield
            stranger.execute("ROLLBACK")


@pytest.fixture
def database(engine: str) -> Iterator[Fragile]:
    """For the offices of one test."""
    if engine == "sqlite":
        yield Fragile(None)
        return
    with fresh() as server:
        server.run(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        with installed(server):
            yield Fragile(server)


def settings(internet: Internet, **tracking: Any) -> dict[str, Any]:
    """A relay that tracks; `tracking` over what is usual."""
    return internet.settings() | {"tracking": TRACKING | tracking}


async def test_while_the_database_is_away_links_lead_on_and_visits_are_kept(
    internet: Internet, database: Fragile, tmp_path: Path
) -> None:
    """Pixel and link are answered as ever and counted afterwards; who unsubscribes is told that it was not saved."""
    wishes = HTML | {"X-Mailtrail-Unsubscribe": "yes"}
    async with office(tmp_path, internet, settings(internet)) as here, internet.mx("away.test") as mx:
        queue_id, letters = await write(here, mx, "bob@away.test", "ann@away.test", headers=wishes)
        bob, ann = letters["bob@away.test"], letters["ann@away.test"]
        with database.away(here):
            assert (await here.web.get(bob.pixel)).status == 200
            said = await here.web.get(bob.links[0])
            assert (said.status, said.target) == (302, SHOP)
            assert (await here.web.one_click(ann.unsubscribe)).status == 503
            await here.program.line("visits wait for the database")
        await here.visited(queue_id, "open", to="bob@away.test")
        await here.visited(queue_id, "click", to="bob@away.test")
        row = here.delivery(queue_id, "bob@away.test")
        assert (row["opens"], row["clicks"]) == (1, 1)
        assert not here.delivery(queue_id, "ann@away.test")["unsubscribed"]
        assert (await here.web.one_click(ann.unsubscribe)).status == 200
        assert here.delivery(queue_id, "ann@away.test")["unsubscribed"]
        assert not here.program.matching("Traceback|worker died")


async def test_visits_that_were_answered_outlive_a_kill(internet: Internet, database: Fragile, tmp_path: Path) -> None:
    """Killed with visits that no database has: the next start finds them, each once."""
    async with office(tmp_path, internet, settings(internet)) as here, internet.mx("killed-web.test") as mx:
        queue_id, letters = await write(here, mx, "bob@killed-web.test")
        letter = letters["bob@killed-web.test"]
        with database.away(here):
            await here.web.get(letter.pixel)
            await here.web.get(letter.links[0])
            await here.program.line("visits wait for the database")
            here.program.send_group(signal.SIGKILL)
            await here.program.exit_code()
    async with office(tmp_path, internet, settings(internet)) as here:
        await here.visited(queue_id, "open")
        await here.visited(queue_id, "click")
        await here.web.get(letter.links[0])
        await here.visited(queue_id, "click", count=2)
        row = here.delivery(queue_id)
        assert (row["opens"], row["clicks"]) == (1, 2)


async def test_links_outlive_new_keys(internet: Internet, tmp_path: Path) -> None:
    """After `token rotate` what is in old mail still works, on the running relay and on the next one."""
    async with office(tmp_path, internet, settings(internet)) as here, internet.mx("keys.test") as mx:
        queue_id, letters = await write(here, mx, "bob@keys.test")
        letter = letters["bob@keys.test"]
        await here.cli("token", "rotate")
        assert (await here.web.get(letter.links[0])).target == SHOP
        await here.visited(queue_id, "click")
        assert await here.program.stop() == 0
    async with office(tmp_path, internet, settings(internet)) as here, internet.mx("keys.test") as mx:
        assert (await here.web.get(letter.links[0])).target == SHOP
        await here.visited(queue_id, "click")
        assert here.delivery(queue_id)["clicks"] == 2
        _, letters = await write(here, mx, "bob@keys.test")
        assert (await here.web.get(letters["bob@keys.test"].links[0])).target == SHOP


@pytest.mark.parametrize(
    ("off", "wanted"),
    [
        ({"opens": False}, LINKS),
        ({"clicks": False}, PIXEL),
        ({"opens": False, "clicks": False}, NEITHER),
        ({"base_url": ""}, NEITHER),
    ],
    ids=["opens", "clicks", "both", "no base_url"],
)
async def test_off_for_the_whole_relay(
    internet: Internet, tmp_path: Path, off: dict[str, Any], wanted: tuple[bool, bool]
) -> None:
    """Opens and clicks each for itself; a message that asks for them does not get them."""
    asks = HTML | {"X-Mailtrail-Track-Opens": "yes", "X-Mailtrail-Track-Clicks": "yes"}
    async with office(tmp_path, internet, settings(internet, **off)) as here, internet.mx("off.test") as mx:
        _, letters = await write(here, mx, "bob@off.test", headers=asks)
        assert seen(letters["bob@off.test"]) == wanted
        if wanted is NEITHER:
            assert letters["bob@off.test"].text("html") == PAGE


async def test_text_only_mail_is_left_alone_where_that_is_wanted(internet: Internet, tmp_path: Path) -> None:
    """`plain_text = "leave"`: no twin, no pixel, and it is not counted as trackable."""
    leave = settings(internet, plain_text="leave")
    async with office(tmp_path, internet, leave) as here, internet.mx("leave.test") as mx:
        queue_id = await here.send("bob@leave.test", body="Hello.\r\n")
        await here.outcome(queue_id, "sent")
        assert mx.messages[0].content.endswith(b"\r\n\r\nHello.\r\n")
        assert not here.delivery(queue_id)["trackable"]


async def test_off_for_a_credential(internet: Internet, tmp_path: Path) -> None:
    """`credential set` turns opens or clicks off for whoever logs in with it; a yes in the message changes nothing."""
    authority = Authority(tmp_path)
    certified = authority.certificate("localhost")
    submission: dict[str, Any] = {"listen": [], "listen_tls": ["127.0.0.1:0"]}
    submission |= {"tls_certificate": certified.certificate, "tls_key": certified.key}
    fields = "From: ada@shop.test\r\nTo: bob@login.test\r\nX-Mailtrail-Track-Opens: yes\r\n"
    content = fields + "".join(f"{name}: {value}\r\n" for name, value in HTML.items()) + f"\r\n{PAGE}"

    def send(here: Office) -> str:
        with smtplib.SMTP_SSL(
            "localhost", here.program.submission_tls[1], timeout=PATIENCE, context=authority.trust()
        ) as client:
            client.login("shop", SECRET)
            return hand_in(client, "ada@shop.test", ["bob@login.test"], content.encode())

    async with (
        office(tmp_path, internet, settings(internet) | {"submission": submission}) as here,
        internet.mx("login.test") as mx,
    ):
        await here.cli("credential", "add", "shop", "--password-stdin", stdin=SECRET.encode())
        for change, wanted in (
            (("--track-opens", "no"), LINKS),
            (("--track-opens", "default", "--track-clicks", "no"), PIXEL),
            (("--track-opens", "no"), NEITHER),
        ):
            await here.cli("credential", "set", "shop", *change)
            queue_id = await asyncio.to_thread(send, here)
            await here.outcome(queue_id, "sent")
            assert seen(Letter(mx.messages[-1].content)) == wanted
