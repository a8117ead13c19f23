"""MAIL, RCPT and BDAT: their arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.accept.commands import BadCommand, Chunk, Mail, parse_bdat, parse_mail, parse_rcpt
from relay.address import Address
from relay.envelope import Notify, Recipient, Ret


def test_mail_parameters_are_read_and_their_values_kept_as_written() -> None:
    """Keywords may have any case; ENVID keeps its own (RFC 3461 4.4)."""
    argument = "FROM:<a@example.com> size=1000 Body=8bitmime SMTPUTF8 ret=hdrs EnvID=QQ+2BxY AUTH=<>"
    assert parse_mail(argument, extended=True) == Mail(
        Address("a", "example.com"), 1000, eight_bit=True, smtputf8=True, ret=Ret.HDRS, envid="QQ+2BxY"
    )


def test_rcpt_parameters_are_read_and_their_values_kept_as_written() -> None:
    """ORCPT stays xtext, letter by letter (RFC 3461 4.2)."""
    argument = "TO:<b@example.net> NOTIFY=success,DELAY ORCPT=rfc822;Bob+2Bx@Example.net"
    assert parse_rcpt(argument, extended=True, smtputf8=False) == Recipient(
        Address("b", "example.net"), frozenset({Notify.SUCCESS, Notify.DELAY}), "rfc822;Bob+2Bx@Example.net"
    )


def test_one_blank_after_the_colon_is_overlooked() -> None:
    """A common slip that harms nobody."""
    assert parse_mail("FROM: <a@example.com>", extended=True) == Mail(Address("a", "example.com"))


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("SIZE=x", "501"),
        ("SIZE", "501"),
        ("SIZE=123456789012345678901", "501"),
        ("BODY=BINARYMIME", "501"),
        ("SMTPUTF8=yes", "501"),
        ("RET=ALL", "501"),
        ("RET=FULL RET=FULL", "501"),
        ("size=1 SIZE=1", "501"),
        ("ENVID=a+2bx", "501"),
        ("ENVID=a+00", "501"),
        ("ENVID=" + "x" * 101, "501"),
        ("ENVID", "501"),
        ("AUTH", "501"),
        ("=x", "501"),
        ("X==", "501"),
        ("HOLDFOR=10", "555"),
        ("NOTIFY=NEVER", "555"),
    ],
)
def test_wrong_mail_parameters_are_501_and_unknown_ones_555(parameters: str, code: str) -> None:
    """RFC 5321 4.1.1.11, and each extension's own syntax."""
    with pytest.raises(BadCommand) as caught:
        parse_mail(f"FROM:<a@example.com> {parameters}", extended=True)
    assert caught.value.reply.startswith(f"{code} 5.5.4 ")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("NOTIFY=NEVER,FAILURE", "501"),
        ("NOTIFY=FAILURE,FAILURE", "501"),
        ("NOTIFY=", "501"),
        ("NOTIFY=SOMETIMES", "501"),
        ("NOTIFY=NEVER NOTIFY=NEVER", "501"),
        ("ORCPT=b@example.net", "501"),
        ("ORCPT=rfc822;", "501"),
        ("ORCPT=rfc822;b+0A@example.net", "501"),
        ("ORCPT=rfc822;b+7F@example.net", "501"),
        ("ORCPT=rfc822;" + "x" * 500, "501"),
        ("SIZE=1", "555"),
    ],
)
def test_wrong_rcpt_parameters_are_501_and_unknown_ones_555(parameters: str, code: str) -> None:
    """The same at RCPT."""
    with pytest.raises(BadCommand) as caught:
        parse_rcpt(f"TO:<b@example.net> {parameters}", extended=True, smtputf8=False)
    assert caught.value.reply.startswith(f"{code} 5.5.4 ")


def test_parameters_without_ehlo_are_555() -> None:
    """RFC 5321 4.1.1.11: without EHLO there are no extensions."""
    with pytest.raises(BadCommand) as caught:
        parse_mail("FROM:<a@example.com> SIZE=10", extended=False)
    assert caught.value.reply.startswith("555 ")


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [
        ("10", Chunk(10, last=False)),
        ("0 LAST", Chunk(0, last=True)),
        ("7  last ", Chunk(7, last=True)),
        ("", None),
        ("-1", None),
        ("x", None),
        ("1 FIRST", None),
        ("1 LAST LAST", None),
        ("9" * 21, None),
    ],
)
def test_bdat_is_a_number_and_perhaps_last(argument: str, chunk: Chunk | None) -> None:
    """RFC 3030 2."""
    assert parse_bdat(argument) == chunk


@given(st.text(max_size=80), st.booleans())
def test_any_argument_is_a_command_or_a_bad_command(text: str, prefixed: bool) -> None:
    """Nothing else is raised, and no reply holds what the client sent unescaped."""
    for prefix, parse in (("FROM:", _mail), ("TO:", _rcpt)):
        try:
            parse(prefix + text if prefixed else text)
        except BadCommand as bad:
            refused = bad.refused
            reply = refused.rule.line("ref", refused.values) if refused else bad.reply
            assert reply.isascii() and reply.isprintable()
            assert len(reply) <= 200


def _mail(argument: str) -> object:
    return parse_mail(argument, extended=True)


def _rcpt(argument: str) -> object:
    return parse_rcpt(argument, extended=True, smtputf8=True)
