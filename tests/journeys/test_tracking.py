"""Mail that is opened and clicked: from the copy that each recipient gets to what the database tells."""

from collections.abc import Mapping

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office
from tests.parts.mx import FakeMx
from tests.parts.reader import APPLE, BASE, GMAIL, PERSON, SCANNER, Letter

pytestmark = pytest.mark.asyncio(loop_scope="package")

SHOP = "https://shop.test/a?b=c&d=%20e%C3%A9#part;x=1"
PAGE = (
    "<html><body>\r\n<p>Hello<br>\r\n"
    '<a class=big  href="https://shop.test/a?b=c&amp;d=%20e%C3%A9#part;x=1">Look</a>\r\n'
    "<A HREF='http://other.test/'>Other</A> <a href=\"mailto:ada@sender.test\">Write</a>\r\n</body></html>\r\n"
)
HTML = {"MIME-Version": "1.0", "Content-Type": "text/html; charset=utf-8"}
BOXES = "delivered + hard_bounced + soft_bounced + dropped + deferred + in_progress + cancelled"


async def write(
    here: Office, mx: FakeMx, *to: str, headers: Mapping[str, str] = HTML, body: str = PAGE, sender: str = "sender.test"
) -> tuple[str, dict[str, Letter]]:
    """Send it, and wait for all copies; its queue id, and what each recipient has got. Delivered an hour ago."""
    before = len(mx.messages)
    shown = {"To": to[0], "Cc": to[1]} if len(to) > 1 else {"To": to[0]}
    address = f"ada@{sender}"
    queue_id = await here.send(*to, sender=address, headers={"From": address} | shown | dict(headers), body=body)
    await here.outcome(queue_id, "sent", count=len(to))
    here.long_ago(queue_id)
    return queue_id, {mail.recipients[0]: Letter(mail.content) for mail in mx.messages[before:]}


async def test_an_open_and_a_click_are_told_of_the_right_recipient(tracked: Office, internet: Internet) -> None:
    """Of To, Cc and Bcc the one who looked and clicked is opened and clicked, everywhere; the others are not."""
    to, cc, bcc = "to@three.test", "cc@three.test", "bcc@three.test"
    async with internet.mx("three.test") as mx:
        queue_id, letters = await write(tracked, mx, to, cc, bcc, sender="three-shop.test")
    assert letters.keys() == {to, cc, bcc}
    assert len({letter.pixel for letter in letters.values()}) == 3
    picture = await tracked.web.get(letters[bcc].pixel)
    assert (picture.status, len(picture.body), picture.body[:6]) == (200, 43, b"GIF89a")
    await tracked.visited(queue_id, "open", to=bcc)
    assert (await tracked.web.get(letters[bcc].links[0])).target == SHOP
    line = await tracked.visited(queue_id, "click", to=bcc)
    assert f"ip={PERSON.address}, class=human, link=1, url=<{SHOP}>" in line

    rows = {row["recipient"]: row for row in tracked.rows("SELECT * FROM email_status WHERE queue_id = ?", queue_id)}
    assert {name: (row["recipient_type"], bool(row["opened"]), bool(row["clicked"])) for name, row in rows.items()} == {
        to: ("to", False, False),
        cc: ("cc", False, False),
        bcc: ("bcc", True, True),
    }
    assert all((row["status"], bool(row["trackable"]), row["links"]) == ("sent", True, 2) for row in rows.values())
    mine = rows[bcc]
    assert (mine["opens"], mine["auto_opens"], mine["clicks"], mine["auto_clicks"]) == (1, 0, 1, 0)
    assert mine["first_open_at"] <= mine["first_click_at"]
    events = tracked.rows(
        "SELECT * FROM events WHERE queue_id = ? AND event IN ('opened', 'clicked') ORDER BY event_id", queue_id
    )
    assert [(row["event"], row["recipient"], row["ip"], row["agent_class"]) for row in events] == [
        ("opened", bcc, PERSON.address, "human"),
        ("clicked", bcc, PERSON.address, "human"),
    ]
    (link,) = tracked.rows("SELECT * FROM link_stats WHERE queue_id = ?", queue_id)
    assert (link["link"], link["url"], link["people"], link["clicks"], link["auto_clicks"]) == (1, SHOP, 1, 1, 0)
    (day,) = tracked.rows(f"SELECT *, {BOXES} AS boxes FROM daily_stats WHERE sender_domain = 'three-shop.test'")
    assert (day["requests"], day["boxes"], day["trackable"], day["delivered"]) == (3, 3, 3, 3)
    assert (day["opened"], day["unopened"], day["opened_only_auto"], day["clicked"]) == (1, 2, 0, 1)
    assert day["links_clicked"] == 1


