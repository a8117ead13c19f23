"""Unsubscribe and preferences: what a request does, and what it must not do."""

from dataclasses import replace

import pytest
from aiohttp import FormData

from tests.tracker.web import ADA, DAY, NOON, QUEUE_ID, WITH_STREAMS, Ledger, link, running
from tracker.token import KEY_OCTETS, Keyring, Purpose, Token

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
HERE = f"/u/{link()}"


def multipart() -> FormData:
    """The body of RFC 8058 in its other encoding."""
    form = FormData(default_to_multipart=True)
    form.add_field("List-Unsubscribe", "One-Click")
    return form


async def test_one_click_unsubscribes_in_both_encodings() -> None:
    """RFC 8058 3.1: 200 and a word, no redirect, no cookie, no question about where it comes from."""
    async with running() as web:
        for form in (ONE_CLICK, multipart(), b"List-Unsubscribe=One-Click"):
            response = await web.post(HERE, form, Origin="https://mail.example.org")
            assert (response.status, await response.text()) == (200, "Unsubscribed.")
            assert response.headers["Content-Type"].startswith("text/plain")
            assert not {"Location", "Set-Cookie"} & set(response.headers)
        assert web.ledger.done == [("unsubscribe", False, "one-click", "127.0.0.1", "Thunderbird/140")] * 3


@pytest.mark.parametrize("body", [b"list-unsubscribe=One-Click", b"", b"List-Unsubscribe=", b"a=b", b"\xff&&=;"])
async def test_other_bodies_do_nothing(body: bytes) -> None:
    """A POST that is neither one-click nor a button of ours is not understood: 400, and nothing has changed."""
    async with running() as web:
        response = await web.post(HERE, body)
        assert response.status == 400
        assert web.ledger.done == []


async def test_get_and_head_change_nothing() -> None:
    """Scanners, previews and prefetchers ask for every link of a mail: whatever they ask, nobody is unsubscribed."""
    async with running(WITH_STREAMS) as web:
        for query in ("", "?keep", "?do=unsubscribe", "?List-Unsubscribe=One-Click"):
            for method in ("GET", "HEAD"):
                for place in (HERE, f"/p/{link()}"):
                    assert (await web.get(place + query, method=method)).status == 200
        assert web.ledger.done == []
        assert web.ledger.visits == []


async def test_the_page_asks_and_its_button_does_it() -> None:
    """First a question with the masked address, then the state with a way back."""
    async with running(WITH_STREAMS) as web:
        page = await (await web.get(HERE)).text()
        assert "Stop receiving “<bdi>Weekly offers</bdi>”?" in page
        assert "a•••@gmail.com" in page
        assert "ada.lovelace" not in page
        response = await web.post(HERE, {"do": "unsubscribe"})
        page = await response.text()
        assert response.status == 200
        assert "You are unsubscribed" in page
        assert 'value="undo"' in page
        assert web.ledger.done == [("unsubscribe", False, "page", "127.0.0.1", "Thunderbird/140")]


async def test_everything_is_stopped_only_when_that_was_ticked() -> None:
    """The choice is the person's, and never silent."""
    async with running(WITH_STREAMS) as web:
        page = await (await web.post(HERE, {"do": "unsubscribe", "everything": "yes"})).text()
        assert "non-essential emails from <bdi>Example Shop</bdi> any more" in page
        assert web.ledger.done[0][1] is True


async def test_what_is_done_twice_is_done_once_and_succeeds_twice() -> None:
    """The page says since when; the program hears the same as before."""
    async with running(ledger=Ledger({0: replace(ADA, unsubscribed_at=NOON - 9 * DAY)})) as web:
        for page in (await web.get(HERE), await web.post(HERE, {"do": "unsubscribe"})):
            assert page.status == 200
            assert "You are already unsubscribed" in await page.text()
            assert "12 November 2026" in await page.text()
        assert web.ledger.done == []
        assert (await web.post(HERE, ONE_CLICK)).status == 200


async def test_who_has_stopped_one_stream_can_still_stop_everything() -> None:
    """It is not the same wish."""
    async with running(WITH_STREAMS, Ledger({0: replace(ADA, unsubscribed_at=NOON - DAY)})) as web:
        page = await web.post(HERE, {"do": "unsubscribe", "everything": "yes"})
        assert "You are unsubscribed" in await page.text()
        assert web.ledger.known[0].everything


async def test_undo_takes_it_back() -> None:
    """A POST, and the page says that mail comes again. Undoing what was not done is no mistake."""
    async with running() as web:
        await web.post(HERE, ONE_CLICK)
        for _ in range(2):
            page = await web.post(HERE, {"do": "undo"})
            assert (page.status, "You will get these emails again" in await page.text()) == (200, True)
        assert web.ledger.known[0].unsubscribed_at is None


async def test_undo_says_when_something_else_still_stops_the_mail() -> None:
    """The wish is taken back, and the page does not promise what will not come."""
    async with running(ledger=Ledger({0: replace(ADA, unsubscribed_at=NOON, barred=True, all_mail=True)})) as web:
        page = await (await web.post(HERE, {"do": "undo"})).text()
        assert [done[0] for done in web.ledger.done] == ["resubscribe"]
        assert "You still do not get these emails" in page and "subscribed again" not in page.lower()


async def test_undo_ends_after_30_days() -> None:
    """Then the page says whom to ask, and the button is gone."""
    async with running(ledger=Ledger({0: replace(ADA, unsubscribed_at=NOON - 31 * DAY)})) as web:
        for page in (await web.get(HERE), await web.post(HERE, {"do": "undo"})):
            text = await page.text()
            assert "please contact" in text
            assert 'value="undo"' not in text
        assert web.ledger.done == []


