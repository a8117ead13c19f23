"""Did you mean gmail.com?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.deliver.typo import WELL_KNOWN, did_you_mean, one_slip


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gmial.com", "gmail.com"),  # swapped
        ("gmal.com", "gmail.com"),  # left out
        ("gmaill.com", "gmail.com"),  # put in
        ("gnail.com", "gmail.com"),  # replaced
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("outlok.com", "outlook.com"),
        ("yaho.com", "yahoo.com"),
    ],
)
def test_slips(written: str, meant: str) -> None:
    """One letter left out, put in, replaced, or two neighbours swapped."""
    assert did_you_mean(written) == meant


@pytest.mark.parametrize(
    "domain", ["example.com", "gmx.net", "mail.com", "ymail.com", "gmaiil.co", "com", "x.test", ""]
)
def test_no_slips(domain: str) -> None:
    """Nothing is said of a domain that is two slips away, or that is a well-known one itself."""
    assert did_you_mean(domain) is None


def distance(a: str, b: str) -> int:
    """Damerau-Levenshtein (with neighbours swapped at most once), the long way."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_one_slip_is_a_distance_of_one(a: str, b: str) -> None:
    """The short way agrees with the definition."""
    assert one_slip(a, b) == (distance(a, b) == 1)


def test_list() -> None:
    """The list has each domain once, in the form that destinations have."""
    assert len(set(WELL_KNOWN)) == len(WELL_KNOWN)
    assert all(domain == domain.lower() and domain.isascii() for domain in WELL_KNOWN)
