"""Commands that change: what they touch, what they ask before, and what they refuse."""

import asyncio
import json
import os

import pytest

from relay.config import Config
from relay.credential import digest
from relay.store import migrate, open_store
from tests.cli.conftest import HELD, NEWS, RECEIPT, SECRET, Cli, both_engines, terminal
from tests.parts.mail import accepted


def statuses(cli: Cli, queue_id: str) -> list[str]:
    return cli(
        "db", "query", f"SELECT status FROM email_status WHERE queue_id = '{queue_id}' ORDER BY recipient_id"
    ).out.split()


@both_engines
def test_nothing_is_changed_without_a_yes(cli: Cli) -> None:
    """Without a terminal and without --yes: the preview, exit code 4, and everything as it was."""
    code, out, err = cli("queue", "cancel", "domain:gmail.com")
    assert (code, out) == (4, "")
    assert "Cancel: 2 recipients in 1 message, waiting 1 min" in err
    assert "gmail.com (1), mail.gmail.com (1)" in err and "carl@gmail.com  creating" in err and "--yes" in err
    assert statuses(cli, NEWS) == ["creating", "creating"]


@both_engines
def test_a_dry_run_shows_and_does_nothing(cli: Cli) -> None:
    """--dry-run is exit code 0 and no change."""
    code, out, err = cli("queue", "cancel", "--all", "--dry-run", "--yes")
    assert (code, out) == (0, "") and "4 recipients" in err and "dry run" in err
    assert statuses(cli, NEWS) == ["creating", "creating"]


@both_engines
def test_no_choice_is_an_error_and_never_everything(cli: Cli) -> None:
    """No filter, an empty standard input, or a bare word: exit codes 2, 3 and 2; --all is the word for all."""
    code, _, err = cli("queue", "cancel", "--yes")
    assert code == 2 and "--all" in err
    assert cli("queue", "cancel", "-", "--yes", stdin="").code == 3
    code, _, err = cli("queue", "retry", "gmail.com", "--yes")
    assert code == 2 and "unknown filter word" in err and "did you mean domain:gmail.com ?" in err
    assert cli("queue", "cancel", "--all", "to:ada", "--yes").code == 2
    assert statuses(cli, NEWS) == ["creating", "creating"]


@both_engines
def test_ids_flow_from_a_list_into_an_action(cli: Cli) -> None:
    """`queue list -o ids | queue hold -`: the habit of every mail administrator."""
    ids = cli("queue", "list", "status:creating,deferred", "-o", "ids").out
    code, out, _ = cli("queue", "hold", "-", "--yes", "--reason", "checking", stdin=ids)
    assert code == 0 and out == "✓ 3 recipients held.\n"
    assert statuses(cli, NEWS) == ["held", "held"] and statuses(cli, RECEIPT) == ["sent", "held", "hard_bounce"]
    code, _, err = cli("queue", "hold", "-", "--yes", stdin="rm -rf\n")
    assert code == 2 and "is not a queue id" in err


@both_engines
def test_each_verb_touches_only_what_it_can_change(cli: Cli) -> None:
    """release takes what is held; hold and retry what has an attempt to come; nothing to touch is exit code 3."""
    assert cli("queue", "retry", HELD, "--yes").code == 3
    assert cli("queue", "release", RECEIPT, "--yes").code == 3
    assert cli("queue", "release", HELD, "--yes").code == 0
    assert (
        statuses(cli, HELD) == ["deferred"] or statuses(cli, HELD) == ["creating"] or statuses(cli, HELD) == ["spooled"]
    )
    assert cli("queue", "cancel", RECEIPT, "--yes").code == 0
    assert statuses(cli, RECEIPT) == ["sent", "cancelled", "hard_bounce"]


@both_engines
def test_retry_is_now_or_spread_over_a_time(cli: Cli) -> None:
    """After `queue retry` the next attempt is due; --spread words and takes a length of time."""
    code, out, _ = cli("queue", "retry", "class:throttled", "--yes", "--json")
    body = json.loads(out)
    assert code == 0 and body["schema"] == "mailtrail/queue.retry/1" and body["changed"] == 1
    due = cli("db", "query", f"SELECT next_in_s <= 0 FROM queue_now WHERE queue_id = '{RECEIPT}'").out
    assert due == "1\n"
    assert "spread over 10 min" in cli("queue", "retry", RECEIPT, "--yes", "--spread", "10m").out
    assert cli("queue", "retry", RECEIPT, "--yes", "--spread", "soon").code == 2


@both_engines
def test_who_did_what_and_why_is_kept(cli: Cli) -> None:
    """Every change leaves an event with the user and the reason."""
    cli("queue", "hold", NEWS, "--yes", "--reason", "wrong price")
    events = json.loads(cli("message", "show", NEWS, "--json").out)["events"]
    (held, _) = [event for event in events if event["event"] == "hold"]
    assert held["detail"]["reason"] == "wrong price" and held["actor"] not in ("", "relay")


def test_a_secret_is_shown_once_and_kept_as_a_digest(cli: Cli) -> None:
    """`credential add` prints what to paste; nothing shows the secret again, and the database does not have it."""
    code, out, err = cli("credential", "add", "shop", "--from", "shop.example", "--rate", "10/s", "--tag", "shop")
    settings = dict(line.split("=", 1) for line in out.splitlines())
    assert code == 0 and settings["SMTP_HOST"] == "127.0.0.1" and settings["SMTP_PORT"] == "2587"
    secret = settings["SMTP_PASSWORD"]
    assert secret.startswith("mt_") and "swaks" in err
    for words in (
        ["credential", "show", "shop"],
        ["credential", "list", "--json"],
        ["db", "query", "SELECT * FROM credentials"],
    ):
        assert secret not in cli(*words).out
    assert digest(secret) in cli("db", "query", "SELECT secrets FROM credentials WHERE name = 'shop'").out
    assert "from shop.example · 10 per 1s · tag shop" in cli("credential", "show", "shop").out
    assert cli("credential", "add", "shop").code == 1


