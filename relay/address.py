"""Mail addresses as SMTP writes them: parsed once, kept as written, compared by destination.

Does not look anything up and does not know the syntax of message headers.

Rules: a local part stays as the client wrote it, quotes and case included (RFC 5321 2.4:
only its own host may read it). A domain stays as written too; `destination` is its one
comparable form. More lenient than the grammar in two places, because real hosts are:
underscores in domains, and local parts over 64 octets (the whole may have 254).
Standards: RFC 5321 4.1.2 and 4.1.3, RFC 6531 3.3 (UTF-8), RFC 5890 and UTS 46 (domains).
Fails with `AddressError`, whose text says in a few words what is wrong.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

import idna

MAX_OCTETS = 254  # RFC 5321 4.5.3.1.3: a path has at most 256 octets, its brackets included.
MAX_DOMAIN = 253  # RFC 1035 2.3.4: what fits 255 octets on the wire.

# RFC 6531 3.3: whatever is not ASCII may stand in a word; we leave out controls, line separators and broken UTF-8.
_UTF8 = r"\u00a0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff"
_ATOM = rf"[A-Za-z0-9!#$%&'*+\-/=?^_`{{|}}~{_UTF8}]++"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*+"
_QUOTED = rf'"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*+"'
_LABEL = rf"[A-Za-z0-9_{_UTF8}](?:[A-Za-z0-9_\-{_UTF8}]*[A-Za-z0-9_{_UTF8}])?"

_LOCAL = re.compile(rf"{_DOT_STRING}|{_QUOTED}")
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PLAIN = re.compile(  # almost every address there is, in one step
    r"([A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]++)*+)"
    r"@([A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*)"
)


class AddressError(ValueError):
    """Not an address; the text says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox. `domain` is empty only for the bare `postmaster` of RFC 5321 4.5.1."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def destination(self) -> str:
        """Where mail for it goes: the domain in lower-case A-labels, or a literal, normalised (`[192.0.2.1]`)."""
        return _destination(self.domain)

    @property
    def ascii(self) -> bool:
        """Can it be sent without SMTPUTF8?"""
        return self.local.isascii() and self.domain.isascii()

    @property
    def wire(self) -> str:
        """What stands between the brackets of MAIL and RCPT: the address as written."""
        return str(self)

    def with_ascii_domain(self) -> "Address":
        """The same mailbox with its domain in A-labels: RFC 6531 3.2 for servers without SMTPUTF8."""
        return self if self.domain.isascii() else Address(self.local, self.destination)


def parse_path(text: str, *, smtputf8: bool = True) -> Address | None:
    """The mailbox of a path `<…>`, None for the null reverse-path `<>`; RFC 5321 4.1.2.

    A source route is read and ignored (RFC 5321 appendix C). Raises `AddressError`.
    """
    if not (text.startswith("<") and text.endswith(">") and len(text) >= 2):
        raise AddressError("an address stands in angle brackets")
    inner = text[1:-1]
    if not inner:
        return None
    if inner.startswith("@"):
        inner = _after_route(inner)
    # RFC 5321 4.1.1.3: "Postmaster" needs no domain, and its case does not matter.
    if inner.lower() == "postmaster":
        return Address(inner, "")
    if not smtputf8 and not inner.isascii():
        raise AddressError("an address with non-ASCII characters needs SMTPUTF8")
    return parse_address(inner)


def parse_address(text: str) -> Address:
    """The mailbox `local@domain`, without brackets. Raises `AddressError`."""
    if len(text) > MAX_OCTETS or (not text.isascii() and len(text.encode("utf-8", "replace")) > MAX_OCTETS):
        raise AddressError(f"it is longer than {MAX_OCTETS} octets")
    plain = _PLAIN.fullmatch(text)
    if plain and len(plain[2]) <= MAX_DOMAIN:
        return Address(plain[1], plain[2])
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("there is no @ in it")
    if not _LOCAL.fullmatch(local):
        raise AddressError("the part before the @ is not valid" if local else "nothing stands before the @")
    _check_domain(domain)
    return Address(local, domain)


def _after_route(inner: str) -> str:
    """What follows a source route `@one,@two:`."""
    route, colon, rest = inner.partition(":")
    hops = route.split(",")
    if not colon or not all(hop.startswith("@") and _DOMAIN.fullmatch(hop[1:]) for hop in hops):
        raise AddressError("the source route is not valid")
    return rest


def _check_domain(domain: str) -> None:
    """Raise `AddressError` unless `domain` is a domain name or an address literal."""
    if not domain:
        raise AddressError("nothing stands after the @")
    if domain.startswith("["):
        _literal(domain)
        return
    if not _DOMAIN.fullmatch(domain):
        raise AddressError("the domain is not valid")
    name = domain if domain.isascii() else _a_labels(domain)
    if len(name) > MAX_DOMAIN or any(len(label) > 63 for label in name.split(".")):
        raise AddressError("the domain is too long")


def _a_labels(domain: str) -> str:
    """RFC 5891 4: U-labels become A-labels, after the mapping of UTS 46."""
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        raise AddressError("the domain is not a valid international name") from None


def _literal(text: str) -> str:
    """RFC 5321 4.1.3: an address literal, normalised."""
    try:
        if not text.endswith("]"):
            raise ValueError
        if text[:6].lower() == "[ipv6:":
            address = ipaddress.IPv6Address(text[6:-1])
            if address.scope_id is not None:
                raise ValueError
            return f"[IPv6:{address}]"
        return f"[{ipaddress.IPv4Address(text[1:-1])}]"
    except ValueError:
        raise AddressError("the address literal is not valid") from None


@lru_cache(maxsize=4096)
def _destination(domain: str) -> str:
    try:
        if domain.startswith("["):
            return _literal(domain)
        return domain.lower() if domain.isascii() else _a_labels(domain)
    except AddressError:
        return domain.lower()
