"""Tokens: what a link of ours says, signed, so that it can be believed years later without a database.

Does not know addresses: a token names a delivery (queue id and number), and for a click
the link's number and its target. Whoever holds a link can read it; nobody else can make one.

Layout, in URL-safe base64 without padding; in base32 where a token stands in a mail address, whose case others change:

    key id 1 octet · queue id 8 octets · number varint · [click: link varint · target UTF-8] · 16 octets of MAC

Rules: the MAC is HMAC-SHA-256 over the purpose and everything before it, so that the token
of a pixel cannot be passed off as one of an unsubscribe link. The highest key id signs, all
keys read. There is one spelling of a token, but for the case of base32: another one of the same octets is forged.
In a mail address it has at most 48 characters. Only http and https targets without control characters come back.
Standards: RFC 2104 5 (a truncated HMAC), RFC 4648 5 (base64url) and 6 (base32).
Fails: `Keyring.read` gives None for whatever it did not write, and never raises;
`Keyring.write` raises ValueError for what cannot be said in a token.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

KEY_OCTETS = 32
MAX_TARGET = 4_096  # octets; the link made of it still passes as a line of an HTTP request (8 KiB)
MAX_TEXT = 6_000  # characters; no token of ours is longer
MAX_CASELESS = 48  # so with a prefix it fits a local part (RFC 5321 4.5.3.1.1: 64 octets)
MAX_NUMBER = 2**32 - 1

_MAC_OCTETS = 16
_HEAD_OCTETS = 9  # key id and queue id
_QUEUE_ID = re.compile(r"[0-9a-z]{12}")
_QUEUE_IDS = 36**12
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_TARGET = re.compile(r"https?://[^\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+", re.IGNORECASE)
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/***")  # what is not of our alphabet becomes what base64 does not know


class Purpose(Enum):
    """What a token is for; where it stands says which: the paths /o/ /c/ /u/, the addresses b-… and u-…."""

    OPEN = b"o"
    CLICK = b"c"
    UNSUBSCRIBE = b"u"
    BOUNCE = b"b"
    MAIL_UNSUBSCRIBE = b"m"


_IN_ADDRESSES = (Purpose.BOUNCE, Purpose.MAIL_UNSUBSCRIBE)


class Token(NamedTuple):
    """A delivery and, in a click, which of its links leads where. Links count from 1; 0 is the hidden link."""

    queue_id: str
    number: int
    link: int = 0
    target: str = ""


class Keyring:
    """The secrets tokens are signed with: key id (0 to 255) → 32 octets."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Raises ValueError unless there is a key, and all are as they must be."""
        if not keys or not all(0 <= at <= 255 and len(key) == KEY_OCTETS for at, key in keys.items()):
            raise ValueError(f"a keyring holds keys of {KEY_OCTETS} octets under ids from 0 to 255, at least one")
        # Begun once for each key and purpose: what the key costs is not paid again for each token.
        self._begun = {(at, use): hmac.new(key, use.value, "sha256") for at, key in keys.items() for use in Purpose}
        self._newest = max(keys)

    def write(self, purpose: Purpose, token: Token) -> str:
        """The token as it stands in a URL or an address. `link` and `target` are kept in a click only."""
        if not _QUEUE_ID.fullmatch(token.queue_id):
            raise ValueError(f"not a queue id: {token.queue_id!r}")
        said = bytes((self._newest,)) + int(token.queue_id, 36).to_bytes(8, "big") + _varint(token.number)
        if purpose is Purpose.CLICK:
            if not _TARGET.fullmatch(token.target) or len(target := token.target.encode()) > MAX_TARGET:
                raise ValueError(f"not the target of a link: {token.target[:200]!r}")
            said += _varint(token.link) + target
        octets = said + _mac(self._begun[self._newest, purpose], said)
        return _caseless(octets) if purpose in _IN_ADDRESSES else _text(octets)

    def read(self, purpose: Purpose, text: str) -> Token | None:
        """The token that `write` made for this purpose with a key we still hold, or None."""
        octets = _caseless_octets(text) if purpose in _IN_ADDRESSES else _octets(text)
        if len(octets) <= _HEAD_OCTETS + _MAC_OCTETS:
            return None
        begun = self._begun.get((octets[0], purpose))
        said = octets[:-_MAC_OCTETS]
        if begun is None or not hmac.compare_digest(_mac(begun, said), octets[-_MAC_OCTETS:]):
            return None
        return _token(purpose, said)


def _mac(begun: hmac.HMAC, said: bytes) -> bytes:
    # RFC 2104 5: not less than half of the hash. Half of it is enough, and links stay short.
    mac = begun.copy()
    mac.update(said)
    return mac.digest()[:_MAC_OCTETS]


def _text(octets: bytes) -> str:
    return binascii.b2a_base64(octets, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def _octets(text: str) -> bytes:
    """The octets `text` spells, b"" if it is not exactly how we would spell them."""
    if len(text) > MAX_TEXT or not text.isascii():
        return b""
    try:
        octets = binascii.a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""
    return octets if _text(octets) == text else b""


def _caseless(octets: bytes) -> str:
    return base64.b32encode(octets).rstrip(b"=").lower().decode("ascii")


def _caseless_octets(text: str) -> bytes:
    """The octets `text` spells in any case, b"" if it is not how we would spell them."""
    if len(text) > MAX_CASELESS or not text.isascii():
        return b""
    try:
        octets = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error:
        return b""
    return octets if _caseless(octets) == text.lower() else b""


def _token(purpose: Purpose, said: bytes) -> Token | None:
    """What `said`, which we signed ourselves, says; None if it is of a kind we would not act on."""
    queue = int.from_bytes(said[1:_HEAD_OCTETS], "big")
    number, at = _read_varint(said, _HEAD_OCTETS)
    if queue >= _QUEUE_IDS or at < 0:
        return None
    if purpose is not Purpose.CLICK:
        return Token(_queue_id(queue), number) if at == len(said) else None
    link, at = _read_varint(said, at)
    if at < 0:
        return None
    try:
        target = said[at:].decode()
    except UnicodeDecodeError:
        return None
    return Token(_queue_id(queue), number, link, target) if _TARGET.fullmatch(target) else None


def _queue_id(value: int) -> str:
    return _half(value // 1296**3) + _half(value % 1296**3)  # small numbers are divided faster


def _half(value: int) -> str:
    return _PAIRS[value // 1296**2] + _PAIRS[value // 1296 % 1296] + _PAIRS[value % 1296]


def _varint(value: int) -> bytes:
    """Seven bits an octet, the lowest first; the high bit says that more follow."""
    if 0 <= value < 128:
        return bytes((value,))
    if not 0 <= value <= MAX_NUMBER:
        raise ValueError(f"not a number of a delivery or link: {value}")
    octets = bytearray()
    while value >= 128:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def _read_varint(octets: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends; (0, -1) if there is none."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(octets):
            break
        octet = octets[at]
        at += 1
        value |= (octet & 127) << shift
        if octet < 128:
            return value, at
    return 0, -1
