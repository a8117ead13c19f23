"""`mailtrail token`: what links contain, and the keys they are signed with."""

import asyncio
import json

import pytest

from relay.config import Config
from relay.store import open_store
from relay.track.keys import open_tokens
from tests.cli.conftest import RECEIPT, Cli, both_engines
from tracker.token import Purpose, Token


def link(config: Config, purpose: Purpose = Purpose.CLICK) -> str:
    """A token of this relay's."""

    async def written() -> str:
        store = await open_store(config)
        try:
            token = Token(RECEIPT, 2, 3, "https://shop.example/a?b=c")
            return (await open_tokens(store.engine)).signing.write(purpose, token)
        finally:
            await store.close()

    return asyncio.run(written())


@both_engines
def test_a_link_says_what_is_in_it(cli: Cli, config: Config) -> None:
    """The token alone, or the whole link; in words or as JSON."""
    token = link(config)
    for written in (token, f"https://t.example.com/c/{token}", f" https://t.example.com/c/{token}?x=1#y\n"):
        code, out, _ = cli("token", "decode", written)
        assert code == 0
        assert out.startswith(f"click   message {RECEIPT}, recipient 2\n")
        assert "link 3   https://shop.example/a?b=c" in out
    body = json.loads(cli("token", "decode", token, "--json").out)
    assert body["schema"] == "mailtrail/token.decode/1"
    assert (body["kind"], body["number"], body["target"]) == ("click", 2, "https://shop.example/a?b=c")
    unsubscribe = link(config, Purpose.UNSUBSCRIBE)
    assert json.loads(cli("token", "decode", f"https://t.example.com/p/{unsubscribe}", "--json").out)["link"] == 0


@pytest.mark.parametrize(
    ("purpose", "prefix", "kind"),
    [(Purpose.BOUNCE, "b-", "bounce"), (Purpose.MAIL_UNSUBSCRIBE, "u-", "unsubscribe by mail")],
)
def test_an_address_of_ours_says_what_is_in_it(
    cli: Cli, config: Config, purpose: Purpose, prefix: str, kind: str
) -> None:
    """The reverse-path of a copy, as it stands in somebody's log, in any case."""
    for written in (f"{prefix}{link(config, purpose)}@bounce.example.com", link(config, purpose)):
        body = json.loads(cli("token", "decode", written.upper(), "--json").out)
        assert (body["kind"], body["queue_id"], body["number"]) == (kind, RECEIPT, 2)


@pytest.mark.parametrize("change", ["{}x", "{:.20}", "https://t.example.com/o/{}"])
def test_what_is_not_ours_is_told(cli: Cli, config: Config, change: str) -> None:
    """Cut off, changed, or in a place for something else: nothing is read out of it."""
    code, out, err = cli("token", "decode", change.format(link(config)))
    assert (code, out) == (3, "")
    assert "this is no link of this relay, or not the whole of one" in err


@both_engines
def test_a_new_key_signs_soon_and_the_old_one_stays(cli: Cli, config: Config) -> None:
    """`rotate` adds a key; `list` says which one signs."""
    assert "There are no keys yet" in cli("token", "list").err
    token = link(config)
    assert json.loads(cli("token", "rotate", "--json").out)["key"] == 1
    keys = json.loads(cli("token", "list", "--json").out)["items"]
    assert [(key["key"], key["state"]) for key in keys] == [(0, "signs"), (1, "soon")]
    assert cli("token", "decode", token).code == 0
    assert "key 2 signs in 1 min" in cli("token", "rotate").out


def test_no_command_shows_a_key(cli: Cli, config: Config) -> None:
    """Keys are secrets: neither the commands nor the tables have them."""
    link(config)

    async def secret() -> bytes:
        store = await open_store(config)
        try:
            return (await store.engine.secrets())["token-0"][:32]
        finally:
            await store.close()

    key = asyncio.run(secret())
    shown = cli("token", "list", "--json").out + cli("config", "show").out
    assert key.hex() not in shown
    assert key not in config.database_path.read_bytes()
