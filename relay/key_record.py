"""The DNS record of a signing key: written for people to paste, and judged as it is found.

Pure: who asks the DNS passes what was found. A record is right when verifiers will take the key
out of it; what is wrong is said in words that name the usual mistake (not there, cut off, another
key, twice). Standards: RFC 6376 3.6.1 and 3.6.2.2 (several records: undefined), RFC 1035 3.3.14.
"""

from collections.abc import Sequence

from relay.signing_key import Algorithm, SigningKey

STRING = 255  # octets: a TXT record is made of strings, none longer than this
TTL = 3600  # seconds, in the lines for zone files


def record(key: SigningKey) -> str:
    """What its TXT record says."""
    return f"v=DKIM1; k={key.algorithm.kind}; p={key.public}"


def bind_line(name: str, text: str) -> str:
    """A TXT record as zone files have it, `text` cut into strings."""
    strings = " ".join(f'"{text[at : at + STRING]}"' for at in range(0, len(text), STRING))
    return f"{name}. {TTL} IN TXT ( {strings} )" if len(text) > STRING else f"{name}. {TTL} IN TXT {strings}"


def tags(text: bytes) -> dict[str, str]:
    """RFC 6376 3.2: the `name=value` list of a record, blanks taken off."""
    pairs = (part.partition("=") for part in text.decode("ascii", "replace").split(";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def wrong(key: SigningKey, found: Sequence[bytes]) -> str:
    """What is wrong with the TXT records at `key.record_name`, in words; empty if verifiers find the key."""
    if not found:
        return "there is no record"
    if len(found) > 1:
        return f"there are {len(found)} TXT records, and there may be only one"
    said = tags(found[0])
    public = "".join(said.get("p", "").split())
    if said.get("v", "DKIM1") != "DKIM1":
        return "it is no DKIM record: v= is not DKIM1"
    if "p" not in said:
        return "it has no p=: that is no key record"
    if not public:
        return "its p= is empty: the key is revoked there"
    if public != key.public:
        return "it is cut off" if key.public.startswith(public) else "another key is there"
    if said.get("k", Algorithm.RSA.kind) != key.algorithm.kind:
        return f"its k= should be {key.algorithm.kind}"
    if "h" in said and "sha256" not in said["h"].replace(" ", "").split(":"):
        return "its h= forbids sha256"
    if "s" in said and not {"*", "email"} & set(said["s"].replace(" ", "").split(":")):
        return "its s= is not for email"
    return ""
