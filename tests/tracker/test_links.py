"""Which links are tracked, and where a browser would go from them."""

import pytest

from tests.tracker.copies import ALL, BASE, copied
from tracker.links import shows_url, target, unsubscribes


@pytest.mark.parametrize(
    ("href", "leads_to"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com?a#b", "https://example.com?a#b"),
        ("HTTP://Example.com:8080/A", "http://Example.com:8080/A"),
        ("http://[2001:db8::1]:80/", "http://[2001:db8::1]:80/"),
        (" \t\n\x01https://example.com/a\x1f ", "https://example.com/a"),
        ("ht\ntps://exa\tmple.com/\r\na", "https://example.com/a"),
        ("https://example.com/a b?c d#e f", "https://example.com/a%20b?c%20d#e%20f"),
        ('https://example.com/"<>', "https://example.com/%22%3C%3E"),
        ("https://example.com/%20%zz%", "https://example.com/%20%zz%"),
        ("https://example.com\\a\\b?\\c", "https://example.com/a/b?\\c"),
        ("https://example.com/?a=1&amp;b=2&#38;c=3&#x26;d", "https://example.com/?a=1&b=2&c=3&d"),
        ("https://example.com/?a&copy=1&copying&notit;", "https://example.com/?a&copy=1&copying&notit;"),
        ("https://example.com/?&lt&quot;&commat;", "https://example.com/?%3C%22@"),
        (
            "https://example.com/&euro;?&euro;#&#128;&#x20AC",
            "https://example.com/%E2%82%AC?%E2%82%AC#%E2%82%AC%E2%82%AC",
        ),
        ("https://example.com/&#xD800;&#0;", "https://example.com/%EF%BF%BD%EF%BF%BD"),
        ("https://example.com/&unknown;&", "https://example.com/&unknown;&"),
        ("h&#116;tps&colon;//example&period;com", "https://example.com"),
        ("https://bücher.example/ä?ö=ü#ß", "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC#%C3%9F"),
        ("https://BÜCHER.example:81/", "https://xn--bcher-kva.example:81/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://under_score.example/", "https://under_score.example/"),
    ],
)
def test_a_link_leads_where_a_browser_would_go(href: str, leads_to: str) -> None:
    """Character references, blanks, line ends and letters beyond ASCII are read as a browser reads them."""
    assert target(href.encode(), "utf-8") == leads_to


@pytest.mark.parametrize(
    ("href", "charset", "leads_to"),
    [
        ("https://example.com/é?é#é", "cp1252", "https://example.com/%C3%A9?%E9#%C3%A9"),
        ("https://example.com/?表", "cp932", "https://example.com/?%95\\"),
        ("https://example.com/?表", "gbk", "https://example.com/?%B1%ED"),
        ("https://example.com/?é&#8364;&#1078;", "iso-8859-15", "https://example.com/?%E9%A4%26%231078%3B"),
    ],
)
def test_a_query_is_written_in_the_charset_of_the_document(href: str, charset: str, leads_to: str) -> None:
    """URL 4.4: path and fragment are UTF-8, the query is not, and what the charset lacks becomes a reference."""
    assert target(href.encode(charset.replace("cp1252", "windows-1252")), charset) == leads_to


@pytest.mark.parametrize(
    "href",
    [
        "",
        "#",
        "#top",
        "/path",
        "path?a=http://example.com",
        "//example.com/",
        "?a",
        "mailto:ada@example.com",
        "tel:+4930",
        "cid:part1@example.com",
        "sms:1",
        "javascript:alert(1)",
        "ftp://example.com/",
        "data:text/html,http://example.com/",
        "http:",
        "http://",
        "http:///",
        "http:example.com",
        "https:/example.com",
        "http://#",
        "http://exa mple.com/",
        "http://exa%6dple.com/",
        "http://ada:secret@example.com/",
        "http://example.com:port/",
        "http://a<b/",
        "http://☃️\ufffd.example/",
        "http://example.com/\0",
        "{{url}}",
        "https://{{host}}/",
        "https://example.com/{{id}}",
        "https://example.com/*|ID|*",
        "https://example.com/[[id]]",
        "https://example.com/?id=%%id%%",
        "https://example.com/${id}",
        "https://example.com/<%= id %>",
        "https://example.com/{id}",
        "*|UNSUB|*",
    ],
)
def test_what_does_not_lead_to_the_web_for_certain_stays(href: str) -> None:
    """Other schemes, relative links, template leftovers, passwords and hosts that are none are left alone."""
    there = f'<a href="{href}">x</a>'.encode("utf-8", "surrogatepass")
    assert copied(there, policy=ALL).after == there


def test_octets_that_are_not_of_the_charset_stay() -> None:
    """Where a link in broken text leads, nobody can say."""
    for html, charset in ((b"\xff", "utf-8"), (b"\xe9", "us-ascii"), (b"\x81", "iso-8859-1")):
        there = b'<a href="http://a.test/' + html + b'">x</a><a href="http://a.test/">y</a>'
        assert copied(there, charset).targets == ["http://a.test/"]


