"""`mailtrail suppression`: the list from the command line, on both engines."""

import asyncio
import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from relay.cli.suppression_words import REASONS
from relay.config import Config, Retention
from relay.store import migrate, open_store
from suppression.entry import Entry
from tests.cli.conftest import NEWS, Cli, both_engines, terminal
from tests.parts.mail import accepted

SINCE = 1_700_000_000.0  # 2023-11-14


def given(config: Config, *entries: Entry) -> None:
    """Puts entries on the list."""

    async def put() -> None:
        store = await open_store(config)
        await store.suppress_many(entries, actor="relay")
        await store.close()

    asyncio.run(put())


def items(cli: Cli, *words: str) -> list[dict[str, Any]]:
    """The entries that `list` shows."""
    return list(json.loads(cli("suppression", "list", *words, "--json").out)["items"])


@both_engines
def test_what_is_added_is_listed_checked_and_removed(cli: Cli) -> None:
    """An address and a domain, with a note, who did it, and what it stopped."""
    code, out, err = cli("suppression", "add", "Dora@Gmail.com", "@gmail.com", "--note", "asked by phone")
    assert code == 0 and "Dora@gmail.com is on the suppression list (everything)" in out
    assert "1 waiting message stopped" in err  # dora@mail.gmail.com is another domain's
    assert [item["address"] for item in items(cli)] in (
        ["Dora@gmail.com", "@gmail.com"],
        ["@gmail.com", "Dora@gmail.com"],
    )
    checked = json.loads(cli("suppression", "check", "carl@gmail.com", "--json").out)
    assert (checked["suppressed"], checked["entries"][0]["note"]) == (True, "asked by phone")
    assert checked["entries"][0]["dropped"] == 1
    code, out, err = cli("suppression", "check", "carl@gmail.com")
    assert code == 0 and "carl@gmail.com is on the suppression list" in out and "latest" in out
    assert "--retry-dropped" in err
    assert cli("suppression", "remove", "@gmail.com").out.endswith("1 entry removed.\n")
    assert "is not on the suppression list" in cli("suppression", "check", "carl@gmail.com").out
    events = cli(
        "db", "query", "SELECT event FROM events WHERE event LIKE 'suppression%' ORDER BY event_id", "-o", "tsv"
    )
    assert events.out.split() == ["suppression_add"] * 2 + ["suppression_remove"]


def test_an_unknown_address_is_told_and_nothing_is_done(cli: Cli) -> None:
    """Exit 3 for nothing to remove, 2 for what is no address, a filter nobody knows, or no choice at all."""
    assert cli("suppression", "remove", "nobody@x.test").code == 3
    assert cli("suppression", "remove", "reason:complaint", "--yes").code == 3
    for words in (
        ["add", "no address"],
        ["list", "raeson:x"],
        ["remove"],
        ["list", "reason:x"],
        ["remove", "--all", "a@b"],
    ):
        code, _, err = cli("suppression", *words)
        assert code == 2 and err.startswith("mailtrail: ")
    assert "did you mean reason:" in cli("suppression", "list", "raeson:x").err


def test_a_scope_and_an_expiry_are_kept(cli: Cli) -> None:
    """--scope is a tag; --expires a length of time or a day to come."""
    cli("suppression", "add", "ada@x.test", "--scope", "news", "--expires", "30d", "--reason", "unsubscribe")
    (item,) = items(cli)
    assert (item["scope"], item["reason"], item["live"]) == ("news", "unsubscribe", True)
    assert item["expires_at"] is not None
    checked = json.loads(cli("suppression", "check", "ada@x.test", "--json").out)
    assert (checked["suppressed"], checked["listed"]) == (False, True)
    assert cli("suppression", "add", "ada@x.test", "--expires", "2020-01-01").code == 2
    assert cli("suppression", "remove", "ada@x.test", "--scope", "*").code == 3
    assert cli("suppression", "remove", "ada@x.test", "--scope", "news").code == 0


