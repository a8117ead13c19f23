"""What the pages say, in every language: our words, and the operator's own over them.

    [de]                                     a language of ours: any of its texts, the others stay
    done = "Das war's"
    [sv]                                     a language of one's own: every text

Does not choose a language (`language.py`). Rules: every language has every text; only what is filled in
in our English text is filled in in another's; a language is two or three letters, without a region.
Fails: `read_own` raises `OSError` for a file that cannot be read, and `BadTexts` with everything that
is wrong with it, each in a sentence that names language and key.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from tracker.language import DEFAULT, OwnTexts, Texts

LONGEST = 300  # characters of a text; ours have half as many, and a page stays small

_MONTHS = "months"
_FIELD = re.compile(r"\{(\w+)\}")
_BRACE = re.compile(r"\{[^{}]*\}?|\}")


class BadTexts(Exception):
    """The operator's own texts cannot be shown; `problems` has a sentence for each mistake."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def _ours() -> Mapping[str, Texts]:
    tables = tomllib.loads(Path(__file__).with_name("texts.toml").read_text("utf-8"))
    return {
        language: Texts(language, {k: v for k, v in table.items() if k != _MONTHS}, tuple(table[_MONTHS]))
        for language, table in tables.items()
    }


LANGUAGES = _ours()


def read_own(file: Path) -> OwnTexts:
    """The texts in `file` over ours."""
    try:
        tables = tomllib.loads(file.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:  # deep nesting included
        raise BadTexts([f"is not valid TOML: {error}"]) from None
    languages, problems = dict(LANGUAGES), list[str]()
    for language, table in tables.items():
        wrong = _mistakes(language, table)
        problems += [f"[{language}] {each}" for each in wrong]
        if not wrong:
            languages[language] = _over(languages.get(language), language, table)
    if problems:
        raise BadTexts(problems)
    return OwnTexts(file, languages)


def _over(ours: Texts | None, language: str, table: Mapping[str, str | list[str]]) -> Texts:
    own = {key: text for key, text in table.items() if isinstance(text, str)}
    months = table.get(_MONTHS, ours.months if ours else ())
    return Texts(language, {**(ours.words if ours else {}), **own}, tuple(months))


def _mistakes(language: str, table: object) -> list[str]:
    """Everything that is wrong with one language."""
    if not re.fullmatch(r"[a-z]{2,3}", language):
        return ['is no language. Write it without a region, like "sv"']
    if not isinstance(table, dict):
        return ['should be a table of texts: unsubscribe = "Unsubscribe"']
    known = [*LANGUAGES[DEFAULT].words, _MONTHS]
    problems = [f"{key}: {wrong}" for key, text in table.items() if (wrong := _mistake(key, text, known))]
    missing = [key for key in known if key not in table]
    if language not in LANGUAGES and missing:
        problems.append(f"is not one of our languages, and needs every text. It has no {', '.join(missing)}")
    return problems


def _mistake(key: str, text: object, known: list[str]) -> str:
    """What is wrong with one text; empty if nothing is."""
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        return "unknown text." + (f" Did you mean {near[0]}?" if near else f" There is {', '.join(known)}")
    if key == _MONTHS:
        names = text if isinstance(text, list) else []
        return "" if len(names) == 12 and all(map(_says_something, names)) else "should be a list of twelve names"
    if not isinstance(text, str) or not _says_something(text):
        return "should be text in quotes"
    if len(text) > LONGEST:
        return f"has {len(text)} characters, and may have {LONGEST}"
    fields = set(_FIELD.findall(LANGUAGES[DEFAULT][key]))
    left = _FIELD.sub(lambda found: "" if found[1] in fields else found[0], text)
    if brace := _BRACE.search(left):
        here = " and ".join(f"{{{field}}}" for field in sorted(fields))
        return f"{brace[0]} is not filled in here" + (f", but {here}" if here else "")
    return ""


def _says_something(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())
