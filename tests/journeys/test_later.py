"""Mail that does not arrive at the first try: when it is tried again, and who is not made to wait for it."""

from itertools import pairwise

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_deferred_then_accepted(here: Office, internet: Internet) -> None:
    """450: tried again after the table's wait, until it is sent; every attempt is a row, every move an event."""
    busy = "450 4.2.1 Mailbox busy"
    async with internet.mx("busy.test", rcpt={"bob@busy.test": [busy, busy, "250 Ok"]}) as mx:
        queue_id = await here.send("bob@busy.test")
        await here.outcome(queue_id, "deferred")
        assert here.delivery(queue_id)["next_attempt_at"]
        await here.outcome(queue_id, "sent")
        assert len(mx.messages) == 1
    attempts = here.attempts(queue_id)
    assert [(row["attempt"], row["outcome"], row["smtp_code"]) for row in attempts] == [
        (1, "deferred", 450),
        (2, "deferred", 450),
        (3, "sent", 250),
    ]
    waits = [later["attempted_ts"] - earlier["attempted_ts"] for earlier, later in pairwise(attempts)]
    assert all(wait >= 0.18 for wait in waits)  # 200 ms, a tenth more or less
    assert here.events(queue_id) == ["creating", "spooled", "deferred", "deferred", "sent"]
    row = here.delivery(queue_id)
    assert (row["status"], row["attempts"], row["next_attempt_at"]) == ("sent", 3, None)


async def test_a_server_that_names_a_time(here: Office, internet: Internet) -> None:
    """Greylisting with a hint: the next attempt comes when the server asked for it."""
    async with internet.mx("grey.test", rcpt="451 4.7.1 Greylisted, try again in 300 seconds"):
        queue_id = await here.send("bob@grey.test")
        await here.outcome(queue_id, "deferred")
    row = here.delivery(queue_id)
    assert row["reason_class"] == "greylisted"
    (wait,) = here.rows("SELECT next_in_s + age_s AS seconds FROM queue_now WHERE queue_id = ?", queue_id)
    assert 300 <= wait["seconds"] <= 331
    await here.cli("queue", "cancel", queue_id, "--yes")


async def test_a_destination_without_a_living_host_is_left_alone(here: Office, internet: Internet) -> None:
    """Nobody listens: what waits for it is deferred without a try, and all of it goes when the host is back."""
    address = internet.deserted("dead.test")
    first = await here.send("first@dead.test")
    line = await here.outcome(first, "deferred")
    assert "Connection refused" in line
    others = [await here.send(f"bob{number}@dead.test") for number in range(3)]
    internet.dns.zone["dead.test"] = {}
    async with internet.mx("dead.test") as mx:
        assert mx.listen != address
        for queue_id in (first, *others):
            await here.outcome(queue_id, "sent")
    assert here.attempts(first)[0]["reason_class"] == "network"


async def test_one_slow_destination_delays_no_other(here: Office, internet: Internet) -> None:
    """Hundreds wait for a server that says nothing; mail accepted after them goes to others meanwhile."""
    async with internet.mx("slow.test", silent_at="MAIL") as slow, internet.mx("quick.test") as quick:
        to = [f"bob{number}@slow.test" for number in range(300)]
        waiting = await here.send(*to)
        await slow.heard("MAIL")
        for number in range(5):
            await here.outcome(await here.send(f"bob{number}@quick.test"), "sent")
        assert len(quick.messages) == 5 and slow.messages == []
        await here.cli("queue", "cancel", waiting, "--yes")
    (counted,) = here.rows("SELECT cancelled FROM message_status WHERE queue_id = ?", waiting)
    assert counted["cancelled"] == 300