@both_engines
def test_a_mistake_is_repaired_by_its_cause(cli: Cli, config: Config) -> None:
    """A preview first; --dry-run changes nothing; without --yes nothing happens where nobody can be asked."""
    wrong = [Entry(f"u{n}@x.test", "", "hard_bounce", "smtp", SINCE + n, reply="550 5.7.26 DMARC") for n in range(3)]
    given(config, *wrong, Entry("dead@x.test", "", "hard_bounce", "smtp", SINCE, reply="550 5.1.1 no"))
    cause = ["reason:hard_bounce", "reply:5.7.26", "after:2023-11-14"]
    code, out, err = cli("suppression", "remove", *cause, "--dry-run")
    assert code == 0 and out == "" and "Remove: 3 entries: hard bounce (3)" in err and "dry run" in err
    assert cli("suppression", "remove", *cause).code == 4
    assert len(items(cli)) == 4
    done = json.loads(cli("suppression", "remove", *cause, "--yes", "--reason", "our DMARC", "--json").out)
    assert done["removed"] == 3
    assert [item["address"] for item in items(cli)] == ["dead@x.test"]


@both_engines
def test_an_address_goes_for_one_reason_or_for_all(cli: Cli, config: Config) -> None:
    """`check` shows every reason, the one that is told first; `remove --only` leaves the others in force."""
    for why in ("hard_bounce", "manual", "unsubscribe"):
        given(config, Entry("carl@gmail.com", "", why, "import", SINCE))
    assert cli("suppression", "add", "carl@gmail.com", "--json").out.count('"manual"') == 1
    checked = json.loads(cli("suppression", "check", "carl@gmail.com", "--json").out)
    assert [one["reason"] for one in checked["entries"]] == ["unsubscribe", "manual", "hard_bounce"]
    one = ["suppression", "remove", "carl@gmail.com", "--only", "unsubscribe", "--retry-dropped"]
    code, out, err = cli(*one)
    assert code == 0 and "1 entry removed" in out and "0 dropped messages scheduled" in out
    assert "Not sent: 1 dropped message that another entry forbids." in err
    assert sorted(one["reason"] for one in items(cli)) == ["hard_bounce", "manual"]
    assert cli(*one).code == 3
    assert cli("suppression", "remove", "carl@gmail.com", "--only", "no such").code == 2
    code, out, _ = cli("suppression", "remove", "carl@gmail.com", "--retry-dropped")
    assert code == 0 and "2 entries removed" in out and "1 dropped message scheduled" in out
    assert items(cli) == []


def test_a_reason_narrows_a_cause(cli: Cli, config: Config) -> None:
    """`--only` with filters: both must fit; `--reason` stands in the events."""
    given(config, *(Entry("ada@x.test", "", why, "import", SINCE) for why in REASONS))
    done = cli("suppression", "remove", "source:import", "--only", "spam", "--reason", "our mistake", "--yes")
    assert done.code == 0 and "1 entry removed" in done.out and len(items(cli)) == len(REASONS) - 1
    told = cli("db", "query", "SELECT detail FROM events WHERE event = 'suppression_remove'", "-o", "tsv")
    assert "our mistake" in told.out


def test_a_person_at_a_terminal_is_asked(cli: Cli, config: Config) -> None:
    """Before entries go by their cause."""
    given(config, Entry("ada@x.test", "", "manual", "anna", SINCE))
    code, seen = terminal(config, "suppression", "remove", "reason:manual", typed=b"n\n")
    assert code == 4 and "Continue? [y/N]" in seen
    code, seen = terminal(config, "suppression", "remove", "reason:manual", typed=b"y\n")
    assert code == 0 and "1 entry removed" in seen


@both_engines
def test_an_import_can_be_tried_and_run_twice(cli: Cli, tmp_path: Path) -> None:
    """A dry run counts; bad lines are told and harm nobody; the second run finds everything there."""
    file = tmp_path / "old.csv"
    file.write_text("address,reason,created_at\nada@x.test,bounce,2020-01-01\nbob@@x.com,,\neve@x.test,complaint,\n")
    code, out, err = cli("suppression", "import", str(file), "--dry-run")
    assert code == 6 and 'line 3: "bob@@x.com"' in err
    assert out == (
        '3 lines: 2 new, 0 already listed, 1 invalid (first: line 3 "bob@@x.com") — nothing changed (dry run)\n'
    )
    assert items(cli) == []
    assert "2 new" in cli("suppression", "import", str(file), "--note", "old provider").out
    found = {item["address"]: item for item in items(cli)}
    assert found["ada@x.test"]["added_at"] == "2020-01-01T00:00:00Z"
    assert (found["eve@x.test"]["reason"], found["eve@x.test"]["note"]) == ("complaint", "old provider")
    again = json.loads(cli("suppression", "import", str(file), "--json").out)
    assert (again["new"], again["already_listed"], again["invalid"]) == (0, 2, 1)
    assert again["errors"][0]["where"] == "line 3"


