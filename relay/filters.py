"""Filters: the words with which people choose deliveries, read into a value.

    status:deferred,soft_bounce domain:gmail.com -tag:newsletter after:7d subject:"receipt 47" ada

One language for the command line and (later) the web page. A filter is a list of terms, and a
delivery is chosen when every term holds; the comma offers alternatives inside a term; `-` or `!`
in front turns a term round; `=` before the value asks for the whole value instead of a part of
it; quotes keep blanks, commas and colons. A word without a key is looked for in the recipient,
the sender and the subject. Dates are relative (`30m`, `24h`, `7d`, `2w` ago), days, or days with
a time; without an offset they are read in the caller's zone.

Does not know SQL (`relay/store/search.py`) and never touches a database. Pure: `now` is an
argument. Fails with `FilterError`: what is wrong, and what was probably meant; a word that is not
understood is never passed over, because these filters also cancel mail.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from relay.address import Address
from relay.delivery import Status

KEYS = {
    "to": "part of the recipient's address",
    "from": "part of the sender's address (From, or the reverse-path)",
    "subject": "part of the subject",
    "tag": "part of the tag",
    "status": "one of the statuses (mailtrail help statuses)",
    "class": "part of the reason class: bad_mailbox, throttled, network, …",
    "domain": "the recipient's domain or one above it; one label finds it anywhere",
    "mx": "part of the name or address of the server that answered last",
    "code": "the reply code, or how it begins: 550, 45, 4",
    "dsn": "the enhanced code, or how it begins: 5.1.1, 5.7, 4",
    "cred": "part of the credential's name",
    "id": "the queue id",
    "msgid": "part of the Message-ID",
    "after": "received then or later: 24h, 7d, 2026-11-20, 2026-11-20T18:00+01:00",
    "before": "received before that",
}
ANY = "any"  # the key of a word without one
MAX_LENGTH = 1000  # characters of one value; no address, subject part or id that anyone types is longer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_KEY = re.compile(r"([A-Za-z_]+):")
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_DSN = re.compile(r"[245](\.\d{1,3}){0,2}")
_CODE = re.compile(r"[2-5](\d{0,2}|[xyz]{2}|\d[xyz])")
_PLAIN = re.compile(r"[^\s\",=!-][^\s\",]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class FilterError(ValueError):
    """The filter cannot be understood: `str(error)` says what, `hint` what to type instead."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `values` are alternatives; `at` (Unix seconds) is the moment of `after` and `before`."""

    key: str
    values: tuple[str, ...] = ()
    negated: bool = False
    exact: bool = False
    at: float | None = None

    def __str__(self) -> str:
        sign = "-" if self.negated else ""
        key = "" if self.key == ANY else f"{self.key}:"
        if self.at is not None:
            return f"{sign}{key}{datetime.fromtimestamp(self.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        equals = "=" if self.exact else ""
        return sign + key + equals + ",".join(_quoted(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Filter:
    """Terms that must all hold; without terms it chooses everything. `str()` gives text that parses to it again."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def and_(self, *terms: Term) -> "Filter":
        """This filter, narrowed by `terms`."""
        return Filter(self.terms + terms)


def parse(text: str | list[str], now: float, zone: tzinfo = UTC) -> Filter:
    """The filter that `text` (or several texts, all of which must hold) describes.

    `now` is in Unix seconds, for relative dates; `zone` is for dates without an offset.
    Raises `FilterError`.
    """
    texts = [text] if isinstance(text, str) else text
    return Filter(tuple(term for one in texts for term in _Reader(one, now, zone).terms()))


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, now: float, zone: tzinfo) -> None:
        if _CONTROL.search(text.replace("\t", " ").replace("\n", " ")):
            raise FilterError("a filter cannot contain control characters or broken UTF-8")
        self._text = text
        self._at = 0
        self._now = now
        self._zone = zone

    def terms(self) -> list[Term]:
        terms = []
        while self._skip_blanks():
            terms.append(self._term())
        return terms

    def _term(self) -> Term:
        start = self._at
        negated = self._take("-") or self._take("!")
        key = ANY
        if found := _KEY.match(self._text, self._at):
            key = _known_key(found[1])
            self._at = found.end()
        exact = self._take("=")
        values = [self._value(start)]
        while key != ANY and self._take(","):
            values.append(self._value(start))
        if self._at < len(self._text) and not self._text[self._at].isspace():
            raise FilterError(f"cannot read {self._text[start:]!r}", 'put the value in quotes: subject:"a, b"')
        return _checked(Term(key, tuple(values), negated, exact), self._now, self._zone)

    def _value(self, start: int) -> str:
        """One value, quoted or not; there must be one."""
        value = self._quoted() if self._take('"') else self._unquoted()
        if not value.strip():
            raise FilterError(f"{self._text[start:].split()[0]!r} has no value after it")
        if len(value) > MAX_LENGTH:
            raise FilterError(f"a value of {len(value)} characters is too long, the limit is {MAX_LENGTH}")
        return value

    def _unquoted(self) -> str:
        found = _PLAIN.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    def _quoted(self) -> str:
        kept: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char == '"':
                return "".join(kept)
            if char == "\\" and self._text[self._at : self._at + 1] in ('"', "\\"):
                char = self._text[self._at]
                self._at += 1
            kept.append(" " if char in "\t\n" else char)
        raise FilterError("a quote is opened and never closed", 'close it: subject:"receipt 47"')

    def _skip_blanks(self) -> bool:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at < len(self._text)

    def _take(self, char: str) -> bool:
        taken = self._text.startswith(char, self._at)
        self._at += taken
        return taken


def _known_key(written: str) -> str:
    key = written.lower()
    if key in KEYS:
        return key
    near = did_you_mean(key, KEYS)
    hint = f"did you mean {near}: ?" if near else f"the filters are {', '.join(KEYS)}; quote a word that has a colon"
    raise FilterError(f"unknown filter {written}:", hint)


def _checked(term: Term, now: float, zone: tzinfo) -> Term:
    """`term` with its values in the form in which they are stored, or `FilterError`."""
    if term.key in ("after", "before"):
        if len(term.values) > 1 or term.exact:
            raise FilterError(f"{term.key}: takes one moment")
        return Term(term.key, (), term.negated, at=_moment(term.key, term.values[0], now, zone))
    convert = _CONVERSIONS.get(term.key)
    return Term(term.key, tuple(map(convert, term.values)), term.negated, term.exact) if convert else term


def _status(value: str) -> str:
    word = value.lower().replace("-", "_")
    if word in set(Status):
        return word
    near = did_you_mean(word, list(Status))
    raise FilterError(f"unknown status {value!r}", f"did you mean status:{near} ?" if near else ", ".join(Status))


def _domain(value: str) -> str:
    """As deliveries keep their destination: lower-case A-labels."""
    return Address("", value.strip(".@") or value).destination


def _code(value: str) -> str:
    if not _CODE.fullmatch(value.lower()):
        raise FilterError(f"{value!r} is not a reply code", "code:550, code:45 or code:4")
    return value.lower().rstrip("xyz")


def _dsn(value: str) -> str:
    if not _DSN.fullmatch(value.rstrip(".")):
        raise FilterError(f"{value!r} is not an enhanced code", "dsn:5.1.1, dsn:5.7 or dsn:4")
    return value.rstrip(".")


_CONVERSIONS = {"status": _status, "domain": _domain, "code": _code, "dsn": _dsn, "id": str.lower}


def _moment(key: str, value: str, now: float, zone: tzinfo) -> float:
    """The moment that `value` names, in whole Unix seconds."""
    if ago := _AGO.fullmatch(value.lower()):
        return float(int(now - int(ago[1]) * _UNITS[ago[2]]))
    try:
        when = datetime.fromisoformat(value)
        # Beyond what a clock can show (year 1 in another zone): an OverflowError.
        return float(int((when if when.tzinfo else when.replace(tzinfo=zone)).timestamp()))
    except (ValueError, OverflowError):
        raise FilterError(
            f"{value!r} is not a moment", f"{key}:24h, {key}:7d, {key}:2026-11-20 or {key}:2026-11-20T18:00+01:00"
        ) from None


def seconds(text: str) -> float:
    """How long `text` is: `90s`, `10m`, `24h`, `7d`, `2w`. Raises `FilterError`."""
    if found := _AGO.fullmatch(text.lower()):
        return float(int(found[1]) * _UNITS[found[2]])
    raise FilterError(f"{text!r} is not a length of time", "90s, 10m, 24h, 7d or 2w")


def did_you_mean(word: str, known: "list[str] | list[Status] | dict[str, str]") -> str | None:
    """The known word nearest to `word`, if one is near."""
    import difflib  # only a mistake needs it, and every command pays for imports

    near = difflib.get_close_matches(word, [str(one) for one in known], 1, 0.6)
    return near[0] if near else None


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value) and not _KEY.match(value) and "\\" not in value:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
