"""A visit of a pixel or of a link, and what was made of it.

Plain values; they do nothing. The web face makes a `Visit` and answers; `tracker/visitor.py`
judges it later, with the `Facts` of its delivery, and may judge it again: the visit itself is
kept as it came, for ever, with the verdict and its reason beside it.
"""

import os
from dataclasses import dataclass
from typing import Literal

Kind = Literal["open", "click"]
By = Literal["person", "machine"]

# Hints, of which a visit's `hints` has none, one or several: what the request said of itself.
HEAD = "head"  # asked only whether the target is there
PREFETCH = "prefetch"  # Sec-Purpose, Purpose, X-Moz or X-Purpose: fetched before anybody asked to see it
DNT = "dnt"  # DNT: 1 or Sec-GPC: 1

LONGEST_AGENT = 300  # characters


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for the pixel (`open`) or for a link (`click`) of a delivery's copy."""

    visit_id: str  # 16 hexadecimal digits of chance: a visit that is told twice counts once
    at: float  # Unix seconds
    kind: Kind
    queue_id: str
    number: int  # the delivery: position among the message's recipients, from 0
    link: int = 0  # which link of the message, from 1; 0: the pixel, or the hidden link
    target: str = ""  # where the link leads
    ip: str = ""  # whole, shortened or not kept, as the operator wants it
    agent: str = ""  # User-Agent, at most LONGEST_AGENT characters
    hints: str = ""  # comma-separated: "head", "prefetch", "dnt"


@dataclass(frozen=True, slots=True)
class Judged:
    """A visit with its verdict."""

    visit: Visit
    by: By
    agent_class: str  # human, proxy, privacy, scanner, preview, program, prefetch, unknown
    reason: str  # in words, for people


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a delivery when its visits are judged."""

    recipient: str
    destination: str  # the recipient's domain, in small letters
    sent_at: float | None  # Unix seconds; None: the receiving server has not said yes (yet)
    links: int  # how many links of this copy lead through us
    recent: tuple[Judged, ...] = ()  # its visits of the last minute, oldest first, at most 50


def new_visit_id() -> str:
    """A name for a visit that no other has."""
    return os.urandom(8).hex()
