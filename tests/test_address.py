"""Addresses: what is one, what is none, and what it is compared by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.address import Address, AddressError, parse_address, parse_path


@pytest.mark.parametrize(
    ("path", "local", "domain"),
    [
        ("<ada@example.com>", "ada", "example.com"),
        ("<Ada.Lovelace+tag@Example.COM>", "Ada.Lovelace+tag", "Example.COM"),
        ('<"a b\\"c>"@example.com>', '"a b\\"c>"', "example.com"),
        ("<@one.example,@two.example:ada@example.com>", "ada", "example.com"),
        ("<=?utf-8?q?a=40b?=@example.com>", "=?utf-8?q?a=40b?=", "example.com"),
        ("<root@web_server>", "root", "web_server"),
        ("<ada@[192.0.2.1]>", "ada", "[192.0.2.1]"),
        ("<ädä@bücher.example>", "ädä", "bücher.example"),
        ("<postmaster>", "postmaster", ""),
        ("<PostMaster>", "PostMaster", ""),
    ],
)
def test_a_path_is_kept_as_written(path: str, local: str, domain: str) -> None:
    """What stands in the brackets is kept to the letter; source routes are read and ignored."""
    assert parse_path(path) == Address(local, domain)


def test_the_null_reverse_path_is_none() -> None:
    """`<>` names nobody."""
    assert parse_path("<>") is None


@pytest.mark.parametrize(
    "path",
    [
        "ada@example.com",
        "<ada@example.com",
        "<ada@example.com>x",
        "<ada>",
        "<@example.com>",
        "<ada@>",
        "<ada@@example.com>",
        "<a..b@example.com>",
        "<.a@example.com>",
        "<a@example.com.>",
        "<a@-example.com>",
        "<a@example-.com>",
        "<a(comment)@example.com>",
        "<a b@example.com>",
        "<a\x00b@example.com>",
        "<a\x7f@example.com>",
        "<a\u0085@example.com>",
        "<a\u2028@example.com>",
        "<a\ud800@example.com>",
        '<"a"b@example.com>',
        '<"a\r\nb"@example.com>',
        "<a@[192.0.2.999]>",
        "<a@[192.0.2.1>",
        "<a@[x:y]>",
        "<a@[IPv6:fe80::1%eth0]>",
        "<a@" + "x" * 64 + ".example>",
        "<" + "a" * 250 + "@example.com>",
        "<@one.example:>",
        "<@one.example ada@example.com>",
        "<a@ex\u2062ample..com>",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """Everything outside the grammar raises, and the reason is a few plain words."""
    with pytest.raises(AddressError) as caught:
        parse_path(path)
    assert str(caught.value).isascii()
    assert ": " not in str(caught.value)


def test_an_address_that_is_not_ascii_needs_smtputf8() -> None:
    """RFC 6531 3.2: without the extension only ASCII is an address."""
    with pytest.raises(AddressError, match="SMTPUTF8"):
        parse_path("<ä@example.com>", smtputf8=False)
    assert not parse_address("ä@example.com").ascii
    assert parse_address("a@example.com").ascii


@pytest.mark.parametrize(
    ("address", "destination"),
    [
        ("a@Example.COM", "example.com"),
        ("a@Bücher.Example", "xn--bcher-kva.example"),
        ("a@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a@faß.example", "xn--fa-hia.example"),
        ("a@[192.0.2.1]", "[192.0.2.1]"),
        ("a@[ipv6:2001:DB8:0:0::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_a_destination_is_the_one_form_of_a_domain(address: str, destination: str) -> None:
    """However a domain is written, mail for it goes to one place (UTS 46, A-labels, normalised literals)."""
    assert parse_address(address).destination == destination


def test_a_domain_can_be_put_into_a_labels() -> None:
    """For servers without SMTPUTF8 the domain alone can be changed; the local part stays."""
    changed = parse_address("ada@bücher.example").with_ascii_domain()
    assert changed.wire == "ada@xn--bcher-kva.example"
    assert changed.ascii


_ATOM = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=10)
_QUOTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
_LOCAL = st.lists(_ATOM, min_size=1, max_size=4).map(".".join) | _QUOTED
_LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?", fullmatch=True)
_DOMAIN = st.lists(_LABEL, min_size=1, max_size=4).map(".".join)


@given(_LOCAL, _DOMAIN)
def test_every_address_of_the_grammar_is_taken(local: str, domain: str) -> None:
    """RFC 5321 4.1.2: dot-strings and quoted strings, any domain; and writing it gives what was read."""
    address = parse_path(f"<{local}@{domain}>", smtputf8=False)
    assert address == Address(local, domain)
    assert address is not None and parse_address(str(address)) == address


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    """Nothing else is raised, and what is taken holds no controls, no bare blanks and no brackets."""
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert str(address) == text
    assert address.local and address.domain and address.destination
    assert not any(char < " " or char == "\x7f" for char in text)
    assert address.local.startswith('"') or not set(address.local) & set(' <>()[],;:@"')
