"""Signing keys and secrets as kept."""

import asyncio
from pathlib import Path

import pytest

from relay.config import Config
from relay.signing_key import Algorithm, SigningKey, State
from relay.store import Store, StoreUnavailable, open_store
from relay.store.sqlite.secret_files import Secrets
from tests.store.spooling import rows

KEY = SigningKey("example.com", "s202611", Algorithm.RSA, State.WAITING, "MIIB", 1_800_000_000.0, 1_800_000_000.0)


async def test_a_key_is_kept_with_its_private_half_apart(store: Store, config: Config) -> None:
    """The tables tell everything but the secret, which only `private_key` gives."""
    await store.save_signing_key(KEY, b"-----BEGIN", actor="anna")
    assert await store.signing_keys() == [KEY]
    assert await rows(store, "SELECT domain FROM domains") == [{"domain": "example.com"}]
    assert await store.private_key(KEY) == b"-----BEGIN"
    if config.database_url.startswith("sqlite"):
        written = b"".join(_octets(config.database_path.with_name(f"mailtrail.db{part}")) for part in ("", "-wal"))
        assert b"MIIB" in written and b"-----BEGIN" not in written


def _octets(file: Path) -> bytes:
    return file.read_bytes()


async def test_a_key_goes_through_its_states_and_each_is_an_event(store: Store) -> None:
    """Who and when; a state that it has already changes nothing, nor does a key that is not there."""
    await store.save_signing_key(KEY, b"private", actor="anna")
    await store.key_seen("example.com", "s202611", 1_800_000_500.0)
    assert await store.set_key_state("example.com", "s202611", State.ACTIVE, actor="relay")
    assert not await store.set_key_state("example.com", "s202611", State.ACTIVE, actor="relay")
    assert not await store.set_key_state("example.com", "other", State.ACTIVE, actor="relay")
    (key,) = await store.signing_keys()
    assert (key.state, key.seen_at) == (State.ACTIVE, 1_800_000_500.0) and key.state_at > key.created_at - 1e9
    found = await rows(store, "SELECT event, actor FROM events ORDER BY event_id")
    assert found == [
        {"event": "signing_key_add", "actor": "anna"},
        {"event": "signing_key_active", "actor": "relay"},
    ]


async def test_a_key_goes_with_its_private_half_and_its_domain_with_the_last_key(store: Store) -> None:
    """Nothing is left of it but the event."""
    second = SigningKey("example.com", "e202611", Algorithm.ED25519, State.ACTIVE, "b64", 1.0, 1.0)
    for key in (KEY, second):
        await store.save_signing_key(key, key.selector.encode(), actor="anna")
    assert await store.remove_signing_key("example.com", "s202611", actor="anna")
    assert await rows(store, "SELECT domain FROM domains") == [{"domain": "example.com"}]
    assert not await store.remove_signing_key("example.com", "s202611", actor="anna")
    assert await store.remove_signing_key("example.com", "e202611", actor="anna")
    assert await rows(store, "SELECT domain FROM domains") == []
    assert await store.engine.secrets() == {}


async def test_a_key_that_is_made_anew_has_its_new_private_half(store: Store) -> None:
    """Also where an older one of the same name had been left behind."""
    await store.engine.keep_secret("dkim-s202611-example.com", b"left behind")
    await store.save_signing_key(KEY, b"new", actor="anna")
    assert await store.private_key(KEY) == b"new"


async def test_secrets_are_the_same_for_every_worker_and_after_a_restart(store: Store, other: Store) -> None:
    """Any octets, any name that is one; forgetting what is not there is no mistake."""
    value = bytes(range(256))
    await store.engine.keep_secret("token-0", value)
    await store.engine.keep_secret("with/slash and ü", b"x")
    assert await other.engine.secrets() == {"token-0": value, "with/slash and ü": b"x"}
    await other.engine.forget_secret("token-0")
    await other.engine.forget_secret("token-0")
    assert await store.engine.secrets() == {"with/slash and ü": b"x"}


async def test_of_several_secrets_under_one_name_the_first_stays(store: Store, other: Store) -> None:
    """Workers that begin at once all read the same key afterwards, whoever made it."""
    makers = [store, other] * 4
    await asyncio.gather(*(who.engine.keep_secret("token-0", bytes([n]) * 32) for n, who in enumerate(makers)))
    here, there = await store.engine.secrets(), await other.engine.secrets()
    assert here == there and len(here["token-0"]) == 32
    await store.engine.keep_secret("token-0", b"late")
    assert await store.engine.secrets() == here


def test_secret_files_are_the_relays_own(tmp_path: Path) -> None:
    """Mode 0700 and 0600, however open the database is; nothing unfinished is ever read."""
    secrets = Secrets(tmp_path / "data" / "keys")
    assert secrets.read() == {}
    secrets.keep("token-0", b"x")
    assert (tmp_path / "data" / "keys").stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in (tmp_path / "data" / "keys").iterdir()] == [0o600]
    (tmp_path / "data" / "keys" / ".half").write_bytes(b"")
    assert secrets.read() == {"token-0": b"x"}


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden"])
def test_a_name_that_is_no_files_is_refused(tmp_path: Path, name: str) -> None:
    """Our own mistake."""
    with pytest.raises(ValueError, match="cannot be named"):
        Secrets(tmp_path).keep(name, b"x")


async def test_secrets_that_cannot_be_reached_are_no_empty_set(tmp_path: Path) -> None:
    """A relay that cannot read its keys says so, rather than making new ones: links in mail would break."""
    from relay.store import migrate

    config = Config("relay.test", data_dir=tmp_path)
    migrate(config)
    store = await open_store(config)
    (tmp_path / "keys").write_text("no directory")
    try:
        with pytest.raises(StoreUnavailable, match="secrets"):
            await store.engine.secrets()
        with pytest.raises(StoreUnavailable, match="secrets"):
            await store.engine.keep_secret("token-0", b"x")
    finally:
        await store.close()
