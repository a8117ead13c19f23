"""What a report says, as values: a recipient and what became of the mail to it, and the report as a whole.

No reading and no judgement here: `report.py` and the files that it calls make these, `relay/feedback.py` acts on them.

Rules. No code is ever invented: what the report does not say is "" or None. What is kept of somebody else's text
is one line of bounded length. Addresses stand as they were written, without angle brackets.
Standards: RFC 3464 (delivery reports), RFC 3463 (codes), RFC 5965 (feedback reports).
"""

from dataclasses import dataclass, field
from typing import Literal

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
Kind = Literal["bounce", "feedback", "vacation", "none"]
LONGEST_DIAGNOSTIC = 1000  # characters


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient named by a report. RFC 3464 2.3: what was done for it, and why."""

    address: str  # the address that failed: local@domain, or a bare local part where the report says no more
    action: Action = "failed"
    status: str = ""  # RFC 3463: "5.1.1"; "" where the report says none
    diagnostic: str = ""  # what the server or the report said, on one line
    also: tuple[str, ...] = ()  # other names of the same mailbox: as we wrote it, before forwarding, an alias
    code: int | None = None  # RFC 5321 4.2: 550; None where the report says none
    mta: str = ""  # the host that refused, where named


@dataclass(frozen=True, slots=True)
class Original:
    """What a report tells of the mail that it is about. Every field may be ""."""

    message_id: str = ""  # without angle brackets
    from_: str = ""
    to: tuple[str, ...] = ()  # the addresses of To
    subject: str = ""
    headers: tuple[tuple[str, str], ...] = ()  # all fields, in order, names in lower case


@dataclass(frozen=True, slots=True)
class Report:
    """What a message that came back is. A bounce with no recipients tells of a failure but not of whom."""

    kind: Kind
    recipients: tuple[Recipient, ...] = ()
    feedback_type: str = ""  # RFC 5965 7.3: abuse, fraud, virus, not-spam, …; only in feedback reports
    original: Original = field(default_factory=Original)
    reporter: str = ""  # who reports: Reporting-MTA's host name, or else the From of the report


def line(text: str) -> str:
    """`text` on one line, blanks squeezed, not longer than a diagnostic may be."""
    return " ".join(text[: 4 * LONGEST_DIAGNOSTIC].split())[:LONGEST_DIAGNOSTIC]
