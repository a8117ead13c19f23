"""Keys that sign mail: read, published, and judged as they are found in the DNS."""

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from relay.key_record import STRING, bind_line, record, tags, wrong
from relay.private_key import BadKey, algorithm_of, pem, public_half, read
from relay.signing_key import Algorithm, new_selector
from tests.parts.keys import ED25519, RSA, private, signing_key

NOVEMBER = 1_795_262_400.0  # 2026-11-21 12:00:00 UTC
KEY = signing_key("example.com")
RIGHT = record(KEY).encode()
# 512 bits: nobody makes such keys any more.
SHORT = b"""-----BEGIN RSA PRIVATE KEY-----
MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu
KUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQJAIJLixBy2qpFoS4DSmoEm
o3qGy0t6z09AIJtH+5OeRV1be+N4cDYJKffGzDa88vQENZiRm0GRq6a+HPGQMd2k
TQIhAKMSvzIBnni7ot/OSie2TmJLY4SwTQAevXysE2RbFDYdAiEBCUEaRQnMnbp7
9mxDXDf6AU0cN/RPBjb9qSHDcWZHGzUCIG2Es59z8ugGrDY+pxLQnwfotadxd+Uy
v/Ow5T0q5gIJAiEAyS4RaI9YG8EWx/2w0T67ZUVAw8eOMB6BIUg0Xcu+3okCIBOs
/5OiPgoTdSy7bcF9IGpSE8ZgGKzgYQVZeN97YE00
-----END RSA PRIVATE KEY-----
"""


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_key_survives_its_keeping(algorithm: Algorithm) -> None:
    """Written as PEM and read again it is the same key, and knows how it signs."""
    key = private(algorithm)
    again = read(pem(key))
    assert algorithm_of(again) is algorithm and public_half(again) == public_half(key)


def test_keys_of_other_programs_are_read() -> None:
    """OpenSSL and opendkim-genkey write RSA keys as PKCS #1."""
    key = private(RSA)
    written = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert written.startswith(b"-----BEGIN RSA PRIVATE KEY-----") and public_half(read(written)) == public_half(key)


def test_the_public_halves_are_as_the_standards_have_them() -> None:
    """RFC 8463 A.2: its Ed25519 key gives its record; RFC 6376 3.6.1: an RSA one is a SubjectPublicKeyInfo."""
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))
    assert public_half(key) == "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    octets = private(RSA).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert base64.b64decode(KEY.public) == octets


def _written(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def test_a_key_that_cannot_sign_is_told_in_words() -> None:
    """Encrypted, another kind, a public key, garbage: each says what it is, and none of it shows the file."""
    usable = private(RSA)
    assert isinstance(usable, rsa.RSAPrivateKey)
    with pytest.raises(BadKey, match="encrypted"):
        read(_written(usable, b"secret"))
    with pytest.raises(BadKey, match="neither an RSA nor an Ed25519"):
        read(_written(ec.generate_private_key(ec.SECP256R1())))
    public = usable.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for garbage in (b"", b"no key", public, pem(usable)[:-100]):
        with pytest.raises(BadKey, match="not a private key in PEM"):
            read(garbage)


def test_a_short_key_is_refused() -> None:
    """RFC 8301 3.2: less than 1024 bits must not be used."""
    with pytest.raises(BadKey, match="512 bits is too short"):
        read(SHORT)


@given(st.text(st.sampled_from("abc=; /+"), max_size=900))
def test_a_zone_line_has_strings_that_fit(text: str) -> None:
    """RFC 1035 3.3.14: strings of at most 255 octets, which joined are the record."""
    strings = re.findall(r'"([^"]*)"', bind_line("s1._domainkey.example.com", text))
    assert "".join(strings) == text and all(len(string) <= STRING for string in strings)


def test_a_record_says_which_key_it_is() -> None:
    """RFC 6376 3.6.1: version, kind and public half."""
    assert tags(RIGHT) == {"v": "DKIM1", "k": "rsa", "p": KEY.public}
    assert tags(record(signing_key("example.com", ED25519)).encode())["k"] == "ed25519"
    assert KEY.record_name == "s1._domainkey.example.com"


@pytest.mark.parametrize(
    "found",
    [
        RIGHT,
        RIGHT + b";",
        RIGHT.replace(b"; ", b";"),
        RIGHT.replace(b"v=DKIM1; k=rsa; ", b""),
        RIGHT.replace(b"; p=", b"; t=y; s=email; h=sha1:sha256; n=notes; p=").replace(b"p=MI", b"p= MI "),
    ],
)
def test_a_record_may_be_written_otherwise(found: bytes) -> None:
    """Blanks, order and tags with a usual value do not matter: verifiers find the key."""
    assert wrong(KEY, [found]) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], "there is no record"),
        ([RIGHT, RIGHT], "2 TXT records"),
        ([RIGHT[:200]], "cut off"),
        ([b"v=DKIM1; k=rsa; p="], "revoked"),
        ([b"v=spf1 -all"], "v= is not DKIM1"),
        ([b"hello"], "no p="),
        ([RIGHT.replace(b"p=MIIB", b"p=MIIC")], "another key"),
        ([RIGHT.replace(b"k=rsa", b"k=ed25519")], "k= should be rsa"),
        ([RIGHT + b"; h=sha1"], "forbids sha256"),
        ([RIGHT + b"; s=tlsrpt"], "not for email"),
        ([b"\xff\xfe"], "no p="),
    ],
)
def test_a_wrong_record_is_told_in_words(found: list[bytes], why: str) -> None:
    """The usual mistakes have names."""
    assert why in wrong(KEY, found)


def test_selectors_tell_the_month() -> None:
    """A new key has a selector that none of the domain has, and that says when it was made."""
    assert new_selector(RSA, (), NOVEMBER) == "s202611" and new_selector(ED25519, (), NOVEMBER) == "e202611"
    assert new_selector(RSA, ("s202611", "s202611-2"), NOVEMBER) == "s202611-3"
