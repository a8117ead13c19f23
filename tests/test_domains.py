"""Rotation: a new key signs when its DNS record is seen, and not before; real store, real DNS server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relay.config import DAY, HOUR, MINUTE, Config, Dns
from relay.deliver.dns import Resolver
from relay.domains import Rotation, pause
from relay.key_record import record
from relay.private_key import pem
from relay.signing_key import Algorithm, SigningKey, State
from relay.store import Store, migrate, open_store
from tests.parts.dns import FakeDns, Name
from tests.parts.keys import ED25519, RSA, private, signing_key
from tests.parts.written_log import Written

NEW = "new._domainkey.example.com"
MADE = 1_795_262_400.0  # Unix seconds


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A worker's store."""
    config = Config("relay.test", data_dir=tmp_path / "data")
    migrate(config)
    store = await open_store(config)
    yield store
    await store.close()


async def save(store: Store, selector: str, state: State, *, algorithm: Algorithm = RSA, number: int = 0) -> SigningKey:
    """Keep a key of example.com."""
    key = signing_key("example.com", algorithm, state, selector=selector, number=number, at=MADE)
    await store.save_signing_key(key, pem(private(algorithm, number)), actor="anna")
    return key


async def states(store: Store) -> dict[str, str]:
    """Selector → state."""
    return {key.selector: key.state.value for key in await store.signing_keys()}


@asynccontextmanager
async def rotation(
    store: Store, dns: FakeDns, tmp_path: Path, *, patience: float = 30.0
) -> AsyncIterator[tuple[Rotation, Written]]:
    """One worker's; it waits `patience` seconds for the DNS."""
    resolver = Resolver(Dns(nameservers=(dns.endpoint,), timeout=patience))
    written = Written(tmp_path)
    yield Rotation(store, resolver, written.log), written
    await resolver.close()


def txt(key: SigningKey) -> dict[str, list[str]]:
    """The zone's data with the record of this key, in strings as a zone file has them."""
    text = record(key)
    return {"TXT": [" ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))]}


async def test_a_key_is_switched_to_when_its_record_is_there(store: Store, tmp_path: Path) -> None:
    """Before: the old one signs. Then the new one, and the old one is retired; a key of another kind goes on."""
    await save(store, "old", State.ACTIVE)
    await save(store, "other", State.ACTIVE, algorithm=ED25519)
    new = await save(store, "new", State.WAITING, number=1)
    async with FakeDns() as dns, rotation(store, dns, tmp_path) as (worker, written):
        await worker.look(MADE)
        assert await states(store) == {"old": "active", "new": "waiting", "other": "active"}
        dns.zone[NEW] = txt(new)
        await worker.look(MADE + MINUTE)
        assert await states(store) == {"old": "retired", "new": "active", "other": "active"}
        assert "signing key switched: domain=example.com, selector=new, retired=old" in written.lines[-1]
        (seen,) = [key.seen_at for key in await store.signing_keys() if key.selector == "new"]
        assert seen is not None
        await worker.look(MADE + DAY)
        assert dns.queries[NEW, "TXT"] == 2


@pytest.mark.parametrize("data", ["servfail", "garbage", {"TXT": ['"v=spf1 -all"']}, {"TXT": ['"v=DKIM1; p=MIIB"']}])
async def test_anything_else_than_its_record_is_not_seen(store: Store, tmp_path: Path, data: Name) -> None:
    """A server that fails, a record of something else, one that is cut off: the key goes on waiting."""
    await save(store, "old", State.ACTIVE)
    await save(store, "new", State.WAITING, number=1)
    async with FakeDns({NEW: data}) as dns, rotation(store, dns, tmp_path, patience=0.2) as (worker, _):
        await worker.look(MADE)
        assert await states(store) == {"old": "active", "new": "waiting"} and dns.queries[NEW, "TXT"] >= 1


async def test_a_key_is_asked_for_every_minute_at_first(store: Store, tmp_path: Path) -> None:
    """However often it is looked, the DNS is asked when the key's next time has come."""
    await save(store, "new", State.WAITING)
    async with FakeDns() as dns, rotation(store, dns, tmp_path) as (worker, _):
        for now, questions in ((0, 1), (10, 1), (59, 1), (60, 2), (119, 2), (120, 3), (HOUR, 4), (HOUR + 599, 4)):
            await worker.look(MADE + now)
            assert dns.queries[NEW, "TXT"] == questions, now


def test_the_longer_a_key_waits_the_rarer_it_is_asked_for() -> None:
    """A minute in the first hour, ten on the first day, then an hour: for as long as it waits."""
    assert [pause(age) for age in (0, HOUR - 1, HOUR, DAY - 1, DAY, 90 * DAY)] == [
        MINUTE,
        MINUTE,
        10 * MINUTE,
        10 * MINUTE,
        HOUR,
        HOUR,
    ]


async def test_one_worker_asks_for_all(store: Store, tmp_path: Path) -> None:
    """Who has the lease asks; another worker leaves it alone meanwhile."""
    await save(store, "new", State.WAITING)
    async with (
        FakeDns() as dns,
        rotation(store, dns, tmp_path) as (first, _),
        rotation(store, dns, tmp_path) as (second, _),
    ):
        await first.look(MADE)
        await second.look(MADE)
        assert dns.queries[NEW, "TXT"] == 1
        await first.look(MADE + MINUTE)
        assert dns.queries[NEW, "TXT"] == 2


async def test_nothing_is_asked_where_nothing_waits(store: Store, tmp_path: Path) -> None:
    """Active and retired keys cost no question."""
    await save(store, "old", State.ACTIVE)
    await save(store, "older", State.RETIRED)
    async with FakeDns() as dns, rotation(store, dns, tmp_path) as (worker, _):
        await worker.look(MADE)
        assert not dns.queries


async def test_a_first_key_that_waits_becomes_active_alone(store: Store, tmp_path: Path) -> None:
    """There need not be one that it replaces."""
    new = await save(store, "new", State.WAITING)
    async with FakeDns({NEW: txt(new)}) as dns, rotation(store, dns, tmp_path) as (worker, _):
        await worker.look(MADE)
        assert await states(store) == {"new": "active"}
