"""Documents no sane program writes: the pieces HTML is made of, in any order."""

import random

LINKS = [
    b'<a href="http://x.test/1?a=1&amp;b=2">',
    b"<a href='http://x.test/2'>",
    b"<a href=http://x.test/3/>",
    b"<a\thref = http://x.test/4 >",
    b"<a/href=http://x.test/5>",
    b'<a x href="http://x.test/6" href="http://no.test/">',
    b'<area href="http://x.test/7">',
    b'<A HREF="HTTP://X.test/8">',
    b'<a href="http://x.test/\t9 \n">',
    b'<a href=" http://x.test/a&copy=1&copy;&#x41;&#65&notit;&amp&lt&#128;&#xD800;">',
    b'<a href="http://x.test/\xc3\xa4?\xc3\xb6#\xc3\xbc">',
]
TEXT = [b"text", b"\r\n", b"<p>", b"</p>", b"<div>", b"</div>", b"</a>", b"</a >", b"</a>", b"</a>"]
ODD = [
    *(b"<a name=q>", b'<a href="mailto:a@b.test">', b'<a href="#">', b'<a href="">', b"<a href=x.html>"),
    *(b'<a xlink:href="http://x.test/z">', b'<v:roundrect href="http://v.test/">', b"</v:roundrect>"),
    *(b'<b "q>"', b'<p title="a>b">', b"<p title='>", b'<p title=a"b>', b'<p =x=">">', b"<p/=>", b"<p a = >"),
    *(b"<!--", b"-->", b"--!>", b"<!-->", b"<!--->", b"<!-- x -->", b"<!--[if mso]>", b"<![endif]-->", b"<![CDATA["),
    *(
        b"]]>",
        b"<?xml ?>",
        b"<!DOCTYPE html>",
        b"<!x",
        b"</ x>",
        b"</>",
        b"<",
        b">",
        b'"',
        b"'",
        b"/",
        b"=",
        b"&",
        b"\0",
    ),
    *(
        b"<title>",
        b"</title>",
        b"<style>",
        b"</style>",
        b"<script>",
        b"</script>",
        b"<script><!--<script>",
        b"</titlex>",
    ),
    *(b"<textarea>", b"</textarea>", b"<xmp>", b"</xmp>", b"<iframe>", b"</iframe>", b"<noscript>", b"</noscript>"),
    *(b"<html>", b"<head>", b"</head>", b"<body>", b"</body>", b"</html>", b"<plaintext>", b"<a", b' href="', b" "),
]
NESTED = [  # what decides by where it stands whether a tag means what it says
    *(b"<svg>", b"</svg>", b"<svg/>", b"<math>", b"</math>", b"<foreignObject>", b"</foreignObject>", b"<desc>"),
    *(b"<g/>", b"<table>", b"<tr>", b"<td>", b"</table>"),
]
_RARE = (b"<plaintext>", b"<!--", b"<!--[if mso]>", b"<p title='>", b'"', b"'", b' href="', b"<script><!--<script>")


def documents(count: int, *, nested: bool, seed: int) -> list[bytes]:
    """So many documents, always the same ones."""
    chance = random.Random(seed)
    bits = [*LINKS, *LINKS, *TEXT, *TEXT, *TEXT, *(bit for bit in ODD if bit not in _RARE), chance.choice(_RARE)]
    bits += NESTED if nested else []
    return [b"".join(chance.choices(bits, k=chance.randint(1, 25))) for _ in range(count)]
