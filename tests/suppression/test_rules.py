"""What follows from a class."""

import pytest

from suppression.replies import CLASSES, Judgement
from suppression.rules import REPEATED, TABLE, consequence


def test_every_class_has_its_consequence() -> None:
    """The table is whole, and has nothing more."""
    assert set(TABLE) == CLASSES


@pytest.mark.parametrize("cls", sorted(CLASSES))
def test_only_proof_about_the_address_suppresses(cls: str) -> None:
    """Hard and inactive are hard bounces and go on the list; nothing else does."""
    follows = consequence(Judgement(cls, ""))
    dead = cls in ("hard", "inactive")
    assert (follows.status == "hard_bounce", follows.suppress is not None) == (dead, dead)
    assert follows.counts == (cls in ("full", "soft", "unclassified"))


def test_a_closed_mailbox_can_be_left_to_time() -> None:
    """By setting, inactive counts as a soft bounce."""
    follows = consequence(Judgement("inactive", ""), inactive="soft")
    assert (follows.status, follows.counts, follows.suppress) == ("soft_bounce", True, None)
    assert consequence(Judgement("hard", ""), inactive="soft").status == "hard_bounce"


@pytest.mark.parametrize("kind", ["network", "dns"])
def test_the_way_there_is_not_the_mailbox(kind: str) -> None:
    """When our own line is down, no address has failed."""
    assert not consequence(Judgement("soft", "", kind=kind)).counts


def test_spam_is_a_mark_and_no_entry() -> None:
    """Refused as spam marks the delivery; soft bounces in a row mark and suppress the address."""
    refused = consequence(Judgement("spam", ""))
    assert (refused.mark, refused.suppress, refused.source) == ("spam", None, "refused as spam")
    assert (REPEATED.mark, REPEATED.suppress, REPEATED.source) == ("spam", "spam", "repeated soft bounces")
