"""DKIM signatures: whatever we sign verifies with dkimpy, and what somebody changes does not."""

import base64
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.compose.signature import SEALED, SIGNED, WIDTH, Signer, sign, signers_for, verified
from relay.signing_key import Algorithm
from tests.parts.keys import ED25519, RSA, published, signer_of

NOW = time.time()
KEYS = {RSA: signer_of("example.com", RSA), ED25519: signer_of("example.com", ED25519)}
DNS = published(*KEYS.values())

LETTER = (
    b"Received: from app by relay.example.com; Sat, 21 Nov 2026 12:00:00 +0000\r\n"
    b"From: Ada <ada@example.com>\r\nTo: bob@x.test\r\nSubject: Your receipt\r\n"
    b"List-Unsubscribe: <https://t.example.com/u/1>\r\nX-Mailer: app\r\n\r\nThank you.\r\n"
)

# Printable octets, UTF-8 (RFC 6532), and blanks inside.
WORDS = st.text(st.sampled_from('abcXYZ019.,;:=<>@"()ÄßЯ漢😀'), min_size=1, max_size=12).map(str.encode)
GAPS = st.sampled_from([b" ", b"  ", b"\t", b"\r\n ", b" \r\n\t", b"\r\n \t ", b" " * 80])
NAMES = st.sampled_from(
    [*SEALED, *sorted(SIGNED), "Subject", "TO", "MiMe-VeRsIoN", "Received", "X-Odd", "x-odd", "Bcc", "Comments"]
)
LINES = st.one_of(
    st.sampled_from([b"", b".", b"..", b" ", b"\t\t", b"--", b" a\tb  ", b"From me", b"x" * 998, b"  " * 400]),
    st.binary(max_size=40).map(lambda line: re.sub(rb"[\r\n]", b"?", line)),
)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """What stands behind a colon: words, folded anyhow, blanks at both ends, or nothing at all."""
    words = draw(st.lists(WORDS, max_size=6))
    value = b"".join(draw(GAPS) + word for word in words)
    return value + draw(st.sampled_from([b"", b" ", b" \t"]))


@st.composite
def headers(draw: st.DrawFn) -> list[bytes]:
    """Fields in any order, some of them several times, and a From."""
    fields = [name.encode() + b":" + draw(values()) + b"\r\n" for name in draw(st.lists(NAMES, max_size=10))]
    fields.insert(draw(st.integers(0, len(fields))), b"From:" + draw(values()) + b"\r\n")
    return fields


BODIES = st.lists(LINES, max_size=8).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
SIGNERS = st.sampled_from([[KEYS[RSA]], [KEYS[ED25519]], [KEYS[RSA], KEYS[ED25519]], [KEYS[ED25519], KEYS[RSA]]])


def each_holds(content: bytes, signers: list[Signer]) -> list[bool]:
    """For every signature alone, in order: does it hold?"""
    fields = sign(content, signers, NOW).split(b"DKIM-Signature:")[1:]
    return [verified(b"DKIM-Signature:" + field + content, DNS) for field in fields]


@settings(deadline=None)  # the oracle is slow
@given(headers(), BODIES, SIGNERS)
def test_whatever_we_sign_verifies(header: list[bytes], body: bytes, signers: list[Signer]) -> None:
    """Folds, tabs, long lines, UTF-8, repeated fields, empty bodies, blanks at the end: every signature holds."""
    content = b"".join(header) + b"\r\n" + body
    assert each_holds(content, signers) == [True] * len(signers)
    assert verified(sign(content, signers, NOW) + content, DNS)


@settings(deadline=None)  # the oracle is slow
@given(headers(), BODIES, SIGNERS, st.data())
def test_a_changed_octet_breaks_every_signature(
    header: list[bytes], body: bytes, signers: list[Signer], data: st.DataObject
) -> None:
    """One visible octet of the body or of a signed field is another one: nothing holds any more."""
    content = b"".join(header) + b"\r\n" + body
    places = []
    for field in re.finditer(rb"([\w-]+):((?:[^\n]*\n)(?:[ \t][^\n]*\n)*)", b"".join(header)):
        if field[1].lower().decode() in {*SEALED, *SIGNED}:
            places += [place for place in range(*field.span(2)) if content[place] not in b" \t\r\n"]
    start = len(content) - len(body)
    places += [place for place in range(start, len(content)) if content[place] not in b" \t\r\n"]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    other = data.draw(st.integers(33, 126).filter(lambda octet: octet != content[place]))
    fields = sign(content, signers, NOW)
    changed = content[:place] + bytes([other]) + content[place + 1 :]
    assert not verified(fields + changed, DNS)


