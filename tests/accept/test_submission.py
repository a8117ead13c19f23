"""What may be sent, and what a message looks like once it is ours."""

import re
from pathlib import Path
from typing import Any

import pytest

from relay.accept import headers, message
from relay.accept.trace import Client
from relay.address import Address
from relay.credential import Credential, Rate
from relay.envelope import Envelope, Recipient, Role
from tests.accept.service import HOST, Service, credential, running


async def sent(service: Service, content: bytes, *recipients: str) -> str:
    """The reply to a message with this content."""
    client = await service.hello()
    await client.envelope("a@example.com", *recipients)
    return await client.data(content)


async def test_a_message_gets_a_received_line_and_what_it_lacks(here: Path) -> None:
    """RFC 5321 4.4 and RFC 6409 8: Received, Message-ID and Date go on top; the rest is untouched."""
    async with running(here) as service:
        content = b"subject:   odd  spacing\r\nX: \xff\r\n\r\nbody\r\n"
        assert (await sent(service, content[:-2], "b@example.net")).startswith("250 ")
        queue_id = service.last.message.queue_id
        assert service.last.content.decode("latin-1") == (
            "Received: from app.example.com ([127.0.0.1])\r\n"
            f"\tby {HOST} (Mailtrail) with ESMTP id {queue_id}\r\n"
            "\tfor <b@example.net>; Sat, 21 Nov 2026 09:34:02 +0000\r\n"
            f"Message-ID: {service.last.message.message_id}\r\n"
            "Date: Sat, 21 Nov 2026 09:34:02 +0000\r\n"
        ) + content.decode("latin-1")
        assert service.last.message.size == len(service.last.content)
        assert re.fullmatch(rf"<{queue_id}\.[0-9a-f]{{16}}@{HOST}>", service.last.message.message_id)


async def test_message_id_and_date_are_kept_where_they_are(here: Path) -> None:
    """What the application gave is not given again."""
    async with running(here) as service:
        content = b"Message-ID: <1@example.com>\r\nDate: Fri, 20 Nov 2026 09:00:00 +0100\r\n\r\nbody\r\n"
        await sent(service, content[:-2])
        assert service.last.content.endswith(b"+0000\r\n" + content)
        assert service.last.content.count(b"Message-ID") == 1
        assert service.last.message.message_id == "<1@example.com>"


async def test_several_recipients_do_not_learn_of_each_other(here: Path) -> None:
    """No "for" clause, and Bcc is taken off."""
    async with running(here) as service:
        content = b"To: b@example.net\r\nBcc: c@example.net,\r\n d@example.net\r\nSubject: hi\r\n\r\nBcc: stays here"
        await sent(service, content, "b@example.net", "c@example.net")
        assert b"for <" not in service.last.content
        assert b"To: b@example.net\r\nSubject: hi\r\n\r\nBcc: stays here\r\n" in service.last.content
        assert b"c@example.net" not in service.last.content


async def test_roles_come_from_the_header(here: Path) -> None:
    """To, Cc, and for whom neither names: a blind copy. Case and folds do not matter."""
    async with running(here) as service:
        content = b'To: "B, b" <B@Example.net>,\r\n team: x@example.net;\r\nCc: c@example.net\r\n\r\nhi'
        await sent(service, content, "b@example.net", "c@example.net", "d@example.net", "x@example.net")
        assert [delivery.role for delivery in service.last.deliveries] == [Role.TO, Role.CC, Role.BCC, Role.TO]


async def test_a_recipient_given_twice_is_one_delivery(here: Path) -> None:
    """The domain in another case is the same domain; the local part is its host's affair."""
    async with running(here) as service:
        await sent(service, b"hi", "b@example.net", "b@EXAMPLE.net", "B@example.net")
        assert [str(delivery.recipient) for delivery in service.last.deliveries] == ["b@example.net", "B@example.net"]


async def test_lists_and_searches_get_their_fields(here: Path) -> None:
    """Sender from From, subject decoded, tag and metadata read and left in for now."""
    async with running(here) as service:
        await sent(
            service,
            b"From: Billing <billing@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
            b"X-Mailtrail-Tag: receipt\r\nX-Mailtrail-Metadata: order=991\r\nX-Mailtrail-Metadata: shop=7\r\n\r\nhi",
        )
        message = service.last.message
        assert (message.sender, message.subject, message.tag) == ("billing@example.com", "Grüße", "receipt")
        assert dict(message.metadata) == {"order": "991", "shop": "7"}
        assert b"X-Mailtrail-Tag: receipt\r\n" in service.last.content
        await sent(service, b"no header at all")
        assert (service.last.message.sender, service.last.message.subject) == ("a@example.com", "")
        assert service.last.content.endswith(b"\r\n\r\nno header at all\r\n")