@pytest.mark.parametrize(
    "content",
    [
        "https://example.com/",
        "HTTP://Example.com",
        " www.example.com/a?b ",
        "example.com",
        "shop.example.co.uk/path",
        "<b>https://</b><i>example</i>.com",
        "&lt;https://example.com&gt;",
        "https&#58;//example&period;com",
        "https://example.com/a/long\r\n  path",
        "(www.example.com).",
        "exam\u00adple\u200b.com",
        "<!--[if mso]>Go<![endif]-->example.com<!-- here -->",
        "bücher.example",
    ],
)
def test_a_link_that_shows_a_url_stays_unless_asked(content: str) -> None:
    """Mail programs warn of a fraud when the URL a person sees is not the one behind it."""
    there = f'<a href="https://example.com/x">{content}</a>'.encode()
    assert copied(there).after == there
    assert copied(there, policy=ALL).targets == ["https://example.com/x"]


@pytest.mark.parametrize(
    "text", ["Look at it.", "Go. Now.", "", "10.50", "ada@example.com", "v1.2", "…", "a.b.", "Yes/No"]
)
def test_a_dot_alone_is_no_url(text: str) -> None:
    """Sentences, prices and mail addresses are not taken for hosts."""
    assert not shows_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "Unsubscribe",
        "opt out here",
        "Vom Newsletter abmelden",
        "Hier abbestellen",
        "Se désabonner",
        "Me désinscrire",
        "Darse de baja",
        "Cancelar la suscripción",
        "Disiscriviti",
        "Annulla l’iscrizione",
        "Afmelden",
        "Uitschrijven",
        "Cancelar subscrição",
        "Descadastrar-se",
        "Wypisz się",
        "Zrezygnuj z newslettera",
        "<b>UN</b>SUBSCRIBE",
    ],
)
def test_a_link_that_says_unsubscribe_stays(text: str) -> None:
    """Nobody is counted on the way out, in any of our languages."""
    there = f'<a href="https://example.com/x">{text}</a>'.encode()
    assert copied(there, policy=ALL).after == there


@pytest.mark.parametrize(
    "path", ["unsubscribe/7", "?a=unsub&b", "list/opt-out", "d%C3%A9sabonnement", "OptOut", "newsletter/abmelden"]
)
def test_a_link_to_a_page_for_unsubscribing_stays(path: str) -> None:
    """Its address says so, whatever its text is."""
    there = f'<a href="https://example.com/{path}">here</a>'.encode()
    assert copied(there).after == there


@pytest.mark.parametrize(
    "text", ["Subscribe", "Shop now", "Ropa de baja calidad", "Annulla ordine", "Options", "Melde dich"]
)
def test_other_words_are_tracked(text: str) -> None:
    """A word that only looks like it is no unsubscribing."""
    assert not unsubscribes("https://example.com/subs", text, ())


def test_the_urls_of_list_unsubscribe_stay() -> None:
    """What the header names for unsubscribing is not tracked in the text either, however it is written there."""
    there = b'<a href="https://example.com/u?a=1&amp;b=2">here</a>'
    assert copied(there, unsubscribe=["https://example.com/u?a=1&b=2"]).after == there
    assert copied(there, unsubscribe=["https://example.com/u"]).targets == ["https://example.com/u?a=1&b=2"]


def test_our_own_links_stay() -> None:
    """What leads to the tracker already is not wrapped again; a host that only begins like it is another one."""
    ours = f'<a href="{BASE}/c/x">a</a><a href="{BASE}">b</a>'.encode()
    assert copied(ours).after == ours
    assert copied(f'<a href="{BASE}.evil.test/">c</a>'.encode()).targets == [f"{BASE}.evil.test/"]


@pytest.mark.parametrize(
    ("tag", "without"),
    [
        (b'<a data-mailtrail-track="no" href="http://a.test/">', b'<a href="http://a.test/">'),
        (b"<a href='http://a.test/' clicktracking=off>", b"<a href='http://a.test/'>"),
        (b'<a href="http://a.test/" ClickTracking = "OFF" id=x>', b'<a href="http://a.test/" id=x>'),
        (b"<a\r\n  data-pm-no-track\r\n  href=http://a.test/>", b"<a\r\n  href=http://a.test/>"),
        (b'<a disable-tracking=true href="http://a.test/">', b'<a href="http://a.test/">'),
        (b'<a href="http://a.test/" ses:no-track>', b'<a href="http://a.test/">'),
        (b'<a data-msys-clicktrack="0"href="http://a.test/">', b'<a href="http://a.test/">'),
        (b'<a/data-pm-no-track/href="http://a.test/">', b'<a//href="http://a.test/">'),
        (b'<a clicktracking=off clicktracking=on href="http://a.test/">', b'<a href="http://a.test/">'),
        (b'<area data-pm-no-track href="http://a.test/"/>', b'<area href="http://a.test/"/>'),
        (b'<a data-pm-no-track name="x">', b'<a name="x">'),
    ],
)
def test_a_link_that_opts_out_stays_and_loses_the_word_for_it(tag: bytes, without: bytes) -> None:
    """In every peer's form, clicks tracked or not: the attribute is taken out of the copy, and nothing else changes."""
    assert copied(tag + b"x</a>").after == without + b"x</a>"
    assert copied(tag + b"x</a>", clicks=False).after == without + b"x</a>"


@pytest.mark.parametrize(
    "attribute",
    [b"data-mailtrail-track=yes", b"clicktracking=on", b'data-msys-clicktrack="1"', b"disable-tracking=false"],
)
def test_an_attribute_that_asks_for_tracking_is_taken_out_too(attribute: bytes) -> None:
    """It is a word to a relay, not to the recipient; the link is tracked."""
    copy = copied(b"<a " + attribute + b' href="http://a.test/">x</a>')
    assert copy.targets == ["http://a.test/"]
    assert attribute not in copy.after
