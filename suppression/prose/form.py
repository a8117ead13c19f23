"""How a family of bounces writes, as a value, and the one reader that follows it.

Most families differ in their words and not in their ways: signs by which they are known, a line after which the
recipients stand, how such a line names one, where the reason stands, and what ends it. A `Form` says these five;
the files beside this one are tables of forms, grouped by who writes so.

Rules. All signs of a form must be there: an everyday phrase alone proves nothing. Signs are phrases in small letters
with single blanks, looked for in the words of the report with its own header before them (`from: …`), so that
wrapping and indenting do not matter. Where a form fits and no recipient stands where it should, the next form is
asked. No code is invented: see `verdict`.
Standards: RFC 5321 4.2 (reply codes), RFC 3463 (enhanced codes).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from suppression.found import Action, Recipient, line
from suppression.prose.addresses import ADDRESS, clean
from suppression.prose.notice import Notice

_MOST_REASON = 30  # lines of one diagnostic

TO = rf"<?(?P<to>{ADDRESS})>?"
# Digits of an IP address, a version, a size or a time are no code.
_ENHANCED = re.compile(r"(?<![\w.\[/-])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d|\w)")
_CODE = re.compile(
    r"(?<![\w.:/@+-])([45][0-57]\d)(?=[\s:;,.)#-]|$)(?![.-]\d)(?!\s*(?:hours?|days?|minutes?|seconds?|bytes|times|[kmg]b)\b)"
    r"|(?<=[a-z ]:)([45][0-57]\d)(?=[\s:;,#-]|$)(?!-\d)",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){4,7}", re.IGNORECASE)
_VAGUE = {"5.0.0", "4.0.0", "5.5.0", "4.5.0"}
_HOST = re.compile(r"\b(?:host|server)[: ]{1,2}(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,24})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """One way of writing. Patterns are matched without case against single lines; `{to}` stands for an address."""

    signs: tuple[str, ...]  # phrases, all of them in the words; "a|b": one of the two
    names: str  # a line that names a recipient: group `to` (or {to}), and `said` for a reason on the same line
    begins: str = ""  # names count only after such a line
    reason: str = ""  # from here on stands the reason of all that were named; `said`: its first words
    ends: str = ""  # nothing is read from such a line on
    stops: str = ""  # a reason is over at such a line, names may still follow
    delays: str = ""  # in the words: nothing failed yet
    domain: str = ""  # where names are bare local parts: a pattern over header and words with group `domain`


def read(forms: Sequence[Form], notice: Notice) -> list[Recipient]:
    """The recipients as the first form that fits names them; [] when none fits."""
    flat = words(notice)
    for form in forms:
        fits = all(any(one in flat for one in sign.split("|")) for sign in form.signs)
        if fits and (recipients := _follow(form, notice, flat)):
            return recipients
    return []


def words(notice: Notice) -> str:
    """Header and words in small letters, blanks squeezed: where signs are looked for."""
    fields = " ".join(f"{name}: {value[:300]}" for name, value in notice.fields[:100])
    return " ".join(f"{fields}\n{notice.text}".lower().split())


def verdict(address: str, said: str, action: Action = "failed", also: tuple[str, ...] = ()) -> Recipient:
    """A recipient with the codes and the host that `said` (one or more lines) holds; none where it holds none."""
    diagnostic = line(said)
    plain = _DIGITS.sub("IP", diagnostic)
    code = next((int(found[1] or found[2]) for found in _CODE.finditer(plain)), None)
    host = _HOST.search(diagnostic)
    others = tuple(name for name in dict.fromkeys(also) if name.lower() != address.lower())
    return Recipient(
        clean(address), action, enhanced(diagnostic), diagnostic, others, code, host["host"].lower() if host else ""
    )


def enhanced(said: str) -> str:
    """RFC 3463: the enhanced code in `said`, a precise one rather than a vague one; "" when there is none."""
    codes = [code for code in _ENHANCED.findall(_DIGITS.sub("IP", said)) if code[0] != "2"]
    return next((code for code in codes if code not in _VAGUE), codes[0] if codes else "")


@lru_cache(256)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace("{to}", TO), re.I)


def _said(hit: re.Match[str]) -> str:
    """The reason on a line that names a recipient; words in front of the name are a sentence that goes on behind it."""
    words: str = hit.groupdict().get("said") or ""
    return hit.string[hit.start("said") :].strip() if words and hit.start("said") < hit.start("to") else words


def _follow(form: Form, notice: Notice, flat: str) -> list[Recipient]:
    """What `form` finds on the page: each address once, with the lines behind it or the reason of all."""
    action: Action = "delayed" if form.delays and _pattern(form.delays).search(flat) else "failed"
    found: dict[str, list[str]] = {}
    shared: list[str] | None = None
    said: list[str] | None = None  # where the next line of a reason goes
    begun, complete = not form.begins, False  # names stand above the reason, or below it
    for row in notice.lines:
        if found and form.ends and _pattern(form.ends).search(row):
            break
        if not begun:
            begun = _pattern(form.begins).search(row) is not None
        elif form.reason and (hit := _pattern(form.reason).search(row)):
            complete = bool(found)
            said = shared = shared or []
            shared.append(hit.groupdict().get("said") or "")
        elif hits := [] if complete else list(_pattern(form.names).finditer(row)):
            for hit in hits:
                said = found.setdefault(hit["to"], [])
                said.append(_said(hit))
        elif form.stops and (row.strip() or any(said or ())) and _pattern(form.stops).search(row):
            said = None
        elif said is not None and len(said) < _MOST_REASON:
            said.append(row.strip())
    home = _pattern(form.domain).search(flat) if form.domain else None
    return [
        verdict(f"{to}@{home['domain']}" if home and "@" not in to else to, "\n".join(shared or own), action)
        for to, own in found.items()
    ]
