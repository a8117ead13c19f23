"""The tags of an HTML document that matter to us, by their offsets in its bytes.

Builds no tree, changes nothing, decodes nothing but character references. It finds links,
the ends of body and document, and what the document breaks off in; it does not look into
comments, script, style and their like, nor into SVG and MathML.

Rules: markup is what a browser takes for markup. Outlook's conditional comments are the
exception: what stands in `<!--[if mso]> … <![endif]-->` is markup to Outlook, so it is read
too. Attributes are cut out of a tag exactly as HTML does it: the first of two equal names
counts, quotes mean something only after an equals sign.
Standards: HTML (WHATWG) 13.2.5, tokenization, and what 13.2.6 switches in it.
Time is linear in the input, whatever it is: every expression is possessive and every search
goes on where the last one ended, or ends the walk. Never raises.
"""

import re
from collections.abc import Iterator
from enum import Enum
from html.entities import html5
from typing import NamedTuple

MAX_PIECES = 40_000  # stops in one document; a newsletter has a few hundred
MAX_ATTRIBUTES = 64  # of those asked for, in one tag

_WS = rb"\t\n\f\r "
# HTML 13.2.5.32-40. A quote that nothing closes takes everything up to the end with it, and then there is no tag.
_SPOKEN = (  # what follows a name: an equals sign and a value, or nothing
    rb"(?:[" + _WS + rb"]*+=[" + _WS + rb"]*+"
    rb"(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^" + _WS + rb">\"'][^" + _WS + rb">]*+|(?=>)|\Z))?+"
)
_ATTRIBUTE = rb"[^" + _WS + rb"/>][^" + _WS + rb"/>=]*+" + _SPOKEN
_NAME = rb"[A-Za-z][^" + _WS + rb"/>]*+"
_REST = rb"(?:[" + _WS + rb"/]++|" + _ATTRIBUTE + rb")*+>"
# HTML 13.2.5.43-51: a comment ends at -->, at --!>, and at once in <!--> and <!--->.
_COMMENT = rb"<!--(?:-?+>|%b[^-]*+(?:-(?!-!?+>)[^-]*+)*+--!?+>)"
_CDATA = rb"<!\[CDATA\[[^\]]*+(?:\](?!\]>)[^\]]*+)*+\]\]>"
# A "<" that opens nothing, and what HTML calls a bogus comment, a DOCTYPE included: all end at the first ">".
_LONE = rb"<(?![A-Za-z/!?])"
_BOGUS = rb"<(?:/(?![A-Za-z])|!(?!--%b)|\?)[^>]*+>"

