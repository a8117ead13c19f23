"""The words of a log line: escaping, cutting, hiding addresses, numbers as Postfix shows them.

Plain functions for `relay/log.py`, which knows which event has which words, and `relay/log_delivery.py`.
Nothing here raises, whatever the network sent.
"""

import hashlib
import re
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath

from relay.address import Address

MAX_VALUE = 512  # characters of one value
MAX_LINE = 2048  # octets of one line

_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[\w.-]+")
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")
_HUNDREDTHS = [f"{n / 100:.2g}" for n in range(1000)]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of a session, shown as `host[ip]`; `host` is "localhost" or "unknown" (we look no client up)."""

    host: str
    ip: str
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", f"{escape(self.host)}[{escape(self.ip)}]")

    def __str__(self) -> str:
        return self.text


def escape(value: str, also: str = "") -> str:
    """`value` on one line, without control characters and those in `also`, cut at `MAX_VALUE`."""
    if len(value) > MAX_VALUE:
        value = value[: MAX_VALUE - 1] + "…"
    if value.isprintable() and not (also and any(char in value for char in also)):
        return value
    return "".join(char if char.isprintable() and char not in also else _escaped(char) for char in value)[:MAX_VALUE]


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Shown:
    """How addresses are shown: "full", "domain" (`*@domain`) or "hash" (`0f3a…@domain`, keyed with `key`)."""

    def __init__(self, privacy: str, key: str) -> None:
        self._privacy = privacy
        self._key = key.encode()[: hashlib.blake2s.MAX_KEY_SIZE]

    def address(self, address: Address | str | None) -> str:
        """An address as it stands between `<` and `>`; the null reverse-path is empty."""
        if address is None:
            return ""
        text = str(address)
        if self._privacy != "full":
            text = self._hidden(text)
        return text if text.isprintable() and ">" not in text and len(text) <= MAX_VALUE else escape(text, "<>")

    def text(self, text: str) -> str:
        """Free text, with the addresses in it shown likewise."""
        if self._privacy != "full" and "@" in text:
            text = _ADDRESS.sub(lambda found: self._hidden(found[0]), text)
        return text if text.isprintable() and len(text) <= MAX_VALUE else escape(text)

    def value(self, value: object) -> str:
        """The right side of `key=value`, in quotes where it needs them."""
        text = self.text(str(plain(value)))
        return f'"{escape(text, chr(34))}"' if not text or any(char in text for char in ' ,"') else text

    def _hidden(self, address: str) -> str:
        _local, at, domain = address.rpartition("@")
        if not at:
            return address
        if self._privacy == "hash":
            whole = address.lower().encode("utf-8", "backslashreplace")
            return f"{hashlib.blake2s(whole, digest_size=6, key=self._key).hexdigest()}@{domain}"
        return f"*@{domain}"


def cut(line: str) -> str:
    """`line` with no more than `MAX_LINE` octets."""
    octets = line.encode("utf-8", "backslashreplace")
    return line if len(octets) <= MAX_LINE else octets[: MAX_LINE - 4].decode("utf-8", "ignore") + "…\n"


def seconds(value: float) -> str:
    """As Postfix shows delays: two digits that matter, nothing finer than 0.01 s."""
    return _HUNDREDTHS[int(value * 100 + 0.5)] if 0 <= value < 9.99 else f"{max(value, 0):.0f}"


def uncut(text: str) -> str:
    """Our own words without ": ", where pflogsumm would cut them."""
    return text.replace(": ", " - ")


def harmless(text: str) -> str:
    """`text` in which "host[ip]: SASL … failed" is no wrong login to fail2ban: nobody may get another banned."""
    return text.replace("]: ", "]\\x3a ")


def share(good: int, total: int) -> str:
    """Postfix counts commands so: `2`, or `1/2` where one failed."""
    return str(good) if good == total else f"{good}/{total}"


def plain(value: object) -> int | float | str:
    """A field's value as text and JSON can show it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, int | float) else str(value)


def utc(at: float, timespec: str) -> str:
    """Unix seconds as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def masked(text: str) -> str:
    """`text` without the passwords of URLs."""
    return _PASSWORD.sub(r"\1***@", text)


def places(exc: BaseException) -> str:
    """The innermost places of a traceback, on one line."""
    frames = traceback.extract_tb(exc.__traceback__)[-4:]
    return " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
