"""A server's reply, taken apart: reply codes, enhanced codes, and its words in a form that rules can be held against.

Pure, and linear in the length of the reply; what lies beyond `LOOKED_AT` characters is not looked at.
It judges nothing: `replies` does.

Rules. No code is invented, and digits of an address (`192.0.2.5`, `5.1.1.1`) are no code. An e-mail address is not
words: `<user.unknown@example.com>` says nothing. Of a host's name only the last labels are words, because what stands
in front (`mx-spam.example.com`) is somebody's taste in names; an IP address is the word `ipaddress`.
Standards: RFC 5321 4.2 (replies), RFC 3463 2 and RFC 2034 4 (enhanced codes).
"""

import re
import unicodedata
from dataclasses import dataclass

LOOKED_AT = 2000  # characters of a reply

# RFC 3463 2. In front of a code and behind it there is no digit and no dot with a digit: that would be an IP address.
_ENHANCED = re.compile(r"(?<![\w.])[245]\.\d{1,3}\.\d{1,3}(?!\.?\d)(?!\w)")
_CODE = re.compile(r"(?<![\w.:/-])[2-5][0-5]\d(?![\w.:/])")
_OPENING_CODE = re.compile(r"\s*([2-5]\d\d)(?:[ -]|$)")  # there, any number is meant as one
# Each begins where a word begins, so that a long line is walked once.
_ADDRESS = re.compile(r"(?<![^\s<>(\"':;,=])[^\s<>@(\"':;,=]*+@(?:[\w-]+\.)*+[\w-]*")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:[.]\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])")
_HOST = re.compile(r"(?<![\w.-])(?:[\w-]{1,63}\.){1,9}([\w-]{1,63}\.[a-z]{2,6})(?![\w-]|\.\w)")
_COUNTRY_HOST = re.compile(r"[a-z]{2,3}\.[a-z]{2}")  # "co.jp": one label more is needed to say anything
_LINK = re.compile(r"https?://\S+")
_BRITISH = re.compile(r"is(?=e[ds]?\b|ation)")  # "authorised" is "authorized"
# What the server in between says around the reply that it passes on.
_FRAME = re.compile(
    r"giving up on \S*|(?<!\S)(?:[\d.]{7,15} )?does not like recipient\.|remote host said:|remote server returned:?"
    r"|did not like our (?:rcpt to|mail from|data)|\(in reply to [^()]{1,40}\)"
    r"|smtp error from remote mail ?server after [^:]{1,80}:|unknown address error (?=['\d])"
    r"|\bhost [\w-]{1,63}\.[\w.-]{1,255} ?(?:\[[^\[\]]{1,60}\])?(?: said)?:"
    r"|i'm not going to try again[^.]{0,80}"
    r"|primary target ip address responded with:"
)
_WORD = re.compile(r"[^\W_]+")
# Letters whose mark is a part of them, so that NFKD leaves it: Turkish, Polish, Danish, German.
_MARKED = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae"})


@dataclass(frozen=True, slots=True)
class Parts:
    """A reply taken apart."""

    code: str  # the first reply code: "550"; "": none
    enhanced: tuple[str, ...]  # in the order in which they stand there, each once, without those of class 2
    words: str  # " mailbox full ": small letters, one blank between words and around them
    text: str  # the reply in small letters, without links: what addresses of ours are looked for in


def read(reply: str, status: str = "") -> Parts:
    """`reply` taken apart; `status` is a DSN's Status field, which counts after the codes inside the reply."""
    text = reply[:LOOKED_AT].lower()
    opening = _OPENING_CODE.match(text)
    if opening:
        code = opening[1]
        text = text[opening.end(1) :]
    else:
        code = next((found[0] for found in _CODE.finditer(text)), "")
    text = _FRAME.sub(" ", text)
    enhanced = dict.fromkeys(_ENHANCED.findall(text))
    if _ENHANCED.fullmatch(status):
        enhanced[status] = None
    kept = tuple(each for each in enhanced if each[0] != "2")
    return Parts(code, kept, words(_ENHANCED.sub(" ", text)), _LINK.sub(" ", text) if "://" in text else text)


def words(text: str) -> str:
    """The words of `text` as `Parts.words` has them."""
    text = plain(text)
    if "@" in text:
        text = _ADDRESS.sub(" ", text)
    text = _IPV4.sub(" ipaddress ", text)
    if text.count(":") > 2:
        text = _IPV6.sub(" ipaddress ", text)
    text = _HOST.sub(_last_labels, text)
    return f" {' '.join(_WORD.findall(text))} ".replace("  ", " ")


def plain(text: str) -> str:
    """Small letters, American spelling, without accents, apostrophes and the hyphen of "e-mail"."""
    text = text.lower()
    if not text.isascii():
        # Every script loses its marks here, rules and replies alike, so that they still meet.
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        text = text.translate(_MARKED).replace("\u2019", "'")
    return _BRITISH.sub("iz", text.replace("'", "").replace("e-mail", "email"))


def _last_labels(host: "re.Match[str]") -> str:
    if _COUNTRY_HOST.fullmatch(host[1]):
        return " ".join(host[0].split(".")[-3:])
    return host[1]
