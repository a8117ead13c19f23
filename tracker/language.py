"""Which language a visitor reads, and what it says.

Does not know the words (`texts.py`). Rules: the visitor's own order decides (Accept-Language with its q
values); a region is not told apart (de-CH is de); who names no language of ours reads English.
Standards: RFC 9110 12.5.4 (Accept-Language), RFC 4647 3.4 (lookup).
Fails: never on what visitors send.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DEFAULT = "en"

_LONGEST = 500  # characters of Accept-Language that are read
_FROM_THE_RIGHT = {"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"}  # languages written so


@dataclass(frozen=True, slots=True)
class Texts:
    """One language."""

    language: str  # as in the lang attribute
    words: Mapping[str, str]  # plain text, with {fields}
    months: tuple[str, ...]

    def __getitem__(self, key: str) -> str:
        return self.words[key]

    @property
    def direction(self) -> str:
        """As in the dir attribute."""
        return "rtl" if self.language in _FROM_THE_RIGHT else "ltr"

    def date(self, at: float) -> str:
        """The day of `at` (Unix seconds, UTC) as people write it: "12 November 2026"."""
        day = time.gmtime(at)
        return self["date"].format(day=day.tm_mday, month=self.months[day.tm_mon - 1], year=day.tm_year)


@dataclass(frozen=True, slots=True)
class OwnTexts:
    """Our languages with the operator's words in them, and where those come from."""

    file: Path
    languages: Mapping[str, Texts]


def chooser(languages: Mapping[str, Texts]) -> Callable[[str], Texts]:
    """What gives the texts for an Accept-Language field; for "", when there is none, English."""

    @lru_cache(1024)
    def chosen(accept_language: str) -> Texts:
        wanted: list[tuple[float, str]] = []
        for part in accept_language[:_LONGEST].split(","):
            tag, _, parameters = part.partition(";")
            language = tag.strip().lower().partition("-")[0]
            quality = _quality(parameters)
            if quality > 0 and (language in languages or language == "*"):
                wanted.append((quality, DEFAULT if language == "*" else language))
        best = max(wanted, key=lambda each: each[0], default=(1.0, DEFAULT))  # among equals the first
        return languages[best[1]]

    return chosen


def _quality(parameters: str) -> float:
    """RFC 9110 12.4.2: q=0 to q=1, and 1 where nothing is said. Nonsense is worth nothing."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
