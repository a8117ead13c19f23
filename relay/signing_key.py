"""A key that signs a domain's mail (DKIM), as it is kept and published. A plain value; the private half is elsewhere.

Its life: the first keys of a domain are `active` at once (RFC 6376 6.1: a signature whose key is not found is as
none). A later one is `waiting` until its DNS record is seen, then it is `active` and the one it replaces `retired`:
that one signs no more, and its record stays in the DNS for `KEEP_RECORD`, because mail is verified late.
Standards: RFC 6376 3.6 (records), RFC 8463 (Ed25519).
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

KEEP_RECORD = 7 * 86400.0  # seconds for which the record of a retired key stays in the DNS


class Algorithm(StrEnum):
    """How a key signs: the word of the signature's a= tag."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"

    @property
    def kind(self) -> str:
        """The word of the record's k= tag: `rsa`, `ed25519`."""
        return self.value.removesuffix("-sha256")


class State(StrEnum):
    """Where a key is in its life."""

    ACTIVE = "active"  # it signs
    WAITING = "waiting"  # its record is not seen in the DNS yet
    RETIRED = "retired"  # it signs no more; what it has signed can still be verified


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key; `domain` in A-labels, `public` in base64 as the record has it, times in Unix seconds."""

    domain: str
    selector: str
    algorithm: Algorithm
    state: State
    public: str
    created_at: float
    state_at: float  # since when it is in this state
    seen_at: float | None = None  # when its record was seen last

    @property
    def record_name(self) -> str:
        """RFC 6376 3.6.2.1: where its DNS record is, without the last dot."""
        return f"{self.selector}._domainkey.{self.domain}"


def new_selector(algorithm: Algorithm, taken: Collection[str], now: float) -> str:
    """A selector by the month, `s202611` (Ed25519: `e202611`), with a number where that is taken already."""
    month = f"{'e' if algorithm is Algorithm.ED25519 else 's'}{time.strftime('%Y%m', time.gmtime(now))}"
    selector, number = month, 1
    while selector in taken:
        number += 1
        selector = f"{month}-{number}"
    return selector
