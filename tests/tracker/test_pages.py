"""The pages: what every one of them keeps to, in every language; and the language itself."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.tracker.logos import DRAWING
from tests.tracker.web import ADA, DAY, NOON, SHOP, STREAMS, WITH_STREAMS
from tracker.backend import Settings
from tracker.colour import Colour, contrast, parse
from tracker.language import chooser
from tracker.look import DARK, LIGHT
from tracker.pages import Page, Pages, Place, masked
from tracker.sender import Logo, Sender
from tracker.texts import LANGUAGES

EMPTY = {"meta", "input", "br", "hr", "img"}
OURS = chooser(LANGUAGES)
DONE = replace(ADA, unsubscribed_at=NOON)
BARRED = {"barred": True, "all_mail": True, "barred_streams": frozenset(STREAMS)}
LOGO = Logo(Path("shop.svg"), "image/svg+xml", DRAWING)
BRANDED = replace(WITH_STREAMS, senders={"example.com": Sender("Example Shop", parse("#0b6e4f"), LOGO)})
HOSTILE = "\"><script>alert(1)</script>{address}$title'&amp;"


class Reader(HTMLParser):
    """Reads a page as strictly as it is meant; `problems` is empty when it is well-formed."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.problems: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(page.html.decode())
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.problems.append(f"an attribute twice in <{tag}>")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts[tag] = self.texts.get(tag, "") + data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of that name."""
        return [attributes for name, attributes in self.tags if name == tag]


def all_pages(language: str, settings: Settings = WITH_STREAMS) -> Iterator[tuple[str, Page]]:
    """Every page, by name."""
    pages, texts = Pages(settings), LANGUAGES[language]

    def at(**changes: object) -> Place:
        return Place(texts, "TOKEN", replace(DONE, **changes))  # type: ignore[arg-type]

    yield "ask", pages.ask(at(unsubscribed_at=None))
    yield "ask for an unknown tag", pages.ask(at(tag="internal-7", unsubscribed_at=None))
    yield "ask without a tag", pages.ask(at(tag="", unsubscribed_at=None))
    yield "kept", pages.kept(at(unsubscribed_at=None))
    yield "done", pages.done(at())
    yield "done for everything", pages.done(at(everything=True))
    yield "already", pages.already(at(), NOON + DAY)
    yield "too late", pages.already(at(), NOON + 31 * DAY)
    yield "thanks", pages.thanks(at())
    yield "undone", pages.undone(at(unsubscribed_at=None))
    yield "undone, and barred", pages.barred(at(unsubscribed_at=None, **BARRED))
    yield "kept, and barred", pages.kept(at(unsubscribed_at=None, **BARRED))
    yield "streams", pages.streams(at())
    yield "streams, one barred", pages.streams(at(barred_streams=frozenset({"news"})))
    yield "streams, all barred", pages.streams(at(**BARRED))
    yield "saved, one barred", pages.saved(at(barred_streams=frozenset({"news"})))
    yield "saved", pages.saved(at(stopped=frozenset({"news"})))
    yield "saved, none", pages.saved(at(stopped=frozenset(STREAMS)))
    yield "expired", pages.expired(texts)
    yield "broken", pages.broken(texts)
    yield "trouble", pages.trouble(texts)
    yield "root", pages.root(texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text(language: str) -> None:
    """None is missing, none is empty, and the same is filled in; twelve months."""
    texts, english = LANGUAGES[language], LANGUAGES["en"]
    assert texts.words.keys() == english.words.keys()
    assert len(texts.months) == 12
    for key, text in texts.words.items():
        assert text.strip() == text != ""
        fields = [{name for _, name, *_ in Formatter().parse(each[key]) if name} for each in (texts, english)]
        assert fields[0] == fields[1], key


def test_the_languages_are_those_that_we_promise() -> None:
    """Eight, each with words of its own."""
    assert set(LANGUAGES) == {"en", "de", "fr", "es", "it", "nl", "pt", "pl"}
    assert len({texts["done_to"] for texts in LANGUAGES.values()}) == 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_keeps_the_rules(language: str) -> None:
    """Well-formed; one h1; lang; the title tells the state; no script, nothing from elsewhere; at most 15 kB."""
    for name, page in all_pages(language):
        read = Reader(page)
        assert read.problems == [], name
        assert page.html.startswith(b"<!DOCTYPE html>")
        assert len(page.html) <= 15_000
        assert read.of("html") == [{"lang": language, "dir": "ltr"}]
        assert page.language == language
        assert len(read.of("h1")) == 1
        assert read.texts["title"].endswith(" – Example Shop"), name
        assert not {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in read.tags}
        for tag, attributes in read.tags:
            assert not [each for each in attributes if each.startswith("on") or each in ("src", "style")], tag
        for link in read.of("a"):
            assert re.fullmatch(r"TOKEN(\?keep)?|\.\./p/TOKEN|mailto:abuse@example\.com", link["href"] or ""), name
        assert b"{" not in re.sub(rb"<style>.*</style>", b"", page.html, flags=re.DOTALL), name
        assert b"ada.lovelace" not in page.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_can_be_done_is_done_with_buttons(language: str) -> None:
    """Real buttons in forms that post to the page itself; every field has its label."""
    for name, page in all_pages(language):
        read = Reader(page)
        for form in read.of("form"):
            assert (form["method"], form["action"]) == ("post", "TOKEN"), name
        for button in read.of("button"):
            assert button["name"] == "do"
            assert "type" not in button, "a button submits"
        assert len([field for field in read.of("input") if field.get("type") != "hidden"]) == len(read.of("label"))
        if name.startswith("ask"):
            assert [button["value"] for button in read.of("button")] == ["unsubscribe"]
            assert not [field for field in read.of("input") if "checked" in field], "nothing is ticked for anybody"


@pytest.mark.parametrize("settings", [WITH_STREAMS, BRANDED])
def test_a_page_may_have_its_own_style_and_where_it_has_a_logo_our_images(settings: Settings) -> None:
    """CSP Level 3, 6.7.3: the style element is allowed by the hash of its text; a browser would leave it out else."""
    for name, page in all_pages("en", settings):
        read = Reader(page)
        digest = base64.b64encode(hashlib.sha256(read.texts["style"].encode()).digest()).decode()
        images = "img-src 'self'; " if read.of("img") else ""
        assert page.policy == (
            f"default-src 'none'; {images}style-src 'sha256-{digest}'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ), name
        assert "url(" not in read.texts["style"]
        assert "@import" not in read.texts["style"]
        assert "/*" not in read.texts["style"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_logo_stands_in_the_place_of_the_name(language: str) -> None:
    """With the name as its words, from our own host; not where we cannot know whose mail it was; at most 15 kB."""
    assert re.fullmatch(r"/l/[0-9a-f]{32}", LOGO.path)
    for name, page in all_pages(language, BRANDED):
        read = Reader(page)
        assert read.problems == []
        assert len(page.html) <= 15_000
        assert read.texts["title"].endswith(" – Example Shop"), name
        if name in ("expired", "broken", "trouble", "root"):
            assert read.of("img") == []
            assert read.texts["header"] == "Example Shop"
        else:
            assert read.of("img") == [{"src": f"..{LOGO.path}", "alt": "Example Shop"}]
            assert read.texts.get("header", "") == ""


COLOURS = st.builds(Colour, *[st.integers(0, 255)] * 3)


@given(COLOURS | st.just(None))
@example(parse("#fff9b0"))
@example(parse("#0a0a12"))
def test_every_colour_can_be_read_on_the_pages(colour: Colour | None) -> None:
    """WCAG 2.2 1.4.3: links and second buttons on the card, light and dark, and the words on a button: 4.5:1."""
    pages = Pages(replace(SHOP, senders={"example.com": Sender("Example Shop", colour)}))
    style = Reader(pages.ask(Place(LANGUAGES["en"], "T", ADA))).texts["style"]
    assert [parse(card) for card in re.findall(r"--card: (#\w+)", style)] == [LIGHT, DARK]
    on_light, on_dark = (parse(deep) for deep in re.findall(r"--deep:(#\w+)", style))
    (fill,), (words,) = (map(parse, re.findall(rf"--{name}:(#\w+)", style)) for name in ("fill", "on"))
    assert contrast(on_light, LIGHT) >= 4.5
    assert contrast(on_dark, DARK) >= 4.5
    assert contrast(words, fill) >= 4.5
    assert fill == (colour or fill), "a button has the very colour"


def test_what_is_always_there_can_be_read_too() -> None:
    """Text and soft text, on the card and on the paper beside it, light and dark."""
    style = Reader(next(all_pages("en"))[1]).texts["style"]
    shades = {name: map(parse, re.findall(rf"--{name}: (#\w+)", style)) for name in ("ink", "soft", "paper", "card")}
    for ink, soft, paper, card in zip(*shades.values(), strict=True):
        for text in (ink, soft):
            assert contrast(text, paper) >= 4.5
            assert contrast(text, card) >= 4.5


def test_a_language_that_is_written_from_the_right_is_shown_so() -> None:
    """An operator's own may be one."""
    texts = replace(LANGUAGES["en"], language="he")
    assert Reader(Pages(SHOP).broken(texts)).of("html") == [{"lang": "he", "dir": "rtl"}]


