"""Whose request it is, behind proxies and in front of none; and the bodies of forms."""

from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.form import MOST, fields
from tracker.forwarded import Visitors

OURS = ("10.0.0.0/8", "fd00::/8", "192.0.2.1")


def visitor(peer: str, x: str = "", forwarded: str = "") -> str:
    """Who it is behind our proxies."""
    return Visitors(OURS, "whole").address(peer, [x] if x else [], [forwarded] if forwarded else [])


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("", "10.0.0.1"),
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, 10.0.0.2,192.0.2.1", "198.51.100.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:DB8::7", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("198.51.100.7, nonsense, 10.0.0.2", "10.0.0.2"),
        ("unknown", "10.0.0.1"),
        ("198.51.100.7,", "10.0.0.1"),
        ("9" * 4000, "10.0.0.1"),
    ],
)
def test_the_first_hop_from_the_end_that_is_not_ours_is_the_visitor(x: str, expected: str) -> None:
    """What stands before it was written by strangers; what cannot be read ends the walk."""
    assert visitor("10.0.0.1", x) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("for=198.51.100.7", "198.51.100.7"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=192.0.2.43;proto=http;by=203.0.113.43", "192.0.2.43"),
        ("proto=https; for=198.51.100.7 , for=10.1.1.1", "198.51.100.7"),
        ("for=_hidden", "10.0.0.1"),
        ("for=unknown", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ('for="', "10.0.0.1"),
    ],
)
def test_the_standard_s_field_is_read_too(forwarded: str, expected: str) -> None:
    """RFC 7239 4."""
    assert visitor("10.0.0.1", "", forwarded) == expected


def test_where_both_fields_are_there_they_must_agree() -> None:
    """A proxy that writes one passes the other through as the visitor sent it: then neither is believed."""
    assert visitor("10.0.0.1", "198.51.100.7", "for=198.51.100.7") == "198.51.100.7"
    assert visitor("10.0.0.1", "198.51.100.7", "for=203.0.113.9") == "10.0.0.1"


def test_several_lines_are_one_list() -> None:
    """RFC 9110 5.3: in the order in which they came."""
    visitors = Visitors(OURS, "whole")
    assert visitors.address("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.0.0.2"]) == "198.51.100.7"


def test_a_stranger_names_only_himself() -> None:
    """Headers count from trusted peers alone."""
    assert visitor("203.0.113.5", "198.51.100.7", "for=198.51.100.7") == "203.0.113.5"
    assert Visitors((), "whole").address("10.0.0.1", ["198.51.100.7"]) == "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "shortened"),
    [
        ("198.51.100.77", "198.51.100.0"),
        ("2001:db8:1234:5678::1", "2001:db8:1234::"),
        ("::ffff:198.51.100.77", "198.51.100.0"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_an_address_can_be_shortened(address: str, shortened: str) -> None:
    """To /24 and /48."""
    assert Visitors((), "shortened").address(address) == shortened
    assert Visitors((), "none").address(address) == ""


def test_a_proxy_must_be_an_address_or_a_network() -> None:
    """An operator's mistake is an error in words."""
    with pytest.raises(ValueError, match="proxy"):
        Visitors(("proxy.example.com",), "whole")


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=4, network="10.0.0.0/8"), st.ip_addresses(v=6)).map(str)


@given(st.lists(st.one_of(ADDRESSES, st.text(max_size=20).filter(lambda text: "," not in text)), max_size=6))
def test_no_stranger_chooses_who_is_named(hops: list[str]) -> None:
    """Behind one proxy of ours the visitor is what it wrote last, whatever was sent before."""
    real = "198.51.100.7"
    assert visitor("10.0.0.1", ", ".join([*hops, real])) == real
    found = ip_address(visitor("10.0.0.1", ", ".join(hops)))
    assert str(found) in {"10.0.0.1", *map(_plain, hops)}


def _plain(hop: str) -> str:
    try:
        ip = ip_address(hop.strip())
    except ValueError:
        return hop.strip().rpartition(":")[0]
    return str(ip if isinstance(ip, IPv4Address) else ip.ipv4_mapped or ip)


@given(ADDRESSES)
def test_shortening_keeps_the_network_and_nothing_else(address: str) -> None:
    """Neighbours cannot be told apart."""
    short = ip_address(Visitors((), "shortened").address(address))
    assert ip_address(_plain(address)) in ip_network(f"{short}/{24 if short.version == 4 else 48}")


@given(
    st.dictionaries(
        st.sampled_from(["do", "stream", "List-Unsubscribe"]), st.text(alphabet="abc äöü\n&=+%"), min_size=1
    )
)
def test_both_encodings_say_the_same(sent: dict[str, str]) -> None:
    """What a browser or a mail program writes is read back, one way or the other."""
    expected = {name: [value] for name, value in sent.items()}
    assert fields("application/x-www-form-urlencoded; charset=UTF-8", urlencode(sent).encode()) == expected
    parts = "".join(
        f'--=_b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in sent.items()
    )
    assert fields('Multipart/Form-Data; boundary="=_b"', f"{parts}--=_b--\r\n".encode()) == expected


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=a"]),
)
def test_no_body_is_too_odd(body: bytes, content_type: str) -> None:
    """What cannot be understood has no fields, or odd ones."""
    for name, values in fields(content_type, body).items():
        assert isinstance(name, str)
        assert values


def test_a_body_has_no_more_fields_than_we_could_have_asked_for() -> None:
    """The rest is not read."""
    assert fields("", b"&".join([b"a=b"] * (MOST + 1))) == {}
    parts = b"--a\r\nContent-Disposition: form-data; name=x\r\n\r\ny\r\n" * (MOST + 50)
    assert len(fields("multipart/form-data; boundary=a", parts)["x"]) == MOST
