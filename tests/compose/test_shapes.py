"""Messages as real programs write them: what is tracked in each, and what is left byte for byte."""

import pytest

from tests.compose.copies import HEAD, clicks, copy_of, html_of, leaves, multipart, pixels, restored

GMAIL = HEAD + multipart(
    "alternative",
    "000000000000a1b2c306",
    b'Content-Type: text/plain; charset="UTF-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    b"Caf=C3=A9: https://a.example/=\r\n1\r\n",
    b'Content-Type: text/html; charset="UTF-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    b'<div dir=3D"ltr">Caf=C3=A9: <a href=3D"https://a.example/1?utm_source=3Dma=\r\n'
    b'il&amp;utm_medium=3Dnews" target=3D"_blank">the page</a><div class=3D"gmail=\r\n_quote">=\r\n</div></div>\r\n',
)

MJML = (
    b'<!doctype html>\r\n<html xmlns="http://www.w3.org/1999/xhtml" xmlns:v="urn:schemas-microsoft-com:vml" '
    b'xmlns:o="urn:schemas-microsoft-com:office:office">\r\n<head><title></title><!--[if !mso]><!-->'
    b'<meta http-equiv="X-UA-Compatible" content="IE=edge"><!--<![endif]-->\r\n<!--[if mso]><noscript><xml>'
    b"<o:OfficeDocumentSettings><o:AllowPNG/></o:OfficeDocumentSettings></xml></noscript><![endif]-->\r\n"
    b'<link href="https://fonts.example/css?family=Ubuntu" rel="stylesheet" type="text/css">\r\n'
    b'<style type="text/css">@import url(https://fonts.example/css?family=Ubuntu); a{color:red}</style></head>\r\n'
    b'<body style="word-spacing:normal;">\r\n<!--[if mso | IE]><table><tr><td>'
    b'<v:rect href="https://shop.example/hero" style="width:600px;"><v:fill src="https://cdn.example/i.png"/></v:rect>'
    b"</td></tr></table><![endif]-->\r\n"
    b'<a href="https://shop.example/?a=1&amp;b=2" style="display:inline-block;" target="_blank"> Buy </a>\r\n'
    b'<a href="{{ unsubscribe }}">placeholder</a></body>\r\n</html>\r\n'
)


def test_a_newsletter_made_with_mjml() -> None:
    """Links change, Outlook's conditional ones too; fonts, styles, pictures and comments do not."""
    content = HEAD + b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + MJML
    copy = copy_of(content)
    assert {token.target for token in clicks(copy.content)} == {
        "https://shop.example/hero",
        "https://shop.example/?a=1&b=2",
    }
    assert restored(copy.content) == content
    assert len(pixels(copy.content)) == 1
    assert copy.trackable


def test_gmail() -> None:
    """A link that goes over a soft line break is found; the text beside it stays byte for byte."""
    copy = copy_of(GMAIL)
    assert [token.target for token in clicks(html_of(copy))] == ["https://a.example/1?utm_source=mail&utm_medium=news"]
    plain = GMAIL.partition(b"text/html")[0]
    assert copy.content.startswith(plain)
    assert b'<div dir=3D"ltr">Caf=C3=A9: <a href=3D"' in copy.content
    assert max(map(len, copy.content.split(b"\r\n"))) <= max(map(len, GMAIL.split(b"\r\n")))


def test_apple_mail() -> None:
    """Pictures in related in alternative, a document in mixed: the HTML alone changes."""
    html = (
        b'Content-Type: text/html;\r\n\tcharset=us-ascii\r\n\r\n<a href="https://a.example/">x</a><img src="cid:1">\r\n'
    )
    picture = b"Content-Type: image/jpeg; name=a.jpg\r\nContent-ID: <1>\r\nContent-Disposition: inline\r\n\r\nx\r\n"
    document = (
        b"Content-Type: text/html; name=page.html\r\nContent-Disposition: attachment; filename=page.html\r\n\r\n" + MJML
    )
    text = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nx\r\n"
    content = HEAD + multipart(
        "mixed",
        "Apple-Mail=_1",
        multipart("alternative", "Apple-Mail=_2", text, multipart("related", "Apple-Mail=_3", html, picture)),
        document,
    )
    copy = copy_of(content)
    assert restored(copy.content) == content
    assert (copy.links, copy.trackable, copy.note) == (1, True, "")
    assert document in copy.content