async def test_nothing_but_links_and_the_pixel_is_changed(tracked: Office, internet: Internet) -> None:
    """With our links and the picture taken out again the body is what the application sent, byte for byte."""
    async with internet.mx("bytes.test") as mx:
        _, letters = await write(tracked, mx, "bob@bytes.test")
        body = mx.messages[-1].content.partition(b"\r\n\r\n")[2].decode()
    letter = letters["bob@bytes.test"]
    first, second, write_to = letter.links
    assert write_to == "mailto:ada@sender.test"
    (picture,) = [f"<img{rest.partition('>')[0]}>" for rest in body.split("<img")[1:]]
    assert letter.pixel in picture
    back = body.replace(picture, "").replace(first, "https://shop.test/a?b=c&amp;d=%20e%C3%A9#part;x=1")
    assert back.replace(second, "http://other.test/") == PAGE


async def test_a_click_counts_as_an_open(tracked: Office, internet: Internet) -> None:
    """Whose program shows no pictures and who follows a link has seen the mail."""
    async with internet.mx("blind.test") as mx:
        queue_id, letters = await write(tracked, mx, "bob@blind.test", sender="blind-shop.test")
    await tracked.web.get(letters["bob@blind.test"].links[1])
    await tracked.visited(queue_id, "click")
    row = tracked.delivery(queue_id)
    assert (bool(row["opened"]), row["opens"], bool(row["clicked"]), row["clicks"]) == (True, 0, True, 1)
    assert row["first_open_at"] == row["first_click_at"]
    (day,) = tracked.rows("SELECT * FROM daily_stats WHERE sender_domain = 'blind-shop.test'")
    assert (day["opened"], day["unopened"], day["clicked"]) == (1, 0, 1)


async def test_machines_are_counted_apart(tracked: Office, internet: Internet) -> None:
    """Apple's proxy is an open by a machine, a scanner's click is one too; a HEAD is none; nobody clicked."""
    async with internet.mx("machines.test") as mx:
        queue_id, letters = await write(tracked, mx, "bob@machines.test", sender="machine-shop.test")
    letter = letters["bob@machines.test"]
    await tracked.web.get(letter.pixel, APPLE)
    await tracked.visited(queue_id, "open")
    head = await tracked.web.get(letter.links[0], method="HEAD")
    assert (head.status, head.target) == (302, SHOP)
    assert (await tracked.web.get(letter.links[0], SCANNER)).target == SHOP
    await tracked.program.line(rf"{queue_id}: event=click, .*class=scanner.*Barracuda")
    row = tracked.delivery(queue_id)
    assert (bool(row["opened"]), row["opens"], row["auto_opens"]) == (True, 0, 1)
    assert (bool(row["clicked"]), row["clicks"], row["auto_clicks"], row["first_click_at"]) == (False, 0, 1, None)
    (link,) = tracked.rows("SELECT * FROM link_stats WHERE queue_id = ?", queue_id)
    assert (link["people"], link["clicks"], link["auto_clicks"]) == (0, 0, 1)
    events = tracked.rows("SELECT * FROM events WHERE queue_id = ? AND ip IS NOT NULL ORDER BY event_id", queue_id)
    assert [(row["event"], row["agent_class"]) for row in events] == [("opened", "privacy"), ("clicked", "scanner")]
    (day,) = tracked.rows("SELECT * FROM daily_stats WHERE sender_domain = 'machine-shop.test'")
    assert (day["opened"], day["opened_only_auto"], day["unopened"], day["clicked"]) == (1, 1, 0, 0)


