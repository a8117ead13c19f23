"""What an entry says, what a repeated one adds, and which of several is told."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.entry import Entry, merged, news, normalised, told_order

SINCE = 1_795_250_000.0  # 2026-11-21
NOW = SINCE + 86400
REASONS: list[Any] = ["unsubscribe", "hard_bounce", "complaint", "manual", "spam", "invalid"]


def entry(reason: Any = "unsubscribe", expires_at: float | None = None, **changes: Any) -> Entry:
    """An entry for ada@x.test."""
    return replace(Entry("ada@x.test", "", reason, "test", SINCE, expires_at), **changes)


@pytest.mark.parametrize(
    ("given", "words", "reason_class", "dsn"),
    [
        (entry(scope="weekly"), 'unsubscribed from "weekly" on 2026-11-21', "suppressed_unsubscribe", "5.7.1"),
        (entry(), "unsubscribed on 2026-11-21", "suppressed_unsubscribe", "5.7.1"),
        (
            entry("hard_bounce", reply="550 5.1.1 User unknown"),
            "hard bounce on 2026-11-21 (550 5.1.1 User unknown)",
            "suppressed_bounce",
            "5.1.1",
        ),
        (entry("complaint"), "called it spam on 2026-11-21", "suppressed_complaint", "5.7.1"),
        (
            entry("manual", address="@x.test", note="closed"),
            "@x.test added by hand on 2026-11-21 (closed)",
            "suppressed_manual",
            "5.7.1",
        ),
        (entry("spam"), "refused again and again on 2026-11-21", "suppressed_bounce", "5.7.1"),
        (entry("invalid"), "not a valid address on 2026-11-21", "suppressed_bounce", "5.1.3"),
    ],
)
def test_an_entry_says_why_and_since_when(given: Entry, words: str, reason_class: str, dsn: str) -> None:
    """In words for people, and as class and code for views and notices."""
    assert (given.words, given.reason_class, given.dsn) == (words, reason_class, dsn)


def test_an_entry_counts_until_it_expires() -> None:
    """At that second it does not count any more; without an end it counts for ever."""
    assert entry(expires_at=NOW).live(NOW - 1) and not entry(expires_at=NOW).live(NOW)
    assert entry().live(1e12)


def test_the_list_has_domains_in_small_letters_and_local_parts_as_written() -> None:
    """RFC 5321 2.4: only the receiving host may read a local part."""
    assert normalised(" Ada.B@X.Test ") == "Ada.B@x.test"
    assert normalised("@X.TEST") == "@x.test"
    assert normalised('"a@b"@X.Test') == '"a@b"@x.test'
    assert normalised("Postmaster") == "Postmaster"


def test_the_first_entry_and_one_after_an_expired_one_are_taken_as_they_come() -> None:
    """Nothing is known, or nothing counts any more."""
    assert merged(None, entry(), NOW) == entry()
    again = entry("manual", since=NOW)
    assert merged(entry("manual", expires_at=NOW - 1), again, NOW) == again


def test_the_same_reason_once_more_keeps_since_when_and_adds_what_was_not_known() -> None:
    """Repeating is success, and no news; a longer time and a word of why are taken over."""
    first = entry("hard_bounce", expires_at=NOW + 10)
    again = entry("hard_bounce", expires_at=NOW + 90, since=NOW, note="asked twice")
    kept = merged(first, again, NOW)
    assert kept == replace(first, expires_at=NOW + 90, note="asked twice")
    assert news(first, kept, NOW)
    assert merged(kept, again, NOW) == kept and not news(kept, kept, NOW)
    assert merged(kept, replace(again, expires_at=None), NOW).expires_at is None


@pytest.mark.parametrize(
    ("told", "other"),
    [
        (entry("spam"), entry("complaint", address="@x.test")),
        (entry("spam"), entry("complaint", scope="weekly")),
        (entry("complaint"), entry("unsubscribe")),
        (entry("unsubscribe"), entry("manual")),
        (entry("manual"), entry("hard_bounce")),
        (entry("hard_bounce"), entry("invalid")),
        (entry("invalid"), entry("spam")),
        (entry("complaint", since=NOW), entry("unsubscribe")),
        (entry("manual", address="@x.test"), entry("manual", address="@x.test", since=NOW)),
    ],
)
def test_of_several_entries_the_one_that_says_most_is_told(told: Entry, other: Entry) -> None:
    """The address's own, then one for all mail, then the strongest reason, then the oldest."""
    assert sorted([other, told], key=told_order) == [told, other]


ENDS = st.none() | st.floats(NOW - 100, NOW + 100)


@given(st.sampled_from(REASONS), st.lists(ENDS, min_size=1, max_size=6))
def test_no_repetition_ever_shortens_an_entry(reason: Any, ends: list[float | None]) -> None:
    """Whoever was suppressed until some time by any of them is suppressed until then."""
    kept = None
    for end in ends:
        kept = merged(kept, entry(reason, end), NOW)
    last = max(float("inf") if end is None else end for end in ends)
    assert kept is not None and kept.live(NOW) == (last > NOW)
    if last > NOW:
        assert (float("inf") if kept.expires_at is None else kept.expires_at) == last
