"""What the sender is told, when, and when not: notices (DSNs) go the way of any message, to the sender's own server."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.journeys.internet import Internet
from tests.journeys.office import Office, office
from tests.parts.mx import EXTENSIONS

pytestmark = pytest.mark.asyncio(loop_scope="package")

UNKNOWN = "550 5.1.1 No such user"
ALL_NOTICES = "SELECT recipient_id FROM delivery_status WHERE origin = 'notice' ORDER BY recipient_id"


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def hasty(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    """A relay that gives up after a second, and warns before that."""
    settings = internet.settings(lifetime="1s", delay_warning="1ms", retry=["400ms"])
    async with office(tmp_path_factory.mktemp("hasty"), internet, settings) as hasty:
        yield hasty


async def test_a_warning_and_then_the_end(hasty: Office, internet: Internet) -> None:
    """A delay is told once; at the end of its lifetime the delivery is a soft bounce, 4.4.7, and that is told too."""
    async with internet.mx("never.test", rcpt="450 4.2.1 Mailbox busy"):
        queue_id = await hasty.send("bob@never.test", sender="patient@sender.test")
        await hasty.program.line(rf"{queue_id}: from=<patient@sender.test>, status=expired, returned to sender")
        warning = str(await hasty.notice("patient@sender.test"))
        final = str(await hasty.notice("patient@sender.test", count=2))
    assert "Action: delayed" in warning and "Will-Retry-Until: " in warning
    assert "Action: failed" in final and "Status: 4.4.7" in final and "450 4.2.1 Mailbox busy" in final
    assert hasty.notices("patient@sender.test") == 2
    row = hasty.delivery(queue_id)
    assert (row["status"], row["dsn"]) == ("soft_bounce", "4.4.7")
    assert row["reason"].startswith("not delivered within 1 second; last: ")
    assert row["attempts"] > 1


async def test_nothing_is_told_to_whoever_wants_to_know_nothing(hasty: Office, internet: Internet) -> None:
    """NOTIFY=NEVER: neither a warning nor a failure."""
    async with internet.mx("quiet.test", rcpt="450 4.2.1 Mailbox busy"):
        queue_id = await hasty.send("bob@quiet.test", sender="never@sender.test", rcpt_options=["NOTIFY=NEVER"])
        await hasty.outcome(queue_id, "bounced")
    assert hasty.notices("never@sender.test") == 0


async def test_the_null_reverse_path_is_told_nothing(here: Office, internet: Internet) -> None:
    """A message from <> that bounces makes no notice."""
    before = here.rows(ALL_NOTICES)
    async with internet.mx("void.test", rcpt=UNKNOWN):
        await here.outcome(await here.send("bob@void.test", sender=""), "bounced")
    assert here.rows(ALL_NOTICES) == before


async def test_a_notice_that_bounces_makes_no_other(here: Office, internet: Internet) -> None:
    """The sender does not exist either: the notice itself bounces, and that is the end."""
    async with internet.mx("ghost.test", rcpt=UNKNOWN):
        await here.outcome(await here.send("bob@ghost.test", sender="ada@ghost.test"), "bounced")
        await here.program.line(r": to=<ada@ghost\.test>, .* status=bounced")
    (notice,) = here.rows("SELECT * FROM delivery_status WHERE recipient = 'ada@ghost.test'")
    assert (notice["origin"], notice["status"]) == ("notice", "hard_bounce")
    assert here.rows("SELECT * FROM queue_now WHERE recipient LIKE '%ghost.test'") == []


async def test_success_is_the_next_server_s_to_tell(here: Office, internet: Internet) -> None:
    """NOTIFY=SUCCESS, ORCPT, RET and ENVID go on to a server that announces DSN, and we tell nothing ourselves."""
    async with internet.mx("dsn.test") as mx:
        queue_id = await here.send(
            "bob@dsn.test",
            sender="curious@sender.test",
            options=["RET=HDRS", "ENVID=Case+2BKept"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Bob@elsewhere.test"],
        )
        await here.outcome(queue_id, "sent")
        (copy,) = mx.messages
    assert "RET=HDRS" in copy.mail_parameters and "ENVID=Case+2BKept" in copy.mail_parameters
    assert "ORCPT=rfc822;Bob@elsewhere.test" in copy.rcpt_parameters[0]
    assert "NOTIFY=FAILURE,SUCCESS" in copy.rcpt_parameters[0]
    assert here.notices("curious@sender.test") == 0


async def test_success_at_a_server_that_cannot_tell(here: Office, internet: Internet) -> None:
    """NOTIFY=SUCCESS where DSN is not announced: the sender learns that it was passed on ("relayed")."""
    async with internet.mx("nodsn.test", ehlo=[word for word in EXTENSIONS if word != "DSN"]) as mx:
        queue_id = await here.send(
            "bob@nodsn.test", sender="asking@sender.test", options=["ENVID=7"], rcpt_options=["NOTIFY=SUCCESS"]
        )
        await here.outcome(queue_id, "sent")
        assert mx.messages[0].rcpt_parameters == ("",)
        notice = str(await here.notice("asking@sender.test"))
    assert "Action: relayed" in notice and "Original-Envelope-Id: 7" in notice


async def test_a_notice_brings_back_what_was_asked_for(here: Office, internet: Internet) -> None:
    """RET=FULL: the whole message; RET=HDRS: its header alone."""
    async with internet.mx("returns.test", rcpt=UNKNOWN):
        for ret, sender in (("FULL", "full@sender.test"), ("HDRS", "head@sender.test")):
            to = f"{ret.lower()}@returns.test"  # an address that bounced is not tried again
            await here.send(to, sender=sender, options=[f"RET={ret}"], body="what I had to say\r\n")
        full, head = str(await here.notice("full@sender.test")), str(await here.notice("head@sender.test"))
    assert "Subject: Your receipt" in full and "what I had to say" in full
    assert "Subject: Your receipt" in head and "what I had to say" not in head
