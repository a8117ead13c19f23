"""TLS towards other servers: the contexts, and what a connection turned out to be.

The name in a certificate is for the record only: whose was it, on a connection that
nobody verified? (The standard library tells the names of verified certificates alone, so
the DER is read here.) Trust is decided by `ssl` and nowhere else.

RFC 7435 (opportunistic security), RFC 5280 4.1 (certificate), 4.2.1.6 (subjectAltName),
X.690 (DER). A certificate that cannot be read has no name; nothing raises.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from relay.reply import printable

_SEQUENCE, _OID, _EXTENSIONS, _DNS_NAME = 0x30, 0x06, 0xA3, 0x82
_COMMON_NAME = bytes.fromhex("550403")
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")


@dataclass(frozen=True, slots=True)
class TlsContexts:
    """Made once per process: reading the system's certificate authorities takes milliseconds."""

    opportunistic: ssl.SSLContext
    verified: ssl.SSLContext

    @classmethod
    def system(cls) -> "TlsContexts":
        """TLS 1.2 and newer; `verified` trusts the system's authorities and checks the name."""
        opportunistic = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        opportunistic.check_hostname = False
        opportunistic.verify_mode = ssl.CERT_NONE
        verified = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
        for context in (opportunistic, verified):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        return cls(opportunistic, verified)


def describe(connection: ssl.SSLObject, host: str) -> str:
    """Version, cipher and certificate name: "TLSv1.3 TLS_AES_256_GCM_SHA384 mx.example.net"."""
    cipher = connection.cipher()
    der = connection.getpeercert(binary_form=True)
    parts = (connection.version(), cipher[0] if cipher else None, name_in(der, host) if der else None)
    return " ".join(part for part in parts if part)


def name_in(der: bytes, wanted: str) -> str | None:
    """The certificate's name: `wanted` if it is one of its DNS names, else the first of them, else the common name."""
    try:
        names = list(_dns_names(der)) or list(_common_names(der))
    except (IndexError, ValueError):
        return None
    lowered = [name.lower() for name in names]
    return wanted.lower() if wanted.lower() in lowered else next(iter(lowered), None)


def _fields(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and value of each element in a row."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(der[at : at + count], "big")
            at += count
        if at + length > len(der):
            raise ValueError("the element ends after its container")
        yield tag, der[at : at + length]
        at += length


def _body(der: bytes) -> list[tuple[int, bytes]]:
    """The fields of tbsCertificate."""
    (_, certificate), *_ = _fields(der)
    (_, tbs), *_ = _fields(certificate)
    return list(_fields(tbs))


def _dns_names(der: bytes) -> Iterator[str]:
    for tag, value in _body(der):
        if tag != _EXTENSIONS:
            continue
        (_, extensions), *_ = _fields(value)
        for _, extension in _fields(extensions):
            (_, oid), *_, (_, wrapped) = _fields(extension)
            if oid == _SUBJECT_ALT_NAME:
                (_, names), *_ = _fields(wrapped)
                yield from (_text(name) for kind, name in _fields(names) if kind == _DNS_NAME)


def _common_names(der: bytes) -> Iterator[str]:
    # RFC 5280 4.1: signature algorithm, issuer, validity, subject: the subject is the fourth sequence.
    sequences = [value for tag, value in _body(der) if tag == _SEQUENCE]
    for _, relative_name in _fields(sequences[3]):
        for _, attribute in _fields(relative_name):
            (tag, oid), (_, value), *_ = _fields(attribute)
            if tag == _OID and oid == _COMMON_NAME:
                yield _text(value)


def _text(value: bytes) -> str:
    return printable(value.decode("utf-8", "replace"))[:255]
