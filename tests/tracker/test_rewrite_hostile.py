"""Whatever the HTML: no exception, no waiting, edits in order, and the original comes back to the byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracker import hostile
from tests.tracker.copies import ALL, PIXEL, copied, undone
from tracker.rewrite import MAX_HTML, Policy

PIECES = st.sampled_from(
    [*hostile.LINKS, *hostile.TEXT, *hostile.ODD, *hostile.NESTED, b"\x1b$B", b"\x1b(B", b"\x81", b"\xe3"]
)
HTML = st.one_of(st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=40).map(b"".join), st.binary(max_size=200))
CHARSETS = st.sampled_from(
    ["utf-8", "us-ascii", "", "iso-8859-1", "shift_jis", "gb18030", "iso-2022-jp", "big5", "utf-16", "x"]
)
LONGEST = st.sampled_from([None, 10, 78, 998])
BAIT = Policy(hidden_link=True)


@settings(max_examples=500)
@given(HTML, CHARSETS, LONGEST, st.booleans())
def test_the_rewriting_can_be_taken_out_again(html: bytes, charset: str, longest: int | None, clicks: bool) -> None:
    """Edits are disjoint, in order and within the document; undone, the original is there byte for byte."""
    copy = copied(html, charset, policy=BAIT, clicks=clicks, pixel=PIXEL, longest=longest)
    ends = [0, *(edit.end for edit in copy.made.edits)]
    assert all(end <= edit.start <= edit.end <= len(html) for end, edit in zip(ends, copy.made.edits, strict=False))
    assert undone(html, copy.made) == html
    assert copy.made.pixel == (PIXEL.encode() in copy.after)
    assert copy.made.doubt or (copy.made.pixel and copy.made.links <= len(copy.tokens))


@given(HTML)
def test_a_second_time_changes_nothing(html: bytes) -> None:
    """What we have rewritten we read again as what it is: our own links, which stay."""
    once = copied(html, policy=ALL)
    assert copied(once.after, policy=ALL).after == once.after


TARGETS = st.from_regex(
    r"https?://[a-z]{1,8}\.test(/[a-z0-9%=_-]{0,9}){0,3}(\?[a-z]=[a-z0-9&;]{0,9})?", fullmatch=True
).filter(lambda url: "%%" not in url)  # that would be a placeholder nobody has filled in, which stays
LINKS = st.tuples(
    TARGETS, st.sampled_from(['<a href="{}">x</a>', "<p><a id=1 href='{}'><b>x</b></a></p>", "<area href={}>"])
)
AROUND = st.sampled_from(
    ["text ", "<p>", "<!-- c -->", "<br/>", "<img alt='<a href=\"http://no.test/\">'>", "<style>a{}</style>"]
)


@given(st.lists(st.one_of(LINKS, AROUND), max_size=15))
def test_every_link_of_a_well_formed_document_is_tracked_once(parts: list[tuple[str, str] | str]) -> None:
    """Each link is rewritten exactly once, numbered in order, and its token says where a browser would go."""
    links = [part for part in parts if isinstance(part, tuple)]
    html = "".join(part if isinstance(part, str) else part[1].format(part[0].replace("&", "&amp;")) for part in parts)
    copy = copied(html.encode(), policy=ALL)
    assert copy.targets == [target for target, _ in links]
    assert [said.link for said in copy.tokens] == list(range(1, len(links) + 1))
    assert copy.made.links == len(links)


REPEATED = [
    *(
        b"<a ",
        b"<a>",
        b"</a>",
        b"<",
        b"</",
        b"<p>",
        b"<x/",
        b'"',
        b"'",
        b"&amp",
        b"&#",
        b"&#x",
        b"= ",
        b"-",
        b"\xff",
        b" ",
    ),
    *(b"<!--", b"<!---->", b"<!-->", b"<!-- --!", b"<!--[if ", b"<!--[if]>x-->", b"<![CDATA[", b"<!", b"<?", b"</ "),
    *(b'<a href="', b"<a href=", b"<a\t=", b"<a href href ", b"<a href='http://x.test/'>", b"<a href=x>.&amp;", b"{{"),
    *(
        b"<v:r href=http://x.test>",
        b"<p a=b c='d' ",
        b"<p a =",
        b"<title>",
        b"<title></title>",
        b"<script><!--",
        b"</body>",
    ),
    *(
        b"<script>",
        b"<script></script>",
        b"<svg>",
        b"<svg/>",
        b"<svg></svg>",
        b"<svg><p>",
        b"<svg><![CDATA[",
        b"\x1b$B",
    ),
]
FRAMES = [(b"", b""), (b'<a href="http://x.test/">', b"</a>"), (b'<a href="http://x.test/', b'">x</a>'), (b"<a ", b">")]


@pytest.mark.parametrize("repeated", REPEATED, ids=ascii)
def test_two_mebibytes_of_anything_are_read_in_linear_time(repeated: bytes) -> None:
    """The largest document there is, of nothing but one construct: a quadratic reader would not be done this week."""
    for before, after in FRAMES:
        room = MAX_HTML - len(before) - len(after)
        html = before + (repeated * (room // len(repeated) + 1))[:room] + after
        copy = copied(html, "utf-8", policy=BAIT, pixel=PIXEL, longest=998)
        assert len(copy.after) >= len(html)
    for charset in ("iso-2022-jp", "gb18030"):
        assert undone(html, copied(html, charset, pixel=PIXEL).made) == html
