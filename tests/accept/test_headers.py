"""Headers: the few fields we read, from whatever bytes they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.accept import headers
from relay.accept.headers import HeaderTooBig, addresses, metadata, read, text


def test_the_fields_that_accepting_needs_are_found() -> None:
    """Names have any case, values may be folded, of repeated ones the first counts."""
    head = read(
        b"Received: one\r\nRECEIVED : two\r\nfrom: Ada <ada@example.com>\r\nTo: b@example.net,\r\n\tc@example.net\r\n"
        b"Subject: first\r\nSubject: second\r\nMessage-Id: <1@example.com>\r\nDate: today\r\n"
        b"X-Mailtrail-Tag: receipt\r\nX-Mailtrail-Metadata: order=991\r\n\r\nFrom: not@header\r\n",
        10_000,
    )
    assert head.hops == 2
    assert head.senders == [b" Ada <ada@example.com>"]
    assert list(addresses(head.to[0])) == ["b@example.net", "c@example.net"]
    assert (head.subject, head.message_id, head.dated) == (b" first", "<1@example.com>", True)
    assert (head.tag, metadata(head.metadata)) == (b" receipt", {"order": "991"})


def test_what_is_asked_of_the_relay_is_gathered() -> None:
    """Fields about tracking, ours and other services', as they stand; the first foreign tag counts."""
    head = read(
        b"X-PM-Tag: first\r\nX-Mailgun-Tag: second\r\nX-MAILTRAIL-Track-Opens: no\r\n"
        b'X-SMTPAPI: {"filters":\r\n {}}\r\nX-Mailtrail-Metadata: a=b\r\n\r\nX-PM-TrackOpens: no\r\n',
        10_000,
    )
    assert head.foreign_tag == b" first"
    assert head.controls == [(b"x-mailtrail-track-opens", b" no"), (b"x-smtpapi", b' {"filters":\r\n {}}')]


def test_bcc_is_reported_with_its_folds() -> None:
    """RFC 5322 3.6.3: what is to be taken off is the whole field, and only it."""
    content = b"A: b\r\nBcc: x@example.net,\r\n y@example.net\r\nResent-Bcc:\r\nC: d\r\n\r\nBcc: in the body\r\n"
    head = read(content, 10_000)
    assert [content[start:end] for start, end in head.dropped] == [
        b"Bcc: x@example.net,\r\n y@example.net\r\n",
        b"Resent-Bcc:\r\n",
    ]


@pytest.mark.parametrize(
    ("content", "end", "separated"),
    [
        (b"", 0, False),
        (b"\r\nbody\r\n", 0, True),
        (b"just words\r\n", 0, False),
        (b"A: b\r\n", 6, True),
        (b"A: b\r\n\r\nbody\r\n", 6, True),
        (b"A: b\r\nwords: of\r\nno field\r\n", 17, False),
        (b" folded: nothing\r\n\r\n", 0, False),
    ],
)
def test_the_header_ends_at_the_first_line_that_is_no_field(content: bytes, end: int, separated: bool) -> None:
    """With an empty line, or without one where the client forgot it."""
    head = read(content, 10_000)
    assert (head.end, head.separated) == (end, separated)


def test_a_header_over_its_limit_is_refused() -> None:
    """By octets, in one field or in many."""
    for content in (b"A: " + b"x" * 1000 + b"\r\n\r\n", b"A: b\r\n" * 200 + b"\r\n"):
        assert read(content, 2000)
        with pytest.raises(HeaderTooBig):
            read(content, 900)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"ada@example.com", ["ada@example.com"]),
        (b"Ada <ada@example.com>, bob@example.com", ["ada@example.com", "bob@example.com"]),
        (b'"Last, First" <ada@example.com>', ["ada@example.com"]),
        (b'"a@wrong.example" <ada@example.com>', ["ada@example.com"]),
        (b"a@wrong.example <ada@example.com>", ["ada@example.com"]),
        (b"ada@example.com (b@wrong.example (c@wrong.example))", ["ada@example.com"]),
        (
            b"Team: ada@example.com, bob@example.com;, c@example.com",
            ["ada@example.com", "bob@example.com", "c@example.com"],
        ),
        (b"<@one.example,@two.example:ada@example.com>", ["ada@example.com"]),
        (b"ada @ example . com", ["ada@example.com"]),
        (b'"a b"@example.com', ['"a b"@example.com']),
        (b"undisclosed-recipients:;", []),
        (b"Ada Lovelace", []),
        (b"<ada@example.com> <eve@example.org>", ["ada@example.com", "eve@example.org"]),
        (b"<ada@example.com", ["ada@example.com"]),
        ("J\u00fcrgen <j\u00fcrgen@b\u00fccher.example>".encode(), ["j\u00fcrgen@b\u00fccher.example"]),
    ],
)
def test_addresses_are_found_in_lists_groups_and_comments(value: bytes, found: list[str]) -> None:
    """RFC 5322 3.4 and its old forms; names and comments are not taken for addresses."""
    assert list(addresses(value)) == found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b" Hello", "Hello"),
        (b" Hello\r\n\tthere", "Hello\tthere".replace("\t", " ")),
        (b"=?utf-8?B?w7xiZXI=?=", "über"),
        (b"=?utf-8?Q?=C3=BC_x?= =?ISO-8859-1*de?q?=FC?= y", "ü xü y"),
        ("Grüße".encode(), "Grüße"),
        (b"=?x-unknown?q?a?=", "=?x-unknown?q?a?="),
        (b"=?utf-8?b?a?=", "=?utf-8?b?a?="),
        (b"=?rot13?q?abc?=", "=?rot13?q?abc?="),
        (b"=?utf-8?q?a=0Ab?=", "a b"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_values_are_shown_as_people_read_them(value: bytes, shown: str) -> None:
    """RFC 2047; what cannot be decoded stays as it stands, and line ends stay out."""
    assert text(value, 500) == shown


def test_metadata_is_bounded_and_a_field_without_a_key_says_nothing() -> None:
    """At most 32 pairs, with keys and values cut."""
    values = [b" =x", b"nothing", b"k" * 100 + b"=v"] + [b"k%d=%s" % (n, b"v" * 900) for n in range(100)]
    pairs = metadata(values)
    assert len(pairs) <= headers.MAX_PAIRS
    assert all(0 < len(key) <= headers.MAX_KEY and len(value) <= headers.MAX_VALUE for key, value in pairs.items())


@given(st.binary(max_size=300))
def test_any_octets_have_a_head(content: bytes) -> None:
    """Nothing is raised, spans are in order and inside the header, and every value can be shown."""
    head = read(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n"), 10_000)
    assert 0 <= head.end <= len(content) * 2
    last = 0
    for start, end in head.dropped:
        assert last <= start < end <= head.end
        last = end
    assert text(content, 100).isprintable() or not text(content, 100).isascii()
    for address in addresses(content):
        assert "@" in address
