"""A recipient's copy is the accepted content with what was asked for, and without what was said to us alone."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from relay import return_path
from relay.compose import signature
from relay.compose.render import Making
from relay.config import Tracking
from relay.envelope import Origin
from relay.return_path import Own, Use
from tests.compose.copies import BASE, HEAD, KEYRING, clicks, copy_of, html_of, making, parsed, pixels, unsigned
from tests.compose.letters import MESSAGE, NOON, ORIGINAL
from tracker.token import Purpose, Token
from tracker.unsubscribe import urls

SILENT = Making("relay.example.com", Tracking(), None, unsigned)
HTML = HEAD + (
    b"Content-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>Hi <a href='https://a.example/1'>there</a>"
    b'<a href="https://a.example/2?b=1&amp;c=2">and here</a></p></body></html>\r\n'
)


def test_a_message_that_says_nothing_to_us_goes_out_as_it_is() -> None:
    """Where nothing has to be done, nothing is even copied."""
    assert copy_of(ORIGINAL, SILENT).content is ORIGINAL
    assert copy_of(ORIGINAL, track_opens=False, track_clicks=False).content is ORIGINAL
    assert copy_of(HTML, making(opens=False, clicks=False)).content is HTML


def test_control_fields_are_taken_off_and_nothing_else() -> None:
    """All that are meant for a relay go, repeated, folded, in any case and misspelt; all other bytes stay."""
    content = (
        b"From: a@b.example\r\nX-Mailtrail-Tag: receipt\r\nSubject:  two  blanks \r\n\tand a fold\r\n"
        b"x-mailtrail-METADATA: customer=\r\n 42\r\nX-Mailtrail-Metdata: slip=1\r\nX-Mailer: x\r\n"
        b"X-PM-Tag: a\r\nX-SMTPAPI: {}\r\nX-MAILTRAIL-TRACK-OPENS : no\r\n\r\nbody\r\n"
    )
    kept = b"From: a@b.example\r\nSubject:  two  blanks \r\n\tand a fold\r\nX-Mailer: x\r\n\r\nbody\r\n"
    assert copy_of(content, SILENT).content == kept
    assert copy_of(content, track_opens=False, track_clicks=False).content == kept
    assert copy_of(content, making(plain_text="leave")).content == kept


def test_control_names_elsewhere_are_left_alone() -> None:
    """In a value or in the body the words mean nothing to us."""
    content = b"Subject: X-Mailtrail-Tag: no\r\nMy-X-Mailtrail-Tag: 1\r\n\r\nX-Mailtrail-Tag: body\r\n"
    assert copy_of(content, SILENT).content == content


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_the_body_never_changes_for_a_control_field(head: bytes, body: bytes) -> None:
    """Whatever the header holds, the bytes behind the first empty line are the same."""
    head = head.replace(b"\r", b"").replace(b"\n", b"\r\nX-Mailtrail-Tag: x\r\n")
    content = b"X-Mailtrail-Tag: y\r\nA: b" + head.replace(b"\r\n\r\n", b"") + b"\r\n\r\n" + body
    made = copy_of(content, SILENT).content
    assert made.endswith(b"\r\n\r\n" + body)
    assert len(made) < len(content)


@given(st.binary(max_size=400))
def test_any_bytes_can_be_rendered(content: bytes) -> None:
    """Whatever the bytes, there is a copy, and nothing is raised."""
    copy = copy_of(content, making(bounce_domain="bounce.example.com"), unsubscribe=True)
    assert b"List-Unsubscribe-Post" in copy.content


def test_a_copy_names_its_delivery_where_reports_come_back() -> None:
    """On top, under the signature: each recipient's own token, and none in our notices."""
    copies = [copy_of(HTML, making(bounce_domain="b.example.com"), number=number).content for number in (0, 1)]
    names = [copy.split(b"\r\n")[0].removeprefix(b"X-Delivery-ID: ").decode() for copy in copies]
    assert [return_path.read(KEYRING, name) for name in names] == [
        Own(Use.BOUNCE, MESSAGE.queue_id, 0),
        Own(Use.BOUNCE, MESSAGE.queue_id, 1),
    ]
    assert b"X-Delivery-ID" not in copy_of(HTML).content
    assert b"X-Delivery-ID" not in copy_of(HTML, making(bounce_domain="b.example.com"), origin=Origin.NOTICE).content