def test_outlook_with_a_winmail_dat() -> None:
    """TNEF beside the text is binary and stays; the text gets its twin."""
    tnef = (
        b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+Ig==\r\n"
    )
    content = HEAD + multipart("mixed", "_000_", b"Content-Type: text/plain\r\n\r\nHi\r\n", tnef)
    copy = copy_of(content)
    assert tnef in copy.content
    assert [kind for kind, _ in leaves(copy.content)] == ["text/plain", "text/html", "application/ms-tnef"]


def test_an_invitation() -> None:
    """HTML beside a calendar is tracked; the calendar stays byte for byte."""
    calendar = b"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nURL:https://a.example/\r\n"
    html = b'Content-Type: text/html; charset=utf-8\r\n\r\n<a href="https://a.example/">join</a>\r\n'
    content = HEAD + multipart("alternative", "b", b"Content-Type: text/plain\r\n\r\njoin\r\n", html, calendar)
    copy = copy_of(content)
    assert calendar in copy.content
    assert restored(copy.content) == content
    assert copy.links == 1


LINK = b"Content-Type: text/html\r\n\r\n<a href='https://a.example/'>x</a>\r\n"
PGP_SIGNATURE = b"Content-Type: application/pgp-signature\r\n\r\nx\r\n"
PGP_VERSION = b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
PGP_MESSAGE = b"Content-Type: application/octet-stream\r\n\r\nx\r\n"
SEALED = [
    HEAD + multipart("signed", "s", LINK, PGP_SIGNATURE),
    HEAD + multipart("encrypted", "s", PGP_VERSION, PGP_MESSAGE),
    HEAD + b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n\r\nMII=\r\n",
    HEAD + b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nHi\r\n",
    HEAD + LINK + b"<pre>-----BEGIN PGP MESSAGE-----\r\n</pre>\r\n",
    HEAD + multipart("report", "r", LINK),
]


@pytest.mark.parametrize("content", SEALED)
def test_signed_and_encrypted_mail(content: bytes) -> None:
    """S/MIME, PGP/MIME, PGP in the text, and reports go out as they came, whatever is in them."""
    copy = copy_of(content)
    assert copy.content is content
    assert (copy.trackable, copy.links) == (False, 0)
    assert copy.note


def test_a_signed_part_beside_a_list_footer() -> None:
    """A mailing list's footer is tracked; what is signed above it stays byte for byte."""
    signed = multipart("signed", "s", b"Content-Type: text/html\r\n\r\n<a href='https://a.example/'>x</a>\r\n")
    footer = b"Content-Type: text/html\r\n\r\n<a href='https://list.example/'>list</a>\r\n"
    copy = copy_of(HEAD + multipart("mixed", "m", signed, footer))
    assert signed in copy.content
    assert [token.target for token in clicks(copy.content)] == ["https://list.example/"]


def test_amp() -> None:
    """AMP has rules of its own about links and pictures: the part stays, its neighbours are tracked."""
    amp = b"Content-Type: text/x-amp-html; charset=utf-8\r\n\r\n<!doctype html><html amp4email><a href='https://a.example/'>x</a></html>\r\n"
    html = b"Content-Type: text/html; charset=utf-8\r\n\r\n<a href='https://a.example/'>x</a>\r\n"
    content = HEAD + multipart("alternative", "b", b"Content-Type: text/plain\r\n\r\nx\r\n", amp, html)
    copy = copy_of(content)
    assert amp in copy.content
    assert copy.links == 1


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("iso-2022-jp", "日本語のリンク"),
        ("shift_jis", "ソース"),
        ("windows-1252", "Café €"),
        ("gb18030", "链接"),
        ("koi8-r", "Ссылка"),
    ],
)
def test_html_in_other_charsets(charset: str, text: str) -> None:
    """Octets of other charsets that look like markup are none; what is left in doubt is left alone, and said."""
    html = f'<p>{text}</p><a href="https://a.example/">{text}</a>\r\n'.encode(charset)
    content = HEAD + f"Content-Type: text/html; charset={charset}\r\n\r\n".encode() + html
    copy = copy_of(content)
    assert restored(copy.content) == content
    assert (copy.links == 1 and copy.trackable) or copy.note


def test_eight_bit_html_without_a_charset() -> None:
    """Octets beyond ASCII stay whatever they are; links are ASCII."""
    content = HEAD + b"Content-Type: text/html\r\n\r\n<p>Gr\xfc\xdfe <a href='https://a.example/'>x</a></p>\r\n"
    copy = copy_of(content)
    assert restored(copy.content) == content
    assert copy.links == 1
