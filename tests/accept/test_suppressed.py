"""RCPT to an address on the suppression list: accepted and dropped later, or refused, as the configuration says."""

from pathlib import Path

from relay.config import SuppressionSection
from suppression.entry import Entry
from tests.accept.service import credential, running

BOB = Entry("bob@x.test", "", "complaint", "feedback report", 1_700_000_000.0)
NEWS = Entry("eve@x.test", "news", "unsubscribe", "one-click", 1_700_000_000.0)
REFUSING = SuppressionSection(refuse_at_rcpt=True)


async def test_by_default_a_suppressed_recipient_is_taken(here: Path) -> None:
    """To many applications one refused recipient is a failed message; it is recorded as rejected later."""
    async with running(here) as service:
        service.store.listed.append(BOB)
        client = await service.hello()
        await client.envelope("a@example.com", "bob@x.test")
        assert (await client.data(b"Subject: hi\r\n\r\nhello")).startswith("250 ")


async def test_a_suppressed_recipient_can_be_refused_with_why(here: Path) -> None:
    """With a rule, since when, and what to do; the others are not touched."""
    async with running(here, suppression=REFUSING) as service:
        service.store.listed.append(BOB)
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com>")
        refused = await client.ask("RCPT TO:<bob@x.test>")
        assert refused.startswith(
            "553 5.7.1 Recipient bob@x.test is on the suppression list, called it spam on 2023-11-14"
        )
        assert "[R4129 " in refused and "mailtrail suppression remove" in refused
        assert (await client.ask("RCPT TO:<eve@x.test>")).startswith("250 ")
        assert (await client.data(b"Subject: hi\r\n\r\nhello")).startswith("250 ")
        assert [str(one.recipient) for one in service.last.deliveries] == ["eve@x.test"]
        assert [(one.rule, one.rcpt_to) for one in service.store.refusals] == [("R4129", "bob@x.test")]


async def test_an_entry_for_a_tag_refuses_where_the_credential_has_it(here: Path) -> None:
    """The message's own tag is not known at RCPT: such mail is taken, and judged when it is tried."""
    async with running(here, credential(tag="news"), suppression=REFUSING) as service:
        service.store.listed.append(NEWS)
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com>")
        assert (await client.ask("RCPT TO:<eve@x.test>")).startswith("250 ")
        await client.ask("RSET")
        await client.log_in()
        await client.ask("MAIL FROM:<a@example.com>")
        assert (await client.ask("RCPT TO:<eve@x.test>")).startswith("553 ")


async def test_a_list_that_cannot_be_read_refuses_for_now(here: Path) -> None:
    """Our own trouble is 4yz."""
    async with running(here, suppression=REFUSING) as service:
        client = await service.hello()
        await client.ask("MAIL FROM:<a@example.com>")
        service.store.full = True
        assert (await client.ask("RCPT TO:<bob@x.test>")).startswith("451 ")
