"""What is kept of refusals: enough to answer who asks, never so much that strangers fill the disk."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from relay.accept.refusals import KNOWN, MAX_CLIENTS, STRANGER, Refusals
from relay.event import Refusal
from tests.accept.service import Service, credential, running
from tests.parts.keeping import MemoryStore

REFUSAL = Refusal("abc123", 60.0, "192.0.2.1", "CONNECT", 421, "4.7.0", "R4115", "421 4.7.0 Too many")


class Notes:
    """A log that remembers of which clients something was not kept."""

    def __init__(self) -> None:
        self.clients: list[object] = []

    def note(self, text: str, **fields: object) -> None:
        self.clients.append(fields["client"])


async def refused(service: Service, times: int) -> None:
    """A stranger's MAIL, again and again."""
    client = await service.hello()
    for _ in range(times):
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith("530 ")
    await client.close()


async def test_a_stranger_s_refusals_are_all_logged_and_some_are_kept(here: Path) -> None:
    """As many as there is room for in a minute; one line says that the rest is not kept; then it begins anew."""
    async with running(here, trusted_networks=(), max_errors=100) as service:
        await refused(service, STRANGER + 5)
        assert len(service.store.refusals) == STRANGER
        assert service.log_lines().count("530 5.7.0 Login required") == STRANGER + 5
        assert service.log_lines().count("refusals are not kept for the rest of this minute: client=127.0.0.1") == 1
        service.clock.now += 60
        await refused(service, 1)
        assert len(service.store.refusals) == STRANGER + 1


async def test_a_client_that_we_know_has_more_room(here: Path) -> None:
    """Its refusals are asked about: those of a list with many bad addresses are all there."""
    async with running(here, credential(), max_errors=100) as service:
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com>")
        for _ in range(STRANGER * 3):
            assert (await client.ask("RCPT TO:<bad>")).startswith("501 ")
        assert len(service.store.refusals) == STRANGER * 3 <= KNOWN


def test_the_addresses_of_one_ipv6_customer_are_one_client() -> None:
    """A /64 is nobody's crowd."""
    store, notes = MemoryStore(), Notes()
    refusals = Refusals(store, notes)
    for number in range(STRANGER * 2):
        refusals.keep(replace(REFUSAL, client_ip=f"2001:db8::{number:x}"), known=False)
    assert len(store.refusals) == STRANGER
    assert notes.clients == ["2001:db8::/64"]


def test_a_crowd_of_strangers_is_bounded_too() -> None:
    """Beyond the clients that are counted by themselves, all others together have the room of one."""
    store, notes = MemoryStore(), Notes()
    refusals = Refusals(store, notes)
    for number in range(MAX_CLIENTS + STRANGER * 2):
        refusals.keep(replace(REFUSAL, client_ip=f"10.0.{number // 256}.{number % 256}"), known=False)
    assert len(store.refusals) == MAX_CLIENTS + STRANGER
    assert notes.clients == ["all others"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=300))
def test_in_no_minute_more_is_kept_of_a_client_than_there_is_room_for(
    knocks: list[tuple[int, int, bool]],
) -> None:
    """Whoever comes, when and how often; and what there is room for is kept."""
    store = MemoryStore()
    refusals = Refusals(store, Notes())
    came: dict[tuple[int, int, bool], int] = {}
    for minute, host, known in sorted(knocks):
        came[minute, host, known] = came.get((minute, host, known), 0) + 1
        refusals.keep(replace(REFUSAL, at=minute * 60.0 + 1, client_ip=f"192.0.2.{host}"), known=known)
    assert len(store.refusals) == sum(min(times, KNOWN if known else STRANGER) for (*_, known), times in came.items())
