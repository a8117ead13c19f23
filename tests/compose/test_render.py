"""A recipient's copy is the accepted content without what the application said to us alone."""

from hypothesis import given
from hypothesis import strategies as st

from relay.compose.render import render
from tests.compose.letters import ORIGINAL, delivery

DELIVERY = delivery()


def test_a_message_that_says_nothing_to_us_goes_out_as_it_is() -> None:
    """Where nothing has to be taken off, nothing is even copied."""
    assert render(DELIVERY, ORIGINAL) is ORIGINAL


def test_our_fields_are_taken_off_and_nothing_else() -> None:
    """All `X-Mailtrail-*` fields go, repeated, folded, in any case and misspelt; all other bytes stay."""
    content = (
        b"From: a@b.example\r\nX-Mailtrail-Tag: receipt\r\nSubject:  two  blanks \r\n\tand a fold\r\n"
        b"x-mailtrail-METADATA: customer=\r\n 42\r\nX-Mailtrail-Metdata: slip=1\r\nX-Mailer: x\r\n"
        b"X-MAILTRAIL-TRACK-OPENS : no\r\n\r\nbody\r\n"
    )
    kept = b"From: a@b.example\r\nSubject:  two  blanks \r\n\tand a fold\r\nX-Mailer: x\r\n\r\nbody\r\n"
    assert render(DELIVERY, content) == kept


def test_our_name_elsewhere_is_left_alone() -> None:
    """In a value or in the body the words mean nothing to us."""
    content = b"Subject: X-Mailtrail-Tag: no\r\nMy-X-Mailtrail-Tag: 1\r\n\r\nX-Mailtrail-Tag: body\r\n"
    assert render(DELIVERY, content) == content


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_the_body_never_changes(head: bytes, body: bytes) -> None:
    """Whatever the header holds, the bytes behind the first empty line are the same."""
    head = head.replace(b"\r", b"").replace(b"\n", b"\r\nX-Mailtrail-Tag: x\r\n")
    content = b"X-Mailtrail-Tag: y\r\nA: b" + head.replace(b"\r\n\r\n", b"") + b"\r\n\r\n" + body
    assert render(DELIVERY, content).endswith(b"\r\n\r\n" + body)
    assert len(render(DELIVERY, content)) < len(content)
