"""The suppression list as operators keep it: what is added stops mail, what is removed lets it go, lists come in."""

import csv
import io
import json
import re
from typing import Any

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office
from tests.journeys.providers import bring, report

pytestmark = pytest.mark.asyncio(loop_scope="package")

LATER = "451 4.3.0 try again in 1 hour"


async def test_what_is_added_is_stopped_and_not_mailed(back: Office, internet: Internet) -> None:
    """What waits becomes `rejected` at once, what comes is dropped; others next to it get theirs; twice is once."""
    bob, ann = "bob@added.test", "ann@added.test"
    async with internet.mx("added.test", rcpt={bob: LATER, ann: "250 Ok"}) as mx:
        waits = await back.send(bob, ann)
        await back.outcome(waits, "deferred", to=bob)
        await back.outcome(waits, "sent", to=ann)
        said = await back.cli("suppression", "add", bob, "--note", "asked by phone")
        assert bob in said
        row = back.delivery(waits, bob)
        assert (row["status"], row["reason_class"], row["next_attempt_at"]) == ("rejected", "suppressed_manual", None)
        again = await back.send(bob, ann)
        await back.dropped(again, to=bob)
        await back.outcome(again, "sent", to=ann)
        assert [mail.recipients for mail in mx.messages] == [(ann,), (ann,)]
        told = json.loads(await back.cli("suppression", "check", bob, "--json"))
        (entry,) = told["entries"]
        assert (told["suppressed"], entry["reason"], entry["note"], entry["dropped"]) == (
            True,
            "manual",
            "asked by phone",
            2,
        )
        await back.cli("suppression", "add", bob, "--note", "asked by phone")
        events = back.rows("SELECT actor FROM events WHERE event = 'suppression_add' AND detail LIKE ?", f"%{bob}%")
        assert len(events) == 1 and events[0]["actor"]


async def test_a_whole_domain(back: Office, internet: Internet) -> None:
    """`@domain` stops all of it, whatever the case; a domain below it is another one."""
    async with internet.mx("whole.test") as mx, internet.mx("sub.whole.test") as below:
        await back.cli("suppression", "add", "@Whole.test")
        queue_id = await back.send("bob@WHOLE.test", "eve@sub.whole.test")
        await back.dropped(queue_id, to="bob@")
        await back.outcome(queue_id, "sent", to="eve@sub.whole.test")
        assert (len(mx.messages), len(below.messages)) == (0, 1)


async def test_what_was_dropped_goes_after_all(back: Office, internet: Internet) -> None:
    """`remove --retry-dropped` sends what the entry has stopped since, and nothing that was stopped by another."""
    bob, ann = "bob@back-again.test", "ann@back-again.test"
    async with internet.mx("back-again.test", rcpt={bob: ["550 5.1.1 No such user", "250 Ok"]}) as mx:
        bounced = await back.send(bob)
        await back.outcome(bounced, "bounced")
        await back.cli("suppression", "add", ann)
        dropped = [await back.send(bob, ann) for _ in range(2)]
        for queue_id in dropped:
            await back.dropped(queue_id, to=bob)
            await back.dropped(queue_id, to=ann)
        said = await back.cli(
            "suppression", "remove", bob, "--retry-dropped", "--yes", "--reason", "the address is back"
        )
        assert re.search(r"\b2 dropped messages", said)
        for queue_id in dropped:
            await back.outcome(queue_id, "sent", to=bob)
        assert [mail.recipients for mail in mx.messages] == [(bob,), (bob,)]
        assert {back.delivery(queue_id, bob)["status"] for queue_id in dropped} == {"sent"}
        assert {back.delivery(queue_id, ann)["status"] for queue_id in dropped} == {"rejected"}
        assert back.delivery(bounced)["status"] == "hard_bounce"  # what was tried stays what it came to
        events = back.rows("SELECT detail FROM events WHERE event = 'suppression_remove' AND recipient = ?", bob)
        assert ["the address is back" in event["detail"] for event in events] == [True]


async def test_what_is_removed_is_mailed_again_and_may_bounce_again(back: Office, internet: Internet) -> None:
    """A late bounce of the new mail brings the entry back, with the new cause."""
    bob = "bob@twice-dead.test"
    async with internet.mx("twice-dead.test") as mx:
        causes = []
        for _ in range(2):
            queue_id = await back.send(bob)
            await back.outcome(queue_id, "sent")
            await bring(back, report(bob), mx.messages[-1].mail_from)
            causes += back.rows("SELECT cause_queue_id AS id FROM suppressions WHERE address = ?", bob)
            assert causes[-1]["id"] == queue_id
            await back.cli("suppression", "remove", bob)
            assert back.rows("SELECT 1 FROM suppressions WHERE address = ?", bob) == []
        assert len({cause["id"] for cause in causes}) == 2


async def test_a_list_of_100_000_comes_in(back: Office, internet: Internet) -> None:
    """Bad lines are told by number and harm no others; once more changes nothing; the relay goes on meanwhile."""
    addresses = [f"User{number}@imported.test" for number in range(100_000)]
    listing = back.directory / "old.csv"
    lines = [f"{address},2026-01-02T03:04:05Z,550 5.1.1 unknown" for address in addresses]
    lines.insert(50_000, "no address at all,2026-01-02T03:04:05Z,")
    listing.write_text("\n".join(["email,created,reason", *lines]) + "\n")
    another = "another@imported.test"
    async with internet.mx("imported.test", rcpt={addresses[7]: LATER}) as mx:
        waiting = await back.send(addresses[7])
        await back.outcome(waiting, "deferred")
        told = await imported(back, str(listing))
        assert (told["new"], told["already_listed"], told["invalid"], told["stopped"]) == (100_000, 0, 1, 1)
        assert [error["where"] for error in told["errors"]] == ["line 50002"]
        assert back.delivery(waiting)["status"] == "rejected"
        told = await imported(back, str(listing))
        assert (told["new"], told["changed"], told["already_listed"]) == (0, 0, 100_000)
        queue_id = await back.send(addresses[-1], another)
        await back.dropped(queue_id, to=addresses[-1])
        await back.outcome(queue_id, "sent", to=another)
        assert [mail.recipients for mail in mx.messages] == [(another,)]
    (counted,) = back.rows("SELECT count(*) AS n FROM suppressions WHERE address LIKE '%@imported.test'")
    assert counted["n"] == 100_000
    rows = csv.DictReader(io.StringIO(await back.cli("suppression", "export", "@imported.test")))
    assert {row["address"] for row in rows} == set(addresses)
    await back.cli("suppression", "remove", "@imported.test", "source:import", "--yes")
    (counted,) = back.rows("SELECT count(*) AS n FROM suppressions WHERE address LIKE '%@imported.test'")
    assert counted["n"] == 0


async def imported(back: Office, file: str) -> dict[str, Any]:
    """`suppression import` of a file with a line that is none; what it says of itself."""
    code, out, err = await back.run("suppression", "import", file, "--json")
    assert code == 6, err
    told: dict[str, Any] = json.loads(out)
    return told
