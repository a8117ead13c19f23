"""Tokens: what we wrote is read back, what we did not write is nothing."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.token import MAX_CASELESS, MAX_TARGET, Keyring, Purpose, Token

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
KEYRING = Keyring({3: NEW, 2: OLD})

QUEUE_IDS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=12)
NUMBERS = st.integers(0, 2**32 - 1)
TARGETS = st.builds(
    "{}://{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.text(
        st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=" \u2028\u2029"), min_size=1, max_size=300
    ),
)
CLICKS = st.builds(Token, QUEUE_IDS, NUMBERS, NUMBERS, TARGETS)
CLICK = Token("3gqf3x0vk1s8", 300, 7, "https://example.com/a?b=c&d=%20#e")


@given(CLICKS)
def test_a_click_says_its_delivery_link_and_target(token: Token) -> None:
    """What is written for a click is read back for a click, and for nothing else."""
    text = KEYRING.write(Purpose.CLICK, token)
    assert KEYRING.read(Purpose.CLICK, text) == token
    assert KEYRING.read(Purpose.OPEN, text) is None
    assert KEYRING.read(Purpose.UNSUBSCRIBE, text) is None


@given(QUEUE_IDS, NUMBERS, st.sampled_from([Purpose.OPEN, Purpose.UNSUBSCRIBE]))
def test_an_open_and_an_unsubscribe_say_their_delivery(queue_id: str, number: int, purpose: Purpose) -> None:
    """They carry queue id and number, and are good for their own purpose only."""
    text = KEYRING.write(purpose, Token(queue_id, number))
    readers = {other: KEYRING.read(other, text) for other in Purpose}
    assert readers.pop(purpose) == Token(queue_id, number)
    assert set(readers.values()) == {None}


@given(QUEUE_IDS, NUMBERS, st.sampled_from([Purpose.BOUNCE, Purpose.MAIL_UNSUBSCRIBE]), st.data())
def test_what_stands_in_an_address_survives_any_change_of_case(
    queue_id: str, number: int, purpose: Purpose, data: st.DataObject
) -> None:
    """It has 48 characters at most, is read in any case, and is good for its own purpose only."""
    text = KEYRING.write(purpose, Token(queue_id, number))
    assert len(text) <= MAX_CASELESS
    assert text.isalnum()
    changed = "".join(data.draw(st.sampled_from([char.lower(), char.upper()])) for char in text)
    readers = {other: KEYRING.read(other, changed) for other in Purpose}
    assert readers.pop(purpose) == Token(queue_id, number)
    assert set(readers.values()) == {None}


@given(QUEUE_IDS, NUMBERS, st.data())
def test_what_stands_in_an_address_with_any_character_changed_is_forged(
    queue_id: str, number: int, data: st.DataObject
) -> None:
    """Every character counts, but for its case."""
    text = KEYRING.write(Purpose.BOUNCE, Token(queue_id, number))
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.characters())
    for other in (text[:at] + char + text[at + 1 :], text[:at], text + char, text[:at] + char + text[at:]):
        same = other.isascii() and other.lower() == text
        assert KEYRING.read(Purpose.BOUNCE, other) == (Token(queue_id, number) if same else None)


@given(CLICKS, st.data())
def test_a_token_with_any_character_changed_is_forged(token: Token, data: st.DataObject) -> None:
    """Every character of a token counts, to the last bit, and so does its length."""
    text = KEYRING.write(Purpose.CLICK, token)
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.characters())
    for other in (text[:at] + char + text[at + 1 :], text[:at], text + char, text[:at] + char + text[at:]):
        assert KEYRING.read(Purpose.CLICK, other) == (token if other == text else None)


@given(st.text())
def test_anything_can_be_asked(text: str) -> None:
    """What nobody wrote is None, never an exception."""
    assert all(KEYRING.read(purpose, text) is None for purpose in Purpose)


@given(st.binary(max_size=80))
def test_octets_without_our_key_are_nothing(octets: bytes) -> None:
    """Well-formed base64 is not yet a token."""
    text = base64.urlsafe_b64encode(b"\x03" + octets).decode().rstrip("=")
    assert all(KEYRING.read(purpose, text) is None for purpose in Purpose)


def test_the_highest_key_signs_and_all_keys_read() -> None:
    """After a rotation old links still work; without their key they are nothing."""
    before = Keyring({2: OLD}).write(Purpose.CLICK, CLICK)
    after = KEYRING.write(Purpose.CLICK, CLICK)
    assert before != after
    assert KEYRING.read(Purpose.CLICK, before) == KEYRING.read(Purpose.CLICK, after) == CLICK
    assert Keyring({2: OLD}).read(Purpose.CLICK, after) is None
    assert Keyring({3: OLD}).read(Purpose.CLICK, after) is None


def test_a_token_stands_in_a_url_as_it_is() -> None:
    """It is made of letters, digits, "-" and "_", and a pixel's is 36 characters long for a common number."""
    text = KEYRING.write(Purpose.OPEN, Token("zzzzzzzzzzzz", 9_999))
    assert len(text) == 36
    assert set(KEYRING.write(Purpose.CLICK, CLICK) + text) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


@pytest.mark.parametrize(
    "token",
    [
        Token("3GQF3X0VK1S8", 1, 1, "https://example.com"),
        Token("3gqf3x0vk1s", 1, 1, "https://example.com"),
        Token("3gqf3x0vk1s8\n", 1, 1, "https://example.com"),
        Token("3gqf3x0vk1s8", -1, 1, "https://example.com"),
        Token("3gqf3x0vk1s8", 1, 2**32, "https://example.com"),
        Token("3gqf3x0vk1s8", 1, 1, ""),
        Token("3gqf3x0vk1s8", 1, 1, "javascript:alert(1)"),
        Token("3gqf3x0vk1s8", 1, 1, "//example.com/"),
        Token("3gqf3x0vk1s8", 1, 1, "https://example.com/\r\nSet-Cookie: a=b"),
        Token("3gqf3x0vk1s8", 1, 1, "https://example.com/\ud800"),
        Token("3gqf3x0vk1s8", 1, 1, "https://example.com/" + "a" * MAX_TARGET),
    ],
)
def test_what_could_not_be_read_back_is_not_written(token: Token) -> None:
    """A token that would be no use, or a danger to whoever follows it, is a mistake of the program."""
    with pytest.raises(ValueError, match=r"not (a|the) "):
        KEYRING.write(Purpose.CLICK, token)


def test_the_longest_target_is_read_back() -> None:
    """A link of MAX_TARGET octets still works, and its URL still fits a line of an HTTP request."""
    token = Token("3gqf3x0vk1s8", 1, 1, "https://example.com/".ljust(MAX_TARGET, "a"))
    text = KEYRING.write(Purpose.CLICK, token)
    assert KEYRING.read(Purpose.CLICK, text) == token
    assert len(text) < 8_000


@pytest.mark.parametrize("keys", [{}, {256: OLD}, {-1: OLD}, {1: OLD[:31]}, {1: b""}])
def test_a_keyring_without_good_keys_is_refused(keys: dict[int, bytes]) -> None:
    """No key, an id that is no octet, a short key: nothing may be signed with that."""
    with pytest.raises(ValueError, match="keyring"):
        Keyring(keys)