@both_engines
def test_a_credential_can_be_made_before_the_relay_has_ever_run(bare: Cli) -> None:
    """The first `credential add` makes the database; a secret may come from standard input, if it is long enough."""
    assert bare("credential", "add", "app", "--password-stdin", stdin="short\n").code == 2
    code, out, _ = bare("credential", "add", "app", "--password-stdin", stdin="a-long-and-random-secret\n")
    assert code == 0 and "SMTP_PASSWORD" not in out
    assert json.loads(bare("credential", "list", "--json").out)["items"][0]["name"] == "app"


@both_engines
def test_rotating_lets_the_old_secret_live_for_a_grace_time(cli: Cli) -> None:
    """After `rotate --grace 7d` both secrets are valid; after `--grace 0s` or `revoke` the old one is not."""
    code, out, err = cli("credential", "rotate", "billing-app", "--grace", "7d")
    assert code == 0 and "SMTP_PASSWORD=mt_" in out and "stays valid until" in err
    kept = json.loads(cli("db", "query", "SELECT secrets FROM credentials").out)
    assert len(kept) == 2 and digest(SECRET) in json.dumps(kept)
    assert cli("credential", "rotate", "billing-app", "--grace", "0s").code == 0
    assert digest(SECRET) not in cli("db", "query", "SELECT secrets FROM credentials").out
    assert cli("credential", "revoke", "billing-app").code == 0
    assert json.loads(cli("credential", "show", "billing-app", "--json").out)["state"] == "revoked"


@both_engines
def test_bounds_are_set_and_taken_away(cli: Cli) -> None:
    """`credential set` changes what is named and leaves the rest; "any" takes a bound away; nonsense is exit code 2."""
    assert cli("credential", "set", "billing-app", "--ip", "10.0.3.7/24", "--max-size", "10MiB").code == 0
    bounds = json.loads(cli("credential", "show", "billing-app", "--json").out)
    assert bounds["networks"] == ["10.0.3.0/24"] and bounds["from"] == ["example.com"]
    assert bounds["max_message_size"] == 10 * 1024 * 1024
    assert cli("credential", "set", "billing-app", "--ip", "any", "--from", "any").code == 0
    assert json.loads(cli("credential", "show", "billing-app", "--json").out)["networks"] == []
    for wrong in (
        ["--rate", "fast"],
        ["--rate", "0/s"],
        ["--ip", "10.0.0.0/99"],
        ["--from", "a b"],
        ["--max-size", "huge"],
        [],
    ):
        assert cli("credential", "set", "billing-app", *wrong).code == 2


async def _many(config: Config) -> None:
    """A thousand and one recipients."""
    migrate(config)
    store = await open_store(config)
    people = [f"u{number}@gmail.com" for number in range(1001)]
    await store.accept(accepted(people, queue_id=NEWS), claimed=False)
    await store.close()


def test_above_a_thousand_the_number_must_be_typed(config: Config) -> None:
    """y is too easy for 1,001 recipients."""
    asyncio.run(_many(config))
    code, seen = terminal(config, "queue", "hold", "--all", typed=b"y\n")
    assert code == 4 and "Type 1001 to continue" in seen
    code, seen = terminal(config, "queue", "hold", "--all", typed=b"1,001\n")
    assert code == 0 and "1,001 recipients held" in seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_no_file_that_the_relay_cannot_write(bare: Cli, config: Config) -> None:
    """As root a command works as the owner of the data directory."""
    config.data_dir.mkdir(parents=True)
    for folder in config.data_dir.parents[:3]:  # pytest's own, which nobody else may enter
        folder.chmod(0o755)
    os.chown(config.data_dir, 65534, 65534)
    assert bare("credential", "add", "app").code == 0
    assert {file.stat().st_uid for file in config.data_dir.iterdir()} == {65534}
    assert os.geteuid() == 0


def test_a_stopped_relays_database_stays_one_plain_file(cli: Cli, config: Config) -> None:
    """After a command nothing lies beside the database that a reader of another user would miss."""
    cli("queue", "list")
    assert {file.name for file in config.data_dir.iterdir()} <= {"mailtrail.db", "mailtrail.db.lock"}
    assert config.database_path.read_bytes()[18:20] == b"\x01\x01", "still in WAL mode"


@both_engines
def test_a_credential_may_say_whether_its_mail_is_tracked(cli: Cli) -> None:
    """Opens, clicks and unsubscribe fields apart; "default" takes a word back; other words are exit code 2."""
    assert cli("credential", "set", "billing-app", "--track-opens", "no", "--unsubscribe", "yes").code == 0
    shown = json.loads(cli("credential", "show", "billing-app", "--json").out)
    assert (shown["track_opens"], shown["track_clicks"], shown["unsubscribe"]) == (False, None, True)
    assert "opens no · unsubscribe yes" in cli("credential", "show", "billing-app").out
    assert "opens no" in cli("credential", "list").out
    assert cli("credential", "set", "billing-app", "--track-opens", "default", "--track-clicks", "no").code == 0
    shown = json.loads(cli("credential", "show", "billing-app", "--json").out)
    assert (shown["track_opens"], shown["track_clicks"], shown["unsubscribe"]) == (None, False, True)
    assert cli("credential", "set", "billing-app", "--track-opens", "perhaps").code == 2