def test_a_dry_run_says_what_the_file_is_and_which_reasons_it_takes(cli: Cli, tmp_path: Path) -> None:
    """The service that wrote it, and for each reason who says so; --reason goes before what the columns tell."""
    file = tmp_path / "list.csv"
    file.write_text("email,ip,created\nada@x.test,192.0.2.1,1577836800\n")
    code, _, err = cli("suppression", "import", str(file), "--dry-run")
    assert code == 0 and "Format: SendGrid, spam reports\n" in err
    assert "Reason: complaint for 1 row (their columns say so; --reason names another)\n" in err
    code, _, err = cli("suppression", "import", str(file), "--dry-run", "--reason", "invalid")
    assert code == 0 and "Reason: invalid for 1 row (--reason)\n" in err
    file.write_text("ada@x.test\n")
    code, _, err = cli("suppression", "import", str(file), "--dry-run")
    assert (
        code == 0 and "Format: addresses\nReason: manual for 1 row (nothing says why; --reason names another)\n" in err
    )
    said = json.loads(cli("suppression", "import", str(file), "--dry-run", "--json").out)
    assert said["formats"] == ["addresses"]
    assert said["reasons"] == [{"reason": "manual", "because": "nothing says why", "rows": 1}]


def test_a_bounce_that_proves_nothing_is_skipped(cli: Cli, tmp_path: Path) -> None:
    """It is told with its line and why, and taken only for a reason that a person gives."""
    file = tmp_path / "bounces.csv"
    file.write_text(
        "status,reason,email,created\n5.1.1,550 5.1.1 User unknown,dead@x.test,\n4.2.2,mailbox full,ada@x.test,\n"
    )
    code, out, err = cli("suppression", "import", str(file))
    assert code == 6 and "1 new, 0 already listed, 1 skipped, 0 invalid" in out
    assert 'line 3: "ada@x.test": "4.2.2 mailbox full" is no proof that the address is dead (full)' in err
    assert {one["address"]: one["reason"] for one in items(cli)} == {"dead@x.test": "hard_bounce"}
    assert cli("suppression", "import", str(file), "--reason", "manual").code == 0
    assert {one["address"]: one["reason"] for one in items(cli)}["ada@x.test"] == "manual"


def test_a_file_in_another_encoding_is_read_or_refused_line_by_line(cli: Cli, tmp_path: Path) -> None:
    """UTF-16 with its mark is read; a Latin-1 octet makes its line an error, and nothing of it is listed."""
    file = tmp_path / "list.txt"
    file.write_bytes("address\r\nadä@x.test\r\n".encode("utf-16"))
    assert cli("suppression", "import", str(file)).code == 0
    assert [one["address"] for one in items(cli)] == ["adä@x.test"]
    file.write_bytes("adä@x.test\nbob@x.test\n".encode("latin-1"))
    code, out, err = cli("suppression", "import", str(file))
    assert code == 6 and "1 new" in out and "1 invalid" in out and "line 1: " in err and "UTF-8" in err
    assert sorted(one["address"] for one in items(cli)) == ["adä@x.test", "bob@x.test"]


