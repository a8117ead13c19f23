"""classify: what a server's refusal means, as one class.

    hard inactive full size soft rate block auth spam virus policy relay protocol   or unclassified

`hard`: the address or its domain is dead. `inactive`: the mailbox is there and closed. What follows from a class is in
`rules`. Nothing is looked up, nothing is kept, and every reply has a class.

The rules are tables (`evidence/*.toml`), read in the order of their names, and the first rule that fits wins:

    an operator's own   `use("/etc/mailtrail/replies.toml")`
    1_numbers           codes that one provider alone uses
    2_sender            what is said about us: "your IP is listed; user unknown" condemns nobody
    2_terms             what they ask of us: an address that can be answered, a login, a form, leave
    2_tongues           the same in other languages
    (our own address)   quoted in a refusal: it is us they refuse
    3_providers         the words of one provider
    4_recipient         what is said about the mailbox; but for the plainest words, only in a reply that is not 4yz
    4_trouble           what is said about their system and the way there
    5_codes             codes alone, the vague ones last

A rule has a `class`, a `note`, and one or more of

    words    phrases (`phrase`); one of them must be said
    unless   phrases; none of them may be said
    status   enhanced codes: "5.1.1", "x.2.2" (4 or 5), "5.7.*"
    code     reply codes: "552", "4yz", "" (none)
    host     names or parents of the server that said it
    kind     a finer word: domain, greylisting, dns, network, busy

and fits when all that it has fit. A table that cannot be read raises `BadRules`, which names the file and the rule.
Standards: RFC 5321 4.2, RFC 3463 and the registry of its codes, RFC 7372, RFC 7505.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from suppression.phrase import Phrase
from suppression.reply import Parts, read

CLASSES = frozenset(
    {"hard", "inactive", "full", "size", "soft", "rate", "block", "auth", "spam", "virus", "policy", "relay"}
    | {"protocol", "unclassified"}
)
_EVIDENCE = Path(__file__).parent / "evidence"
_BEFORE_OUR_ADDRESS = "2_tongues"
_STATUS = re.compile(r"[45x]\.\d{1,3}\.(?:\d{1,3}|\*)")
_REPLY_CODE = re.compile(r"[45]\d\d|[45]yz|")
_KEYS = ("class", "note", "words", "unless", "status", "code", "host", "kind")


class BadRules(Exception):
    """A table of rules is wrong; the message names its file and the rule."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A class, and why."""

    cls: str
    rule: str  # the table and what fitted: 'recipient: "no such user"'; "": no rule
    note: str = ""  # what the rule says in words
    kind: str = ""  # a finer word where there is one: domain, greylisting, dns, network, busy


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a table."""

    cls: str
    note: str
    table: str
    kind: str = ""
    words: tuple[Phrase, ...] = ()
    unless: tuple[Phrase, ...] = ()
    status: frozenset[str] = frozenset()
    code: frozenset[str] = frozenset()
    host: tuple[str, ...] = ()

    def fits(self, parts: Parts, codes: "Codes", mx_host: str, phrases: Iterable[Phrase]) -> Judgement | None:
        """The judgement, if everything fits; `phrases` are those of `words` that may be said."""
        if (self.status and not self.status & codes.enhanced) or (self.code and not self.code & codes.reply):
            return None
        if self.host and not any(mx_host == host or mx_host.endswith("." + host) for host in self.host):
            return None
        said = next((phrase.text for phrase in phrases if phrase.fits(parts.words)), None)
        if (self.words and said is None) or any(phrase.fits(parts.words) for phrase in self.unless):
            return None
        what = f'"{said}"' if said else " ".join(sorted(self.status & codes.enhanced or self.code))
        return Judgement(self.cls, f"{self.table}: {what}", self.note, self.kind)


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of a reply in every way in which a rule can write them."""

    enhanced: frozenset[str]
    reply: frozenset[str]

    @classmethod
    def of(cls, parts: Parts) -> "Codes":
        """`5.1.1` is also `x.1.1`, `5.1.*` and `x.1.*`; `550` is also `5yz`, and so is `5.1.1` where no code is."""
        enhanced: set[str] = set()
        digit = parts.code[:1]
        for code in parts.enhanced:
            first, subject, _ = code.split(".")
            enhanced.update((code, "x" + code[1:], f"{first}.{subject}.*", f"x.{subject}.*"))
            digit = digit or first
        reply = {parts.code, f"{digit}yz"} if parts.code else {f"{digit}yz"} if digit else {""}
        return cls(frozenset(enhanced), frozenset(reply))


