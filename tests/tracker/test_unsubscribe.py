"""Mail programs find where to unsubscribe."""

import email
from email.message import Message

from hypothesis import given
from hypothesis import strategies as st

from tracker.unsubscribe import MAX_URLS, headers, urls

PAGE = "https://t.example.com/u/AbC_-9"


def _read(lines: bytes) -> Message:
    return email.message_from_bytes(lines + b"\r\n")


def test_both_ways_are_offered_the_web_first() -> None:
    """RFC 2369 and RFC 8058 3.1: the address that takes the POST, then the one that takes a mail."""
    message = _read(headers(PAGE, "u-AbC_-9@bounce.example.com"))
    assert urls(message["List-Unsubscribe"]) == [PAGE, "mailto:u-AbC_-9@bounce.example.com"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_without_a_mailbox_there_is_one_way() -> None:
    """No mailto: is promised where nobody reads it."""
    assert headers(PAGE, None) == (
        f"List-Unsubscribe: <{PAGE}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode()
    )


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_address_adds_a_field_or_a_second_address(page: str, mailbox: str) -> None:
    """Line ends, brackets and commas in an address stay in it, encoded."""
    page, mailbox = (text.encode("utf-8", "ignore").decode() for text in (page, mailbox))
    lines = headers(page, mailbox)
    assert lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r") == 3
    field = lines.decode().split("\r\nList-Unsubscribe-Post")[0]
    assert field.count("<") == field.count(">") == 2
    assert field.count(",") == 1


def test_an_applications_own_field_is_read() -> None:
    """RFC 2369 2: addresses stand in brackets; comments, blanks and folds mean nothing."""
    value = "(use this) <https://a.example/u?x=1\r\n &y=2>,\r\n\t<mailto:off@a.example?subject=off>, junk"
    assert urls(value) == ["https://a.example/u?x=1&y=2", "mailto:off@a.example?subject=off"]


def test_hostile_fields_are_read_once() -> None:
    """A quarter of a megabyte of brackets has no addresses; of many addresses the first are read."""
    assert urls("<" * 250_000) == []
    assert urls("<x>" * 100_000) == ["x"] * MAX_URLS
