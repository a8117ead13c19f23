"""The table of replies keeps its own rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.accept import texts
from relay.accept.texts import RULES, Rule

VALUES: dict[str, object] = {
    "allowed": "example.com",
    "credential": "billing-app",
    "domain": "shop.example",
    "given": "bad",
    "hops": 51,
    "limit": 50,
    "messages": 10,
    "period": "second",
    "rate": 500,
    "setting": "submission.max_message_size",
    "size": "31 MiB",
    "wait": 2,
    "why": "there is no @ in it",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_every_rule_is_one_line_with_code_cause_fix_and_reference(rule: Rule) -> None:
    """`CODE ENH cause. Fix: action. [Rnnnn ref]`, at most 200 characters, no ": " in the cause, both codes agree."""
    line = rule.line("8fq2ab", VALUES)
    found = re.fullmatch(r"([45])\d\d ([45])\.\d\.\d{1,2} ([^\[]+?)\.( Fix: [^\[]+\.)? \[(R\d{4}) 8fq2ab\]", line)
    assert found
    assert found[1] == found[2]
    assert ": " not in found[3]
    assert found[5] == rule.number
    assert len(line) <= 200


def test_every_rule_has_a_number_of_its_own() -> None:
    """One rule, one number."""
    assert len({rule.number for rule in RULES}) == len(RULES)


def test_a_cause_that_grows_too_long_is_cut() -> None:
    """The reference is never cut off."""
    line = texts.FOREIGN_SENDER.line("8fq2ab", VALUES | {"credential": "x" * 300})
    assert len(line) == 200
    assert line.endswith(". [R4105 8fq2ab]")


@given(st.text())
def test_what_a_client_sent_is_shown_in_printable_ascii(text: str) -> None:
    """No control, no line end, no foreign letter reaches a reply, and it is cut."""
    shown = texts.shown(text)
    assert shown.isascii() and (shown == "" or shown.isprintable()) and len(shown) <= 64


def test_plain_replies_hold_to_the_form() -> None:
    """Every plain reply is one line with a code, and an enhanced code of the same class where RFC 2034 asks for one."""
    replies = [text for name, text in vars(texts).items() if name.isupper() and isinstance(text, str) and " " in text]
    assert len(replies) > 25
    for reply in replies:
        if reply[0] != "3":
            assert re.match(r"([245])\d\d \1\.\d\.\d{1,2} \S", reply), reply


@pytest.mark.parametrize(
    ("octets", "shown"), [(12, "12 octets"), (2048, "2 KiB"), (31 * 1024 * 1024 + 1, "31.1 MiB"), (25 << 20, "25 MiB")]
)
def test_sizes_are_shown_rounded_up(octets: int, shown: str) -> None:
    """A message over a limit never looks as if it had just reached it."""
    assert texts.octets(octets) == shown