@dataclass(frozen=True)
class Table:
    """Rules in order, and where to begin: a rule is looked at only if a word or a code of it is in the reply."""

    rules: tuple[Rule, ...]
    sender: int  # how many of them come before our own address
    _words: dict[str, list[tuple[int, Phrase]]] = field(default_factory=dict)
    _anywhere: list[tuple[int, Phrase]] = field(default_factory=list)  # phrases without a whole word
    _foreign: list[tuple[int, Phrase]] = field(default_factory=list)  # the same, in letters beyond ASCII
    _status: dict[str, list[int]] = field(default_factory=dict)
    _code: dict[str, list[int]] = field(default_factory=dict)
    _host: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, rule in enumerate(self.rules):
            if rule.words:
                for phrase in rule.words:
                    for word in phrase.handles:
                        self._words.setdefault(word, []).append((number, phrase))
                    if not phrase.handles:
                        (self._anywhere if phrase.text.isascii() else self._foreign).append((number, phrase))
            elif rule.status or rule.code:
                index = self._status if rule.status else self._code
                for code in rule.status or rule.code:
                    index.setdefault(code, []).append(number)
            else:
                self._host.append(number)

    def judge(self, parts: Parts, mx_host: str, ours: Sequence[str]) -> Judgement:
        """The first rule that fits."""
        # Candidates by their words and codes first, then the rules in order; but behind what is said about the sender
        # stands our own address.
        codes = Codes.of(parts)
        said: dict[int, list[Phrase]] = {number: [] for number in self._host}
        for number, phrase in self._anywhere if parts.words.isascii() else self._anywhere + self._foreign:
            said.setdefault(number, []).append(phrase)
        for word in set(parts.words.split()):
            for number, phrase in self._words.get(word, ()):
                said.setdefault(number, []).append(phrase)
        for index, given in ((self._status, codes.enhanced), (self._code, codes.reply)):
            for code in given:
                for number in index.get(code, ()):
                    said.setdefault(number, [])
        ours_quoted = _quoted(parts.text, ours)
        for number in sorted(said):
            if ours_quoted and number >= self.sender:
                break
            if found := self.rules[number].fits(parts, codes, mx_host, said[number]):
                return found
        if ours_quoted:
            return Judgement("block", f"our own address: {ours_quoted}", "the refusal names us, and nothing else")
        return Judgement("unclassified", "")


def classify(reply: str, *, status: str = "", mx_host: str = "", ours: Sequence[str] = ()) -> Judgement:
    """The class of `reply`: an SMTP reply, or the diagnostic of a report, of any length.

    `status` is a DSN's Status field; `mx_host` the server that said it; `ours` our own IP addresses and host names.
    """
    return _current[0].judge(read(reply, status), mx_host.lower().rstrip("."), ours)


def use(own: Path | None) -> None:
    """From now on, with an operator's own table before ours (None: without). Raises BadRules; then nothing changes."""
    _current[0] = _with(_table(own) if own else ())


def check(own: Path) -> None:
    """Could `use` take this table? Raises BadRules if not; changes nothing."""
    _table(own)


def _with(own: tuple[Rule, ...]) -> Table:
    tables = _builtin()
    before = sum(len(rules) for name, rules in tables.items() if name <= _BEFORE_OUR_ADDRESS)
    return Table(own + sum(tables.values(), ()), len(own) + before)


@cache
def _builtin() -> Mapping[str, tuple[Rule, ...]]:
    return {path.stem: _table(path) for path in sorted(_EVIDENCE.glob("*.toml"))}


def _table(path: Path) -> tuple[Rule, ...]:
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadRules(f"{path}: {error}") from error
    if unknown := sorted(given.keys() - {"rule"}):
        raise BadRules(f"{path}: there is no key {unknown[0]!r}. Each rule is opened by [[rule]]")
    name, rules = path.stem.lstrip("0123456789_"), given.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(each, dict) for each in rules):
        raise BadRules(f"{path}: rule is a list of tables, each opened by [[rule]]")
    return tuple(_rule(path, number, name, each) for number, each in enumerate(rules, 1))


def _rule(path: Path, number: int, table: str, given: Mapping[str, object]) -> Rule:
    where = f"{path}: rule {number}"
    if unknown := sorted(given.keys() - set(_KEYS)):
        raise BadRules(f"{where}: there is no key {unknown[0]!r}. A rule has {', '.join(_KEYS)}")
    if "class" not in given:
        raise BadRules(f"{where}: it has no class: {' '.join(sorted(CLASSES))}")
    if str(given["class"]) not in CLASSES:
        raise BadRules(f"{where}: {given['class']!r} is no class: {' '.join(sorted(CLASSES))}")
    if not given.keys() & {"words", "status", "code", "host"}:
        raise BadRules(f"{where}: it fits everything; give it words, status, code or host")
    lists = {key: _strings(where, key, given.get(key, [])) for key in ("words", "unless", "status", "code", "host")}
    for key, form in (("status", _STATUS), ("code", _REPLY_CODE)):
        if wrong := [each for each in lists[key] if not form.fullmatch(each)]:
            raise BadRules(f"{where}: {wrong[0]!r} is no code")
    try:
        return Rule(
            str(given["class"]),
            str(given.get("note", "")),
            table,
            str(given.get("kind", "")),
            tuple(map(Phrase, lists["words"])),
            tuple(map(Phrase, lists["unless"])),
            frozenset(lists["status"]),
            frozenset(lists["code"]),
            tuple(host.lower() for host in lists["host"]),
        )
    except ValueError as error:
        raise BadRules(f"{where}: {error}") from error


def _strings(where: str, key: str, given: object) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise BadRules(f"{where}: {key} is a list of strings")
    return given


def _quoted(text: str, ours: Sequence[str]) -> str:
    """The one of our addresses that stands in `text`, not as a part of a longer one; or ""."""
    for each in ours:
        at = text.find(each.lower()) if each else -1
        while at >= 0:
            around = text[max(at - 1, 0) : at] + text[at + len(each) : at + len(each) + 1]
            if not any(c.isalnum() or c in "-@" for c in around):
                return each
            at = text.find(each.lower(), at + 1)
    return ""


def main_classify() -> int:
    """`python -m suppression classify`: a JSON string a line on stdin → {"class", "rule"} a line."""
    for line in sys.stdin:
        if line.strip():
            found = classify(json.loads(line))
            print(json.dumps({"class": found.cls, "rule": found.rule}, ensure_ascii=False))
    return 0


_current = [_with(())]
