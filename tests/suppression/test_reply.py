"""A reply taken apart: what is a code, and what is a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.reply import read

CODES = [
    ("550 5.1.1 no", "", "550", ("5.1.1",)),
    ("550-5.7.26 no", "", "550", ("5.7.26",)),
    ("smtp; 550 no mailbox here (#5.1.1)", "", "550", ("5.1.1",)),
    ("no mailbox", "5.1.1", "", ("5.1.1",)),
    ("550 5.7.1 refused", "5.0.0", "550", ("5.7.1", "5.0.0")),
    ("421 2.0.0 4.7.0 slow", "", "421", ("4.7.0",)),
    ("connected to 5.1.1.1 but no", "", "", ()),
    ("host mx[192.4.2.2] said nothing", "", "", ()),
    ("version 5.1.1beta of 10.5.1.1", "", "", ()),
    ("see https://mx.test/550/5.1.1x", "", "", ()),
    ("no", "nonsense", "", ()),
]


@pytest.mark.parametrize(("reply", "status", "code", "enhanced"), CODES)
def test_codes_are_found_and_never_made_up(reply: str, status: str, code: str, enhanced: tuple[str, ...]) -> None:
    """The first reply code, every enhanced code but those of success; digits of an IP address are none."""
    parts = read(reply, status)
    assert (parts.code, parts.enhanced) == (code, enhanced)


WORDS = [
    ("550 5.1.1 Mailbox, FULL!", " mailbox full "),
    ("550 <user.unknown@spam.test>: Déjà-vu", " deja vu "),
    ("550 no.mail@a.test...User unknown", " user unknown "),
    ("550 host mx-spam.a.example.com said", " host example com said "),
    ("550 by mx1.example.co.jp", " by example co jp "),
    ("550 from [192.0.2.7] and 2001:db8:0:1::7", " from ipaddress and ipaddress "),
    ("550 doesn't authorise e-mail", " doesnt authorize email "),
    ("550 Giving up on 192.0.2.7.", " "),
    ("550 容量が、いっぱい", " 容量か いっはい "),
]


@pytest.mark.parametrize(("reply", "words"), WORDS)
def test_words_are_what_was_said_and_not_whose_name_it_is(reply: str, words: str) -> None:
    """No case, accents or punctuation; no e-mail addresses; of a host's name the last labels."""
    assert read(reply).words == words


@given(st.text(max_size=300), st.text(max_size=10))
def test_anything_is_taken_apart(reply: str, status: str) -> None:
    """Every text has parts: codes of the right form, words of letters and digits with one blank between."""
    parts = read(reply, status)
    assert all(code[0] in "45" and code.count(".") == 2 for code in parts.enhanced)
    assert parts.words.strip() == "" or parts.words == f" {' '.join(parts.words.split())} "
