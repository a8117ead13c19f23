"""DKIM signatures: which domain's keys sign a message, and the fields that say so.

Makes `DKIM-Signature` fields to stand in front of a finished copy, one for each key, and verifies
such fields with the keys somebody gives. Keeps no keys, asks no DNS, changes nothing in the message.

Rules:
 - `relaxed/relaxed`, so that a copy that was folded again on its way still verifies. No l=: a
   signature that covers a part of the body lets others append to it.
 - What is signed is in the tables below. A field that occurs several times is signed from the
   bottom up (RFC 6376 5.4.2), because servers add on top.
 - The body is hashed once for all keys, and each key signs a few hundred octets. Linear in the content.

Standards: RFC 6376, RFC 8301 (no SHA-1), RFC 8463 (Ed25519), RFC 8058 4 (List-Unsubscribe is covered).
Fails with `BadKey` where a key cannot be read; signing does not fail. dkimpy, the verifier, lives here.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from relay.compose.canonical import relaxed_body, relaxed_field
from relay.compose.mime import fields_between
from relay.private_key import BadKey, PrivateKey, algorithm_of, read
from relay.signing_key import Algorithm

__all__ = ["BadKey", "Signer", "sign", "signer", "signers_for", "verified"]

WIDTH = 78  # RFC 5322 2.1.1: columns of a line

# Signed once more than they occur, present or not: one that is added later breaks the signature.
# RFC 6376 5.4.1, 8.15: these say what the message is and from whom. A second one, or one where there was none,
# would show readers something that nobody signed.
SEALED = (
    "from",  # RFC 6376 5.4: must be signed
    "reply-to",
    "subject",
    "date",
    "message-id",
    "to",
    "cc",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "in-reply-to",
    "references",
)
# Signed where they are: what readers and mail programs rely on, but mailing lists and resenders may rightly add.
SIGNED = frozenset(
    {
        "sender",  # lists add their own
        "resent-date",  # RFC 5322 3.6.6: a new block of them comes on top of ours
        "resent-from",
        "resent-sender",
        "resent-to",
        "resent-cc",
        "resent-message-id",
        "list-id",  # RFC 6376 5.4.1
        "list-help",
        "list-unsubscribe",  # RFC 8058 4: must be covered, or the button does not appear
        "list-unsubscribe-post",
        "list-subscribe",
        "list-post",
        "list-owner",
        "list-archive",
        "auto-submitted",  # RFC 3834 5
        "feedback-id",  # complaint statistics of large mailbox providers count it only when it is signed
        "content-id",
        "content-description",
        "content-disposition",
        "content-language",
    }
)
# Never: Received and Return-Path, which every server on the way adds or takes off (RFC 6376 5.4); Bcc, which may be
# taken off; DKIM-Signature and Authentication-Results, which are not about the message; any X- field, because
# gateways add, change and remove them as they like.


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs for `domain` (A-labels); its record is at SELECTOR._domainkey.DOMAIN."""

    domain: str
    selector: str
    algorithm: Algorithm
    key: PrivateKey = field(repr=False)


def signer(domain: str, selector: str, pem: bytes) -> Signer:
    """The signer with the key of a PEM file. Raises `BadKey`."""
    key = read(pem)
    return Signer(domain, selector, algorithm_of(key), key)


def signers_for(from_domain: str, table: Mapping[str, Sequence[Signer]]) -> Sequence[Signer]:
    """The keys for mail from this domain (lower-case A-labels): its own, else those of the nearest domain above it.

    RFC 7489 3.1.1: relaxed alignment. A top-level domain signs for nobody.
    """
    domain = from_domain
    while "." in domain:
        if signers := table.get(domain):
            return signers
        domain = domain.partition(".")[2]
    return ()


