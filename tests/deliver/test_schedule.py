"""The timetable of a deferred delivery."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import DAY, HOUR, MINUTE, DeliverySection
from relay.deliver.schedule import expired, in_words, next_attempt
from relay.delivery import Status, Verdict

SECTION = DeliverySection(retry=(1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 1 * HOUR), lifetime=5 * DAY)
BUSY = Verdict(Status.DEFERRED, "throttled", "4.2.1", "host mx.x.test[203.0.113.9] said: 450 4.2.1 busy")
NOON = 1_000_000.0  # received
MIDDLE = 0.5  # the jitter that changes nothing


def asks(seconds: float, reason_class: str = "throttled") -> Verdict:
    return Verdict(Status.DEFERRED, reason_class, "4.2.1", "later", retry_after=seconds)


def after(attempt: int, now: float = NOON, last: Verdict = BUSY, jitter: float = MIDDLE) -> float | None:
    """Seconds from `now` to the next attempt."""
    at = next_attempt(SECTION, attempt=attempt, received_at=NOON, now=now, last=last, jitter=jitter)
    return None if at is None else at - now


TIMETABLE = [(1, 1 * MINUTE), (2, 5 * MINUTE), (3, 15 * MINUTE), (4, 1 * HOUR), (5, 1 * HOUR), (50, 1 * HOUR)]


@pytest.mark.parametrize(("attempt", "wait"), TIMETABLE)
def test_each_attempt_is_followed_by_its_wait(attempt: int, wait: float) -> None:
    """After the first a minute, after the second five, … and then every hour."""
    assert after(attempt) == wait


def test_what_failed_together_does_not_return_together() -> None:
    """A tenth more or less, by chance."""
    assert after(4, jitter=0.0) == pytest.approx(54 * MINUTE)
    assert after(4, jitter=0.999999) == pytest.approx(66 * MINUTE, rel=1e-4)


def test_the_last_attempt_comes_at_the_end_of_life() -> None:
    """Received at noon, five days: half an hour before the end the next attempt is the last, at the end itself."""
    assert after(40, now=NOON + 5 * DAY - 30 * MINUTE) == 30 * MINUTE
    assert after(41, now=NOON + 5 * DAY) is None
    assert after(41, now=NOON + 9 * DAY) is None


def test_who_asks_for_more_time_gets_it() -> None:
    """ "Try again in ten minutes" after the first attempt: ten minutes, not one."""
    assert after(1, last=asks(10 * MINUTE), jitter=0.0) == 10 * MINUTE


def test_who_asks_for_less_time_does_not_get_it() -> None:
    """The table holds: a server that says "in ten seconds" for days is not called every ten seconds."""
    assert after(4, last=asks(10)) == 1 * HOUR


def test_greylisting_may_ask_for_less() -> None:
    """While the table climbs, a greylisting server's own time is the right one; afterwards the table holds."""
    assert after(2, last=asks(60, "greylisted"), jitter=0.0) == 60
    assert after(5, last=asks(60, "greylisted")) == 1 * HOUR


@given(st.integers(1, 60), st.floats(0, 6 * DAY), st.floats(0, 1, exclude_max=True), st.none() | st.floats(10, DAY))
def test_the_next_attempt_is_ahead_and_within_life(attempt: int, age: float, jitter: float, hint: float | None) -> None:
    """Whatever the numbers: later than now, never after the end, never earlier than asked (but for the end itself)."""
    last = asks(hint) if hint else BUSY
    now = NOON + age
    at = next_attempt(SECTION, attempt=attempt, received_at=NOON, now=now, last=last, jitter=jitter)
    end = NOON + SECTION.lifetime
    assert (at is None) == (now >= end)
    if at is not None:
        assert now < at <= end
        assert hint is None or at >= min(now + hint, end)


def test_at_the_end_the_last_deferral_becomes_a_soft_bounce() -> None:
    """RFC 3463: 4.4.7, with the class and words of the reason that never stopped."""
    assert expired(BUSY, lifetime=SECTION.lifetime) == Verdict(
        Status.SOFT_BOUNCE,
        "throttled",
        "4.4.7",
        "not delivered within 5 days; last: host mx.x.test[203.0.113.9] said: 450 4.2.1 busy",
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5 * DAY, "5 days"), (DAY, "1 day"), (36 * HOUR, "36 hours"), (90 * MINUTE, "90 minutes"), (1, "1 second")],
)
def test_times_are_said_in_words(seconds: float, words: str) -> None:
    """In the largest unit that fits without a rest."""
    assert in_words(seconds) == words
