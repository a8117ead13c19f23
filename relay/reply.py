"""A reply of an SMTP server, as a value: parsed once, carried everywhere.

From the socket to the event, the log line, the database and the DSN it is the same
object; nobody parses its text again. RFC 5321 4.2 (replies), RFC 3463 (enhanced codes).
Never raises: what cannot be a reply is `Reply.garbage`.
"""

import re
from dataclasses import dataclass

# RFC 2034 4: an enhanced code may open the text of 2yz, 4yz and 5yz replies; its class equals the code's first digit.
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)")
# Line separators and what turns the reading direction too: on a terminal they forge lines as well as controls do.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

MAX_TEXT = 2000  # characters kept of a reply; longer ones are cut with "…"


def printable(text: str) -> str:
    """`text` on one line, read from left to right: controls and undecodable bytes become "?"."""
    return _UNPRINTABLE.sub("?", text)


@dataclass(frozen=True, slots=True)
class Reply:
    """Code, enhanced code and text; the text has one line per line of the reply, without the codes."""

    code: int
    enhanced: str | None
    text: str

    @classmethod
    def parse(cls, code: int, text: str) -> "Reply":
        """The reply made of `code` and of `text` (lines split by "\\n", without their reply codes)."""
        enhanced: str | None = None
        lines = []
        for line in text[: MAX_TEXT + 1].split("\n"):
            found = _ENHANCED.match(line)
            if found and found[1][0] == str(code)[:1]:
                enhanced = enhanced or found[1]
                line = line[found.end() :]
            lines.append(printable(line.strip()))
        kept = "\n".join(lines)
        return cls(code, enhanced, kept[:MAX_TEXT] + "…" if len(kept) > MAX_TEXT else kept)

    @property
    def positive(self) -> bool:
        """2yz or 3yz."""
        return 200 <= self.code < 400

    @property
    def transient(self) -> bool:
        """4yz: try again later."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: the same command will fail again."""
        return 500 <= self.code < 600

    @property
    def line(self) -> str:
        """On one line, as logs, views and people want it: `550 5.1.1 User unknown`."""
        text = " ".join(self.text.split("\n")).strip()
        return " ".join(part for part in (str(self.code), self.enhanced, text) if part)
