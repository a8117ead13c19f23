"""Which keys sign: those of the configuration and of the store, kept fresh; checked with dkimpy."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.compose.signature import verified
from relay.config import Config, DkimKey
from relay.private_key import BadKey, pem
from relay.signing import Signing
from relay.signing_key import Algorithm, State
from relay.store import Store, StoreUnavailable, migrate, open_store
from tests.parts.keys import ED25519, RSA, private, published, signer_of, signing_key
from tests.parts.written_log import Written

NOW = time.time()
LETTER = b"From: ada@example.com\r\nSubject: hi\r\n\r\nHello.\r\n"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A relay's configuration with a database that is migrated."""
    config = Config("relay.test", data_dir=tmp_path / "data")
    migrate(config)
    return config


@pytest.fixture
async def store(config: Config) -> AsyncIterator[Store]:
    """A worker's store."""
    store = await open_store(config)
    yield store
    await store.close()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The worker's log."""
    return Written(tmp_path)


async def save(
    store: Store, domain: str, algorithm: Algorithm = RSA, state: State = State.ACTIVE, *, number: int = 0
) -> None:
    """Keep that key."""
    key = signing_key(domain, algorithm, state, number=number, at=NOW)
    await store.save_signing_key(key, pem(private(algorithm, number)), actor="anna")


def who(fields: bytes) -> list[tuple[str, str]]:
    """Domain and selector of each signature."""
    return [(d.decode(), s.decode()) for d, s in re.findall(rb"\sd=([^;]+);\s+s=([^;]+);", fields)]


async def test_a_kept_key_signs_as_soon_as_it_is_taken_up(store: Store, written: Written) -> None:
    """Nothing is signed before; afterwards each active key of the domain signs, and every signature verifies."""
    signing = Signing((), store, written.log)
    await signing.refresh()
    assert signing.sign(LETTER, "example.com", NOW) == b""
    await save(store, "example.com", RSA)
    await save(store, "example.com", ED25519)
    await signing.refresh()
    fields = signing.sign(LETTER, "example.com", NOW)
    assert sorted(who(fields)) == [("example.com", "e1"), ("example.com", "s1")]
    dns = published(signer_of("example.com", RSA), signer_of("example.com", ED25519))
    for field in fields.split(b"DKIM-Signature:")[1:]:
        assert verified(b"DKIM-Signature:" + field + LETTER, dns)


async def test_keys_that_wait_or_are_retired_do_not_sign(store: Store, written: Written) -> None:
    """Only active ones do, and a change of state counts from the next look on."""
    await save(store, "example.com", RSA, State.WAITING)
    await save(store, "example.com", ED25519, State.RETIRED)
    signing = Signing((), store, written.log)
    await signing.refresh()
    assert signing.sign(LETTER, "example.com", NOW) == b""
    await store.set_key_state("example.com", "s1", State.ACTIVE, actor="relay")
    await signing.refresh()
    assert who(signing.sign(LETTER, "example.com", NOW)) == [("example.com", "s1")]
    await store.remove_signing_key("example.com", "s1", actor="anna")
    await signing.refresh()
    assert signing.sign(LETTER, "example.com", NOW) == b""


async def test_the_from_domain_chooses(store: Store, written: Written) -> None:
    """In any case and script; a domain without keys of its own is signed by the nearest above it."""
    for domain in ("example.com", "shop.example.com", "xn--bcher-kva.example"):
        await save(store, domain)
    signing = Signing((), store, written.log)
    await signing.refresh()
    for written_as, signs in (
        ("Example.COM", "example.com"),
        ("news.example.com", "example.com"),
        ("a.b.shop.example.com", "shop.example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
    ):
        assert who(signing.sign(LETTER, written_as, NOW)) == [(signs, "s1")], written_as
    for stranger in ("example.org", "notexample.com", "com", "", "[192.0.2.1]", "..", "a..b"):
        assert signing.sign(LETTER, stranger, NOW) == b"", stranger


async def test_the_configuration_wins(store: Store, written: Written, tmp_path: Path) -> None:
    """A domain with keys in the configuration is signed with these alone; other domains with those kept."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem(private(RSA, 1)))
    await save(store, "example.com", ED25519)
    await save(store, "example.org", ED25519)
    signing = Signing((DkimKey("example.com", "file", file),), store, written.log)
    assert who(signing.sign(LETTER, "example.com", NOW)) == [("example.com", "file")]
    await signing.refresh()
    assert who(signing.sign(LETTER, "example.com", NOW)) == [("example.com", "file")]
    assert who(signing.sign(LETTER, "example.org", NOW)) == [("example.org", "e1")]


def test_a_key_file_that_cannot_sign_ends_the_start(store: Store, written: Written, tmp_path: Path) -> None:
    """What `config check` would have told is an error, and no silence."""
    file = tmp_path / "key.pem"
    with pytest.raises(FileNotFoundError):
        Signing((DkimKey("example.com", "s", file),), store, written.log)
    file.write_bytes(b"no key")
    with pytest.raises(BadKey):
        Signing((DkimKey("example.com", "s", file),), store, written.log)


async def test_a_key_without_its_private_half_is_told_once(store: Store, written: Written) -> None:
    """The others sign; the log names the record, and nothing is asked again every second."""
    await save(store, "example.com", RSA)
    await save(store, "example.com", ED25519)
    for name in await store.engine.secrets():
        if "s1" in name:
            await store.engine.forget_secret(name)
    signing = Signing((), store, written.log)
    for _ in range(3):
        await signing.refresh()
    assert who(signing.sign(LETTER, "example.com", NOW)) == [("example.com", "e1")]
    (line,) = [line for line in written.lines if "cannot sign with" in line]
    assert "s1._domainkey.example.com: its private half is not there" in line


async def test_a_store_that_is_away_changes_nothing(config: Config, written: Written) -> None:
    """What is known goes on signing."""
    store = await open_store(config)
    await save(store, "example.com")
    signing = Signing((), store, written.log)
    await signing.refresh()
    await store.close()
    config.database_path.unlink()
    config.database_path.mkdir()
    with pytest.raises(StoreUnavailable):
        await signing.refresh()
    assert who(signing.sign(LETTER, "example.com", NOW)) == [("example.com", "s1")]


async def test_a_worker_takes_up_changes_by_itself(store: Store, config: Config, written: Written) -> None:
    """A key that another process keeps signs here without anything else, and so does the next one."""
    signing = Signing((), store, written.log)
    keeping = asyncio.create_task(signing.keep())
    other = await open_store(config)
    async with asyncio.timeout(30):
        await save(other, "example.com")
        while not signing.sign(LETTER, "example.com", NOW):
            await other.signing_keys()
        await save(other, "example.org")
        while not signing.sign(LETTER, "example.org", NOW):
            await other.signing_keys()
    await other.close()
    keeping.cancel()


async def test_no_private_key_is_in_the_database_or_the_log(store: Store, config: Config, written: Written) -> None:
    """Who may read the tables and the log learns nothing to sign with."""
    await save(store, "example.com")
    signing = Signing((), store, written.log)
    await signing.refresh()
    await store.flush()
    secret = pem(private(RSA)).splitlines()[5]
    files = [file for file in config.data_dir.iterdir() if file.is_file()]
    assert files and not any(secret in file.read_bytes() for file in files)
    assert not any(secret.decode() in line for line in written.lines)