# --- tracking ----------------------------------------------------------------------------------------------------


def test_links_and_opens_lead_to_this_delivery() -> None:
    """Every link's token names queue id, recipient, number of the link and target; the pixel's names the delivery."""
    copy = copy_of(HTML, number=2)
    queue_id = MESSAGE.queue_id
    assert clicks(copy.content) == [
        Token(queue_id, 2, 1, "https://a.example/1"),
        Token(queue_id, 2, 2, "https://a.example/2?b=1&c=2"),
    ]
    assert pixels(copy.content) == [Token(queue_id, 2)]
    assert (copy.trackable, copy.links, copy.note) == (True, 2, "")


@pytest.mark.parametrize(
    ("settings", "wants", "opens", "links"),
    [
        ({}, {}, True, 2),
        ({"opens": False}, {}, False, 2),
        ({"clicks": False}, {}, True, 0),
        ({}, {"track_opens": False}, False, 2),
        ({}, {"track_clicks": False}, True, 0),
        ({"clicks": False}, {"track_opens": False}, False, 0),
        ({"base_url": ""}, {}, False, 0),
        ({}, {"origin": Origin.NOTICE}, False, 0),
    ],
)
def test_off_wins(settings: Mapping[str, Any], wants: Mapping[str, Any], opens: bool, links: int) -> None:
    """Opens and clicks apart: what the relay or the message does not want is not done; our own notices never are."""
    copy = copy_of(HTML, making(**settings), **wants)
    assert (copy.trackable, len(pixels(copy.content))) == (opens, int(opens))
    assert (copy.links, len(clicks(copy.content))) == (links, links)
    assert copy.note == ""


def test_an_opt_out_is_taken_out_of_the_copy() -> None:
    """A link that does not want to be tracked is not, and the recipient does not see why; with clicks off neither."""
    content = HTML.replace(b"<a href='", b'<a data-mailtrail-track="no" href=\'')
    for clicks_too in (True, False):
        copy = copy_of(content, making(clicks=clicks_too))
        assert b"mailtrail" not in copy.content
        assert b"<a href='https://a.example/1'>there</a>" in copy.content


def test_links_are_counted_over_all_parts_and_one_has_the_pixel() -> None:
    """The numbers of the second part go on where the first one's ended; the pixel is in the first."""
    part = HTML.removeprefix(HEAD)
    content = (
        HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + part + b"--x\r\n" + part + b"--x--\r\n"
    )
    copy = copy_of(content)
    assert [token.link for token in clicks(copy.content)] == [1, 2, 3, 4]
    assert copy.links == 4
    first, second = copy.content.split(b"--x\r\n")[1:]
    assert (len(pixels(first)), len(pixels(second))) == (1, 0)


def test_a_part_that_is_left_is_noted() -> None:
    """The delivery says why a part was not touched, and is not called trackable."""
    utf16 = HEAD + b"Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\nPAA=\r\n"
    for content in (
        utf16,
        HTML.replace(b"MIME", b"Content-Transfer-Encoding: base64\r\nMIME"),
        HTML + b"-----BEGIN PGP",
    ):
        copy = copy_of(content)
        assert copy.content is content
        assert not copy.trackable
        assert copy.note


def test_too_much_is_left_alone() -> None:
    """Above 2 MiB of HTML, or 10 MiB of text, a message goes out as it is, and says so."""
    for content in (HTML + b"<p>word</p>\r\n" * 200_000, ORIGINAL + b"A line of text.\r\n" * 700_000):
        copy = copy_of(content)
        assert copy.content is content
        assert "more than" in copy.note or "larger than" in copy.note


