"""Where a link leads, and whether a click on it is counted.

Does not look for links (html.py) and does not change them (rewrite.py).

Tracked is what leads to the web: http and https, absolute, with a host a browser would
accept. Not tracked, on purpose: what opts out (our attribute and the peers'), what
unsubscribes, what shows a URL as its text (mail programs warn of a fraud when text and
target differ), what a template forgot to fill in, links with a password in them, and what
we cannot say for certain where it leads.
Standards: WHATWG URL 4.4 (how a browser reads a URL), UTS 46 (hosts), HTML 13.2.5.72.
Never raises.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from html import unescape as text_of
from urllib.parse import quote, quote_from_bytes, unquote

import idna

from tracker.charset import ASCII
from tracker.html import Attribute, named, unescape, visible

MAX_WRITTEN = 16_384  # octets of an href that are looked at; longer ones stay
MAX_SHOWN = 4_096  # octets of a link's text that are looked at

# Postmark, SendGrid, Mailgun, SES and SparkPost, and our own: the value that does not opt out, where there is one.
_OPT_OUTS = {
    b"data-mailtrail-track": re.compile(rb"(?i)no|off|0|false"),
    b"clicktracking": re.compile(rb"(?i)no|off|0|false"),
    b"data-pm-no-track": re.compile(rb".*", re.DOTALL),
    b"disable-tracking": re.compile(rb"(?i)(?!(?:no|off|0|false)\Z).*", re.DOTALL),
    b"ses:no-track": re.compile(rb".*", re.DOTALL),
    b"data-msys-clicktrack": re.compile(rb"(?i)no|off|0|false"),
}
WANTED = named(b"href", *_OPT_OUTS)

# URL 4.4: the blanks and controls around a URL do not count, tabs and line ends nowhere.
_AROUND = "".join(map(chr, range(0x21)))
_INSIDE = str.maketrans("", "", "\t\n\r")
_WEB = re.compile(r"(https?)://([^/\\?#]*+)([^?#]*+)(\?[^#]*+)?+(#.*+)?+", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"([A-Za-z0-9._-]*[A-Za-z0-9_-]\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")
# URL 1.3: what path, query and fragment all have in their percent-encode sets.
_SAFE = "".join(map(chr, range(0x21, 0x7F))).translate({ord(char): None for char in '"<>'})
_CLEAN = re.compile(r"[!#-;=?-~]++")
_LEFTOVER = re.compile(r"\{\{|\}\}|\{%|[$#]\{|\*\||\|\*|\[\[|\]\]|<%|%>|%%|\{[A-Za-z_][A-Za-z0-9_.]*+\}")

_SHOWS_URL = re.compile(r"https?://|www\.\S|(?:[\w-]+\.)++[a-z][a-z-]{0,61}[a-z](?::\d+)?(?:[/?#]\S*+)?\Z")
_UNSEEN = {0xAD: None, 0x200B: None, 0x200C: None, 0x200D: None, 0x2060: None, 0xFEFF: None}
_BRACKETS = "<>()[]{}\"'«»„“”‚‘’.,;:!→›➜ \t\r\n\f\xa0"

# In lower case without accents: English; German, Dutch; French, Italian; Spanish, Portuguese; Polish. Every word begins
# with letters of its own, so that the search is one fast pass.
_GAP = r"[-_+ /]"
_UNSUBSCRIBES = re.compile(
    rf"unsub(?:scri|(?![a-z]))|opt{_GAP}?out(?![a-z])"
    rf"|abmelde|abmeldung|abzumelden|abbestell|abzubestellen|austragen(?![a-z])|afmeld|uitschrijv"
    rf"|desabonn|desinscri|disiscri|(?:annull|cancell)\w{{0,4}}{_GAP}(?:\w{{1,4}}{_GAP})?(?:l['’])?iscrizion"
    rf"|(?:dar|date|dado)\w{{0,4}}{_GAP}de{_GAP}baja|desuscri|(?:cancel|anul)\w{{0,4}}{_GAP}(?:\w{{1,4}}{_GAP})?su[bs]\w?crip"
    rf"|descadastr|cancelar?{_GAP}(?:\w{{1,4}}{_GAP})?(?:inscric|assinatura|subscric)"
    rf"|wypisz(?![a-z])|wypisac|rezygnuj{_GAP}|rezygnacj|anuluj{_GAP}subskr|odsubskry"
)


def too_long(value: bytes) -> bool:
    """Does this `href` lead to the web, but in more octets than are looked at?"""
    return len(value) > MAX_WRITTEN and value[:64].strip()[:4].lower() == b"http"


def target(value: bytes, name: str) -> str | None:
    """Where a browser goes from an `href` with this value in a document of the codec `name`; None: not tracked.

    In ASCII: percent-encoded where a browser would do it, the query in the charset of the document.
    """
    text = _written(value, name)
    web = _WEB.fullmatch(text) if text and not _LEFTOVER.search(text) else None
    host = _host(web[2]) if web else None
    if web is None or host is None:
        return None
    path, query, fragment = web[3].replace("\\", "/"), web[4] or "", web[5] or ""
    if _CLEAN.fullmatch(text):
        return f"{web[1].lower()}://{host}{path}{query}{fragment}"
    return f"{web[1].lower()}://{host}{_quoted(path)}{_query(query, name)}{_quoted(fragment)}"


def opted_out(attributes: Iterable[Attribute], html: bytes) -> bool:
    """Does one of them say that this link is not to be tracked? The first of two equal names counts."""
    first: dict[bytes, bytes] = {}
    for attribute in attributes:
        first.setdefault(attribute.name, html[attribute.value : attribute.value_end].strip())
    return any(name in _OPT_OUTS and _OPT_OUTS[name].fullmatch(value) is not None for name, value in first.items())


def shown(markup: bytes, name: str) -> str:
    """The text a person sees for a link whose content is `markup`."""
    text = text_of(visible(markup)[:MAX_SHOWN].decode("utf-8" if name == ASCII else name, "replace"))
    return " ".join(text.translate(_UNSEEN).split())


def shows_url(text: str) -> bool:
    """Is the text of a link itself a URL, or the bare name of a host?"""
    return "." in text and _SHOWS_URL.match(text.strip(_BRACKETS).lower()) is not None


def unsubscribes(said: str, text: str, known: Collection[str]) -> bool:
    """Does a link to the target `said`, with this text, unsubscribe? `known`: the URLs of List-Unsubscribe."""
    if said in known or _UNSUBSCRIBES.search(_plain(text)):
        return True
    after_scheme = said[8:]
    return _UNSUBSCRIBES.search(_plain(unquote(after_scheme) if "%" in after_scheme else after_scheme)) is not None


def _written(value: bytes, name: str) -> str:
    """The URL an attribute's value says, "" if it cannot be told."""
    if len(value) > MAX_WRITTEN or b"\0" in value:
        return ""
    try:
        text = value.decode(name)
    except UnicodeDecodeError:
        return ""
    return unescape(text).strip(_AROUND).translate(_INSIDE)


def _host(written: str) -> str | None:
    """URL 3.5: the host and port as a browser would ask for them. User names and passwords are nobody's to keep."""
    if not written.isascii():
        host, colon, port = written.partition(":")
        try:
            written = idna.encode(host, uts46=True).decode("ascii") + colon + port
        except (idna.IDNAError, UnicodeError):
            return None
    return written if _HOST.fullmatch(written) else None


def _quoted(text: str) -> str:
    return quote(text, safe=_SAFE)


def _query(text: str, name: str) -> str:
    # URL 1.3: a query is written in the charset of the document, and a character that is not in it as &#NUMBER;.
    if text.isascii() or name in ("utf-8", ASCII):
        return _quoted(text)
    octets = b"".join(char.encode(name) if _fits(char, name) else b"%%26%%23%d%%3B" % ord(char) for char in text)
    return quote_from_bytes(octets, safe=_SAFE)


def _fits(char: str, name: str) -> bool:
    try:
        char.encode(name)
    except UnicodeEncodeError:
        return False
    return True


def _plain(text: str) -> str:
    """In lower case, without accents."""
    if text.isascii():
        return text.lower()
    return "".join(char for char in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(char))
