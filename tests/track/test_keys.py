"""The keys of tokens: made once, known to all before they sign, never lost."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.config import Config
from relay.store import Store, migrate, open_store
from relay.track.keys import MOST, REST, TokenKey, Tokens, open_tokens, read, renewed, rested
from tests.parts.postgres import Server, postgres
from tracker.token import KEY_OCTETS, Purpose, Token

__all__ = ["postgres"]

LINK = Token("3kq7mvt2z0hy", 0, 1, "https://shop.example/")


@pytest.fixture(params=["sqlite", "postgres"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """An empty database on each engine."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        with server.database() as url:
            yield Config("relay.test", data_dir=tmp_path, database_url=url)
    else:
        config = Config("relay.test", data_dir=tmp_path)
        migrate(config)
        yield config


@pytest.fixture
async def store(config: Config) -> AsyncIterator[Store]:
    """One worker's store."""
    store = await open_store(config)
    yield store
    await store.close()


@pytest.fixture
async def other(config: Config) -> AsyncIterator[Store]:
    """Another worker's."""
    store = await open_store(config)
    yield store
    await store.close()


async def aged(store: Store, number: int, age: float) -> None:
    """A key that was made `age` seconds ago."""
    made_at = int(store.engine.now() - age)
    await store.engine.keep_secret(f"token-{number}", os.urandom(KEY_OCTETS) + made_at.to_bytes(8, "big"))


async def test_the_first_worker_makes_the_first_key_and_all_have_it(store: Store, other: Store) -> None:
    """Two that start at the same moment have the same one, which signs at once."""
    one, two = await asyncio.gather(open_tokens(store.engine), open_tokens(other.engine))
    written = one.signing.write(Purpose.CLICK, LINK)
    assert two.reading.read(Purpose.CLICK, written) == LINK
    assert len(await read(store.engine)) == 1


async def test_a_new_key_is_read_by_all_before_it_signs(store: Store, other: Store) -> None:
    """For a minute links are still made with the old key, while everybody learns of the new one."""
    await aged(store, 0, 1000.0)
    one, two = await open_tokens(store.engine), await open_tokens(other.engine)
    before = one.signing.write(Purpose.CLICK, LINK)
    await renewed(other.engine)
    await one.refresh()
    assert one.signing.write(Purpose.CLICK, LINK) == before, "the new key is too young"
    await two.refresh()
    assert two.reading.read(Purpose.CLICK, before) == LINK


async def test_a_key_that_everybody_knows_signs_and_old_links_stay(store: Store) -> None:
    """The newest one of those that have rested; all of them read."""
    await aged(store, 0, 1000.0)
    tokens = await open_tokens(store.engine)
    before = tokens.signing.write(Purpose.CLICK, LINK)
    await aged(store, 1, REST + 1)
    await tokens.refresh()
    after = tokens.signing.write(Purpose.CLICK, LINK)
    assert after != before
    assert tokens.reading.read(Purpose.CLICK, before) == tokens.reading.read(Purpose.CLICK, after) == LINK


def test_which_keys_may_sign_is_a_matter_of_their_age() -> None:
    """The first one of all always may."""
    old, young = TokenKey(0, b"k" * 32, 1000), TokenKey(1, b"l" * 32, 2000)
    assert rested([old, young], 2000 + REST - 1) == [old]
    assert rested([old, young], 2000 + REST) == [old, young]
    assert rested([young], 2000.0) == [young]


async def test_keys_come_to_an_end_in_words(store: Store) -> None:
    """A token names its key with one octet."""
    await aged(store, MOST - 1, 0.0)
    with pytest.raises(ValueError, match="there are 256 keys already"):
        await renewed(store.engine)


async def test_a_secret_that_is_no_key_is_told(store: Store) -> None:
    """Of a damaged keyring nobody signs; other secrets are no concern of ours."""
    await store.engine.keep_secret("dkim-s1-example.com", b"not a token key")
    assert await read(store.engine) == []
    await store.engine.keep_secret("token-0", b"too short")
    with pytest.raises(ValueError, match="token-0 is no key of ours: it has 9 octets"):
        await Tokens(store.engine, [TokenKey(0, b"k" * 32, 0)]).refresh()
