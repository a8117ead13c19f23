"""Octets of a message as text: transfer encodings, charsets, encoded words, HTML.

What it does not do: find out which octets are which; that is `letter.py`. It reads for judgement, not for show:
what cannot be decoded is replaced, a wrong charset is guessed around, of HTML the words and the lines are kept.

Rules: bounded by what it is given, linear, never raises. Only charsets named here are looked up: Python knows
codecs (`punycode`, `idna`, `unicode_escape`) that mail has no use for and that are slow on purpose-made input.
Standards: RFC 2045 6 (transfer encodings), RFC 2047 (encoded words), RFC 2046 4.1.2 (charsets).
"""

import binascii
import html
import re

_CHARSET = re.compile(
    r"(?:us-?ascii|utf-?(?:7|8|16|32)(?:-?[bl]e)?|(?:x-)?(?:iso|latin)[-_]?\d[\w-]*|(?:windows|cp|ibm)-?\d+|koi8-?[rut]"
    r"|gb(?:2312|k|18030)|big5(?:-?hkscs)?|hz|(?:x-)?euc[-_](?:jp|kr|cn)|(?:x-)?s(?:hift[-_]?)?jis|ks_c_5601(?:-1987)?"
    r"|tis-?620|mac(?:intosh|-?roman))\Z",
    re.IGNORECASE,
)
_ALIASES = {"ks_c_5601-1987": "cp949", "gb2312": "gb18030", "x-sjis": "cp932", "shift_jis": "cp932", "sjis": "cp932"}
_ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,40}+)(?:\*[^?\s]{0,40}+)?\?([bBqQ])\?([^?]{0,1000}+)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s{1,80}+(?==\?)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_HUGE_ENTITY = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}+;?")
_TAG = re.compile(r"<([^<>]*+)>")
_ENDS_LINE = re.compile(r"/?(?:br|p|div|tr|table|li|ul|ol|h[1-6]|blockquote|pre|title|hr|dt|dd)\b", re.IGNORECASE)
_HIDDEN = (("<!--", "-->", 3), ("<style", "</style", 0), ("<script", "</script", 0))  # from, to, how much of that


def transferred(octets: bytes, encoding: str) -> bytes:
    """RFC 2045 6: `octets` without their Content-Transfer-Encoding; what is not encoded as it says, as it is."""
    match encoding.strip().lower():
        case "quoted-printable":
            return binascii.a2b_qp(octets)
        case "base64":
            return _from_base64(octets)
    return octets


def _from_base64(octets: bytes) -> bytes:
    first_line = octets.strip()[:76]
    if b" " in first_line or b"@" in first_line:
        return octets  # a gateway has put plain words where the encoded text was
    letters = _NOT_BASE64.sub(b"", octets.split(b"=", 1)[0])
    rest = len(letters) % 4
    letters = letters[: len(letters) - 1] if rest == 1 else letters + b"=" * (-rest % 4)
    return binascii.a2b_base64(letters)


def decoded(octets: bytes, charset: str = "") -> str:
    """`octets` as text. A charset that is missing, unknown or plainly wrong is guessed: JIS, UTF-8, Windows."""
    name = charset.strip().strip("'\"").lower()
    if b"\x1b$" in octets and not name.startswith(("iso-2022", "utf-7", "hz")):
        name = "iso-2022-jp"
    elif octets.isascii() and not name.startswith(("iso-2022", "utf-", "hz")):
        return octets.decode("ascii")
    elif name in ("", "us-ascii", "ascii") or not _CHARSET.match(name):
        name = "utf-8"
        try:
            return octets.decode(name)
        except UnicodeDecodeError:
            name = "windows-1252"
    try:
        return octets.decode(_ALIASES.get(name, name), "replace")
    except (LookupError, UnicodeError):  # a number that Python has no charset for; UTF-16 cut in two
        return octets.decode("latin-1")


def without_encoded_words(value: str) -> str:
    """RFC 2047: the value of a header field with its encoded words decoded."""
    if "=?" not in value:
        return value
    # RFC 2047 6.2: blanks between two encoded words are not shown.
    return _ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", value))


def _word(found: re.Match[str]) -> str:
    charset, encoding, written = found.groups()
    octets = written.encode("ascii", "replace")
    if encoding in "bB":
        return decoded(_from_base64(octets), charset)
    # RFC 2047 4.2: "_" is a blank.
    return decoded(binascii.a2b_qp(octets.replace(b"_", b" ")), charset)


def words_of_html(text: str) -> str:
    """What a person sees of HTML, line by line. `<user@example.com>` is no tag, although it looks like one."""
    for start, end, skipped in _HIDDEN:
        text = _without(text, start, end, skipped)
    text = _TAG.sub(_shown, text.replace("\n", " "))
    return html.unescape(_HUGE_ENTITY.sub("", text)).replace("\xa0", " ")


def _without(text: str, start: str, end: str, skipped: int) -> str:
    """`text` without all from `start` to `end` and `skipped` characters of that; an open one hides nothing."""
    lower = text.lower()
    if len(lower) != len(text) or start not in lower:
        return text
    kept, position = [], 0
    while (begin := lower.find(start, position)) >= 0 and (close := lower.find(end, begin)) >= 0:
        kept.append(text[position:begin])
        position = close + skipped
    return "".join([*kept, text[position:]])


def _shown(tag: re.Match[str]) -> str:
    inside = tag[1]
    if "@" in inside and "=" not in inside and " " not in inside:
        return tag[0]
    if _ENDS_LINE.match(inside):
        return "\n"
    return " " if inside[:3].lower() in ("td", "/td", "th ", "/th") else ""