async def test_what_a_proxy_fetches_for_a_person_is_an_open_by_a_person(tracked: Office, internet: Internet) -> None:
    """Gmail's image proxy comes when the mail is looked at; its second visit is another open, the first stays."""
    async with internet.mx("gmail.test") as mx:
        queue_id, letters = await write(tracked, mx, "bob@gmail.test")
    await tracked.web.get(letters["bob@gmail.test"].pixel, GMAIL)
    await tracked.visited(queue_id, "open")
    first = tracked.delivery(queue_id)["first_open_at"]
    await tracked.web.get(letters["bob@gmail.test"].pixel, GMAIL)
    await tracked.visited(queue_id, "open", count=2)
    row = tracked.delivery(queue_id)
    assert (row["opens"], row["auto_opens"], row["first_open_at"]) == (2, 0, first)
    assert row["last_open_at"] > first


async def test_who_clicks_at_the_moment_of_delivery_is_no_person(tracked: Office, internet: Internet) -> None:
    """A link that is followed before anybody can have read the mail was followed by a filter."""
    async with internet.mx("filter.test") as mx:
        queue_id = await tracked.send("bob@filter.test", headers=HTML, body=PAGE)
        (mail,) = await mx.received(1)
        await tracked.web.get(Letter(mail.content).links[0])
        await tracked.visited(queue_id, "click")
    row = tracked.delivery(queue_id)
    assert (bool(row["clicked"]), row["clicks"], row["auto_clicks"]) == (False, 0, 1)


async def test_text_only_mail_is_seen_by_its_twin(tracked: Office, internet: Internet) -> None:
    """The text part is what was sent; the HTML beside it has a picture, and links that lead straight on."""
    text = "Hello,\r\n\r\n  see http://shop.test/x?a=1&b=2 – thank you.\r\n-- \r\nAda\r\n"
    plain = {
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Transfer-Encoding": "8bit",
    }
    async with internet.mx("text.test") as mx:
        queue_id, letters = await write(tracked, mx, "bob@text.test", headers=plain, body=text)
        assert text.encode() in mx.messages[-1].content
    letter = letters["bob@text.test"]
    assert letter.message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in letter.message.iter_parts()] == ["text/plain", "text/html"]
    assert letter.links == ["http://shop.test/x?a=1&b=2"]
    await tracked.web.get(letter.pixel)
    await tracked.visited(queue_id, "open")
    row = tracked.delivery(queue_id)
    assert (bool(row["trackable"]), bool(row["opened"]), row["links"]) == (True, True, 0)


async def test_a_forged_link_leads_nowhere(tracked: Office, internet: Internet) -> None:
    """One letter changed, or cut off: a page that says so, no redirect; the picture is a picture all the same."""
    async with internet.mx("forged.test") as mx:
        queue_id, letters = await write(tracked, mx, "bob@forged.test")
    letter = letters["bob@forged.test"]
    for name in (letter.links[0], letter.pixel):
        bad = name[:-2] + ("A" if name[-2] != "A" else "B") + name[-1]
        for link in (bad, name[:-1], name.replace("/c/", "/o/") if "/c/" in name else name.replace("/o/", "/c/")):
            said = await tracked.web.get(link)
            assert (said.status, said.target) == ((200, "") if "/o/" in link else (404, ""))
    await tracked.web.get(letter.pixel)
    await tracked.visited(queue_id, "open")
    assert (tracked.delivery(queue_id)["opens"], tracked.delivery(queue_id)["clicks"]) == (1, 0)


NEITHER, PIXEL, LINKS, BOTH = (False, False), (True, False), (False, True), (True, True)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("X-Mailtrail-Track-Opens", "no", LINKS),
        ("X-Mailtrail-Track-Clicks", "no", PIXEL),
        ("X-Mailtrail-Track-Opens", "yes", BOTH),
        ("X-PM-TrackOpens", "false", LINKS),
        ("X-PM-TrackLinks", "None", PIXEL),
        ("X-Mailgun-Track", "no", NEITHER),
        ("X-Mailgun-Track-Clicks", "htmlonly", BOTH),
        ("X-SMTPAPI", '{"filters": {"clicktrack": {"settings": {"enable": 0}}}}', PIXEL),
        ("X-MSYS-API", '{"options": {"open_tracking": false, "click_tracking": false}}', NEITHER),
        ("X-MC-Track", "opens", PIXEL),
        ("X-Mailtrail-Tag", "receipt", BOTH),
        ("X-SES-CONFIGURATION-SET", "ours", BOTH),
    ],
)
async def test_one_message_may_say_what_it_wants(
    tracked: Office, internet: Internet, name: str, value: str, wanted: tuple[bool, bool]
) -> None:
    """Ours and other services' fields turn opens and clicks off, each apart; none of them leaves the relay."""
    async with internet.mx("wishes.test") as mx:
        queue_id, letters = await write(tracked, mx, "bob@wishes.test", headers=HTML | {name: value})
        assert name.lower().encode() not in mx.messages[-1].content.lower()
    assert seen(letters["bob@wishes.test"]) == wanted
    row = tracked.delivery(queue_id)
    assert (bool(row["trackable"]), row["links"] > 0) == wanted


