"""The conversation of one attempt: who said what, and when, over all hosts tried.

It records and times; it never speaks. Rules: message content is kept as its size,
credentials not at all (the client shows asterisks), at most `MAX_LINES` lines of
`MAX_TEXT` characters, all printable, so that a hostile server cannot fill the database.
"""

import time
from collections.abc import Callable

from relay.delivery import Line
from relay.reply import printable

MAX_LINES = 200
MAX_TEXT = 512


class Conversation:
    """Collects the lines of one attempt; `clock` gives seconds that only grow."""

    __slots__ = ("_clock", "_lines", "_start", "ms_connect", "ms_data", "ms_tls", "source_ip", "tls")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._lines: list[Line] = []
        self.ms_connect: int | None = None
        self.ms_tls: int | None = None
        self.ms_data: int | None = None
        self.tls: str | None = None  # "TLSv1.3 TLS_AES_256_GCM_SHA384 mx.example.net"
        self.source_ip: str | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        """Everything recorded so far."""
        return tuple(self._lines)

    @property
    def elapsed(self) -> int:
        """Milliseconds since the attempt began."""
        return int((self._clock() - self._start) * 1000)

    def opens(self, peer: str) -> None:
        """A connection to `peer` is tried; what the last host left behind is no longer true."""
        self.ms_connect = self.ms_tls = self.ms_data = self.tls = self.source_ip = None
        self.note(f"connecting to {peer}")

    def connected(self, source_ip: str, ms: int) -> None:
        """TCP is up; it took `ms`."""
        self.source_ip, self.ms_connect = source_ip, ms
        self.note(f"connected from {source_ip}")

    def encrypted(self, tls: str, ms: int) -> None:
        """TLS is up; it took `ms`."""
        self.tls, self.ms_tls = tls, ms
        self.note(tls)

    def reused(self, peer: str, message: int, *, tls: str | None, source_ip: str | None) -> None:
        """A kept connection carries its `message`-th message (counted from 1)."""
        self.ms_connect = self.ms_tls = self.ms_data = None
        self.tls, self.source_ip = tls, source_ip
        self.note(f"reused connection to {peer} (message {message})" + (f", {tls}" if tls else ""))

    def note(self, text: str) -> None:
        """A remark of our own."""
        self._add("=", text)

    def client(self, text: str) -> None:
        """A command we send."""
        self._add("C", text)

    def content(self, size: int) -> None:
        """The message itself: only its size is kept."""
        self._add("C", f"<{size:,} bytes>")

    def server(self, code: int, text: str) -> None:
        """A reply; its lines are joined as `250-first | 250 last`."""
        if "\n" in text:
            *first, last = text.split("\n")
            self._add("S", "".join(f"{code}-{line} | " for line in first) + f"{code} {last}")
        else:
            self._add("S", f"{code} {text}")

    def _add(self, who: str, text: str) -> None:
        if len(self._lines) >= MAX_LINES:
            return
        if len(self._lines) == MAX_LINES - 1:
            who, text = "=", "… (the rest of the conversation is not kept)"
        elif len(text) > MAX_TEXT:
            text = text[: MAX_TEXT - 1] + "…"
        self._lines.append(Line(self.elapsed, who, text if text.isascii() and text.isprintable() else printable(text)))
