"""An operator's own words on the pages, over ours."""

import tomllib
from pathlib import Path

import pytest

from tracker.language import chooser
from tracker.texts import LANGUAGES, BadTexts, read_own

OURS = (Path(__file__).parents[2] / "tracker" / "texts.toml").read_text("utf-8")
SWEDISH = "[sv]" + OURS.partition("[en]")[2].partition("[de]")[0]


def written(directory: Path, text: str) -> Path:
    """A file with these texts."""
    file = directory / "texts.toml"
    file.write_text(text, "utf-8")
    return file


def problems(directory: Path, text: str) -> list[str]:
    """What is wrong with these texts."""
    with pytest.raises(BadTexts) as error:
        read_own(written(directory, text))
    return list(error.value.problems)


def test_own_words_take_the_place_of_ours(tmp_path: Path) -> None:
    """Those that are written; the others, and the other languages, stay."""
    own = read_own(written(tmp_path, '[de]\ndone = "Schade!"\nask_to = "{address} <b>war</b> dabei."\n'))
    assert own.languages["de"]["done"] == "Schade!"
    assert own.languages["de"]["undo"] == LANGUAGES["de"]["undo"]
    assert own.languages["de"].months == LANGUAGES["de"].months
    assert {each: own.languages[each] for each in LANGUAGES if each != "de"} == {
        each: LANGUAGES[each] for each in LANGUAGES if each != "de"
    }
    assert LANGUAGES["de"]["done"] != "Schade!"


def test_months_are_texts_too(tmp_path: Path) -> None:
    """Twelve, from which a date is made."""
    months = [f"{number:02}" for number in range(1, 13)]
    own = read_own(written(tmp_path, f'[en]\nmonths = {months}\ndate = "{{year}}-{{month}}-{{day}}"'))
    assert own.languages["en"].date(0) == "1970-01-1"


def test_a_language_of_one_s_own_is_chosen_like_ours(tmp_path: Path) -> None:
    """When it has every text."""
    chosen = chooser(read_own(written(tmp_path, SWEDISH)).languages)
    assert chosen("sv-SE, de;q=0.5").language == "sv"
    assert chosen("de, sv;q=0.5").language == "de"
    assert chooser(LANGUAGES)("sv-SE, de;q=0.5").language == "de"


def test_a_language_that_is_not_complete_names_what_it_lacks(tmp_path: Path) -> None:
    """All of it at once."""
    lacking = "\n".join(line for line in SWEDISH.splitlines() if not line.startswith(("months =", "undo =")))
    assert problems(tmp_path, lacking) == [
        "[sv] is not one of our languages, and needs every text. It has no undo, months"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[de]\nunsubscibe = "Weg"', "[de] unsubscibe: unknown text. Did you mean unsubscribe?"),
        ('[de]\nqqqq = "Weg"', "[de] qqqq: unknown text. There is date, unsubscribe, ask, "),
        ('[de]\ndone = "{address} ist weg"', "[de] done: {address} is not filled in here"),
        ('[de]\ndone_to = "{name} ist weg"', "[de] done_to: {name} is not filled in here, but {address}"),
        ('[de]\nothers_stay = "{}"', "[de] others_stay: {} is not filled in here, but {sender}"),
        ('[de]\ndone_to = "{address!r:>9}"', "[de] done_to: {address!r:>9} is not filled in here, but {address}"),
        ('[de]\ndone_to = "{address"', "[de] done_to: {address is not filled in here, but {address}"),
        ('[de]\ndone_to = "address}"', "[de] done_to: } is not filled in here, but {address}"),
        ('[de]\ndate = "{tag}"', "[de] date: {tag} is not filled in here, but {day} and {month} and {year}"),
        ("[de]\ndone = 5", "[de] done: should be text in quotes"),
        ('[de]\ndone = " "', "[de] done: should be text in quotes"),
        (f'[de]\ndone = "{"x" * 301}"', "[de] done: has 301 characters, and may have 300"),
        ('[de]\nmonths = ["Jänner"]', "[de] months: should be a list of twelve names"),
        ('de = "deutsch"', "[de] should be a table of texts"),
        ('[de-AT]\ndone = "Weg"', "[de-AT] is no language. Write it without a region"),
        ("de = [", "is not valid TOML: "),
    ],
)
def test_a_mistake_names_language_and_key(tmp_path: Path, text: str, said: str) -> None:
    """In a sentence, with what is right where that is near."""
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(said)


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    """Of every language."""
    assert len(problems(tmp_path, '[de]\na = "x"\nb = "x"\n[fr]\nc = "x"\n')) == 3


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """No file, and a file in another charset."""
    with pytest.raises(FileNotFoundError):
        read_own(tmp_path / "gone.toml")
    file = tmp_path / "texts.toml"
    file.write_bytes('[de]\ndone = "Zurück"'.encode("latin-1"))
    with pytest.raises(BadTexts, match="is not valid TOML"):
        read_own(file)


def test_our_own_file_reads_as_it_is(tmp_path: Path) -> None:
    """The shape is the same: who copies ours and changes nothing has changed nothing."""
    assert read_own(written(tmp_path, OURS)).languages == LANGUAGES
    assert list(tomllib.loads(OURS)) == list(LANGUAGES)