async def test_a_tag_of_another_service_is_a_tag(here: Path) -> None:
    """X-PM-Tag or X-Mailgun-Tag; ours comes before them, wherever it stands."""
    async with running(here) as service:
        await sent(service, b"X-PM-Tag: welcome\r\n\r\nhi")
        assert service.last.message.tag == "welcome"
        await sent(service, b"X-Mailgun-Tag: theirs\r\nX-Mailtrail-Tag: ours\r\n\r\nhi")
        assert service.last.message.tag == "ours"


async def test_tracking_is_on_unless_somebody_says_no(here: Path) -> None:
    """A message may say no, in our words or in another service's; unsubscribe fields only come when asked for."""
    async with running(here) as service:
        for header, opens, clicks, unsubscribe in (
            (b"", True, True, False),
            (b"X-Mailtrail-Track-Opens: no\r\n", False, True, False),
            (b"X-PM-TrackLinks: None\r\nX-Mailtrail-Track-Clicks: yes\r\n", True, False, False),
            (b"X-Mailgun-Track: no\r\nX-Mailtrail-Unsubscribe: yes\r\n", False, False, True),
        ):
            await sent(service, header + b"Subject: x\r\n\r\nhi")
            made = service.last.message
            assert (made.track_opens, made.track_clicks, made.unsubscribe) == (opens, clicks, unsubscribe)


@pytest.mark.parametrize(
    ("said", "header", "opens", "unsubscribe"),
    [
        ({"track_opens": False}, b"X-Mailtrail-Track-Opens: yes\r\n", False, False),
        ({"track_opens": True}, b"X-Mailtrail-Track-Opens: no\r\n", False, False),
        ({"track_opens": None}, b"", True, False),
        ({"unsubscribe": True}, b"", True, True),
        ({"unsubscribe": True}, b"X-Mailtrail-Unsubscribe: no\r\n", True, False),
        ({"unsubscribe": False}, b"X-Mailtrail-Unsubscribe: yes\r\n", True, False),
    ],
)
def test_no_of_the_credential_or_of_the_message_wins(
    said: dict[str, Any], header: bytes, opens: bool, unsubscribe: bool
) -> None:
    """Neither can switch on what the other has switched off."""
    content = header + b"Subject: x\r\n\r\nhi\r\n"
    sender = Address("a", "example.com")
    made = message.make(
        Client("192.0.2.1", credential=Credential("app", (), 0.0, **said)),
        Envelope(sender, (Recipient(sender),)),
        headers.read(content, 10_000),
        content,
        queue_id="0abcdef12345",
        now=0.0,
        hostname=HOST,
        hide_client=False,
    ).message
    assert (made.track_opens, made.track_clicks, made.unsubscribe) == (opens, True, unsubscribe)


async def test_the_address_of_the_client_can_be_left_out(here: Path) -> None:
    """hide_client_address: neither its IP address nor its name leave the house."""
    async with running(here, hide_client_address=True) as service:
        await sent(service, b"hi")
        assert service.last.content.startswith(f"Received: by {HOST} (Mailtrail) with ESMTP id ".encode())
        assert b"127.0.0.1" not in service.last.content and b"app.example.com" not in service.last.content


async def test_a_message_that_goes_in_circles_is_refused(here: Path) -> None:
    """RFC 5321 6.3: too many Received fields."""
    async with running(here, max_received=5) as service:
        assert (await sent(service, b"Received: x\r\n" * 5)).startswith("250 ")
        assert (await sent(service, b"Received: x\r\n" * 6)).startswith(
            "554 5.4.6 Message has passed 6 hops, limit is 5, so it goes in circles. [R4117 "
        )


async def test_a_header_too_big_is_refused(here: Path) -> None:
    """552 5.3.4, while the body may be as big as a message may be."""
    async with running(here, max_header_size=1024) as service:
        assert (await sent(service, b"A: " + b"x" * 2000 + b"\r\n\r\nhi")).startswith(
            "552 5.3.4 Header is over its limit of 1 KiB. Fix: send fewer or shorter fields. [R4118 "
        )
        assert (await sent(service, b"A: b\r\n\r\n" + b"x" * 2000)).startswith("250 ")


