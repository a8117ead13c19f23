"""The simulator's addresses: each behaves as its name says, in production too, and nothing leaves the machine."""

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(
    ("name", "status", "reason_class"),
    [
        ("delivered", "sent", None),
        ("delivered+label", "sent", None),
        ("hardbounce", "hard_bounce", "bad_mailbox"),
        ("softbounce", "soft_bounce", "policy"),
        ("mailboxfull", "soft_bounce", "mailbox_full"),
        ("blocked", "soft_bounce", "blocked_ip"),
        ("nobody-has-this-name", "hard_bounce", "bad_mailbox"),
    ],
)
async def test_each_has_one_fate(here: Office, name: str, status: str, reason_class: str | None) -> None:
    """One attempt, and the status that a real server's answer would have brought."""
    queue_id = await here.send(f"{name}@sim.test", sender="tester@sender.test")
    await here.outcome(queue_id, "sent" if status == "sent" else "bounced")
    row = here.delivery(queue_id)
    assert (row["status"], row["reason_class"], row["mx_host"]) == (status, reason_class, "mx.sim.test")
    assert "simulated" in here.attempts(queue_id)[0]["transcript"]


async def test_deferred_twice_then_delivered(here: Office, internet: Internet) -> None:
    """`deferred` is refused twice and accepted at the third attempt; DNS is never asked about sim.test."""
    queue_id = await here.send("deferred@sim.test")
    await here.outcome(queue_id, "sent")
    assert [row["outcome"] for row in here.attempts(queue_id)] == ["deferred", "deferred", "sent"]
    assert not any(name.endswith("sim.test") for name, _ in internet.dns.queries)
