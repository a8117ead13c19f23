"""Commands that look: lists, one message, refusals, the database, and in which forms they show it."""

import asyncio
import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from relay.cli.status import listeners, public
from relay.config import Config
from relay.config_file import load
from relay.delivery import Status, Verdict
from relay.event import Event
from relay.reply import Reply
from relay.store import open_store
from suppression.entry import Entry
from tests.cli.conftest import HELD, NEWS, RECEIPT, REF, Cli, both_engines
from tests.parts.program import write_config
from tracker.visit import Judged, Visit


@both_engines
def test_the_queue_is_what_is_not_decided_oldest_first(cli: Cli) -> None:
    """`queue list` in a pipe: one recipient a line, tabs between, no header, nothing but data on standard output."""
    code, out, err = cli("queue", "list")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and err == ""
    assert [line[0] for line in lines] == [RECEIPT, NEWS, NEWS, HELD]
    assert [line[4] for line in lines] == ["deferred", "creating", "creating", "held"]
    assert lines[0][5:7] == ["bob@busy.example.net", "450 4.2.1 mailbox busy"]
    assert lines[0][3].endswith("Z")


@both_engines
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["status:deferred"], [RECEIPT]),
        (["domain:gmail.com"], [NEWS, NEWS]),
        (["domain:=gmail.com"], [NEWS]),
        (["domain:gmail"], [NEWS, NEWS]),
        (["domain:mail.com"], []),
        (["domain:example"], [RECEIPT, HELD]),
        (["-tag:newsletter"], [RECEIPT, HELD]),
        (["-tag:newsletter", "after:24h"], [RECEIPT]),
        (["--limit", "1", "-tag:newsletter"], [RECEIPT]),
        (["-tag:newsletter", "--limit", "9", "domain:example.net"], [RECEIPT, HELD]),
        (["before:24h"], [HELD]),
        (["subject:100%"], []),
        (['subject:"100 %"'], [NEWS, NEWS]),
        (["subject:Größe"], [HELD]),
        (["subject:__________"], []),
        (["from:billing@"], [RECEIPT]),
        (["RECEIPT"], [RECEIPT]),
        (["tag:=news"], []),
        (["code:45"], [RECEIPT]),
        (["-code:45"], [NEWS, NEWS, HELD]),
        (["dsn:4.2"], [RECEIPT]),
        (["dsn:4.2.1", "class:throttled", "mx:busy", "cred:billing"], [RECEIPT]),
        (["to:=BOB@busy.example.net"], [RECEIPT]),
        ([NEWS.upper()], [NEWS, NEWS]),
        ([NEWS, HELD, "domain:gmail.com"], [NEWS, NEWS]),
    ],
)
def test_a_filter_chooses_what_it_says(cli: Cli, words: list[str], found: list[str]) -> None:
    """The same words, on the real database; nothing found is exit code 3."""
    code, out, _ = cli("queue", "list", *words)
    assert [line.split("\t")[0] for line in out.splitlines()] == found
    assert code == (0 if found else 3)


@both_engines
def test_json_bears_its_schema_and_its_total(cli: Cli) -> None:
    """`--json` gives one object with schema, time, total and items; `--json=…` picks fields."""
    body = json.loads(cli("queue", "list", "--json", "status:deferred").out)
    assert body["schema"] == "mailtrail/queue.list/1" and body["total"] == 1
    item = body["items"][0]
    assert item["queue_id"] == RECEIPT and item["class"] == "throttled" and item["smtp_code"] == 450
    assert 27 * 60 <= item["age_s"] < 28 * 60
    picked = json.loads(cli("queue", "list", "--json=recipient,status", "status:held").out)
    assert picked["items"] == [{"recipient": "eve@example.net", "status": "held"}]


@both_engines
def test_every_form_has_the_same_rows(cli: Cli) -> None:
    """ids: each message once; jsonl: an object a line; csv: with a header; tsv: with one if asked."""
    assert cli("queue", "list", "-o", "ids").out.split() == [RECEIPT, NEWS, HELD]
    assert json.loads(cli("queue", "list", "-o", "jsonl").out.splitlines()[0])["queue_id"] == RECEIPT
    rows = list(csv.DictReader(io.StringIO(cli("queue", "list", "-o", "csv").out)))
    assert [row["subject"] for row in rows][1] == "News, 100 % new" and len(rows) == 4
    assert cli("queue", "list", "-o", "tsv", "--header").out.startswith("queue_id\tage_s\t")


@both_engines
def test_a_message_is_shown_with_every_recipient(cli: Cli) -> None:
    """`message show` answers "did it arrive?" for each of them."""
    code, out, _ = cli("message", "show", RECEIPT.upper())
    assert code == 0
    assert f'{RECEIPT}  "Your receipt #7430"' in out and "(27 min ago)" in out
    assert "To   ada@gmail.com" in out and "✓ sent" in out and "by mx.gmail.com" in out
    assert "Cc   bob@busy.example.net" in out and "↻ deferred" in out and "try 1, next " in out
    assert "450 4.2.1 mailbox busy   [throttled]" in out
    assert "Bcc  gone@example.org" in out and "✗ hard bounce" in out
    assert "wrong price" in cli("message", "show", HELD).out


