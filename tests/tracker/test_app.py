"""The pixel and the links: what every visitor gets, and what is told of the visit."""

import pytest

from tests.tracker.web import NOON, QUEUE_ID, TARGET, Ledger, link, running
from tracker.app import Settings
from tracker.token import KEY_OCTETS, MAX_TARGET, Keyring, Purpose, Token
from tracker.visit import LONGEST_AGENT
from tracker.wire import GIF

OPEN, CLICK = Purpose.OPEN, Purpose.CLICK
LONGEST = "https://x.example/".ljust(MAX_TARGET, "y")


def test_the_pixel_is_one_transparent_point() -> None:
    """43 octets; a GIF of 1 by 1, whose graphic control says that colour 0 is not drawn."""
    assert len(GIF) == 43
    assert GIF[:6] == b"GIF89a"
    assert GIF[6:10] == b"\x01\x00\x01\x00"
    assert GIF[19:22] == b"\x21\xf9\x04"
    assert GIF[22] & 1
    assert GIF[25] == 0
    assert GIF[-1:] == b";"


@pytest.mark.parametrize("token", [link(OPEN), link(CLICK), "", "forged", "%00", "A" * 8000])
async def test_a_pixel_is_200_for_any_token(token: str) -> None:
    """Never a broken image in a mail, whatever became of its link; and nobody may keep it."""
    async with running() as web:
        response = await web.get(f"/o/{token}")
        assert (response.status, await response.read()) == (200, GIF)
        assert response.headers["Content-Type"] == "image/gif"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in response.headers


async def test_an_open_is_told_with_what_is_known_of_it() -> None:
    """Delivery, time, address and program; each visit has a name of its own."""
    async with running() as web:
        await web.get(f"/o/{link(OPEN, number=7)}")
        await web.get(f"/o/{link(OPEN, number=7)}")
        first, second = web.ledger.visits
        assert (first.kind, first.queue_id, first.number, first.link, first.target) == ("open", QUEUE_ID, 7, 0, "")
        assert (first.at, first.ip, first.agent, first.hints) == (NOON, "127.0.0.1", "Thunderbird/140", "")
        assert first.visit_id != second.visit_id


async def test_a_forged_pixel_is_not_told() -> None:
    """Neither is one whose token was made for another purpose."""
    async with running() as web:
        other = Keyring({0: b"x" * KEY_OCTETS}).write(OPEN, Token(QUEUE_ID, 0))
        for token in (other, link(CLICK), link(Purpose.UNSUBSCRIBE), "x"):
            await web.get(f"/o/{token}")
        assert web.ledger.visits == []


async def test_a_click_is_redirected_from_its_token_alone() -> None:
    """302 to the target, with the backend away: links outlive everything. Our link is told to nobody."""
    async with running(ledger=Ledger(away=True)) as web:
        response = await web.get(f"/c/{link(CLICK)}")
        assert (response.status, response.headers["Location"]) == (302, TARGET)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        (visit,) = web.ledger.visits
        assert (visit.kind, visit.queue_id, visit.link, visit.target) == ("click", QUEUE_ID, 3, TARGET)


async def test_what_others_add_to_a_link_does_not_hurt_it() -> None:
    """Mail programs and networks append parameters (fbclid, mc_eid); the target stays the token's."""
    async with running() as web:
        response = await web.get(f"/c/{link(CLICK)}?fbclid=abc")
        assert (response.status, response.headers["Location"]) == (302, TARGET)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t[:20] + "x" + t[21:], lambda _: ""])
async def test_a_tampered_link_leads_nowhere(change: object) -> None:
    """404 with a page that says what to do; no Location, no visit."""
    assert callable(change)
    async with running() as web:
        response = await web.get(f"/c/{change(link(CLICK))}")
        assert response.status == 404
        assert "Location" not in response.headers
        assert "We cannot open this link" in await response.text()
        assert web.ledger.visits == []


async def test_head_is_answered_like_get_and_hinted_at() -> None:
    """RFC 9110 9.3.2: the fields of GET, no content. Link checkers send it; whoever judges must know."""
    async with running() as web:
        for path in (f"/o/{link(OPEN)}", f"/c/{link(CLICK)}"):
            get, head = await web.get(path), await web.get(path, method="HEAD")
            assert head.status == get.status
            assert dict(head.headers) == dict(get.headers)
            assert await head.read() == b""
        assert [visit.hints for visit in web.ledger.visits] == ["", "head", "", "head"]