async def test_no_is_stronger_than_yes(tracked: Office, internet: Internet) -> None:
    """Two fields that contradict each other: it is left untracked, and arrives as it was sent."""
    both = {"X-Mailtrail-Track-Opens": "yes", "X-PM-TrackOpens": "false", "X-Mailtrail-Track-Clicks": "no"}
    async with internet.mx("contrary.test") as mx:
        _, letters = await write(tracked, mx, "bob@contrary.test", headers=HTML | both)
    assert seen(letters["bob@contrary.test"]) == NEITHER
    assert letters["bob@contrary.test"].text("html") == PAGE


def seen(letter: Letter) -> tuple[bool, bool]:
    """Is there a picture of ours in it, do links lead through us?"""
    return bool(letter.pixel), any(link.startswith(f"{BASE}/c/") for link in letter.links)


async def test_the_boxes_add_up(tracked: Office, internet: Internet) -> None:
    """Delivered is opened, unopened and what cannot be tracked; and each box is as many as the rows say."""
    async with internet.mx("boxes.test", rcpt={"no@boxes.test": "550 5.1.1 No such user"}) as mx:
        untracked = HTML | {"X-Mailtrail-Track-Opens": "no"}
        await write(tracked, mx, "bob@boxes.test", headers=untracked, sender="box-shop.test")
        queue_id, letters = await write(tracked, mx, "ann@boxes.test", "eve@boxes.test", sender="box-shop.test")
        bounced = await tracked.send("no@boxes.test", sender="ada@box-shop.test", headers={"From": "ada@box-shop.test"})
        await tracked.outcome(bounced, "bounced")
    await tracked.web.get(letters["eve@boxes.test"].pixel)
    await tracked.visited(queue_id, "open")
    (day,) = tracked.rows(f"SELECT *, {BOXES} AS boxes FROM daily_stats WHERE sender_domain = 'box-shop.test'")
    assert (day["requests"], day["boxes"], day["delivered"], day["hard_bounced"]) == (4, 4, 3, 1)
    assert (day["opened"], day["unopened"]) == (1, 1)
    for view in ("daily_stats", "hourly_stats"):
        (told,) = tracked.rows(f"""
            SELECT sum(requests) AS requests, sum({BOXES}) AS boxes, sum(delivered) AS delivered,
                   sum(trackable) AS trackable, sum(opened) AS opened, sum(unopened) AS unopened,
                   sum(opened_only_auto) AS auto, sum(clicked) AS clicked, sum(links_clicked) AS links_clicked,
                   sum(unsubscribed) AS unsubscribed
              FROM {view}""")
        (true,) = tracked.rows("""
            SELECT count(*) AS requests, count(*) AS boxes,
                   count(*) FILTER (WHERE status = 'sent') AS delivered,
                   count(*) FILTER (WHERE trackable = 1) AS trackable,
                   count(*) FILTER (WHERE status = 'sent' AND trackable = 1 AND opened = 1) AS opened,
                   count(*) FILTER (WHERE status = 'sent' AND trackable = 1 AND opened = 0) AS unopened,
                   count(*) FILTER (WHERE status = 'sent' AND trackable = 1 AND opened = 1
                                      AND opens = 0 AND clicks = 0) AS auto,
                   count(*) FILTER (WHERE clicked = 1) AS clicked,
                   sum(clicks) AS links_clicked,
                   count(*) FILTER (WHERE unsubscribed = 1) AS unsubscribed
              FROM email_status""")
        assert dict(told) == dict(true)
