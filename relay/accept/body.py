"""Collects the content of one message, by DATA or by BDAT, and settles its line ends. No input or output.

The end of DATA is CRLF `.` CRLF and nothing else, wherever the chunks fall (RFC 5321
4.1.1.4). Bare CR and bare LF become CRLF once, after the end was found and the dots were
taken off: what a careless server might read as an end of data is then only text.
Over a limit the octets are dropped, yet read on, so that the client gets its reply.
Standards: RFC 5321 4.5.2 (transparency), RFC 3030 (BDAT), RFC 1870 (SIZE).
"""

_END = b"\r\n.\r\n"


class Budget:
    """Octets that all sessions of a worker may hold at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def has(self, octets: int) -> bool:
        """Is there room for so many more?"""
        return self.taken + octets <= self._limit

    def take(self, octets: int) -> None:
        """Count octets in; give them back with a negative number."""
        self.taken += octets


class Body:
    """The octets of one message as they come; `limit` is the most it may have."""

    def __init__(self, limit: int, budget: Budget) -> None:
        self.limit = limit
        self.received = 0  # octets that came, kept or not
        self.too_big = False
        self.no_memory = False
        self.line = 0  # octets of DATA since the last line end
        self._budget = budget
        self._counted = 0
        # RFC 5321 4.1.1.4: the CRLF before the dot may be the one that ended the DATA command.
        self._octets = bytearray(b"\r\n")

    def feed(self, chunk: bytes) -> bytes | None:
        """Take a chunk of DATA. None: more must come; else what follows the end of data."""
        held = self._octets
        start = max(len(held) - len(_END) + 1, 0)
        before = len(held)
        held += chunk
        end = held.find(_END, start)
        if end < 0:
            # The last octets may turn out to be the end of data: they do not make a message too big yet.
            self._count(len(chunk), spare=len(_END))
            line_end = chunk.rfind(b"\n")
            self.line = self.line + len(chunk) if line_end < 0 else len(chunk) - line_end - 1
            return None
        rest = bytes(held[end + len(_END) :])
        del held[end + 2 :]
        self._count(end + 2 - before)
        return rest

    def add(self, chunk: bytes) -> None:
        """Take octets of BDAT: their number was announced, nothing in them is special."""
        self._octets += chunk
        self._count(len(chunk))

    def skip(self, chunk: bytes) -> None:
        """Take octets that nobody wants, and keep none."""
        self.received += len(chunk)

    def unstuffed(self) -> bytes:
        """The content of DATA: without the dots that RFC 5321 4.5.2 put in front of dots."""
        # Every line end that counts here is a CRLF, and the first line has one too (see above).
        self._octets = self._octets.replace(b"\r\n.", b"\r\n")
        return self.plain()

    def plain(self) -> bytes:
        """The content of BDAT, or of DATA once its dots are off."""
        content = normalised(bytes(memoryview(self._octets)[2:]))
        self.too_big |= len(content) > self.limit
        return content

    def close(self) -> None:
        """Give the memory back."""
        self._octets = bytearray()
        self._budget.take(-self._counted)
        self._counted = 0

    def _count(self, own: int, spare: int = 0) -> None:
        """Account for `own` more octets; over a limit drop everything but a possible start of the end."""
        self.received += own
        self.too_big |= self.received > self.limit + spare
        self.no_memory |= not self._budget.has(own)
        if self.too_big or self.no_memory:
            del self._octets[: -len(_END) + 1]
            self._budget.take(-self._counted)
            self._counted = 0
        else:
            self._budget.take(own)
            self._counted += own


def normalised(content: bytes) -> bytes:
    """`content` with CRLF for every CRLF, bare CR and bare LF, and one at its end; cheap where that holds already."""
    if content and not content.endswith(b"\r\n"):
        content = content + (b"\n" if content.endswith(b"\r") else b"\r\n" if not content.endswith(b"\n") else b"")
    pairs = content.count(b"\r\n")
    if content.count(b"\r") == pairs and content.count(b"\n") == pairs:
        return content
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
