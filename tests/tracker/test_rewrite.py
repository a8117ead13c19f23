"""The copy of an HTML part: links lead through the tracker, there is a pixel, and nothing else is different."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracker.copies import ALL, BASE, PIXEL, PLAIN, copied, link, undone
from tracker.rewrite import MAX_HTML, MAX_LINKS, Policy

MARK = b"[PIXEL]"


def marked(html: bytes, charset: str = "utf-8") -> bytes:
    """`html` with a mark where the pixel would stand, clicks not tracked."""
    return re.sub(rb"<img src=[^>]*>", MARK, copied(html, charset, clicks=False, pixel=PIXEL).after)


@pytest.mark.parametrize(
    "tag",
    [
        b'<a href="%s">',
        b"<a href='%s'>",
        b"<a href=%s>",
        b"<A\r\n\tHREF \n=\t'%s' CLASS=x>",
        b"<a/href=%s>",
        b'<a id="a>b" href="%s"title=x>',
        b'<a href="%s" href="http://second.test/">',
        b'<area shape="rect" href="%s"/>',
        b'<a =href="http://no.test/" href="%s">',
        b'<a \'x href="%s">',
        b'<!--[if mso]><v:roundrect arcsize="8%%" href="%s" o:button="t"><![endif]-->',
        b'<!--[if (gte mso 9)|(IE)]><a href="%s"><![endif]-->',
        b'<!--[if !mso]><!--><a href="%s"><!--<![endif]-->',
        b'<![if !mso]><a href="%s"><![endif]>',
        b'<svg><g></svg><a href="%s">',
        b'<svg><p><a href="%s">',
        b'<title></titlex></title ><a href="%s">',
        b'<script><!-- <script></script> --></script><a href="%s">',
        b'<!--> <a href="%s">',
        b'<!---> <a href="%s">',
        b'<!-- x --!> <a href="%s">',
        b'<? "> <a href="%s">',
        b'<!DOCTYPE html PUBLIC ">" ><a href="%s">',
        b'</ "> <a href="%s">',
        b'<p title="<a href=x>" \'> <a href="%s">',
        b'< a> <a href="%s">',
    ],
)
def test_of_a_link_only_its_target_changes(tag: bytes) -> None:
    """Quotes, case, blanks, other attributes and whatever is around them stay, in Outlook's comments too."""
    url = b"http://a.test/?x&amp;y"
    copy = copied(tag % url + b"text</a>")
    assert copy.after == tag % link("http://a.test/?x&y", 1).encode() + b"text</a>"
    assert copy.made.links == 1
    assert copy.made.doubt == ""


@pytest.mark.parametrize(
    "html",
    [
        b'<!-- <a href="%s"> -->',
        b'<!--[ if mso]><a href="%s"><![endif]-->',
        b'<script><a href="%s"></script>',
        b'<style><a href="%s"></style>',
        b'<title><a href="%s"></title>',
        b'<textarea><a href="%s"></textarea>',
        b'<xmp><a href="%s"></xmp>',
        b'<iframe><a href="%s"></iframe>',
        b'<noembed><a href="%s"></noembed>',
        b'<noframes><a href="%s"></noframes>',
        b'<plaintext><a href="%s"></plaintext>',
        b'<style><a href="%s">',
        b'<!-- <a href="%s">',
        b'<script><!--<script></script><a href="%s">--></script>',
        b"<p title='<a href=\"%s\">'>",
        b"<p title=\"x <a href='%s'>",
        b'<a title="" href="%s',
        b'<a title="x href=%s>',
        b'<svg><![CDATA[</svg><a href="%s">]]></svg>',
        b'<svg><a href="%s"></svg>',
        b'<abbr href="%s">',
        b'<a\0 href="%s">',
        b'<a data-href="%s">',
        b'</a href="%s">',
        b'<link href="%s"><base href="%s"><form action="%s"><img src="%s">',
    ],
)
def test_what_is_not_a_link_is_not_touched(html: bytes) -> None:
    """Comments, scripts, sheets, text fields, attributes of other tags and broken tags are no place for a link."""
    there = html.replace(b"%s", b"http://a.test/")
    copy = copied(there, policy=ALL)
    assert copy.after == there
    assert copy.made.links == 0


def test_links_count_on_over_the_parts_of_a_message() -> None:
    """The nth tracked link has the number n; links that stay have none."""
    html = b'<a href="http://a.test/">a</a><a href="#">-</a><a href="http://b.test/">b</a>'
    assert [(said.link, said.target) for said in copied(html, first=5).tokens] == [
        (5, "http://a.test/"),
        (6, "http://b.test/"),
    ]


