"""When a deferred delivery is tried again, and what becomes of it at the end of its life.

Pure: `now` and chance are arguments. It chooses times; the store keeps them.

  Attempt n is followed by a wait of `retry[n - 1]`, the last entry repeating, a tenth more
  or less so that what failed together does not return together. Who asks for more time
  gets it. Greylisting may ask for less. The last attempt comes at the end of the life itself.

RFC 5321 4.5.4.1 (retry strategies), RFC 6647 (greylisting), RFC 3463 (4.4.7: expired).
"""

from dataclasses import replace

from relay.config import DAY, HOUR, MINUTE, DeliverySection
from relay.deliver.evidence import GREYLISTED
from relay.delivery import Status, Verdict

JITTER = 0.1  # of the wait


def next_attempt(
    delivery: DeliverySection, *, attempt: int, received_at: float, now: float, last: Verdict, jitter: float
) -> float | None:
    """When to try again (Unix seconds) after `attempt` (from 1) ended `now` with `last`; None: its life is over.

    `jitter` is a random number from 0 up to, not including, 1.
    """
    # RFC 5321 4.5.4.1: give up after at least 4-5 days.
    end = received_at + delivery.lifetime
    if now >= end:
        return None
    table = delivery.retry
    wait = table[min(attempt, len(table)) - 1] * (1 + JITTER * (2 * jitter - 1))
    if last.retry_after is not None:
        asked = last.retry_after * (1 + JITTER * jitter)  # never earlier than asked
        # While the table still climbs; a server that answers "in 10 seconds" for days is not to be followed.
        greylisted = last.reason_class == GREYLISTED and attempt <= len(table)
        wait = asked if greylisted else max(wait, asked)
    return min(now + wait, end)


def expired(last: Verdict, *, lifetime: float) -> Verdict:
    """The last deferral becomes the bounce: soft, for the reason that it never stopped having."""
    return replace(
        last,
        status=Status.SOFT_BOUNCE,
        dsn="4.4.7",
        reason=f"not delivered within {in_words(lifetime)}; last: {last.reason}",
        retry_after=None,
    )


def in_words(seconds: float) -> str:
    """`seconds` in the largest unit that divides it: "5 days", "90 minutes"."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= unit and seconds % unit == 0:
            return _counted(int(seconds // unit), name)
    return _counted(round(seconds), "second")


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