def test_what_was_done_is_told_at_once() -> None:
    """role="status", and the focus goes to the heading; a question has neither."""
    told = {name for name, page in all_pages("en") if {"role": "status"} in Reader(page).of("div")}
    assert told == {
        "kept", "done", "done for everything", "already", "too late", "thanks", "undone", "saved", "saved, none",
        "undone, and barred", "kept, and barred", "saved, one barred",
    }  # fmt: skip
    for name, page in all_pages("en"):
        (heading,) = Reader(page).of("h1")
        assert ("autofocus" in heading) == (name in told)


def test_a_reason_is_asked_for_only_when_it_is_done() -> None:
    """And stays optional."""
    assert [name for name, page in all_pages("en") if b'value="not_signed_up"' in page.html] == [
        "done",
        "done for everything",
    ]


def test_the_texts_tell_what_will_happen() -> None:
    """A stream by its name; a tag that is none is the application's own word; without a tag there is nothing else."""
    pages = dict(all_pages("en"))
    assert "Stop receiving “<bdi>Weekly offers</bdi>”?" in pages["ask"].html.decode()
    assert b"internal-7" not in pages["ask for an unknown tag"].html
    assert b"Stop receiving these emails?" in pages["ask for an unknown tag"].html
    assert "Stop receiving emails from <bdi>Example Shop</bdi>?" in pages["ask without a tag"].html.decode()
    assert b"You will still get" not in pages["ask without a tag"].html
    assert b"non-essential" in pages["ask"].html
    assert b"non-essential" not in dict(all_pages("en", SHOP))["ask"].html, "nothing tells what is essential"