def sign(content: bytes, signers: Sequence[Signer], now: float) -> bytes:
    """The DKIM-Signature fields of `content`, to stand in front of it; empty without signers. `now`: Unix seconds."""
    if not signers:
        return b""
    header, body = _halves(content)
    names, text = _signed_part(content, header)
    body_hash = base64.b64encode(hashlib.sha256(relaxed_body(content[body:])).digest()).decode("ascii")
    return b"".join([_signature(one, names, text, body_hash, int(now)) for one in signers])


def _halves(content: bytes) -> tuple[int, int]:
    """Where the header ends and where the body begins: the empty line lies between them."""
    if content.startswith(b"\r\n"):
        return 0, 2
    end = content.find(b"\r\n\r\n")
    return (len(content), len(content)) if end < 0 else (end + 2, end + 4)


def _signed_part(content: bytes, header: int) -> tuple[list[str], bytes]:
    """The names for h=, in order, and the canonical fields that they choose."""
    found: dict[str, list[bytes]] = {name: [] for name in SEALED}
    for one in fields_between(content, 0, header):
        if one.name in found or one.name in SIGNED:
            found.setdefault(one.name, []).append(relaxed_field(one.name, one.raw))
    names: list[str] = []
    text: list[bytes] = []
    for name, fields in found.items():
        names += [name] * (len(fields) + (name in SEALED))
        text += reversed(fields)  # RFC 6376 5.4.2: the last one in the header is signed first
    return names, b"".join(text)


def _signature(one: Signer, names: Sequence[str], text: bytes, body_hash: str, now: int) -> bytes:
    """One field, with its CRLF."""
    unsigned = "\r\n\t".join(
        [
            f"DKIM-Signature: v=1; a={one.algorithm}; c=relaxed/relaxed; t={now};",
            f"d={one.domain};",
            f"s={one.selector};",
            *_name_lines(names),
            f"bh={body_hash};",
            "b=",
        ]
    )
    # RFC 6376 3.7: the field itself comes last, with an empty b= and without its CRLF.
    name, _, raw = unsigned.partition(":")
    signed = text + relaxed_field(name, raw.encode("ascii"))[:-2]
    if isinstance(one.key, RSAPrivateKey):
        octets = one.key.sign(signed, PKCS1v15(), SHA256())
    else:
        # RFC 8463 3: Ed25519 signs the digest.
        octets = one.key.sign(hashlib.sha256(signed).digest())
    return f"{unsigned}{_folded(base64.b64encode(octets).decode('ascii'))}\r\n".encode("ascii")


def _name_lines(names: Sequence[str]) -> Iterator[str]:
    """`h=…;` in lines of at most `WIDTH` columns; RFC 6376 3.5: it may be folded at its colons."""
    line = "h="
    for name in names[:-1]:
        if len(line) + len(name) + 2 > WIDTH:
            yield line
            line = ""
        line += f"{name}:"
    if len(line) + len(names[-1]) + 2 > WIDTH:
        yield line
        line = ""
    yield f"{line}{names[-1]};"


def _folded(text: str) -> str:
    """Base64 in lines of at most `WIDTH` columns; the first stands behind `b=`."""
    first, step = WIDTH - 3, WIDTH - 1
    return "\r\n\t".join([text[:first], *(text[at : at + step] for at in range(first, len(text), step))])


def verified(content: bytes, txt: Callable[[str], Sequence[bytes]]) -> bool:
    """Does the first signature of `content` hold? `txt` gives the TXT records at a name.

    RFC 6376 3.6.2.2: with several records at the name nobody knows which key is meant, so nothing holds.
    """
    import dkim  # here, because it loads more than signing needs

    def record(name: bytes, timeout: int = 0) -> bytes | None:
        found = txt(name.decode("ascii").rstrip("."))
        return found[0] if len(found) == 1 else None

    try:
        return bool(dkim.verify(content, dnsfunc=record))
    except Exception:  # records are strangers' words, and dkimpy trips over odd ones in many ways: nothing is verified
        return False