def test_what_was_exported_is_imported_as_it_was(cli: Cli, config: Config) -> None:
    """Every field of it, in CSV and in JSON; text has the addresses alone."""
    entries = [
        Entry("ada@x.test", "news", "unsubscribe", "one-click", SINCE),
        Entry("@dead.test", "", "hard_bounce", "smtp", SINCE + 1, SINCE + 1e9, reply="550 no, never"),
        Entry("bob@x.test", "", "spam", "anna", SINCE + 2, note='he said "no"'),
        Entry("bob@x.test", "", "unsubscribe", "page", SINCE + 3),
    ]
    given(config, *entries)
    before = items(cli)
    exports = {form: cli("suppression", "export", "-o", form).out for form in ("csv", "json", "jsonl")}
    assert cli("suppression", "export", "-o", "text").out.split() == ["bob@x.test"] * 2 + ["@dead.test", "ada@x.test"]
    header, *lines = csv.reader(io.StringIO(exports["csv"]))
    assert header[:4] == ["address", "scope", "reason", "source"] and len(lines) == 4
    for text in exports.values():
        cli("suppression", "remove", "--all", "--yes")
        assert items(cli) == []
        code, _, _ = cli("suppression", "import", "-", stdin=text)
        assert code == 0 and items(cli) == before


def test_addresses_come_from_standard_input(cli: Cli) -> None:
    """One a line, for add, check and remove."""
    assert cli("suppression", "add", "-", stdin="ada@x.test\n\nbob@x.test\n").code == 0
    checked = json.loads(cli("suppression", "check", "-", "--json", stdin="ada@x.test\neve@x.test\n").out)
    assert [one["suppressed"] for one in checked["items"]] == [True, False]
    assert cli("suppression", "remove", "-", stdin="ada@x.test\nbob@x.test\n").out.endswith("2 entries removed.\n")


@both_engines
def test_what_was_dropped_by_mistake_goes_out_after_all(cli: Cli) -> None:
    """--retry-dropped: due now, with its own words; without it dropped mail stays dropped."""
    cli("suppression", "add", "carl@gmail.com", "dora@mail.gmail.com")
    assert "scheduled" not in cli("suppression", "remove", "dora@mail.gmail.com").out
    assert "1 dropped message scheduled" in cli("suppression", "remove", "carl@gmail.com", "--retry-dropped").out
    waiting = json.loads(cli("queue", "list", NEWS, "--json").out)["items"]
    assert {one["recipient"]: one["status"] for one in waiting} == {"carl@gmail.com": "deferred"}
    assert "taken off the suppression list" in waiting[0]["reason"]


def test_many_dropped_messages_go_out_after_a_question(cli: Cli) -> None:
    """One is sent at once; before several somebody has to agree, and until then the entry stays as well."""
    cli("suppression", "add", "carl@gmail.com", "dora@mail.gmail.com")
    both = ["suppression", "remove", "carl@gmail.com", "dora@mail.gmail.com", "--retry-dropped"]
    code, _, err = cli(*both)
    assert code == 4 and "Send after all: 2 dropped messages" in err and len(items(cli)) == 2
    assert cli(*both, "--dry-run").code == 0 and len(items(cli)) == 2
    assert "2 dropped messages scheduled" in cli(*both, "--yes").out


def test_what_was_dropped_is_told_when_it_cannot_be_sent(cli: Cli, config: Config) -> None:
    """After its retention its bytes are gone: the command says so and names the setting."""
    cli("suppression", "add", "@gmail.com", "@mail.gmail.com")

    async def prune() -> None:
        store = await open_store(config)
        await store.prune(Retention(dropped=0.0))
        await store.close()

    asyncio.run(prune())
    code, out, err = cli("suppression", "remove", "@gmail.com", "--retry-dropped")
    assert code == 0 and "0 dropped messages scheduled" in out and "retention.dropped" in err


def test_many_waiting_messages_are_stopped_by_one_command(cli: Cli, config: Config) -> None:
    """Whatever waits for the domain, before the command returns."""

    async def fill() -> None:
        migrate(config)
        store = await open_store(config)
        await store.accept(accepted([f"u{n}@dead.test" for n in range(700)], received_at=time.time()), claimed=False)
        await store.close()

    asyncio.run(fill())
    assert json.loads(cli("suppression", "add", "@dead.test", "--json").out)["stopped"] == 700


@pytest.mark.parametrize("verb", ["list", "check", "add", "remove", "import", "export"])
def test_every_verb_shows_examples(cli: Cli, verb: str) -> None:
    """`-h`: what it is, and how it is used."""
    assert f"mailtrail suppression {verb}" in cli("suppression", verb, "-h").out
