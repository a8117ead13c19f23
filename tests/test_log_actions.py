"""What operators and recipients did, as the log tells it."""

import re
from pathlib import Path
from typing import Any

import pytest

from relay.event import Action
from relay.log_actions import NAMED, log_actions
from tests.parts.written_log import ID, Written, zone
from tests.test_log_readers import matches


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    zone(monkeypatch, "UTC")
    return Written(tmp_path)


def suppression(event: str = "suppression_add", actor: str = "anna", queue_id: str = "", **more: Any) -> Action:
    """A change of the list, as the store tells it."""
    entry = {"address": "gone@example.org", "scope": "", "reason": "hard_bounce", "source": "dsn"}
    return Action(event, queue_id, actor, 1, 1, entry | more)


def test_a_change_of_the_list_has_a_line_of_its_own(written: Written) -> None:
    """Who, which scope (`*`: all mail), why, until when, and which message caused it."""
    log_actions(written.log, [suppression(queue_id=ID, expires_at=1_803_000_000.0)])
    assert written.last == (
        f"supp: {ID}: action=add, addr=<gone@example.org>, scope=*, reason=hard_bounce, source=dsn, "
        "expires=2027-02-19, by=anna"
    )
    log_actions(written.log, [suppression("unsubscribed", "recipient", ID, scope="weekly", reason="unsubscribe")])
    assert written.last == (
        f"supp: {ID}: action=add, addr=<gone@example.org>, scope=weekly, reason=unsubscribe, source=dsn, by=recipient"
    )


@pytest.mark.parametrize("event", ["suppression_remove", "resubscribed"])
def test_what_goes_from_the_list_is_told_as_removed(written: Written, event: str) -> None:
    """A line without a message names none."""
    log_actions(written.log, [suppression(event, because="new server")])
    assert written.last.startswith("supp: NOQUEUE: action=remove, addr=<gone@example.org>, scope=*")
    assert 'because="new server"' in written.last


def test_too_many_to_name_are_told_as_one(written: Written) -> None:
    """An import of thousands is a hundred lines and one that counts the others."""
    log_actions(written.log, [suppression(address=f"u{n}@example.org") for n in range(NAMED + 7)])
    assert len(written.lines) == NAMED + 1
    assert re.search(r"admin: suppression_add: by=anna, .*more=7", written.last)


def test_a_recipients_program_cannot_get_anybody_banned(written: Written) -> None:
    """A failed login that is pretended in a User-Agent is not found by fail2ban."""
    fake = "unknown[198.51.100.1]: SASL PLAIN authentication failed: no"
    log_actions(written.log, [suppression("unsubscribed", "recipient", ID, agent=fake, scope=fake)])
    written.log.close()
    assert len(written.path.read_text().splitlines()) == 1
    assert [matches(written.path, mode) for mode in ("auth", "more", "aggressive")] == [0, 0, 0]


def test_the_list_is_told_in_json_too(tmp_path: Path) -> None:
    """The same event, with the names of the views."""
    written = Written(tmp_path, format="json")
    log_actions(written.log, [suppression(queue_id=ID)])
    (line,) = written.lines
    for part in ('"stage": "supp"', '"event": "suppression_add"', '"recipient": "gone@example.org"', f'"{ID}"'):
        assert part in line