@pytest.mark.parametrize("name", SEALED)
def test_a_sealed_field_that_is_added_breaks_the_signature(name: str) -> None:
    """RFC 6376 8.15: a second From, Subject or Content-Type, or a first one, is something nobody signed."""
    fields = sign(LETTER, [KEYS[RSA]], NOW)
    added = f"{name.title()}: added\r\n".encode()
    assert not verified(added + fields + LETTER, DNS)
    assert not verified(fields + LETTER.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n", 1), DNS)


@pytest.mark.parametrize("name", ["Received", "Return-Path", "X-Spam-Status", "Authentication-Results", "Sender"])
def test_what_servers_add_leaves_the_signature_alone(name: str) -> None:
    """Fields of the way, on top or below, are not signed; nor is what was never there and may rightly come."""
    fields = sign(LETTER, [KEYS[RSA]], NOW)
    added = f"{name}: of the way\r\n".encode()
    assert verified(added + fields + LETTER, DNS)
    assert verified(fields + added + LETTER, DNS)


def test_servers_may_fold_and_trim() -> None:
    """What relaxed canonicalisation is for: folds, blanks at line ends and empty lines at the end may change."""
    fields = sign(LETTER, list(KEYS.values()), NOW)
    changed = LETTER.replace(b"Subject: Your receipt", b"subject:\r\n\tYour  receipt ").replace(b"you.", b"you. \t")
    assert verified(fields + changed + b"\r\n\r\n", DNS)


def test_repeated_fields_are_signed_from_the_bottom() -> None:
    """RFC 6376 5.4.2: another List-Id on top leaves the signature alone; one below it takes the place of the signed."""
    letter = b"List-Id: one\r\nList-Id: two\r\n" + LETTER
    fields = sign(letter, [KEYS[RSA]], NOW)
    assert verified(b"List-Id: new\r\n" + fields + letter, DNS)
    assert not verified(fields + letter.replace(b"\r\n\r\n", b"\r\nList-Id: new\r\n\r\n", 1), DNS)


@pytest.mark.parametrize("name", ["List-Unsubscribe", "List-Unsubscribe-Post"])
def test_unsubscribing_is_covered(name: str) -> None:
    """RFC 8058 4: both fields of a one-click unsubscribe are in h=."""
    letter = f"{name}: <https://t.example.com/u/1>\r\n".encode() + LETTER
    (names,) = re.findall(rb"\sh=([^;]*);", sign(letter, [KEYS[RSA]], NOW))
    assert name.lower().encode() in re.split(rb"[\s:]+", names)


def test_a_header_alone_is_signed() -> None:
    """Without an empty line, or with one and no body behind it, the message is its header."""
    assert each_holds(b"From: ada@example.com\r\n", list(KEYS.values())) == [True, True]
    assert each_holds(b"From: ada@example.com\r\n\r\n", list(KEYS.values())) == [True, True]
    # RFC 6376 3.4.4: the hash of nothing.
    assert b"bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;" in sign(b"From: a@b.test\r\n", [KEYS[RSA]], NOW)


@pytest.mark.parametrize("algorithm", [RSA, ED25519])
@pytest.mark.parametrize("repeated", range(12))
def test_the_field_is_a_field(algorithm: Algorithm, repeated: int) -> None:
    """Lines of at most 78 columns, ASCII, CRLF; who, when and with which key; no l=, which lets others append."""
    one = KEYS[algorithm]
    odd = b"Cc: carl@x.test\r\n" * repeated + b"List-Id: news\r\n" * (repeated * 2 % 7) + b"Sender: x\r\n" * repeated
    field = sign(odd + LETTER, [one], 1_795_262_400.9)
    assert field.isascii() and field.endswith(b"\r\n") and b"\n" not in field.replace(b"\r\n", b"")
    first, *more = field[:-2].split(b"\r\n")
    assert first == f"DKIM-Signature: v=1; a={algorithm.value}; c=relaxed/relaxed; t=1795262400;".encode()
    assert all(line.startswith(b"\t") and line.strip() for line in more)
    assert max(len(line) for line in (first, *more)) <= WIDTH
    assert b"\td=example.com;" in more and f"\ts={one.selector};".encode() in more
    assert not re.search(rb"[;\s]l=", field)


def test_several_records_at_a_name_are_none() -> None:
    """RFC 6376 3.6.2.2: with two records verifiers do what they like, so it counts as not verified."""
    (record,) = DNS("s1._domainkey.example.com")
    signed = sign(LETTER, [KEYS[RSA]], NOW) + LETTER
    assert verified(signed, lambda name: [record])
    assert not verified(signed, lambda name: [record, record])
    assert not verified(signed, lambda name: [])
    assert not verified(LETTER, lambda name: [record])


RECORDS = st.one_of(
    st.sampled_from([DNS("s1._domainkey.example.com")[0], DNS("e1._domainkey.example.com")[0]]),  # the other's
    st.binary(max_size=60),
    st.tuples(
        st.sampled_from([b"", b"v=DKIM1; ", b"v=DKIM2;", b"=;"]),
        st.sampled_from([b"", b"k=rsa;", b"k=ed25519; ", b"k=dsa; "]),
        st.binary(max_size=60).map(base64.b64encode).map(lambda text: b"p=" + text),
    ).map(b"".join),
)


@settings(deadline=None)  # the oracle is slow
@given(RECORDS, st.sampled_from(list(KEYS.values())))
def test_a_record_that_is_none_verifies_nothing(record: bytes, one: Signer) -> None:
    """Whatever else stands in the DNS, the answer is no and not an exception."""
    own = list(DNS(f"{one.selector}._domainkey.example.com"))
    assert verified(sign(LETTER, [one], NOW) + LETTER, lambda name: [record]) is ([record] == own)


def test_the_nearest_domain_signs() -> None:
    """Relaxed alignment: the From domain's own keys, else those of the nearest one above; a top level signs nothing."""
    own = {name: [signer_of(name)] for name in ("example.com", "shop.example.com", "com")}
    table = own | {"idle.example.com": []}
    assert signers_for("example.com", table) is own["example.com"]
    assert signers_for("a.shop.example.com", table) is own["shop.example.com"]
    assert signers_for("x.y.example.com", table) is own["example.com"]
    assert signers_for("idle.example.com", table) is own["example.com"]
    assert signers_for("myexample.com", table) == ()
    assert signers_for("com", table) == () == signers_for("", table)


def test_nobody_signs_nothing() -> None:
    """Without signers there is no field, and no work."""
    assert sign(LETTER, [], NOW) == b""


def test_a_key_does_not_show_itself() -> None:
    """A signer in a log line or a traceback says whose it is and nothing of its key."""
    assert "key" not in repr(KEYS[RSA]) and "example.com" in repr(KEYS[RSA])
