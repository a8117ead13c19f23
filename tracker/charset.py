"""In which charsets HTML can be read by its bytes, and what in them must not be taken for markup.

Decodes no document. The name of a charset is what browsers take it for: `iso-8859-1` is
windows-1252, `gb2312` is gbk. In the charsets named here a byte below 0x80 is ASCII unless
it is the second half of a character; `masked` covers such halves, at equal length, so that
offsets stay true. All others (UTF-16, UTF-7, EBCDIC, what nobody knows) are not read.
Standards: WHATWG Encoding 4.2 (labels), RFC 1468 (ISO-2022-JP).
"""

import re
from functools import lru_cache

ASCII = "us-ascii"

_BROWSERS = {  # label → codec, where Python has another idea of the label than browsers have
    "": ASCII,
    "ascii": ASCII,
    "ansi_x3.4-1968": ASCII,
    "utf8": "utf-8",
    "latin1": "cp1252",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "gb2312": "gbk",
    "gb_2312-80": "gbk",
    "x-gbk": "gbk",
    "big5": "big5hkscs",
    "big5-hkscs": "big5hkscs",
    "cn-big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ms_kanji": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "iso-8859-8-i": "iso-8859-8",
}
_SAME = {
    *("us-ascii", "utf-8", "gbk", "gb18030", "euc-jp", "iso-2022-jp", "koi8-r", "koi8-u", "cp866", "ibm866", "cp1252"),
    *(f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    *(f"windows-125{page}" for page in range(9)),
}

# Lead and second byte: the second may look like a letter, a digit, a bracket or a backslash.
_PAIR = {
    "cp932": re.compile(rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]"),
    "gbk": re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]"),
    "gb18030": re.compile(rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39](?=[\x81-\xfe][\x30-\x39]))"),
    "big5hkscs": re.compile(rb"[\x81-\xfe][\x40-\x7e\xa1-\xfe]"),
    "cp949": re.compile(rb"[\x81-\xfe][\x41-\x5a\x61-\x7a\x81-\xfe]"),
}
# RFC 1468: ESC $ begins characters of two bytes, which look like any ASCII; so does ESC ( I (katakana).
_SHIFTED = re.compile(rb"\x1b(?:\$\([A-Z]|\$[@AB]|\(I)[^\x1b]*+")


@lru_cache(maxsize=256)
def codec(charset: str) -> str | None:
    """Python's name for `charset`, None if HTML in it is not read."""
    label = charset.strip("\t\n\f\r \"'").lower()
    return _BROWSERS.get(label) or (label if label in _SAME else None)


def masked(html: bytes, name: str) -> bytes | None:
    """`html` in the codec `name` with nothing in it that only looks like markup, byte under byte; None: unclear."""
    # Encoding 6: a byte order mark outweighs every label.
    if html.startswith((b"\xfe\xff", b"\xff\xfe")):
        return None
    if name == "iso-2022-jp":
        return _unshifted(html)
    if html.isascii():
        return html
    if name == "gb18030":
        html = _PAIR[name].sub(b"\xff\xff", html)  # of four bytes the other two are a pair of the same kind
    pair = _PAIR.get(name)
    return pair.sub(b"\xff\xff", html) if pair else html


def _unshifted(html: bytes) -> bytes | None:
    # RFC 1468: a line ends in ASCII, and so does the text. Where one does not, nobody knows where the next one begins.
    if not html.isascii() or any(b"\n" in run for run in _SHIFTED.findall(html)):
        return None
    covered = _SHIFTED.sub(lambda run: b"\xff" * len(run[0]), html)
    return None if covered.endswith(b"\xff") else covered