@pytest.mark.parametrize(
    ("sender", "header", "refused"),
    [
        ("a@example.com", b"From: a@example.com", ""),
        ("a@mail.shop.example", b"From: a@Mail.Shop.Example", ""),
        ("", b"From: a@example.com", ""),
        ("a@other.example", b"From: a@example.com", "other.example"),
        ("a@notexample.com", b"From: a@example.com", "notexample.com"),
        ("a@example.com", b"From: a@other.example", "other.example"),
        ("a@example.com", b"From: a@example.com, b@other.example", "other.example"),
        ("a@example.com", b"From: a@example.com\r\nFrom: b@other.example", "other.example"),
        ("a@example.com", b"From: <a@example.com> <b@other.example>", "other.example"),
        ("a@example.com", b"From: nobody", "an unreadable From"),
        ("a@example.com", b"Subject: from whom?", "without a From"),
    ],
)
async def test_a_credential_may_only_use_its_domains(here: Path, sender: str, header: bytes, refused: str) -> None:
    """In the reverse-path and in every From; a leading dot allows subdomains."""
    async with running(here, credential(domains=("example.com", ".shop.example"))) as service:
        client = await service.hello()
        await client.log_in()
        reply = await client.ask(f"MAIL FROM:<{sender}>")
        if reply.startswith("250 "):
            await client.ask("RCPT TO:<b@example.net>")
            reply = await client.data(header + b"\r\n\r\nhi")
        if refused:
            start = "553 5.7.1 Credential billing-app may only send from example.com, .shop.example, not "
            assert reply.startswith(f"{start}{refused}. [R4105 ")
            assert service.store.refusals[-1].credential == "billing-app"
        else:
            assert reply.startswith("250 2.0.0 Queued")


async def test_over_its_rate_a_credential_is_told_when_to_come_again(here: Path) -> None:
    """4yz, never 5yz."""
    async with running(here, credential(rate=Rate(2, 60.0))) as service:
        client = await service.hello()
        await client.log_in()
        for _ in range(2):
            await client.envelope()
            await client.data(b"hi")
        assert (await client.ask("MAIL FROM:<a@example.com>")).startswith(
            "421 4.7.0 Credential billing-app is over its limit of 2 per minute, try again in 60 s. [R4108 "
        )
        assert await client.at_end()
        service.clock.now += 60
        client = await service.hello()
        await client.log_in()
        await client.envelope()


async def test_a_credential_may_have_a_smaller_limit_of_its_own(here: Path) -> None:
    """Announced after the login, enforced at MAIL and while reading."""
    async with running(here, credential(max_message_size=1000)) as service:
        client = await service.hello()
        await client.log_in()
        assert "250-SIZE 1000\n" in await client.ask("EHLO app.example.com")
        reply = await client.ask("MAIL FROM:<a@example.com> SIZE=1001")
        assert reply.startswith(
            "552 5.3.4 Message is 1001 octets, limit is 1000 octets. Fix: raise the size limit of the"
        )
        await client.envelope()
        assert (await client.data(b"x" * 1000)).startswith("552 5.3.4 ")


async def test_what_the_courier_has_room_for_is_claimed_and_handed_over(here: Path) -> None:
    """All deliveries of a message, or none; after a failed commit the room is free again."""
    async with running(here, room=3) as service:
        assert (await sent(service, b"hi", "b@example.net", "c@example.net")).startswith("250 ")
        assert service.hand.given == [service.last]
        assert (await sent(service, b"hi", "b@example.net", "c@example.net")).startswith("250 ")
        assert service.store.claimed == [True, False]
        assert len(service.hand.given) == 1
        service.store.full = True
        assert (await sent(service, b"hi", "b@example.net")).startswith("451 ")
        assert service.hand.room == 1


async def test_a_strange_hello_cannot_break_the_header(here: Path) -> None:
    """What a client calls itself is data, not syntax."""
    async with running(here) as service:
        client = await service.connect()
        await client.reply()
        await client.ask('EHLO a";(<b>\\')
        await client.envelope()
        await client.data(b"hi")
        assert re.match(rb"Received: from a\?\?\?\?b\?\? \(\[127\.0\.0\.1\]\)\r\n", service.last.content)
