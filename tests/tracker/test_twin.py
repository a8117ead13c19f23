"""The HTML twin of a text says what the text says, and looks like it."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.twin import twin

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(" \n\t<>&\"'"), max_size=200)


class _Reader(HTMLParser):
    """What a person sees of a document, and its links."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self._said: list[str] = []
        self._href: str | None = None
        self.feed(document)
        self.close()

    @property
    def text(self) -> str:
        return "".join(self._said)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._said.append("\n")
        if tag == "a":
            self._href = dict(attributes)["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._href = None

    def handle_data(self, data: str) -> None:
        data = data.replace("\r\n", "")  # line ends of the document's source are no text
        self._said.append(data.replace("\xa0", " "))
        if self._href is not None:
            self.links.append((self._href, data))


def shown(text: str, *, flowed: bool = False, delsp: bool = False) -> str:
    return _Reader(twin(text, flowed=flowed, delsp=delsp)).text


def links(text: str) -> list[str]:
    found = _Reader(twin(text)).links
    assert all(href == said for href, said in found)
    return [href for href, _ in found]


@given(TEXTS)
def test_every_character_is_shown(text: str) -> None:
    """Read as a mail program reads it, the twin is the text: lines, blanks, brackets and all."""
    expected = text.replace("\t", "    ").replace("\xa0", " ").removesuffix("\n")
    assert shown(text) == (expected + "\n" if text else "")


@given(TEXTS)
def test_no_text_becomes_markup(text: str) -> None:
    """The only tags are ours."""
    tags = set(re.findall(r"</?([a-zA-Z!]+)", twin(text)))
    assert tags <= {"!", "!DOCTYPE", "html", "head", "meta", "body", "div", "br", "a"}


@given(TEXTS)
def test_blanks_are_not_swallowed(text: str) -> None:
    """HTML makes one blank of many: none stand together, and none begins a line."""
    body = twin(text).partition("<body>")[2].partition("<div")[2].partition(">")[2]
    lines = re.split(r"<br>\r\n", body)[:-1]
    assert not any("  " in line or line.startswith(" ") for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://a.example/b?c=1&d=2.", ["https://a.example/b?c=1&d=2"]),
        ("(http://a.example/x_(y))", ["http://a.example/x_(y)"]),
        ("<https://a.example/>", ["https://a.example/"]),
        ('"https://a.example", said he', ["https://a.example"]),
        ("[https://a.example/]!", ["https://a.example/"]),
        ("Mail mailto:a@b.example?subject=x", ["mailto:a@b.example?subject=x"]),
        ("HTTPS://A.EXAMPLE/é", ["HTTPS://A.EXAMPLE/é"]),
        ("https:// and http://. are none", []),
        ("javascript:alert(1) ftp://a.example", []),
        ("two http://a.example/1\nhttp://a.example/2", ["http://a.example/1", "http://a.example/2"]),
    ],
)
def test_urls_can_be_clicked(text: str, expected: list[str]) -> None:
    """A link leads where the text says; what ends the sentence is no part of it."""
    assert links(text) == expected
    assert shown(text).rstrip("\n") == text


def test_flowed_paragraphs_become_one_line() -> None:
    """RFC 3676 4: a blank at the end says that the line goes on; stuffing goes, quotes stay."""
    text = "A paragraph \nin two lines.\n\n From here\n> quoted \n> text\nmine\n-- \nAda\n"
    assert shown(text, flowed=True) == ("A paragraph in two lines.\n\nFrom here\n> quoted text\nmine\n-- \nAda\n")


def test_a_flowed_paragraph_ends_where_the_quotes_do() -> None:
    """RFC 3676 4.5: a flowed line before other quotes, a signature or the end is the last one."""
    assert shown("one \n> two \n>> three \n-- \nfour ", flowed=True) == "one \n> two \n>> three \n-- \nfour \n"


def test_delsp_takes_the_blank_away() -> None:
    """RFC 3676 4.2: with DelSp the blank that says so is no part of the text."""
    assert shown("日本 \n語\n", flowed=True, delsp=True) == "日本語\n"


def test_columns_keep_letters_of_one_width() -> None:
    """Text that is lined up by blanks is shown as it was; prose is left to the mail program."""
    assert "monospace" in twin("Pears       2\nApples     10\n")
    assert "monospace" not in twin("Dear Ada.  Thank you.\n   An indented line.\n")


def test_controls_show_nothing() -> None:
    """NUL and its like are no part of HTML."""
    assert shown("a\x00b\x1bc\x7f\n") == "abc\n"


@pytest.mark.parametrize(
    "piece", ["http://", "(", "https://x)", " ", "> ", "\t", "&", "http://a.example/((((", "\r", ">"]
)
def test_hostile_texts_are_read_once(piece: str) -> None:
    """A quarter of a megabyte of what looks like the beginning of something is shown."""
    text = piece * (250_000 // len(piece))
    assert len(twin(text)) >= len(text.strip())
    assert len(twin(text, flowed=True)) > 300
