"""The one reader of forms, and the codes that a diagnostic holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suppression.prose import elsewhere, form, known, languages, lists
from suppression.prose.form import Form, verdict
from suppression.prose.notice import Notice

SIMPLE = Form(signs=("we could not", "deliver|send"), names=r"^\s*{to}\s*$", reason=r"^why:\s*(?P<said>.*)")


def notice(text: str, **fields: str) -> Notice:
    """A notice of these words; `fields` are its header, `_` for `-`."""
    header = tuple((name.replace("_", "-"), value) for name, value in fields.items())
    return Notice(fields.get("from_", ""), fields.get("subject", ""), header, tuple(text.splitlines()))


@pytest.mark.parametrize(
    ("said", "code", "status"),
    [
        ("550 5.1.1 nobody here", 550, "5.1.1"),
        ("550: nobody here", 550, ""),
        ("ERROR_CODE :452, full", 452, ""),
        ("sorry, no mailbox here by that name (#5.1.1)", None, "5.1.1"),
        ("554 5.0.0 failed: 552 5.2.2 full", 554, "5.2.2"),
        ("no route to 5.1.1.7 and 192.0.2.450", None, ""),
        ("host mx.test [5.1.1.20] gave up after 450 seconds", None, ""),
        ("version 4.4.10.2, message of 512 bytes", None, ""),
        ("250 2.0.0 accepted", None, ""),
        ("the mailbox is full", None, ""),
    ],
)
def test_codes_are_read_and_never_invented(said: str, code: int | None, status: str) -> None:
    """RFC 5321 4.2, RFC 3463: a precise code before a vague one; digits of addresses, times and sizes are none."""
    found = verdict("ada@dead.test", said)
    assert (found.code, found.status) == (code, status)


def test_every_sign_of_a_form_must_be_there() -> None:
    """A phrase alone proves nothing; a phrase that is wrapped, indented or in capitals counts."""
    assert form.read([SIMPLE], notice("We could not\n\nada@dead.test")) == []
    assert form.read([SIMPLE], notice("to DELIVER\n\nada@dead.test")) == []
    (found,) = form.read([SIMPLE], notice("Sorry, WE COULD\n   not deliver:\n\nada@dead.test\n\nwhy: nobody here"))
    assert (found.address, found.diagnostic) == ("ada@dead.test", "nobody here")


def test_a_reason_above_the_names_is_theirs_too() -> None:
    """The reason of all may stand before or behind those that it is the reason of."""
    for text in ("why: full\nada@x.test\nbob@x.test", "ada@x.test\nbob@x.test\nwhy: full"):
        found = form.read([SIMPLE], notice(f"we could not send\n{text}"))
        assert [(one.address, one.diagnostic) for one in found] == [("ada@x.test", "full"), ("bob@x.test", "full")]


def test_a_sentence_goes_on_behind_the_name() -> None:
    """Words in front of an address are the beginning of a sentence, and not all of it."""
    sentence = Form(signs=("unable",), names=r"(?P<said>unable to deliver to) {to}")
    (one,) = form.read([sentence], notice("We are unable to deliver to <ada@x.test> (or others). No such user."))
    assert one.diagnostic == "unable to deliver to <ada@x.test> (or others). No such user."


def test_an_address_inside_the_reason_of_all_is_no_recipient() -> None:
    """Names stand above the reason, or below it, and not in it."""
    found = form.read([SIMPLE], notice("we could not send\nada@x.test\nwhy: ask\nhelp@x.test"))
    assert [one.address for one in found] == ["ada@x.test"]


SIGNS = {word for one in known.FORMS for sign in one.signs for word in sign.split("|")}
OTHERS = {
    "送信できませんでした",
    "non délivré",
    "<ada@dead.test>",
    "  ada@dead.test",
    "x@",
    "@x",
    ">>> ",
    "550 5.1.1",
    "--",
}
WORDS = st.sampled_from(sorted(SIGNS | OTHERS))


@given(st.lists(st.one_of(WORDS, st.text(max_size=40)), max_size=30).map("\n".join))
def test_whatever_is_written_nobody_is_made_up(text: str) -> None:
    """No reader raises, and every address that is told stands in the letter."""
    letter = notice(text, from_="MAILER-DAEMON@mx.test", subject="failure notice", x_failed_recipients="bob@x.test")
    for read in (lists.read, known.read, languages.read, elsewhere.read):
        for found in read(letter):
            local = found.address.split("@")[0]
            assert local in text or found.address == "bob@x.test"
            assert not found.status or found.status in found.diagnostic
