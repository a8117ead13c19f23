"""The name in a certificate."""

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from relay.deliver.tls import name_in
from tests.parts.certs import Authority


def test_the_name_is_the_one_we_wanted_or_the_first(tmp_path: Path) -> None:
    """A DNS name of the certificate, in lower case; where there is none (an authority's own), the common name."""
    authority = Authority(tmp_path)
    pem = authority.certificate("MX.Example.net").certificate.read_text()
    assert name_in(ssl.PEM_cert_to_DER_cert(pem), "mx.example.NET") == "mx.example.net"
    assert name_in(ssl.PEM_cert_to_DER_cert(pem), "other.test") == "mx.example.net"
    assert name_in(ssl.PEM_cert_to_DER_cert(authority.file.read_text()), "other.test") == "test authority"


@given(st.binary(max_size=200))
def test_what_is_no_certificate_has_no_name(der: bytes) -> None:
    """Nothing that a server presents makes the reader stumble."""
    assert name_in(der, "mx.test") is None


@given(st.data())
def test_a_cut_certificate_never_raises(data: st.DataObject) -> None:
    """Cut anywhere, or with a byte changed, it has a name or none."""
    at = data.draw(st.integers(0, len(CERTIFICATE) - 1))
    name_in(CERTIFICATE[:at], "mx.test")
    name_in(CERTIFICATE[:at] + data.draw(st.binary(min_size=1, max_size=1)) + CERTIFICATE[at + 1 :], "mx.test")


def _made() -> bytes:
    with TemporaryDirectory() as directory:
        made = Authority(Path(directory)).certificate("mx.test")
        return ssl.PEM_cert_to_DER_cert(made.certificate.read_text())


CERTIFICATE = _made()
