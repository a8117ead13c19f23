"""Phrases: how a rule writes what servers say, `mailbox .. full`.

A phrase is words with blanks between them; case, accents, apostrophes and punctuation do not count (`reply.words`).
In it

    ..       stands for up to six words, or none
    exceed*  for a word that begins like this
    (a|b c)  for one of these
    (the )?  for something that may be missing; `e?` for such a letter

and nothing else. So nobody has to know more than that to read the tables or to add a rule, and no rule can take long.
A phrase is looked at only if one of its `handles` is among a reply's words, or, where it has none (Chinese and Japanese
have no blanks), if one of its `pieces` is somewhere in it. A phrase that breaks these rules raises ValueError.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from suppression.reply import plain

_FORM = re.compile(r"(?:[^\W_]\*?\??|[ ']\??|[-/&]|\.\. |\((?!\?)[^()]+\)\??)+")
_NO_SIGN = re.compile(r"[^\w\s.*?()|]|_")
_GROUP = re.compile(r"\(([^()]+)\)(\??)")
_GAP = " .. "
_UP_TO_SIX_WORDS = r"(?: \w+){0,6}? "
_BREAK = re.compile(r" ?\.\. ?|\*|.\?|\x00")  # where a fixed piece ends
_WHOLE_WORD = re.compile(r"(?<![^ ])[^\W_]+(?![^ ])")
_MAYBE_BLANK = " ?"  # "over ?quota": neither "over" nor "quota" need be a word
_SHORTEST_PIECE = 2  # letters; two are a word in Chinese


@dataclass(frozen=True)
class Phrase:
    """One phrase; `text` as written in the table."""

    text: str

    def __post_init__(self) -> None:
        if not _FORM.fullmatch(self.text) or min(map(len, self.pieces), default=0) < _SHORTEST_PIECE:
            raise ValueError(f"{self.text!r} is not a phrase")

    @cached_property
    def _plain(self) -> str:
        return " ".join(_NO_SIGN.sub(" ", plain(self.text)).split())

    @cached_property
    def handles(self) -> frozenset[str]:
        """Words of which one must be said; none: `pieces` must be looked for."""
        if not _with_blanks(max(self._plain)):
            return frozenset()
        outside = _whole_words(_GROUP.sub("\x00", self._plain))
        if outside:
            return frozenset([max(outside, key=len)])
        for either in self._groups:
            words = [max(_whole_words(each), key=len, default="") for each in either]
            if all(words) and not self._glued:
                return frozenset(words)
        return frozenset()

    @cached_property
    def pieces(self) -> frozenset[str]:
        """Fixed pieces of which one must be said."""
        fixed = max((piece.strip() for piece in _BREAK.split(_GROUP.sub("\x00", self._plain))), key=len)
        by_group = [frozenset(max(_BREAK.split(each), key=len).strip() for each in either) for either in self._groups]
        return max([frozenset([fixed]), *by_group], key=lambda pieces: min(map(len, pieces)))

    @cached_property
    def _groups(self) -> list[list[str]]:
        return [found[1].split("|") for found in _GROUP.finditer(self._plain) if not found[2]]

    @cached_property
    def _glued(self) -> bool:
        """Does a group stand for a part of a word?"""
        return re.search(r"\w\(|\)\w", self._plain) is not None

    @cached_property
    def _pattern(self) -> "re.Pattern[str]":
        pattern = self._plain.replace(_GAP, "\x00").replace(" ..", "").replace(".. ", "").replace(".", "")
        pattern = pattern.replace("(", "(?:").replace("*", r"\w*").replace("\x00", _UP_TO_SIX_WORDS)
        # Where no blanks are written between words a phrase may begin and end anywhere.
        letters = [each for each in self._plain if each.isalnum()]
        start = r"\b" if _with_blanks(letters[0]) else ""
        end = r"\b" if _with_blanks(letters[-1]) else ""
        return re.compile(f"{start}{pattern}{end}")

    def fits(self, words: str) -> bool:
        """Is it said in `words` (`Parts.words`)?"""
        return any(piece in words for piece in self.pieces) and self._pattern.search(words) is not None


def _whole_words(phrase: str) -> list[str]:
    return _WHOLE_WORD.findall(phrase.replace(_MAYBE_BLANK, "\x00").replace("..", " "))


def _with_blanks(letter: str) -> bool:
    return letter < "\u0e00"