@pytest.mark.parametrize("encoding", ["8bit", "7bit"])
def test_no_line_becomes_longer_than_mail_allows(encoding: str) -> None:
    """RFC 5322 2.1.1: where a part is not encoded, lines stay within 998 octets."""
    link = b'<a href="https://a.example/' + b"x" * 200 + b'">link</a>'
    content = HTML.replace(b"</p>", link * 4 + b"\r\n" + link + b"</p>").replace(
        b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n", 1
    )
    copy = copy_of(content)
    assert max(map(len, copy.content.split(b"\r\n"))) <= 998
    assert copy.links == 7


# --- unsubscribing -----------------------------------------------------------------------------------------------


def test_unsubscribe_fields_are_added_where_they_are_asked_for() -> None:
    """RFC 8058: web and mail, with this delivery's token, once; the body stays."""
    content = HEAD + b"\r\nHi\r\n"
    copy = copy_of(content, making(plain_text="leave", bounce_domain="b.example.com"), number=1, unsubscribe=True)
    token = KEYRING.write(Purpose.UNSUBSCRIBE, Token(MESSAGE.queue_id, 1))
    message = parsed(copy.content)
    by_mail = KEYRING.write(Purpose.MAIL_UNSUBSCRIBE, Token(MESSAGE.queue_id, 1))
    assert urls(message["List-Unsubscribe"]) == [f"{BASE}/u/{token}", f"mailto:u-{by_mail}@b.example.com"]
    assert message.get_all("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
    assert HEAD in copy.content
    assert copy.content.endswith(b"\r\n\r\nHi\r\n")
    assert b"List-Unsubscribe" not in copy_of(content).content
    assert b"mailto:" not in copy_of(content, unsubscribe=True).content


def test_they_need_no_tracking() -> None:
    """A message that may not be tracked can still be unsubscribed from; without a web address it cannot."""
    assert b"List-Unsubscribe:" in copy_of(HTML, track_opens=False, track_clicks=False, unsubscribe=True).content
    assert b"List-Unsubscribe" not in copy_of(HTML, making(base_url=""), unsubscribe=True).content


def test_an_applications_own_unsubscribe_stays() -> None:
    """Its own field is more precise, so ours is not added, and its address in the body is not tracked."""
    own = b"List-Unsubscribe: <mailto:off@example.com>,\r\n <https://a.example/1>\r\n"
    copy = copy_of(own + HTML, unsubscribe=True)
    assert copy.content.count(b"List-Unsubscribe") == 1
    assert copy.content.startswith(own)
    assert [token.target for token in clicks(copy.content)] == ["https://a.example/2?b=1&c=2"]


def test_a_stray_post_field_does_not_stand_beside_ours() -> None:
    """RFC 8058 3.1: there is one List-Unsubscribe-Post."""
    copy = copy_of(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" + HTML, unsubscribe=True)
    assert len(parsed(copy.content).get_all("List-Unsubscribe-Post", [])) == 1


# --- signatures --------------------------------------------------------------------------------------------------


def test_the_finished_copy_is_signed() -> None:
    """The signature is made of everything else that was done, for the domain of From, at the time that is given."""
    calls = []

    def sign(content: bytes, domain: str, now: float) -> bytes:
        calls.append((content, domain, now))
        return b"DKIM-Signature: ours\r\n"

    copy = copy_of(b"X-Mailtrail-Tag: x\r\n" + HTML, making(sign), unsubscribe=True, sender="Ada@Bücher.Example")
    ((signed, domain, now),) = calls
    assert copy.content == b"DKIM-Signature: ours\r\n" + signed
    assert (domain, now) == ("xn--bcher-kva.example", NOON)
    assert b"List-Unsubscribe" in signed
    assert pixels(signed)
    assert b"X-Mailtrail" not in signed


def test_notices_are_signed_too() -> None:
    """A DSN of ours is not tracked, but it is signed."""
    copy = copy_of(HTML, making(lambda content, domain, now: b"S: " + domain.encode() + b"\r\n"), origin=Origin.NOTICE)
    assert copy.content == b"S: example.com\r\n" + HTML


def test_a_copy_verifies() -> None:
    """dkimpy agrees: links, pixel, twin and unsubscribe fields are all under a signature that holds."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signer = signature.signer("example.com", "s1", pem)
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(key.public_key().public_bytes_raw())
    worker = making(lambda content, domain, now: signature.sign(content, [signer], now))
    for content in (HTML, ORIGINAL, HEAD + b"\r\n", b"X-Mailtrail-Tag: x\r\n" + HTML):
        copy = copy_of(content, worker, unsubscribe=True)
        assert signature.verified(copy.content, lambda name: [record])
        assert not signature.verified(copy.content.replace(b"One-Click", b"Two-Click"), lambda name: [record])


OWN = b"DKIM-Signature: v=1; a=rsa-sha256; d=a.example; bh=x;\r\n h=From : Subject:\r\n\tX-Mailtrail-Tag; b=y\r\n"


@pytest.mark.parametrize(
    ("content", "wants", "stays"),
    [
        (OWN + HEAD + b"\r\nHi\r\n", {"track_opens": False, "track_clicks": False}, True),
        (OWN + HTML, {}, False),  # the body changed
        (OWN + HEAD + b"\r\nHi\r\n", {}, False),  # a twin
        (OWN + b"X-Mailtrail-Metadata: a=b\r\n" + HEAD + b"\r\nHi\r\n", {"track_opens": False}, True),
        (OWN + b"X-Mailtrail-Tag: a\r\n" + HEAD + b"\r\nHi\r\n", {"track_opens": False}, False),
        (OWN + HEAD + b"\r\nHi\r\n", {"track_opens": False, "unsubscribe": True}, True),
        (
            OWN.replace(b"Subject", b"List-Unsubscribe") + HEAD + b"\r\nHi\r\n",
            {"track_opens": False, "unsubscribe": True},
            False,
        ),
    ],
)
def test_an_applications_signature_stays_if_it_still_holds(
    content: bytes, wants: Mapping[str, Any], stays: bool
) -> None:
    """It goes when the body changed, or a field that its h= names was added, changed or taken off; else it stays."""
    copy = copy_of(content, **wants)
    assert (OWN[:40] in copy.content) is stays


def test_the_html_of_a_copy_can_be_read() -> None:
    """Nothing but link targets and a pixel is new."""
    body = html_of(copy_of(HTML))
    assert body.startswith(b"<html><body><p>Hi <a href='https://t.example.com/c/")
    assert body.endswith(b"></body></html>\r\n")


def test_a_header_that_breaks_off_is_ended_first() -> None:
    """A message without a body, and without the end of its last line, still gets fields of its own."""
    copy = copy_of(b"From: a@b.example\r\nSubject: Hi", unsubscribe=True)
    assert copy.content.startswith(b"From: a@b.example\r\nSubject: Hi\r\nList-Unsubscribe: <")


HOSTILE = [
    HEAD + b"Content-Type: text/html\r\n\r\n" + b"<!--" * 200_000,
    HEAD + b"Content-Type: text/html\r\n\r\n" + b"<a href='https://a.example/'>" * 30_000,
    HEAD + b"Content-Type: text/html " + b"(" * 200_000 + b"\r\n\r\nx",
    HEAD + b"Content-Type: text/html" + b"; a=b" * 40_000 + b"\r\n\r\nx",
    HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 100_000 + b"--x--",
    HEAD + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (at, at) for at in range(20_000)),
    HEAD + b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 1_000_000,
    HEAD + b"\r\n" + b"http://" * 70_000,
    b"DKIM-Signature: h=a\r\n" * 12_000 + HTML,
    b"DKIM-Signature: " + b";h" * 120_000 + b"\r\n" + HTML,
    b"List-Unsubscribe: " + b"<" * 200_000 + b"\r\n" + HTML,
]


@pytest.mark.parametrize("content", HOSTILE)
def test_a_hostile_message_is_read_a_few_times_at_most(content: bytes) -> None:
    """Megabytes of brackets, comments, parts and fields: there is a copy, and its header is whole."""
    copy = copy_of(content, unsubscribe=True)
    assert HEAD.removesuffix(b"\r\n") in copy.content
    assert b"List-Unsubscribe" in copy.content