@pytest.mark.parametrize(
    ("name", "value", "hints"),
    [
        ("Sec-Purpose", "prefetch", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender", "prefetch"),
        ("Purpose", "prefetch", "prefetch"),
        ("X-Purpose", "preview", "prefetch"),
        ("X-Moz", "Prefetch", "prefetch"),
        ("Sec-Purpose", "something-new", ""),
        ("DNT", "1", "dnt"),
        ("DNT", "0", ""),
        ("Sec-GPC", "1", "dnt"),
    ],
)
async def test_what_a_request_says_of_itself_is_kept(name: str, value: str, hints: str) -> None:
    """Fetched before anybody asked to see it; and the wish not to be tracked."""
    async with running() as web:
        await web.get(f"/c/{link(CLICK)}", **{name: value})
        assert [visit.hints for visit in web.ledger.visits] == [hints]


@pytest.mark.parametrize("name", ["DNT", "Sec-GPC"])
async def test_who_does_not_want_to_be_tracked_is_not_where_that_is_respected(name: str) -> None:
    """The link works, and nothing at all is recorded."""
    async with running(Settings("http://t.example.com", respect_do_not_track=True)) as web:
        response = await web.get(f"/c/{link(CLICK)}", **{name: "1"})
        assert response.status == 302
        assert (await web.get(f"/o/{link(OPEN)}", **{name: "1"})).status == 200
        assert web.ledger.visits == []
        await web.get(f"/o/{link(OPEN)}")
        assert len(web.ledger.visits) == 1


async def test_a_user_agent_is_text_that_can_be_stored() -> None:
    """Broken UTF-8 and control characters are replaced, and nobody fills our disk with it."""
    async with running() as web:
        head = f"GET /o/{link(OPEN)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: ".encode()
        for agent in (b"a\xffb", b"a\xc2\x85b", b"caf\xc3\xa9", b"x" * 5000):
            await web.raw(head + agent + b"\r\n\r\n")
        agents = [visit.agent for visit in web.ledger.visits]
        assert agents == ["a�b", "a�b", "café", "x" * LONGEST_AGENT]


async def test_a_visitor_is_answered_whatever_becomes_of_the_visit() -> None:
    """The answer goes first; a mistake of ours is told to us, not to the visitor."""
    async with running(ledger=Ledger(broken=True)) as web:
        assert (await web.get(f"/c/{link(CLICK)}")).status == 302
        assert (await web.get(f"/o/{link(OPEN)}")).status == 200
        assert [text for text, _ in web.troubles] == ["a visit was not recorded"] * 2


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("https://bücher.example/grün?ä=ö#ü", "https://xn--bcher-kva.example/gr%C3%BCn?%C3%A4=%C3%B6#%C3%BC"),
        ("http://user@пример.example:8080/", "http://user@xn--e1afmkfd.example:8080/"),
        ("https://x.example/100%25?a=[b]", "https://x.example/100%25?a=[b]"),
        (LONGEST, LONGEST),
        ("https://a..ü..b/x", "https://a..%C3%BC..b/x"),
    ],
)
async def test_a_target_in_any_script_is_found(target: str, location: str) -> None:
    """RFC 3987 3.1: what is not ASCII is spelled for the header as a browser would; the rest is left alone."""
    async with running() as web:
        response = await web.get(f"/c/{link(CLICK, target=target)}")
        assert (response.status, response.headers["Location"]) == (302, location)


@pytest.mark.parametrize(("kept", "expected"), [("whole", "127.0.0.1"), ("shortened", "127.0.0.0"), ("none", "")])
async def test_addresses_are_kept_as_the_operator_wants(kept: str, expected: str) -> None:
    """Whole, as a neighbourhood, or not at all."""
    async with running(Settings("http://x", client_address=kept)) as web:  # type: ignore[arg-type]
        await web.get(f"/o/{link(OPEN)}")
        assert web.ledger.visits[0].ip == expected


async def test_a_proxy_that_is_trusted_names_the_visitor() -> None:
    """A stranger's word about himself is not taken; our proxy's is."""
    for trusted, expected in ((("127.0.0.0/8",), "192.0.2.7"), ((), "127.0.0.1"), (("10.0.0.0/8",), "127.0.0.1")):
        async with running(Settings("http://x", trusted_proxies=trusted)) as web:
            await web.get(f"/o/{link(OPEN)}", X_Forwarded_For="203.0.113.1, 192.0.2.7")
            assert web.ledger.visits[0].ip == expected


async def test_a_link_works_on_when_keys_are_rotated() -> None:
    """The keyring of the moment is asked each time; an old key that is still held opens its links."""
    keys = {0: b"0" * KEY_OCTETS}
    async with running(keyring=lambda: Keyring(keys)) as web:
        newer = Keyring({1: b"1" * KEY_OCTETS}).write(CLICK, Token(QUEUE_ID, 0, 1, TARGET))
        assert [(await web.get(f"/c/{token}")).status for token in (link(CLICK), newer)] == [302, 404]
        keys[1] = b"1" * KEY_OCTETS
        assert [(await web.get(f"/c/{token}")).status for token in (link(CLICK), newer)] == [302, 302]