@both_engines
def test_what_the_recipient_did_with_it_is_shown(cli: Cli, config: Config) -> None:
    """Opens, clicks, automatic ones apart; what was not tracked and why; nothing about what never arrived."""
    out = cli("message", "show", RECEIPT).out
    assert "not opened yet, 4 links, none followed" in out and out.count("not opened") == 1
    assert "tracking: signed by its application" in out

    async def visited() -> None:
        store = await open_store(config)
        now = time.time()
        seen = [Visit(f"{n:016x}", now, "open" if n < 2 else "click", RECEIPT, 0, link=n // 2) for n in range(3)]
        judged = [Judged(seen[0], "person", "human", ""), Judged(seen[1], "machine", "proxy", "")]
        await store.record([*judged, Judged(seen[2], "person", "human", "")], [])
        await store.suppress(Entry("ada@gmail.com", "", "unsubscribe", "page", now), actor="x", delivery=(RECEIPT, 0))
        await store.close()

    asyncio.run(visited())
    assert "opened 2 (1 automatic), clicked 1, unsubscribed" in cli("message", "show", RECEIPT).out


@both_engines
def test_what_came_back_by_mail_is_shown(cli: Cli, config: Config) -> None:
    """A late bounce with when it had been sent, an automatic answer with its subject, a report: a line each."""

    async def returned() -> None:
        store = await open_store(config)
        now = time.time()
        answer = {"subject": "Out of office"}
        await store.happened(Event(now, "auto_reply", RECEIPT, 0, detail=answer))
        await store.happened(Event(now, "reported_delayed", RECEIPT, 1, detail={"diagnostic": "450 later"}))
        gone = Verdict(Status.HARD_BOUNCE, "bad_mailbox", "5.1.1", "550 5.1.1 gone", Reply(550, "5.1.1", "gone"))
        await store.late_bounce(RECEIPT, 0, gone)
        await store.close()

    asyncio.run(returned())
    out = cli("message", "show", RECEIPT).out
    ada, bob = out.split("Cc   bob")
    assert 'automatic answer "Out of office"\n' in ada and "hard bounce" in ada
    assert re.search(r"\d\d  the bounce came back by mail; it had been sent .*\d\d\n", ada)
    assert "a server reports: delayed: 450 later\n" in bob and out.count("automatic answer") == 1


@both_engines
def test_a_message_as_json_has_recipients_events_and_attempts(cli: Cli) -> None:
    """The names are those of the views."""
    body = json.loads(cli("message", "show", RECEIPT, "--json").out)
    assert body["schema"] == "mailtrail/message.show/1" and body["status"] == "in_progress"
    assert [one["status"] for one in body["recipients"]] == ["sent", "deferred", "hard_bounce"]
    assert {event["event"] for event in body["events"]} >= {"creating", "sent", "deferred", "hard_bounce"}
    assert len(body["attempts"]) == 3


@both_engines
def test_the_conversation_of_an_attempt_can_be_read(cli: Cli) -> None:
    """`--transcript 1`: who said what and when; refusals are marked."""
    out = cli("message", "show", RECEIPT, "--transcript", "1").out
    assert "attempt 1 · bob@busy.example.net" in out and "mx.busy.example.net [203.0.113.9]:25" in out
    assert "!   1.9 s  S: 450 4.2.1 mailbox busy" in out and "===" in out
    assert cli("message", "show", RECEIPT, "--transcript", "7").code == 3


@both_engines
def test_the_content_is_given_back_byte_by_byte(cli: Cli) -> None:
    """`message source` and `--headers` write what is kept, and no more."""
    source = cli("message", "source", RECEIPT).out
    assert source == "Subject: Your receipt #7430\r\nFrom: billing@example.com\r\n\r\nThank you.\r\n"
    assert cli("message", "show", RECEIPT, "--headers").out == source.split("\r\n\r\n")[0] + "\r\n"


@both_engines
def test_what_does_not_exist_is_exit_code_3(cli: Cli) -> None:
    """An unknown message, credential, refusal or view: said on standard error, with what to type."""
    for words in (
        ["message", "show", "3kq7mvt2zzzz"],
        ["message", "source", "3kq7mvt2zzzz"],
        ["credential", "show", "nobody"],
        ["refused", "show", "zzzzzz"],
        ["db", "schema", "nothing"],
        ["explain", "R9999"],
    ):
        code, out, err = cli(*words)
        assert (code, out) == (3, "")
        assert err.startswith(("mailtrail: there is no ", "mailtrail: no refusal "))
        assert "Fix: " in err


@both_engines
def test_a_refusal_is_found_by_its_reference(cli: Cli) -> None:
    """The reference in the reply leads to what was refused, and to the meaning of the rule."""
    assert cli("refused", "list", "-o", "ids").out == f"{REF}\n"
    for words in (["refused", "show", REF.upper()], ["explain", REF]):
        code, out, _ = cli(*words)
        assert code == 0 and "192.0.2.66" in out and "rule   R4101: Login required" in out


@both_engines
def test_status_is_one_screen(cli: Cli) -> None:
    """What waits and what happened in the last hour, whether or not the relay runs."""
    code, out, _ = cli("status")
    assert code == 0 and "not running" in out
    assert "2 creating · 1 deferred · 1 held" in out and "1 refused" in out
    body = json.loads(cli("status", "--json").out)
    assert body["running"] is False and body["queue"] == {"creating": 2, "spooled": 0, "deferred": 1, "held": 1}
    assert body["last_sent_to"] == "gmail.com"
    assert cli("status", "--running").code == 5


def test_status_names_every_address_it_listens_on(tmp_path: Path, config: Config) -> None:
    """Each with what it is for; none that is not configured."""
    at = {"submission": ["127.0.0.1:2587"], "inbound": ["127.0.0.1:2525"], "tracking": ["127.0.0.1:8080"]}
    assert listeners(config) == at
    file = write_config(tmp_path, {"submission": {"listen": ["0.0.0.0:587"]}, "inbound": {"listen": []}})
    assert listeners(load(file).config) == {"submission": ["0.0.0.0:587"]}


def test_status_counts_no_worker_that_is_known_to_be_gone() -> None:
    """One that was killed has signed some seconds ago, and has no process here; of another machine nobody knows."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    def worker(host: str, pid: int, seen_at: float) -> dict[str, Any]:
        return {"writer": 0, "host": host, "pid": pid, "version": "1", "started_at": 0.0, "seen_at": seen_at}

    def alive(*workers: dict[str, Any]) -> list[int]:
        found: dict[str, Any] = {
            "workers": list(workers),
            "queue": {},
            "oldest_s": None,
            "last_hour": {},
            "last_sent": None,
        }
        return [one["pid"] for one in public(found, now=105.0)["workers"]]

    here = socket.gethostname()
    assert alive(worker(here, dead.pid, 100.0), worker(here, os.getpid(), 100.0)) == [os.getpid()]
    assert alive(worker("elsewhere.test", dead.pid, 100.0)) == [dead.pid]
    assert alive(worker(here, dead.pid, 104.0)) == [dead.pid]  # signs here, and lives in another container


@both_engines
def test_sql_reads_and_cannot_write(cli: Cli) -> None:
    """`db query` shows rows; a statement that writes, or a mistake in it, changes nothing and is exit code 2."""
    assert (
        cli("db", "query", "SELECT recipient, status FROM email_status WHERE status = 'sent'").out
        == "ada@gmail.com\tsent\n"
    )
    body = json.loads(cli("db", "query", "SELECT count(*) AS n FROM email_status", "--json").out)
    assert body["items"] == [{"n": 6}]
    writing = "WITH x AS (SELECT 1) DELETE FROM messages"
    for sql in (
        "DELETE FROM messages",
        writing,
        "SELECT * FROM no_view",
        "SELEC 1",
        "ATTACH 'x.db' AS x",
        "SELECT 1; SELECT 2",
    ):
        code, _, err = cli("db", "query", sql)
        assert code == 2 and err.startswith("mailtrail: ")
    assert cli("db", "query", "SELECT count(*) FROM messages").out == "3\n"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    assert cli("db", "query", endless, "--timeout", "0.05").code == 1


@both_engines
def test_the_schema_is_told_column_by_column(cli: Cli) -> None:
    """`db schema` names every column of every view and what it means."""
    out = cli("db", "schema", "email_status").out
    assert "email_status\trecipient_domain\t" in out and "daily_stats" in cli("db", "schema").out


def test_the_database_is_kept_in_order(cli: Cli, config: Config, tmp_path: Path) -> None:
    """path, check, prune, migrate; a backup is a whole database, for its owner alone, and overwrites nothing."""
    assert cli("db", "path").out.strip() == str(config.database_path)
    assert "no damage" in cli("db", "check").out
    assert "0 messages" in cli("db", "prune").out
    assert "up to date" in cli("db", "migrate").out
    copy = tmp_path / "copy" / "mailtrail.db"
    copy.parent.mkdir()
    assert cli("db", "backup", str(copy)).code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert cli("--data-dir", str(copy.parent), "db", "query", "SELECT count(*) FROM email_status").out == "6\n"
    assert cli("db", "backup", str(copy)).code == 1


def test_what_strangers_wrote_cannot_drive_a_terminal(cli: Cli, config: Config) -> None:
    """Control characters from SQL or mail are not written to tables."""
    out = cli("db", "query", "SELECT 'a' || char(27) || '[2J' || char(10) || 'b' AS x").out
    assert out == "a?[2J b\n"


def test_a_backup_that_fails_leaves_no_file(bare: Cli, tmp_path: Path) -> None:
    """Half a backup could be taken for a whole one."""
    assert bare("db", "backup", str(tmp_path / "copy.db")).code == 1
    assert "cannot write " in bare("db", "backup", str(tmp_path / "nowhere" / "copy.db")).err
    assert not list(tmp_path.glob("*copy*"))
