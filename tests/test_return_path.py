"""Addresses at the bounce domain: ours are read in any case, all others are nobody's."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import parse_address
from relay.return_path import Own, ReturnPaths, Use, bounce_local, read, unsubscribe_local
from tests.compose.letters import MESSAGE, delivery
from tracker.token import Keyring, Purpose, Token

KEYRING = Keyring({1: bytes(range(32))})
QUEUE_IDS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=12)
NUMBERS = st.integers(0, 2**32 - 1)


@given(QUEUE_IDS, NUMBERS, st.data())
def test_an_address_says_its_delivery_in_any_case(queue_id: str, number: int, data: st.DataObject) -> None:
    """RFC 5321 2.4: hosts on the way may change the case of what is not theirs, and some do."""
    for write, use in ((bounce_local, Use.BOUNCE), (unsubscribe_local, Use.UNSUBSCRIBE)):
        local = write(KEYRING, queue_id, number)
        changed = "".join(data.draw(st.sampled_from([char.lower(), char.upper()])) for char in local)
        assert read(KEYRING, changed) == Own(use, queue_id, number)


@given(QUEUE_IDS, NUMBERS)
def test_an_address_fits_every_server(queue_id: str, number: int) -> None:
    """RFC 5321 4.5.3.1.1: 64 octets; and it needs no quotes and no SMTPUTF8."""
    for write in (bounce_local, unsubscribe_local):
        local = write(KEYRING, queue_id, number)
        assert len(local) <= 64
        assert parse_address(f"{local}@bounce.example.com").local == local


@given(QUEUE_IDS, NUMBERS)
def test_a_token_is_good_for_one_use(queue_id: str, number: int) -> None:
    """Who has the address to unsubscribe cannot make a bounce of it, nor anything of a link."""
    assert read(KEYRING, "b-" + unsubscribe_local(KEYRING, queue_id, number)[2:]) is None
    assert read(KEYRING, "u-" + bounce_local(KEYRING, queue_id, number)[2:]) is None
    assert read(KEYRING, "u-" + KEYRING.write(Purpose.UNSUBSCRIBE, Token(queue_id, number))) is None


@given(st.text())
def test_whatever_we_did_not_write_is_nobodys(local: str) -> None:
    """A forged token is an address that never was."""
    for written in (local, f"b-{local}", f"u-{local}", "fbl\u212a"):
        if written.lower() not in ("fbl", "postmaster", "abuse"):
            assert read(KEYRING, written) is None


def test_a_token_of_another_relay_is_nobodys() -> None:
    """Its key is not ours."""
    assert read(KEYRING, bounce_local(Keyring({1: bytes(32)}), "0abcdef12345", 0)) is None


@pytest.mark.parametrize(
    ("local", "use"),
    [("fbl", Use.FEEDBACK), ("FBL", Use.FEEDBACK), ("Postmaster", Use.PEOPLE), ("abuse", Use.PEOPLE)],
)
def test_some_addresses_are_there_without_a_token(local: str, use: Use) -> None:
    """Complaints have one address for all, and people have theirs (RFC 2142)."""
    assert read(KEYRING, local) == Own(use)


def test_what_goes_out_comes_back_to_its_own_delivery() -> None:
    """The reverse-path is the delivery's own; all else of it stays as it was."""
    before = delivery(number=7)
    out = ReturnPaths(KEYRING, "bounce.example.com").outgoing(before)
    own = out.message.reverse_path
    assert own is not None
    assert own.domain == "bounce.example.com"
    assert read(KEYRING, own.local) == Own(Use.BOUNCE, MESSAGE.queue_id, 7)
    assert before.message.reverse_path == MESSAGE.reverse_path
    assert (out.recipient, out.number, out.message.queue_id) == (before.recipient, 7, MESSAGE.queue_id)


def test_the_null_reverse_path_stays_null() -> None:
    """RFC 5321 4.5.5: what has it is a notice, and must not be answered."""
    notice = delivery(message=replace(MESSAGE, reverse_path=None))
    assert ReturnPaths(KEYRING, "bounce.example.com").outgoing(notice) is notice
