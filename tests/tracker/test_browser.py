"""A real browser and we agree on what a link is, and where it leads."""

from tests.tracker.browser import Pair, Seen, look, needs_chromium
from tests.tracker.copies import ALL, BASE, NEWSLETTERS, PIXEL, Copied, copied
from tests.tracker.hostile import documents
from tracker.token import Token

pytestmark = needs_chromium


def seen_in(copies: list[tuple[Copied, str]]) -> list[Seen]:
    """What the browser sees in documents and their copies."""
    targets = {url: said.target for copy, _ in copies for url, said in written(copy).items()}
    return look([Pair(copy.html, copy.after, charset) for copy, charset in copies], targets=targets, pixel=PIXEL)


def written(copy: Copied) -> dict[str, Token]:
    """The tracker's URLs in a copy, and what they say."""
    urls = [edit.new.decode() for edit in copy.made.edits if edit.new.startswith(f"{BASE}/c/".encode())]
    return dict(zip(urls, copy.tokens, strict=True))


def test_every_link_still_leads_where_it_led() -> None:
    """In documents of any kind of brokenness a browser finds the same links, and they lead to the same places."""
    plain = documents(100, nested=False, seed=4)
    tangled = documents(100, nested=True, seed=5)
    copies = [(copied(html, policy=ALL, pixel=PIXEL), "utf-8") for html in plain + tangled]
    seen = seen_in(copies)
    assert [each.after for each in seen] == [each.before for each in seen]
    assert [each.pixels for each in seen] == [copy.made.pixel for copy, _ in copies]
    for each in seen[: len(plain)]:
        assert each.tracked == sum(href.startswith("http://x.test/") for href in each.before)
        assert not each.clickable


def test_nothing_but_the_targets_of_links_is_different() -> None:
    """Put the old targets back, and the browser's whole document is the same."""
    copies = [(copied(html, policy=ALL), "utf-8") for html in documents(120, nested=True, seed=6)]
    assert all(each.same for each in seen_in(copies))


def test_a_link_in_any_charset_leads_where_it_led() -> None:
    """A browser writes the query in the charset of the document; a click through us arrives at the same URL."""
    words = {"shift_jis": "表ソ能", "gbk": "丂亐", "big5": "功許", "euc-kr": "각힣", "euc-jp": "表ソ", "gb18030": "丂ä"}
    words |= {"windows-1252": "é€", "iso-8859-1": "é€", "iso-8859-15": "éŠ", "koi8-r": "жщ", "utf-8": "é表😀"}
    copies = []
    for charset, word in words.items():
        html = f'{word}<a title="{word}" href="http://x.test/{word}?{word}&amp;{word}&#1078;&#9731;#{word}">{word}</a>{word}'
        octets = html.encode("windows-1252" if charset == "iso-8859-1" else charset)
        copies.append((copied(octets, charset, pixel=PIXEL), charset))
    seen = seen_in(copies)
    assert [each.after for each in seen] == [each.before for each in seen]
    assert [each.tracked for each in seen] == [1] * len(seen)
    assert all(each.same for each in seen)


def test_the_newsletters_keep_their_links() -> None:
    """All links of real-looking mail lead where they led, and most of them through us."""
    copies = [
        (copied((NEWSLETTERS / f"{name}.html").read_bytes(), charset, policy=ALL, pixel=PIXEL), charset)
        for name, charset in (("mjml", "utf-8"), ("outlook", "windows-1252"), ("amp", "utf-8"))
    ]
    seen = seen_in(copies)
    assert [each.after for each in seen] == [each.before for each in seen]
    assert [each.tracked for each in seen] == [4, 5, 3]
    assert [each.pixels for each in seen] == [1, 1, 1]
    assert [each.same for each in seen] == [True, False, True], "the second one loses the attributes that opt out"
    assert not any(each.clickable for each in seen)
