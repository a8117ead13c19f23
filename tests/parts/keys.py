"""Signing keys for tests, made once, and the DNS that publishes them."""

from collections.abc import Callable, Sequence
from functools import cache

from relay.compose.signature import Signer, signer
from relay.key_record import record
from relay.private_key import PrivateKey, make, pem, public_half
from relay.signing_key import Algorithm, SigningKey, State

RSA, ED25519 = Algorithm.RSA, Algorithm.ED25519
SELECTORS = {RSA: "s1", ED25519: "e1"}

Txt = Callable[[str], Sequence[bytes]]


def private(algorithm: Algorithm, number: int = 0) -> PrivateKey:
    """A key; another one for every number."""
    return _made(algorithm, number)


@cache
def _made(algorithm: Algorithm, _: int) -> PrivateKey:
    return make(algorithm)


def signer_of(domain: str, algorithm: Algorithm = RSA, number: int = 0) -> Signer:
    """What signs for `domain` with that key."""
    return signer(domain, SELECTORS[algorithm], pem(private(algorithm, number)))


def signing_key(
    domain: str,
    algorithm: Algorithm = RSA,
    state: State = State.ACTIVE,
    *,
    selector: str = "",
    number: int = 0,
    at: float = 0.0,
) -> SigningKey:
    """That key as it is kept."""
    public = public_half(private(algorithm, number))
    return SigningKey(domain, selector or SELECTORS[algorithm], algorithm, state, public, at, at)


def published(*signers: Signer) -> Txt:
    """A DNS with the records of these."""
    zone = {}
    for one in signers:
        key = SigningKey(one.domain, one.selector, one.algorithm, State.ACTIVE, public_half(one.key), 0.0, 0.0)
        zone[key.record_name] = [record(key).encode()]
    return lambda name: zone.get(name, [])
