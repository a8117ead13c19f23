"""An open and a click in the log: one line each, whatever a stranger's program calls itself."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.log_delivery import visited
from relay.log_line import MAX_LINE, Shown
from tests.parts.written_log import ID, MORNING, Written
from tests.track.visiting import visit
from tracker.visit import Judged

OPENED = Judged(
    visit(at=MORNING, ip="66.249.84.1", agent="GoogleImageProxy"), "person", "proxy", "fetched when the mail is opened"
)
CLICKED = Judged(
    replace(
        visit("click", link=2, at=MORNING, ip="198.51.100.77", agent="Mozilla/5.0"), target="https://example.com/991"
    ),
    "person",
    "human",
    "nothing speaks against it",
)


def test_an_open_is_one_line(written: Written) -> None:
    """Queue id, recipient, address, class and program, in the shape of every other line."""
    written.log.track(OPENED, "ada@gmail.com")
    assert written.last == (
        'track: 3kq7mvt2z0hy: event=open, to=<ada@gmail.com>, ip=66.249.84.1, class=proxy, ua="GoogleImageProxy"'
    )


def test_a_click_says_which_link(written: Written) -> None:
    """Its number and where it leads."""
    written.log.track(CLICKED, "ada@gmail.com")
    assert written.last == (
        "track: 3kq7mvt2z0hy: event=click, to=<ada@gmail.com>, ip=198.51.100.77, class=human, "
        'link=2, url=<https://example.com/991>, ua="Mozilla/5.0"'
    )


def test_an_address_that_is_not_kept_is_not_logged(written: Written) -> None:
    """No empty field stands for it."""
    written.log.track(replace(OPENED, visit=replace(OPENED.visit, ip="")), "ada@gmail.com")
    assert "ip=" not in written.last


def test_addresses_are_hidden_where_the_operator_wants_it(tmp_path: Path) -> None:
    """The recipient's, and one that stands in a link."""
    written = Written(tmp_path, privacy="domain")
    click = replace(CLICKED, visit=replace(CLICKED.visit, target="https://example.com/?to=ada@gmail.com"))
    written.log.track(click, "ada@gmail.com")
    assert "ada@" not in written.last and "to=<*@gmail.com>" in written.last


def test_json_has_the_views_names_and_the_verdict(tmp_path: Path) -> None:
    """`events` has the same words: opened or clicked, ip, agent_class; the reason is there in full."""
    written = Written(tmp_path, json_file=(path := tmp_path / "mail.json"))
    written.log.track(CLICKED, "ada@gmail.com")
    written.log.flush()
    record = json.loads(path.read_text())
    wanted = {
        "stage": "track",
        "event": "clicked",
        "queue_id": ID,
        "recipient": "ada@gmail.com",
        "ip": "198.51.100.77",
        "agent_class": "human",
        "by": "person",
        "reason": "nothing speaks against it",
        "link": 2,
        "url": "https://example.com/991",
    }
    assert record.items() >= wanted.items()


@given(st.text(max_size=300), st.text(max_size=600))
def test_no_program_writes_a_line_of_its_own(agent: str, target: str) -> None:
    """Line ends, quotes and brackets from outside stay inside their field, and the line within its size."""
    judged = replace(CLICKED, visit=replace(CLICKED.visit, agent=agent, target=target))
    line = visited(judged, "ada@gmail.com", Shown("full", "key"))
    assert line.isprintable()
    before, _, rest = line.partition(", url=<")
    inside, _, said = rest.partition(">")
    assert "<" not in inside and said.startswith(', ua="') and said.endswith('"') and said.count('"') == 2
    assert before.endswith("link=2") and len(line) < MAX_LINE


def test_fail2ban_bans_nobody_for_the_name_of_a_program(written: Written) -> None:
    """A user agent that reads like a wrong login of somebody else is no wrong login."""
    path = shutil.which("fail2ban-regex", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not path:
        pytest.fail("fail2ban-regex is missing. Fix: apt-get install fail2ban")
    agent = "x]: warning: unknown[192.0.2.66]: SASL PLAIN authentication failed: no, sasl_username=a"
    written.log.track(replace(OPENED, visit=replace(OPENED.visit, agent=agent)), "ada@gmail.com")
    written.log.flush()
    for mode in ("auth", "more", "aggressive"):
        command = [path, str(written.path), f"postfix[mode={mode}]"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert "Failregex: 0 total" in said
