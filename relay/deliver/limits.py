"""Limits that hold over all workers together, without asking for each delivery.

Every worker knows who else is alive (the store tells); each takes its share of a
limit, and what cannot be divided goes to those whom the destination's name picks, so
that all agree without a word. A limit smaller than the number of workers leaves some
with nothing: for that destination they only accept. While a start goes on and not all of
the `expected` are known, each takes what is its share for certain. Pure.

A limit holds at every instant because a share only becomes smaller when others come, and
whoever comes takes none before all others know of it and have made room (`relay/presence.py`).
"""

import zlib
from collections.abc import Sequence


def share(limit: int, destination: str, me: int, alive: Sequence[int], *, expected: int = 0) -> int:
    """How much of `limit` worker `me` may use for `destination` while `alive` are the workers' numbers."""
    if expected > len(alive):
        return limit // expected
    if len(alive) < 2 or me not in alive:
        return limit
    whole, rest = divmod(limit, len(alive))
    order = sorted(alive, key=lambda worker: zlib.crc32(f"{destination} {worker}".encode()))
    return whole + (order.index(me) < rest)
