"""What an application logs in with.

A plain value. Secrets are random and made by us, so SHA-256 is enough to keep them
(there is nothing to guess); they are compared in constant time and shown once.
"""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass

PREFIX = "mt_"  # lets secret scanners recognise a leaked one


def new_secret() -> str:
    """A fresh secret with 192 bits of chance."""
    return PREFIX + secrets.token_urlsafe(24)


def digest(secret: str) -> str:
    """What we keep of a secret: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `messages` in any `seconds`; over it the answer is 4yz, never 5yz."""

    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Secret:
    """One valid secret of a credential; `expires_at` (Unix seconds) is set on the old one of a rotation."""

    digest: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """Name, secrets and bounds; an empty bound allows everything."""

    name: str
    secrets: tuple[Secret, ...]
    created_at: float
    domains: tuple[str, ...] = ()  # From domains it may use; a leading dot allows subdomains
    networks: tuple[str, ...] = ()  # CIDR networks it may come from
    rate: Rate | None = None
    max_message_size: int | None = None  # octets
    tag: str | None = None  # for messages that bring none
    revoked_at: float | None = None
    # For its messages; None: nothing said. "No" wins over what a message or the relay says.
    track_opens: bool | None = None
    track_clicks: bool | None = None
    unsubscribe: bool | None = None

    def matches(self, secret: str, now: float) -> bool:
        """Is `secret` one of ours and still valid? Takes the same time whichever digest is wrong."""
        given = digest(secret)
        good = False
        for known in self.secrets:
            equal = hmac.compare_digest(given, known.digest)
            good |= equal and (known.expires_at is None or now < known.expires_at)
        return good and self.revoked_at is None

    def may_come_from(self, ip: str) -> bool:
        """Is the client's address inside one of the credential's networks?"""
        address = ipaddress.ip_address(ip)
        return not self.networks or any(address in ipaddress.ip_network(net) for net in self.networks)

    def may_send_from(self, domain: str) -> bool:
        """May this credential use `domain` (lower-case) in From and in the reverse-path?"""
        return not self.domains or any(
            domain == allowed.lstrip(".") or (allowed.startswith(".") and domain.endswith(allowed))
            for allowed in self.domains
        )
