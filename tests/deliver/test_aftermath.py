"""What a delivery's end means for the suppression list."""

import pytest

from relay.config import DAY, SuppressionSection
from relay.deliver.aftermath import Aftermath, End, aftermath
from relay.delivery import Status, Verdict
from relay.reply import Reply
from suppression.entry import Entry
from suppression.replies import Judgement

NOON = 20_000 * DAY + DAY / 2
FULL = "552 5.2.2 mailbox full"


class Days:
    """The days of an address's soft bounces, and who asked."""

    def __init__(self, *days: int) -> None:
        self.days = set(days)
        self.asked: list[str] = []

    async def __call__(self, address: str) -> set[int]:
        self.asked.append(address)
        return self.days


def end(status: Status, cls: str | None, kind: str = "") -> End:
    """The end of the second delivery of a message, at noon."""
    verdict = Verdict(status, "mailbox_full", "5.2.2", FULL, Reply(552, "5.2.2", "mailbox full"))
    judgement = Judgement(cls, "a rule", kind=kind) if cls else None
    return End("3kq7mvt2z0hy", 1, "bob@x.test", NOON, verdict, judgement, "smtp")


async def test_a_hard_bounce_lists_the_address_with_its_cause() -> None:
    """At once, for all mail, for as long as the configuration says; nobody counts anything."""
    days = Days()
    hard = end(Status.HARD_BOUNCE, "hard")
    entry = Entry("bob@x.test", "", "hard_bounce", "smtp", NOON, None, "3kq7mvt2z0hy", 1, FULL)
    assert await aftermath(hard, SuppressionSection(hard_bounce_expiry=0.0), days) == Aftermath(entry)
    found = await aftermath(hard, SuppressionSection(hard_bounce_expiry=90 * DAY), days)
    assert found.entry and found.entry.expires_at == NOON + 90 * DAY
    assert days.asked == []


@pytest.mark.parametrize("cls", ["size", "rate", "block", "auth", "virus", "policy", "relay", "protocol", None])
async def test_our_own_trouble_means_nothing_for_the_address(cls: str | None) -> None:
    """However often it comes; and no more does an end to which no server said a word about the recipient."""
    found = await aftermath(end(Status.SOFT_BOUNCE, cls), SuppressionSection(), Days(1, 2, 3, 4))
    assert found == Aftermath()


async def test_a_refusal_as_spam_is_a_mark_and_no_more() -> None:
    """It is about our mail: the address stays."""
    found = await aftermath(end(Status.SOFT_BOUNCE, "spam"), SuppressionSection(), Days(1, 2, 3))
    assert found == Aftermath(spam="refused as spam")


@pytest.mark.parametrize("cls", ["full", "soft", "unclassified"])
async def test_so_many_soft_bounces_in_a_row_list_the_address_for_a_while(cls: str) -> None:
    """On so many different days: this one's is one of them."""
    settings = SuppressionSection(consecutive_soft_bounces=3, soft_bounces_expiry=30 * DAY)
    today = int(NOON // DAY)
    for days in (Days(), Days(today - 1), Days(today - 1, today)):
        assert await aftermath(end(Status.SOFT_BOUNCE, cls), settings, days) == Aftermath(about_mailbox=True)
    found = await aftermath(end(Status.SOFT_BOUNCE, cls), settings, Days(today - 9, today - 1))
    assert found.about_mailbox and found.spam == "repeated soft bounces"
    assert found.entry and (found.entry.reason, found.entry.source) == ("spam", "repeated soft bounces")
    assert found.entry.expires_at == NOON + 30 * DAY and found.entry.reply == FULL


async def test_zero_never_lists_an_address_for_soft_bounces() -> None:
    """They are counted all the same: the setting may change."""
    days = Days(1, 2, 3, 4)
    found = await aftermath(end(Status.SOFT_BOUNCE, "full"), SuppressionSection(consecutive_soft_bounces=0), days)
    assert found == Aftermath(about_mailbox=True)


@pytest.mark.parametrize("kind", ["network", "dns"])
async def test_a_broken_way_does_not_count_against_the_mailbox(kind: str) -> None:
    """When the line is down, no address has failed."""
    assert await aftermath(end(Status.SOFT_BOUNCE, "soft", kind), SuppressionSection(), Days(1, 2)) == Aftermath()


async def test_a_closed_mailbox_counts_where_the_configuration_says_soft() -> None:
    """inactive = "soft": it is no proof, but so many in a row are."""
    settings = SuppressionSection(inactive="soft")
    assert await aftermath(end(Status.SOFT_BOUNCE, "inactive"), settings, Days()) == Aftermath(about_mailbox=True)


@pytest.mark.parametrize("status", [Status.SENT, Status.DEFERRED, Status.REJECTED])
async def test_only_a_bounce_means_anything(status: Status) -> None:
    """What is tried again may still arrive."""
    assert await aftermath(end(status, "full"), SuppressionSection(), Days(1, 2, 3)) == Aftermath()