def test_no_page_promises_mail_that_is_stopped() -> None:
    """Neither these emails, nor a stream, nor those that are "always sent": what a reason bars is said, and by whom."""
    for name, page in all_pages("en"):
        barred = "barred" in name
        assert (b"for a reason that cannot be changed here" in page.html) == barred, name
        assert not barred or b"please contact <bdi>Example Shop</bdi>" in page.html
    pages = {name: page.html for name, page in all_pages("en")}
    for promise in (b"still gets", b"is subscribed again", b"You will get", b"Always sent", b" checked"):
        assert not [name for name in pages if "all barred" in name or "and barred" in name if promise in pages[name]]
    assert b"You will still get" not in Pages(SHOP).ask(Place(LANGUAGES["en"], "T", replace(ADA, all_mail=True))).html
    assert pages["saved, one barred"].index(b"You do not get") < pages["saved, one barred"].index(b"News from the shop")


def test_while_all_mail_is_stopped_nothing_is_said_to_be_always_sent() -> None:
    """Who unsubscribed from a mail without a tag gets orders neither, and the pages do not claim that he does."""
    pages, nothing = Pages(WITH_STREAMS), replace(DONE, stopped=frozenset(STREAMS), everything=True, all_mail=True)
    at = Place(LANGUAGES["en"], "TOKEN", nothing)
    for page in (pages.streams(at), pages.saved(at), pages.done(at), pages.already(at, NOON)):
        for claim in (b"lways sent", b"cannot be turned off", b"non-essential"):
            assert claim not in page.html
    assert [button["value"] for button in Reader(pages.streams(at)).of("button")] == ["choose"]


