"""Manners that every command has: words for mistakes, exit codes, help, and what a terminal sees."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli import main, program
from relay.cli.arguments import Parser
from relay.cli.failures import MEANINGS, Failure
from relay.cli.screen import columns_of, cut
from relay.config import Config
from tests.cli.conftest import RECEIPT, ROOT, Cli, fill, terminal


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["queu", "list"], "did you mean queue ?"),
        (["queue", "lst"], "did you mean list ?"),
        (["queue", "list", "--limti", "3"], "did you mean --limit ?"),
        (["queue", "list", "statsu:sent"], "did you mean status: ?"),
        (["queue", "list", "-o", "yaml"], "known: table, wide, ids, json, jsonl, csv, tsv"),
        (["queue", "list", "--json=nonsense"], "fields: queue_id, age_s"),
        (["queue", "list", "--json", "-o", "csv"], "contradict"),
        (["queue", "list", "--limit", "-1"], "--limit 0 shows all"),
        (["message", "show"], "required: QUEUE_ID"),
        (["message", "show", RECEIPT, "more"], "more than this command takes"),
        (["help", "filtres"], "did you mean filters ?"),
        (["explain", "gibberish words"], "550 5.1.1 User unknown"),
        (["config", "check"], "--config FILE"),
    ],
)
def test_a_mistake_is_exit_code_2_and_names_what_was_meant(cli: Cli, words: list[str], said: str) -> None:
    """Nothing on standard output, and on standard error what is wrong and what to type."""
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert err.startswith('{"error"' if any("--json" in word for word in words) else "mailtrail: ") and said in err


def test_with_json_a_failure_is_json_too(cli: Cli) -> None:
    """{"error": {"code", "message", "hint"}} on standard error."""
    code, out, err = cli("queue", "list", "statsu:sent", "--json")
    error = json.loads(err)["error"]
    assert (code, out) == (2, "") and error["code"] == "usage" and "statsu" in error["message"] and error["hint"]


def test_without_a_database_the_command_says_who_makes_it(bare: Cli) -> None:
    """A relay that has never been started is not a crash."""
    code, _, err = bare("queue", "list")
    assert code == 1 and "there is no database at" in err and "mailtrail serve" in err


def test_a_configuration_with_errors_tells_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`config check`: every error with its key and exit code 6; every other command: exit code 1."""
    path = tmp_path / "config.toml"
    path.write_text('hostname = "relay.test"\nworkers = "many"\n[delivery]\nretyr = ["1m"]\n')
    assert main(["config", "check", "--config", str(path)]) == 6
    out = capsys.readouterr().out
    assert "workers" in out and "delivery.retyr" in out and "delivery.retry" in out
    assert main(["--config", str(path), "queue", "list"]) == 1
    assert "config check" in capsys.readouterr().err
    path.write_text('hostname = "relay.test"\n[submission]\nlisten = ["127.0.0.1:0"]\n')
    assert main(["config", "check", "--config", str(path)]) == 0
    capsys.readouterr()
    assert main(["config", "check", "--json", "--config", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_the_configuration_in_effect_is_shown_whole(cli: Cli, config: Config) -> None:
    """`config show` writes every default out; `config path` names the file."""
    out = cli("config", "show").out
    assert "[submission]" in out and 'lifetime = "1h"' in out and str(config.data_dir) in out
    assert main(["config", "path", "--config", "somewhere.toml"]) == 0


def test_a_file_that_cannot_be_read_says_who_may(config: Config, bare: Cli) -> None:
    """A damaged database is words and exit code 1, not a traceback."""
    config.data_dir.mkdir(parents=True)
    config.database_path.write_bytes(b"this is not a database, by far" * 100)
    code, _, err = bare("queue", "list")
    assert code == 1 and err.startswith("mailtrail: cannot ")


def _verbs(parser: Parser) -> list[Parser]:
    below = [verb for name in parser.filled().nouns.values() for verb in _verbs(name)]
    return below or [parser]


VERBS = _verbs(program())


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.prog)
def test_every_command_has_short_and_long_help(verb: Parser, capsys: pytest.CaptureFixture[str]) -> None:
    """-h begins with examples and fits a screen; --help has every option and the examples too."""
    assert verb.examples, f"{verb.prog} has no examples"
    assert main([*verb.prog.split()[1:], "-h"]) == 0
    short = capsys.readouterr().out
    assert verb.examples[0] in short.splitlines()[2] and len(short.splitlines()) <= 15
    assert main([*verb.prog.split()[1:], "--help"]) == 0
    long = capsys.readouterr().out
    assert all(example in long for example in verb.examples) and "--config FILE" in long


EXAMPLES = [example for verb in VERBS for example in verb.examples if " serve" not in example]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_works_as_it_stands(
    example: str, config: Config, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What help shows can be typed: it exits with 0, 3 where nothing matches, or 5 where no relay runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('hostname = "relay.test"\n')
    (tmp_path / "secret.txt").write_text("a-secret-of-some-length\n")
    for name in ("old-esp.csv", "unsubscribes.txt"):
        (tmp_path / name).write_text("ada@example.org\n")
    monkeypatch.setenv("MAILTRAIL_CONFIG", str(tmp_path / "config.toml"))
    stdin = ""
    for shown, here in (
        ('sqlite3 "$(mailtrail db path)"', "mailtrail db path"),
        ("/var/lib/mailtrail/mailtrail.db", str(config.database_path)),
        ("postgresql://mail@db.internal/mail", f"sqlite:///{tmp_path}/server.db"),
    ):
        example = example.replace(shown, here)
    for part in example.split(" | "):
        words = shlex.split(part)
        if "<" in words:
            stdin = (tmp_path / words[-1]).read_text()
            words = words[: words.index("<")]
        assert words[0] == "mailtrail"
        run = cli if words[1] != "config" and "--sandbox" not in words else _plain(cli)
        code, stdin, err = run(*words[1:], stdin=stdin)
        assert code in (0, 3, 5), err


def _plain(cli: Cli) -> Cli:
    """Without the sandbox's options in front."""
    from tests.cli.conftest import Result

    def run(*words: str, stdin: str = "") -> Result:
        return Result(main(list(words)), "", "")

    return run


@pytest.mark.parametrize("topic", ["filters", "sql"])
def test_every_command_in_a_help_topic_works(topic: str, cli: Cli) -> None:
    """The same for what `mailtrail help filters` and `help sql` show."""
    commands = re.findall(r"^ +(mailtrail .*)$", cli("help", topic).out, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        code, _, err = cli(*shlex.split(command)[1:])
        assert code in (0, 3), err


def test_help_topics_tell_what_the_code_knows(cli: Cli) -> None:
    """Statuses and exit codes are listed from the tables that the program uses."""
    assert "hard_bounce" in cli("help", "statuses").out
    assert cli("help", "exit-codes").out.splitlines()[5].startswith("5  ")
    kinds: list[type[Failure]] = [Failure, *Failure.__subclasses__()]
    assert {kind.exit for kind in kinds} | {0, 6} == set(MEANINGS)
    assert cli("help").code == 0 and cli("version").out.startswith("mailtrail ")


@pytest.mark.parametrize(
    ("reply", "status", "reason_class"),
    [
        ("550 5.1.1 User unknown", "hard bounce", "bad_mailbox"),
        (
            "550-5.7.26 Unauthenticated email from example.com is not accepted due to domain's DMARC policy",
            "soft",
            "auth_dmarc",
        ),
        ("450 4.2.0 Greylisted, try again in 300 seconds", "deferred", "greylisted"),
        ("250 2.0.0 Ok", "sent", ""),
        ("5.7.26", "soft", "auth_dmarc"),
        ("5.1.1", "hard bounce", "bad_mailbox"),
        ("4.2.2 Mailbox is full", "deferred", "mailbox_full"),
        ("2.1.5", "sent", ""),
    ],
)
def test_a_reply_is_explained_by_the_table_that_judges_deliveries(
    cli: Cli, reply: str, status: str, reason_class: str
) -> None:
    """`explain` says what the relay would do with it."""
    code, out, _ = cli("explain", reply)
    assert code == 0 and status in out.splitlines()[0] and reason_class in out.splitlines()[0]
    assert "Means" in out and "You do" in out


def test_a_rule_is_explained_without_the_program_s_own_placeholders(cli: Cli) -> None:
    """What each refusal fills in stands in capitals, in words and as JSON."""
    for more in ([], ["--json"]):
        code, out, _ = cli("explain", "R4105", *more)
        assert code == 0
        assert "Credential CREDENTIAL may only send from ALLOWED, not DOMAIN" in out


def _process(config: Config, *words: str, **more: object) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "relay", "--sandbox", "--data-dir", str(config.data_dir), *words]
    return subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, check=False, **more)  # type: ignore[call-overload, no-any-return]


def test_a_real_process_has_streams_and_exit_codes(config: Config) -> None:
    """As a program in a shell: data on standard output, words on standard error, the code at the end."""
    asyncio.run(fill(config))
    done = _process(config, "queue", "list", "-o", "ids")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(RECEIPT.encode())
    done = _process(config, "queue", "cancel", "--all")
    assert (done.returncode, done.stdout) == (4, b"")


def test_a_locale_without_utf8_gets_ascii_symbols(config: Config) -> None:
    """✓ becomes [ok] where it cannot be shown."""
    asyncio.run(fill(config))
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = _process(config, "message", "show", RECEIPT, env=env)
    assert b"[ok] sent" in done.stdout and done.returncode == 0


def test_a_reader_that_leaves_is_no_error_message(config: Config) -> None:
    """`mailtrail queue list | head -0`: silence."""
    asyncio.run(fill(config))
    command = f"{shlex.quote(sys.executable)} -m relay --sandbox --data-dir {config.data_dir} db schema | true"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.stderr == b""


def test_a_terminal_gets_a_table(config: Config) -> None:
    """Headings, aligned columns, relative times, colour, and how many there are; NO_COLOR takes the colour away."""
    asyncio.run(fill(config))
    code, seen = terminal(config, "queue", "list", "status:deferred")
    assert code == 0 and "\x1b[1mID " in seen and "\x1b[33mdeferred\x1b[0m" in seen
    assert " 27m " in seen and "1 recipient waiting" in seen
    _, plain = terminal(config, "queue", "list", "status:deferred", env={"NO_COLOR": "1"})
    assert "\x1b" not in plain and "LAST REPLY" in plain


def test_a_terminal_is_asked(config: Config) -> None:
    """y does it, everything else does not and is exit code 4."""
    asyncio.run(fill(config))
    code, seen = terminal(config, "queue", "hold", "domain:gmail.com", typed=b"n\n")
    assert code == 4 and "Continue? [y/N]" in seen and "nothing was changed" in seen
    code, seen = terminal(config, "queue", "hold", "domain:gmail.com", typed=b"y\n")
    assert code == 0 and "✓ 2 recipients held." in seen


@given(st.text(max_size=80), st.integers(1, 60))
def test_a_value_too_wide_is_cut_to_its_columns(text: str, width: int) -> None:
    """Wide and combining characters counted; what is shown is its beginning, and "…" says that there is more."""
    shown = cut(text, width)
    assert columns_of(shown) <= width
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1]))