def test_with_clicks_off_only_the_pixel_is_added() -> None:
    """Opens and clicks are tracked apart."""
    html = b'<a href="http://a.test/">a</a>'
    assert copied(html, clicks=False, pixel=PIXEL).after.startswith(html + b'<img src="')
    assert copied(html, clicks=False).made.edits == ()
    assert not copied(html).made.pixel


@pytest.mark.parametrize(
    "html",
    [
        b"<html><body><p>text[PIXEL]</body></html>\r\n",
        b"<body>one</body><body>two[PIXEL]</BODY ></html>",
        b"<html><p>text[PIXEL]</html>",
        b"text[PIXEL]",
        b"[PIXEL]",
        b"<body>text[PIXEL]</body><!-- </body> --><!--[if mso]></body><![endif]--><style></body></style>",
        b'<body>[PIXEL]<a href="http://a.test/">open</body>',
        b"<body>[PIXEL]<a name=x>open<p><a href=y>too</body>",
        b"<body><a name=x>open<a href=y>closed</a>[PIXEL]</body>",
        b"<body><!--[if mso]><a href=x><![endif]-->text[PIXEL]</body>",
        b"text[PIXEL]<!-- and then",
        b'text[PIXEL]<p title="and then',
        b"text[PIXEL]<tab",
        b"<body>text[PIXEL]</body><!-- and then",
        b"<body>text[PIXEL]</body><style>and then",
    ],
)
def test_the_pixel_stands_at_the_end_of_what_is_seen(html: bytes) -> None:
    """Before the last </body>, else </html>, else at the end; not in a comment or a link, not behind a broken tag."""
    assert marked(html.replace(MARK, b"")) == html


@pytest.mark.parametrize("html", [b"<title>x", b"text<style>", b"text<textarea>", b"<plaintext>x"])
def test_there_is_no_pixel_where_it_would_be_text(html: bytes) -> None:
    """A document that breaks off in a sheet or a text field gets none, and the delivery says so."""
    copy = copied(html, pixel=PIXEL)
    assert (copy.after, copy.made.pixel) == (html, False)
    assert "breaks off" in copy.made.doubt


def test_the_pixel_is_a_picture_that_takes_no_room() -> None:
    """One by one, no text to read out, and shown: a hidden one is not fetched. XHTML gets it closed."""
    assert copied(b"x", pixel="https://t.example.com/o/a?b&c").after == (
        b'x<img src="https://t.example.com/o/a?b&amp;c" alt="" width="1" height="1" style="display:block;'
        b'position:absolute;width:1px!important;height:1px!important;border:0;margin:0;padding:0">'
    )
    strict = b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x.dtd"><html></html>'
    assert b'padding:0" /></html>' in copied(strict, pixel=PIXEL).after


def test_the_hidden_link_is_one_no_person_sees() -> None:
    """It stands beside the pixel, has the number 0 and leads to a place the mail leads to anyway; no link, no bait."""
    policy = Policy(hidden_link=True, own=BASE)
    copy = copied(b'<body><a href="http://a.test/b?c">b</a></body>', pixel=PIXEL, policy=policy)
    home = link("http://a.test/", 0).encode()
    assert copy.after.endswith(
        b'padding:0"><a href="%s" style="display:none" tabindex="-1" aria-hidden="true"></a></body>' % home
    )
    assert copy.made.links == 1
    assert b"<a " not in copied(b"<body>none</body>", pixel=PIXEL, policy=policy).after


def test_a_copy_is_not_tracked_twice() -> None:
    """Mail that comes through the relay again keeps the links it has."""
    once = copied(b'<body><a href="http://a.test/">a</a></body>', pixel=PIXEL).after
    assert copied(once).after == once


@pytest.mark.parametrize(
    "charset", ["utf-16", "utf-16le", "utf-7", "utf-32", "cp037", "hz-gb-2312", "iso-2022-kr", "x-unknown"]
)
def test_a_charset_that_is_not_like_ascii_is_left_alone(charset: str) -> None:
    """Bytes that may mean anything are not edited, and the delivery says so."""
    copy = copied(b'<a href="http://a.test/">a</a>', charset, pixel=PIXEL)
    assert copy.made.edits == ()
    assert charset in copy.made.doubt


def test_a_byte_order_mark_outweighs_the_charset() -> None:
    """UTF-16 that calls itself UTF-8 is UTF-16 to a browser."""
    html = '\ufeff<a href="http://a.test/">a</a>'
    assert copied(html.encode("utf-16-le"), pixel=PIXEL).made.edits == ()
    assert copied(html.encode("utf-8")).targets == ["http://a.test/"]