def test_a_barred_stream_cannot_be_ticked_and_saving_keeps_what_was_wanted_of_it() -> None:
    """Its box is empty and off; its wish goes with the form, so that it counts when the other reason has gone."""
    pages, barred = Pages(WITH_STREAMS), frozenset({"news"})
    for stopped in (frozenset[str](), barred):
        read = Reader(pages.streams(Place(LANGUAGES["en"], "T", replace(ADA, barred_streams=barred, stopped=stopped))))
        sends = [field["value"] for field in read.of("input") if field.get("name") and "disabled" not in field]
        assert sends == (["weekly"] if stopped else ["weekly", "news"])
        assert sum("disabled" in field for field in read.of("input")) == 2  # and what is always sent
        assert sum("checked" in field and "disabled" not in field for field in read.of("input")) == 1


def test_whatever_is_filled_in_is_escaped() -> None:
    """A sender's name, a stream, an address, a contact: text, never markup, and never filled in again."""
    settings = Settings(
        "http://x", senders={"example.com": Sender(HOSTILE, None, LOGO)}, streams={HOSTILE: HOSTILE}, contact=HOSTILE
    )
    pages, texts = Pages(settings), LANGUAGES["en"]
    at = Place(texts, HOSTILE, replace(DONE, recipient=f'"<b>{HOSTILE}"@<i>', tag=HOSTILE))
    made = [
        pages.ask(at),
        pages.done(at),
        pages.already(at, NOON),
        pages.streams(at),
        pages.streams(replace(at, subscription=replace(at.subscription, barred_streams=frozenset({HOSTILE})))),
        pages.barred(at),
        pages.saved(at),
        pages.root(texts),
    ]
    for page in made:
        assert Reader(page).problems == []
        assert not {"script", "b", "i"} & {tag for tag, _ in Reader(page).tags}
    assert escape(HOSTILE) in pages.streams(at).html.decode()


def test_the_sender_is_named_as_people_know_him() -> None:
    """By the nearest domain above; of several we do not guess; without a name the domain stands for it."""
    settings = replace(SHOP, senders={"example.com": Sender("Example Shop"), "b.example.com": Sender("Branch")})
    pages, texts = Pages(settings), LANGUAGES["en"]
    for domain, name in (
        ("example.com", "Example Shop"),
        ("A.Example.com", "Example Shop"),
        ("x.b.example.com", "Branch"),
        ("notexample.com", "notexample.com"),
    ):
        page = pages.ask(Place(texts, "T", replace(ADA, sender_domain=domain)))
        assert Reader(page).texts["header"] == name
    assert Reader(pages.broken(texts)).texts["title"] == "We cannot open this link"
    assert "Example Shop, Branch" in pages.root(texts).html.decode()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ada.lovelace@gmail.com", "a•••@gmail.com"),
        ("ab@example.org", "a•••@example.org"),
        ("a@example.org", "•••@example.org"),
        ("łukasz@example.pl", "ł•••@example.pl"),
        ('"a@b"@example.org', '"•••@example.org'),
    ],
)
def test_an_address_is_masked(address: str, shown: str) -> None:
    """Its owner knows it again; its length does not show."""
    assert masked(address) == shown


@pytest.mark.parametrize(
    ("language", "date"),
    [
        ("en", "12 November 2026"),
        ("de", "12. November 2026"),
        ("fr", "12 novembre 2026"),
        ("es", "12 de noviembre de 2026"),
        ("pl", "12 listopada 2026"),
    ],
)
def test_a_date_is_written_as_people_do(language: str, date: str) -> None:
    """In UTC."""
    assert LANGUAGES[language].date(NOON - 9 * DAY) == date


@pytest.mark.parametrize(
    ("field", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, de;q=0.9, en;q=0.8", "de"),
        ("en;q=0.4, pl;q=0.7", "pl"),
        ("PT-br", "pt"),
        ("ja, fr;q=0.5", "fr"),
        ("ja", "en"),
        ("*", "en"),
        ("ja, *;q=0.5, it;q=0.4", "en"),
        ("nl;q=0, es;q=0.1", "es"),
        ("nl;q=0", "en"),
        ("fr, de", "fr"),
        ("de;q=nan, it;q=0.1", "it"),
        ("de;q=x", "en"),
        (" ,;,q=, es ; q=0.3", "es"),
    ],
)
def test_the_visitor_s_order_decides(field: str, language: str) -> None:
    """RFC 9110 12.5.4: by weight, then by place; who reads none of ours reads English."""
    assert OURS(field).language == language


@given(st.text())
def test_no_field_is_too_odd(field: str) -> None:
    """Whatever is sent, there is a language for it."""
    assert OURS(field).language in LANGUAGES
