"""Limits over all workers: the shares add up, and everybody works them out alone."""

from hypothesis import given
from hypothesis import strategies as st

from relay.deliver.limits import share

workers = st.lists(st.integers(0, 1023), min_size=1, max_size=8, unique=True)


@given(st.integers(1, 100), st.text(max_size=20), workers)
def test_the_shares_of_all_workers_are_the_limit(limit: int, destination: str, alive: list[int]) -> None:
    """However many workers there are, together they take the limit: no more, no less."""
    shares = [share(limit, destination, me, alive) for me in alive]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 100), st.text(max_size=20), workers, workers)
def test_a_share_only_becomes_smaller_when_others_come(
    limit: int, destination: str, alive: list[int], more: list[int]
) -> None:
    """So whoever has not heard of a newcomer, or still counts one that has gone, never makes it too much."""
    together = sorted({*alive, *more})
    assert all(share(limit, destination, me, together) <= share(limit, destination, me, alive) for me in alive)


@given(st.integers(1, 100), workers, st.integers(2, 8))
def test_while_some_are_still_to_come_nobody_takes_too_much(limit: int, known: list[int], expected: int) -> None:
    """Before all `expected` workers are known each takes no more than is its own in any case."""
    if len(known) < expected:
        assert share(limit, "x.test", known[0], known, expected=expected) * expected <= limit


def test_a_worker_alone_has_all() -> None:
    """A single worker, or one that knows of nobody, not even itself, takes the whole limit."""
    assert share(20, "x.test", 0, [0]) == share(20, "x.test", -1, []) == 20


def test_what_cannot_be_divided_is_not_always_the_same_worker_s() -> None:
    """One connection for two workers: which of them has it depends on the destination."""
    assert {share(1, f"{n}.test", 0, [0, 1]) for n in range(20)} == {0, 1}