@pytest.mark.parametrize("charset", ["shift_jis", "gbk", "gb18030", "big5", "euc-jp", "euc-kr", "iso-2022-jp", "utf-8"])
def test_half_a_character_is_not_markup(charset: str) -> None:
    """In East Asian charsets the second half of a character may look like ASCII: it is not read as such."""
    text = {"euc-kr": "각힣똠", "gbk": "丂亐乗", "gb18030": "丂亐ä", "big5": "功許蓋"}.get(charset, "表ソ能あ")
    html = f'<p title="{text}">{text}<a title=\'{text}\' href="http://a.test/?{text}">{text}</a></p>{text}'
    there = html.encode(charset)
    copy = copied(there, charset, pixel=PIXEL)
    assert len(copy.targets) == 1
    assert copy.after.decode(charset).startswith(html.split("href=")[0])
    assert undone(there, copy.made) == there


def test_double_byte_text_that_spells_a_tag_is_text() -> None:
    """RFC 1468: between ESC $ B and ESC ( B two octets are one character, even when they spell `<a href=…>`."""
    fake = b"\x1b$B" + b'<a href=x>="y"' + b"\x1b(B"
    there = fake + b'<a href="http://a.test/">' + fake + b"</a>"
    assert (
        copied(there, "iso-2022-jp").after
        == fake + b'<a href="%s">' % link("http://a.test/", 1).encode() + fake + b"</a>"
    )
    for broken in (b"\x1b$B<a\r\nb>\x1b(B", b"\x1b$B<a"):
        assert copied(broken, "ISO-2022-JP", pixel=PIXEL).made.edits == ()


def test_a_document_that_is_too_large_is_left_alone() -> None:
    """Above a size, a number of tags or of links, what is left out is said."""
    large = b'<a href="http://a.test/">a</a>'.ljust(MAX_HTML + 1)
    assert copied(large, pixel=PIXEL).made.edits == ()
    assert "larger than 2 MiB" in copied(large).made.doubt
    assert "too many tags" in copied(b"<a>" * 50_000, pixel=PIXEL).made.doubt
    many = copied(b'<a href="http://a.test/">a</a>' * (MAX_LINKS + 1))
    assert many.made.links == MAX_LINKS
    assert "only the first" in many.made.doubt


def test_a_link_that_is_too_long_stays() -> None:
    """A URL no server would take as a path of ours is left alone, and the delivery says so."""
    for length in (5_000, 20_000):
        there = b'<a href="http://a.test/%s">a</a>' % (b"x" * length)
        copy = copied(there)
        assert (copy.after, copy.made.doubt) == (there, "a link is too long to be tracked")


SHORT = st.sampled_from([40, 78, 200, 998])
WORDS = st.lists(st.sampled_from([b"word ", b"<b>x</b>", b"\r\n", b" ", b"<p>"]), max_size=40).map(b"".join)
TAGS = st.sampled_from(
    [
        b'<a href="http://a.test/">a</a>',
        b"<a class=x href=http://b.test/c/d?e=f id=y>a</a>",
        b"<a data-pm-no-track href='http://a.test/'>a</a>",
        b'<a href="http://a.test/" data-mailtrail-track="yes">a</a>',
        b'<a title="x"href="http://a.test/"class="y">a</a>',
        b'<a\r\nhref="http://a.test/">a</a>',
    ]
)


@given(st.lists(st.tuples(WORDS, TAGS), max_size=12), WORDS, SHORT)
def test_no_line_of_mail_that_is_not_encoded_grows_too_long(
    parts: list[tuple[bytes, bytes]], last: bytes, longest: int
) -> None:
    """RFC 5321 4.5.3.1.6: where a line would, it is broken inside a tag, where a line end is a blank."""
    there = b"".join(text + tag for text, tag in parts) + last
    free = copied(there, pixel=PIXEL, policy=PLAIN)
    copy = copied(there, pixel=PIXEL, policy=PLAIN, longest=longest)
    widest = max(len(line) for line in there.split(b"\r\n"))
    assert max(len(line) for line in copy.after.split(b"\r\n")) <= max(longest, widest)
    assert undone(there, copy.made) == there
    if longest == 998:
        assert copy.made.links == free.made.links
        assert without_blanks(copy.after) == without_blanks(free.after)


def without_blanks(html: bytes) -> bytes:
    """All that is not a blank."""
    return re.sub(rb"\s", b"", html)
