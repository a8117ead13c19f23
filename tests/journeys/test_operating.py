"""The operator's side of a message: stopping, starting and looking, while the relay runs."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office, office

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_hold_and_release(here: Office, internet: Internet) -> None:
    """What is held is not tried, whatever its time; released, it goes on."""
    async with internet.mx("stop.test", rcpt={"bob@stop.test": ["450 later, in 60 seconds", "250 Ok"]}):
        queue_id = await here.send("bob@stop.test")
        await here.outcome(queue_id, "deferred")
        await here.cli("queue", "hold", queue_id, "--yes", "--reason", "wrong price")
        row = here.delivery(queue_id)
        assert (row["status"], row["next_attempt_at"]) == ("held", None)
        (held,) = here.rows("SELECT held_reason FROM queue_now WHERE queue_id = ?", queue_id)
        assert held["held_reason"] == "wrong price"
        await here.cli("queue", "release", queue_id, "--yes")
        await here.outcome(queue_id, "sent")
    assert here.events(queue_id) == ["creating", "spooled", "deferred", "hold", "release", "sent"]


async def test_retry_does_not_wait(here: Office, internet: Internet) -> None:
    """`queue retry` brings an attempt now, long before its time."""
    async with internet.mx("hurry.test", rcpt={"bob@hurry.test": ["451 try again in 1 hour", "250 Ok"]}):
        queue_id = await here.send("bob@hurry.test")
        await here.outcome(queue_id, "deferred")
        await here.cli("queue", "retry", "to:bob@hurry.test", "--yes")
        await here.outcome(queue_id, "sent")


async def test_cancel_is_the_end(here: Office, internet: Internet) -> None:
    """A cancelled delivery leaves the queue with its content; its sender is not told."""
    async with internet.mx("drop.test", rcpt="451 try again in 1 hour"):
        queue_id = await here.send("bob@drop.test", sender="nobody-told@sender.test")
        await here.outcome(queue_id, "deferred")
        await here.cli("queue", "cancel", queue_id, "--yes")
    assert here.delivery(queue_id)["status"] == "cancelled"
    assert here.rows("SELECT * FROM queue_now WHERE queue_id = ?", queue_id) == []
    assert here.notices("nobody-told@sender.test") == 0


async def test_an_attempt_in_hand_still_tells_the_truth(here: Office, internet: Internet) -> None:
    """Cancelled while it was on its way, and accepted all the same: it is sent, because that is what happened."""
    async with internet.mx("underway.test", hold_at="DOT") as mx:
        queue_id = await here.send("bob@underway.test")
        await mx.heard("DATA")
        await here.cli("queue", "cancel", queue_id, "--yes")
        assert here.delivery(queue_id)["status"] == "cancelled"
        mx.release.set()
        await here.outcome(queue_id, "sent")
    assert here.delivery(queue_id)["status"] == "sent"


async def test_show_tells_what_was_said(here: Office, internet: Internet) -> None:
    """`message show` has recipient, status and reason, and with --transcript the conversation without the content."""
    async with internet.mx("talk.test", rcpt={"no@talk.test": "550 5.1.1 No such user"}):
        queue_id = await here.send("yes@talk.test", "no@talk.test", body="for Bob alone\r\n")
        await here.outcome(queue_id, "sent")
        await here.outcome(queue_id, "bounced")
    shown = await here.cli("message", "show", queue_id)
    assert "yes@talk.test" in shown and "550 5.1.1 No such user" in shown
    talk = await here.cli("message", "show", queue_id, "--transcript", "1")
    for words in ("C: EHLO relay.test", "C: RCPT TO:<yes@talk.test>", "S: 250 2.0.0 Ok: queued", "bytes>"):
        assert words in talk
    assert "for Bob alone" not in talk
    found = json.loads(await here.cli("message", "show", queue_id, "--json"))
    assert {one["recipient"]: one["status"] for one in found["recipients"]} == {
        "yes@talk.test": "sent",
        "no@talk.test": "hard_bounce",
    }


async def test_the_boxes_add_up(here: Office) -> None:
    """After all that, requests are the sum of every other box, and as many as there are rows."""
    (total,) = here.rows("""
        SELECT sum(requests) AS requests,
               sum(delivered + hard_bounced + soft_bounced + dropped + deferred + in_progress + cancelled) AS boxes,
               (SELECT count(*) FROM email_status) AS deliveries
          FROM daily_stats""")
    assert total["requests"] == total["boxes"] == total["deliveries"] > 0


async def test_pflogsumm_reads_what_happened(internet: Internet, tmp_path: Path) -> None:
    """Real pflogsumm counts a relay's own lines: received, delivered, deferred, bounced."""
    pflogsumm = shutil.which("pflogsumm", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not pflogsumm:
        pytest.skip("pflogsumm is not installed (apt-get install pflogsumm)")
    log = tmp_path / "mail.log"
    async with (
        office(tmp_path, internet) as here,
        internet.mx(
            "sum.test", rcpt={"no@sum.test": "550 5.1.1 No such user", "later@sum.test": ["450 4.2.1 busy", "250 Ok"]}
        ),
    ):
        queue_id = await here.send("yes@sum.test", "no@sum.test", "later@sum.test")
        await here.outcome(queue_id, "sent", count=2)
        await here.notice("ada@sender.test")
        assert await here.program.stop() == 0
        log.write_text("\n".join(here.program.lines) + "\n")
    summing = await asyncio.create_subprocess_exec(
        pflogsumm, "--syslog-name=postfix-relay", str(log), stdout=asyncio.subprocess.PIPE
    )
    report = (await summing.communicate())[0].decode()
    totals = {name: int(count) for count, name in re.findall(r"^ +(\d+) +([a-z]+)\b", report, re.M)}
    # The notice to the sender is delivered too, but nobody handed it in.
    assert (totals["received"], totals["delivered"], totals["deferred"], totals["bounced"]) == (1, 3, 1, 1), report