RAW = frozenset((b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes", b"plaintext"))
_FOREIGN = rb"/?+(?:svg|math)"
_OURS = rb"/?+(?:a|v:[^" + _WS + rb"/>]*+)|area|/(?:body|html)|" + rb"|".join(sorted(RAW)) + rb"|" + _FOREIGN
# HTML 13.2.6.5: start tags (and two end tags) that end SVG and MathML wherever they stand.
_BREAKOUT = (
    rb"b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|embed|h[1-6]|head|hr|i|img|li|listing|menu|meta|nobr|ol|"
    rb"p|pre|ruby|s|small|span|strong|strike|sub|sup|table|tt|u|ul|var|/p|/br"
)


def _dull(names: bytes, *others: bytes) -> re.Pattern[bytes]:
    """Whatever may be passed over up to the next tag with one of these names."""
    tag = rb"<(?!(?i:" + names + rb")[" + _WS + rb"/>])/?+" + _NAME + _REST
    return re.compile(rb"(?:" + rb"|".join((rb"[^<]++", tag, _LONE, *others)) + rb")*+")


_DULL = _dull(_OURS, _COMMENT % rb"(?!(?i:\[if))", _BOGUS % rb"")
_DULL_FOREIGN = _dull(_FOREIGN + rb"|" + _BREAKOUT, _COMMENT % rb"", _CDATA, _BOGUS % rb"|\[CDATA\[")
_TAG = re.compile(rb"<(/?+" + _NAME + rb")" + _REST)
_ANY_COMMENT = re.compile(_COMMENT % rb"")
_SELF_CLOSED = re.compile(rb"<" + _NAME + rb"(?:[" + _WS + rb"]++|/(?!>)|" + _ATTRIBUTE + rb")*+/>")
_INVISIBLE = re.compile(rb"|".join((_COMMENT % rb"", rb"</?+" + _NAME + _REST, _BOGUS % rb"")))
_RAW_END = {name: re.compile(rb"</" + name + rb"(?=[" + _WS + rb"/>])", re.IGNORECASE) for name in RAW}
# The dashes are left standing: in <!--> they open and close.
_IN_SCRIPT = re.compile(rb"(<!(?=--))|(-->)|<(/?+)script(?=[" + _WS + rb"/>])", re.IGNORECASE)


class What(Enum):
    """What the walk has come to."""

    START = "start tag"
    END = "end tag"
    COMMENT = "an Outlook comment opens"
    COMMENT_END = "it closes"
    UNCLOSED = "the document, or the Outlook comment, ends inside it"
    TOO_MANY = "more than MAX_PIECES; the walk ends"


class Piece(NamedTuple):
    """A tag, or another thing `What` names; `name` in lower case, without the slash."""

    what: What
    name: bytes
    start: int
    end: int


class Attribute(NamedTuple):
    """`name` in lower case; the value stands between `value` and `value_end`, without quotes (both `end`: none)."""

    name: bytes
    start: int
    end: int
    value: int
    value_end: int


def pieces(html: bytes, start: int = 0, end: int | None = None) -> Iterator[Piece]:
    """The tags of links (a, area, v:*), the end tags of body and html, and what is unclosed, in order."""
    at, end = start, len(html) if end is None else end
    for _ in range(MAX_PIECES):
        at = _skip(_DULL, html, at, end)
        if at == end:
            return
        tag = _TAG.match(html, at, end)
        if tag is None:
            comment = _ANY_COMMENT.match(html, at, end)
            if comment is None:
                yield Piece(What.UNCLOSED, b"", at, end)
                return
            yield Piece(What.COMMENT, b"", at, comment.end())
            yield from pieces(html, at + 4, html.rindex(b"--", at, comment.end()))
            yield Piece(What.COMMENT_END, b"", at, comment.end())
            at = comment.end()
            continue
        name, after = tag[1].lower(), tag.end()
        if name in RAW:
            after = _after_raw(name, html, after, end)
        elif name in (b"svg", b"math"):
            after = _after_foreign(html, at, end)
        elif name not in (b"/svg", b"/math"):
            yield Piece(What.END if name[:1] == b"/" else What.START, name.lstrip(b"/"), at, after)
        if after < 0:
            yield Piece(What.UNCLOSED, name, at, end)
            return
        at = after
    yield Piece(What.TOO_MANY, b"", at, end)


def named(*names: bytes) -> re.Pattern[bytes]:
    """What `attributes` wants to find attributes of these names."""
    name = rb"(?i:" + rb"|".join(names) + rb")(?=[" + _WS + rb"/>=]|\Z)"
    return re.compile(rb"(?:[" + _WS + rb"/]++|(?!" + name + rb")" + _ATTRIBUTE + rb")*+(" + name + rb")" + _SPOKEN)


def attributes(wanted: re.Pattern[bytes], html: bytes, tag: Piece) -> list[Attribute]:
    """Those attributes of a start tag that are `named`, in order, equal names included, up to MAX_ATTRIBUTES."""
    found: list[Attribute] = []
    at, end = tag.start + 1 + len(tag.name), tag.end - 1
    while len(found) < MAX_ATTRIBUTES and (spoken := wanted.match(html, at, end)):
        at = spoken.end()
        value, value_end = _value(html, spoken.end(1), at)
        found.append(Attribute(spoken[1].lower(), spoken.start(1), at, value, value_end))
    return found


def visible(markup: bytes) -> bytes:
    """What a person sees of `markup`: the text between the tags, character references as they are."""
    return _INVISIBLE.sub(b"", markup) if b"<" in markup else markup


def _skip(dull: re.Pattern[bytes], html: bytes, at: int, end: int) -> int:
    found = dull.match(html, at, end)
    return found.end() if found else at


def _value(html: bytes, name_end: int, end: int) -> tuple[int, int]:
    """Where the value of the attribute stands whose name ends at `name_end`."""
    at = html.find(b"=", name_end, end)
    if at < 0:
        return end, end
    at += 1
    while at < end and html[at] in b"\t\n\f\r ":
        at += 1
    return (at + 1, end - 1) if at < end and html[at] in b"\"'" else (at, end)


def _after_raw(name: bytes, html: bytes, at: int, end: int) -> int:
    """Where the end tag of the raw text element that begins before `at` stands; -1: nowhere."""
    if name == b"plaintext":
        return -1
    if name == b"script":
        return _after_script(html, at, end)
    found = _RAW_END[name].search(html, at, end)
    return found.start() if found else -1


def _after_script(html: bytes, at: int, end: int) -> int:
    # HTML 13.2.5.18-31: after <!-- a <script> inside the script hides one </script>, until -->.
    escaped = doubly = False
    for found in _IN_SCRIPT.finditer(html, at, end):
        if found[1]:
            escaped = True
        elif found[2]:
            escaped = doubly = False
        elif not found[3]:
            doubly = escaped
        elif not doubly:
            return found.start()
        else:
            doubly = False
    return -1


def _after_foreign(html: bytes, at: int, end: int) -> int:
    """Where SVG or MathML that begins at `at` ends, or is broken off by a tag of HTML; -1: nowhere."""
    depth, opening = 0, b""
    while tag := _TAG.match(html, at, end):
        name = tag[1].lower()
        opening = opening or name
        if name == opening:
            depth += _SELF_CLOSED.match(html, at, end) is None
        elif name == b"/" + opening:
            depth -= 1
        elif name not in (b"svg", b"math", b"/svg", b"/math"):
            return at
        if depth == 0:
            return tag.end()
        at = _skip(_DULL_FOREIGN, html, tag.end(), end)
    return -1


_REFERENCE = re.compile(r"&(?:#(?:[xX]([0-9a-fA-F]++)|([0-9]++));?+|([A-Za-z][A-Za-z0-9]*+)(;?+)(=?+))")


def unescape(value: str) -> str:
    """The value of an attribute with its character references replaced; HTML 13.2.5.72-80."""
    return _REFERENCE.sub(_meant, value) if "&" in value else value


def _meant(reference: re.Match[str]) -> str:
    hexadecimal, decimal, name, semicolon, equals = reference.groups()
    if name is None:
        return _numbered(hexadecimal.lstrip("0"), 16) if hexadecimal else _numbered(decimal.lstrip("0"), 10)
    # HTML 13.2.5.73: in an attribute &copy=1 and &copying are text, for the sake of old links; &copy; and &copy/ not.
    meant = None if equals and not semicolon else html5.get(name + semicolon)
    return reference[0] if meant is None else meant + equals


def _numbered(digits: str, base: int) -> str:
    """The character of that number; HTML 13.2.5.80 says what the impossible ones are."""
    number = int(digits or "0", base) if len(digits) < 8 else 0
    if 0x80 <= number <= 0x9F:
        return bytes((number,)).decode("cp1252", "replace").replace("\ufffd", chr(number))
    return "\ufffd" if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF else chr(number)
