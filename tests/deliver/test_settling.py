"""What an attempt does to the suppression list: real store, real server, and the dispatcher between them."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from relay.delivery import Status, Verdict
from relay.filters import Filter
from relay.store import Accepted, Store
from relay.store.spool import Settlement
from suppression.entry import Entry
from tests.deliver.test_dispatcher import Worker, config_for, worker
from tests.parts.mail import accepted, attempt
from tests.parts.mx import FakeMx

DAY = 86400.0
FULL = Verdict(Status.SOFT_BOUNCE, "mailbox_full", "5.2.2", "552 5.2.2 full")


class Stopping(Store):
    """A store that says when it has stopped what waited."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine, store.group, lease=store.lease, keep_content=True)
        self.stopped_waiting = asyncio.Event()

    async def stop_waiting(self, entry: Entry, *, actor: str) -> int:
        try:
            return await super().stop_waiting(entry, actor=actor)
        finally:
            self.stopped_waiting.set()


async def bounced(one: Worker, mx: FakeMx, mail: Accepted) -> dict[str, object]:
    """Send it to a server that refuses it; its first recipient once the sender has been told."""
    await one.hand_over(mail)
    (notice,) = await mx.received(1)
    assert notice.mail_from == ""
    return await one.row(mail)


async def listed(one: Worker, address: str = "bob@x.test") -> Entry | None:
    """What the list has for it."""
    return next(iter(await one.store.named(address, "")), None)


async def test_a_dead_address_is_listed_and_what_waits_for_it_is_stopped(tmp_path: Path) -> None:
    """With the server's words and the message that found it out; the log says so, in a line of its own."""
    async with (
        FakeMx(rcpt={"bob@x.test": "550 5.1.1 No such user"}) as mx,
        worker(config_for(tmp_path, mx), through=Stopping) as one,
    ):
        waiting, mail = accepted(), accepted()
        await one.store.accept(waiting, claimed=False)
        await one.store.operate("hold", Filter(), actor="anna")
        assert (await bounced(one, mx, mail))["status"] == "hard_bounce"
        entry = await listed(one)
        assert entry and (entry.reason, entry.source) == ("hard_bounce", "smtp")
        assert (entry.queue_id, entry.number) == (mail.message.queue_id, 0) and "No such user" in entry.reply
        assert isinstance(one.store, Stopping)
        await one.store.stopped_waiting.wait()
        assert (await one.row(waiting))["reason_class"] == "suppressed_bounce"
    supp = [line for line in (tmp_path / "mail.log").read_text().splitlines() if "action=add" in line]
    assert len(supp) == 1 and mail.message.queue_id in supp[0] and "addr=<bob@x.test>" in supp[0]


@pytest.mark.parametrize(
    ("reply", "spam"),
    [
        ("554 5.7.1 Service unavailable; your IP is blocked using zen.spamhaus.org", 0),
        ("550 5.7.1 This message was rejected because it looks like spam", 1),
    ],
)
async def test_our_own_trouble_lists_nobody(tmp_path: Path, reply: str, spam: int) -> None:
    """A block, a refusal as spam: a soft bounce; only the latter leaves a mark, with its source."""
    async with FakeMx(rcpt={"bob@x.test": reply}) as mx, worker(config_for(tmp_path, mx)) as one:
        row = await bounced(one, mx, accepted())
        assert (row["status"], row["complained"]) == ("soft_bounce", spam)
        assert row["spam_source"] == ("refused as spam" if spam else None)
        assert await listed(one) is None


@pytest.mark.parametrize(("earlier", "suppressed"), [((1, 2), True), ((1, 1), False), ((1,), False)])
async def test_the_third_day_of_soft_bounces_is_the_last(
    tmp_path: Path, earlier: tuple[int, ...], suppressed: bool
) -> None:
    """A full mailbox is no proof; three days of it in a row are enough for a while."""
    async with FakeMx(rcpt={"bob@x.test": "552 5.2.2 Mailbox is full"}) as mx, worker(config_for(tmp_path, mx)) as one:
        for days_ago in earlier:
            await _bounced_before(one, days_ago)
        row = await bounced(one, mx, accepted())
        entry = await listed(one)
    assert row["status"] == "soft_bounce"
    assert (row["complained"], row["spam_source"]) == ((1, "repeated soft bounces") if suppressed else (0, None))
    assert (entry is not None) is suppressed
    if entry:
        assert (entry.reason, entry.source) == ("spam", "repeated soft bounces")
        assert entry.expires_at is not None and entry.expires_at > time.time() + 29 * DAY


async def _bounced_before(one: Worker, days_ago: int) -> None:
    mail = accepted()
    await one.store.accept(mail, claimed=True)
    at = time.time() - days_ago * DAY
    await asyncio.wait([one.store.settle(Settlement(mail.deliveries[0], attempt(at), FULL, about_mailbox=True))])


async def test_a_host_that_does_not_let_us_in_says_nothing_about_a_mailbox(tmp_path: Path) -> None:
    """A refusal before the recipient was named: nothing counts."""
    async with FakeMx(mail=["554 5.0.0 Mailbox full", "250 2.1.0 Ok"]) as mx, worker(config_for(tmp_path, mx)) as one:
        row = await bounced(one, mx, accepted())
        assert row["status"] == "soft_bounce"
        assert await one.store.soft_bounce_days("bob@x.test") == set()


async def test_a_notice_that_bounces_lists_nobody(tmp_path: Path) -> None:
    """It goes to a sender; who writes must be able to hear."""
    async with (
        FakeMx(rcpt={"ada@sender.test": "550 5.1.1 No such user"}) as mx,
        worker(config_for(tmp_path, mx)) as one,
    ):
        notice = accepted(["ada@sender.test"], origin="notice", reverse_path=None)
        after = accepted(["eve@x.test"])
        await one.hand_over(notice)
        await mx.heard("RCPT")
        await one.hand_over(after)
        await mx.received(1)
        await one.store.flush()
        assert await listed(one, "ada@sender.test") is None


async def test_the_setting_says_how_long_and_how_many(tmp_path: Path) -> None:
    """hard_bounce_expiry, consecutive_soft_bounces = 1."""
    async with FakeMx(rcpt={"bob@x.test": "552 5.2.2 Mailbox is full"}) as mx:
        config = config_for(tmp_path, mx)
        config = replace(config, suppression=replace(config.suppression, consecutive_soft_bounces=1))
        async with worker(config) as one:
            await bounced(one, mx, accepted())
            assert await listed(one) is not None