@pytest.mark.parametrize("reason", ["too_many", "not_interested", "not_signed_up", "other"])
async def test_a_reason_may_be_told_afterwards(reason: str) -> None:
    """It changes nothing, and is thanked for."""
    async with running() as web:
        page = await web.post(HERE, {"do": "reason", "reason": reason})
        assert (page.status, "Thank you" in await page.text()) == (200, True)
        assert web.ledger.done == [("reason", reason, "127.0.0.1", "Thunderbird/140")]


async def test_only_our_reasons_are_taken() -> None:
    """What a form of ours cannot send is not kept."""
    async with running() as web:
        assert (await web.post(HERE, {"do": "reason", "reason": "<script>"})).status == 400
        assert (await web.post(HERE, {"do": "reason"})).status == 400
        assert web.ledger.done == []


async def test_who_keeps_the_mail_is_told_that_nothing_changed() -> None:
    """A plain link, and a way back."""
    async with running() as web:
        page = await (await web.get(f"{HERE}?keep")).text()
        assert "Nothing was changed" in page
        assert web.ledger.done == []


async def test_a_delivery_that_is_forgotten_is_410() -> None:
    """The token is ours, the delivery is purged: the link has expired, and nothing was done."""
    async with running(WITH_STREAMS, Ledger()) as web:
        for response in (
            await web.get(HERE),
            await web.get(f"/p/{link()}"),
            *[await web.post(HERE, {"do": each}) for each in ("unsubscribe", "undo")],
            await web.post(f"/p/{link()}", {"do": "choose"}),
        ):
            assert response.status == 410
            assert "This link has expired" in await response.text()
        response = await web.post(HERE, ONE_CLICK)
        assert (response.status, await response.text()) == (410, "This link has expired.")
        assert web.ledger.done == []


async def test_forged_and_unknown_tokens_look_the_same() -> None:
    """404, octet for octet: nobody learns by trying which tokens exist."""
    async with running(WITH_STREAMS) as web:
        tokens = [
            Keyring({0: b"x" * KEY_OCTETS}).write(Purpose.UNSUBSCRIBE, Token(QUEUE_ID, 0)),
            link(Purpose.CLICK),
            link(Purpose.OPEN),
            "x",
            "",
            "../../etc/passwd",
            "%3Cscript%3E",
        ]
        for place in ("/u/", "/p/"):
            bodies = set()
            for token in tokens:
                response = await web.get(place + token)
                assert response.status == 404
                bodies.add(await response.text())
            assert len(bodies) == 1
        assert (await web.post(f"/u/{tokens[0]}", ONE_CLICK)).status == 404
        assert (await web.post(f"/u/{tokens[0]}", {"do": "unsubscribe"})).status == 404
        assert web.ledger.done == []


async def test_our_trouble_is_503_and_says_that_nothing_was_saved() -> None:
    """Programs try again, people are told; success is never claimed."""
    async with running(WITH_STREAMS, Ledger({0: ADA}, away=True)) as web:
        for response in (
            await web.get(HERE),
            *[await web.post(HERE, {"do": each, "reason": "other"}) for each in ("unsubscribe", "undo", "reason")],
            await web.post(f"/p/{link()}", {"do": "choose"}),
        ):
            assert (response.status, response.headers["Retry-After"]) == (503, "120")
            assert "Your choice was not saved." in await response.text()
        response = await web.post(HERE, ONE_CLICK)
        assert (response.status, response.headers["Content-Type"]) == (503, "text/plain; charset=utf-8")
        assert "Not saved" in await response.text()


async def test_a_mistake_of_ours_is_503_too_and_told_to_us() -> None:
    """The page is the same; what went wrong is for the log."""
    async with running(ledger=Ledger({0: ADA}, broken=True)) as web:
        response = await web.post(HERE, {"do": "unsubscribe"})
        assert response.status == 503
        assert "a mistake of ours" not in await response.text()
        assert [str(error) for _, error in web.troubles] == ["a mistake of ours"]


async def test_streams_are_chosen_by_ticking_them() -> None:
    """What is ticked comes, what is not stays away, and the page repeats both."""
    async with running(WITH_STREAMS) as web:
        here = f"/p/{link()}"
        page = await (await web.get(here)).text()
        assert page.count('name="stream"') == 2
        assert page.count(" checked>") == 2
        page = await (await web.post(here, b"do=choose&stream=news&stream=strange")).text()
        assert "Your choice is saved" in page
        assert page.index("You get") < page.index("News from the shop") < page.index("You do not get")
        assert page.index("You do not get") < page.index("Weekly offers")
        page = await (await web.get(here)).text()
        assert page.count(" checked>") == 1
        await web.post(here, {"do": "stop_all", "stream": "news"})
        assert [done[1] for done in web.ledger.done] == [["news"], []]


async def test_without_streams_there_is_nothing_to_choose() -> None:
    """No page, and no link to one."""
    async with running() as web:
        assert (await web.get(f"/p/{link()}")).status == 404
        assert (await web.post(f"/p/{link()}", {"do": "stop_all"})).status == 404
        assert "../p/" not in await (await web.get(HERE)).text()
        assert web.ledger.done == []


async def test_the_visitor_is_told_as_far_as_it_may_be_kept() -> None:
    """Who unsubscribed whom can be looked up later; not more than the operator keeps of any visitor."""
    async with running(replace(WITH_STREAMS, client_address="none")) as web:
        await web.post(HERE, ONE_CLICK, User_Agent="Gmail")
        assert web.ledger.done == [("unsubscribe", False, "one-click", "", "Gmail")]
