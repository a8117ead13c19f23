"""Private keys for signing mail: made, read from PEM, and their public half.

RSA and Ed25519, unencrypted PEM (PKCS #8, or PKCS #1 for RSA, as opendkim-genkey and OpenSSL write
them). A key is never shown: its `repr` has nothing of it, and no error tells what was in the file.
Standards: RFC 6376 3.3.1 (RSA keys of 1024 bits or more, 2048 for new ones), RFC 8463 (Ed25519).
Fails with `BadKey`, whose text says in a few words what is wrong.
"""

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from relay.signing_key import Algorithm

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

NEW_BITS = 2048  # RFC 8301 3.2: signers should use at least 2048 bits; more does not fit into every DNS answer
LEAST_BITS = 1024  # RFC 8301 3.2: less must not be used


class BadKey(ValueError):
    """Not a key that can sign mail; the text says why."""


def make(algorithm: Algorithm) -> PrivateKey:
    """A fresh key."""
    if algorithm is Algorithm.ED25519:
        return Ed25519PrivateKey.generate()
    return generate_private_key(public_exponent=65537, key_size=NEW_BITS)


def read(pem: bytes) -> PrivateKey:
    """The key in a PEM file. Raises `BadKey`."""
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise BadKey("the key is encrypted; a service cannot type a pass phrase") from None
    except (ValueError, UnsupportedAlgorithm):
        # What the library says may quote the file.
        raise BadKey("it is not a private key in PEM") from None
    if isinstance(key, RSAPrivateKey):
        if key.key_size < LEAST_BITS:
            raise BadKey(f"an RSA key of {key.key_size} bits is too short: verifiers want {LEAST_BITS} or more")
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise BadKey("it is neither an RSA nor an Ed25519 key")


def pem(key: PrivateKey) -> bytes:
    """The key as PEM (PKCS #8): for keeping, never for showing."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def algorithm_of(key: PrivateKey) -> Algorithm:
    """How it signs."""
    return Algorithm.RSA if isinstance(key, RSAPrivateKey) else Algorithm.ED25519


def public_half(key: PrivateKey) -> str:
    """The p= tag of its record: RFC 6376 3.6.1 for RSA; RFC 8463 4: the 32 octets alone for Ed25519."""
    if isinstance(key, RSAPrivateKey):
        octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        octets = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(octets).decode("ascii")
