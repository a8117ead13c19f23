"""What a command needs to know of the engine, and does: where the database is, who works with it, who may only read."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.config import Config
from relay.credential import Rate
from relay.event import Action
from relay.store import Store, migrate, open_store
from relay.store.chores import Worker
from tests.cli.conftest import HELD, NEWS, RECEIPT, Cli, both_engines
from tests.parts.postgres import Server

NOBODY = 65534


async def join(config: Config) -> Worker:
    """A worker begins, and says how much it has to do."""
    store = await open_store(config)
    worker = await store.join()
    await store.alive(worker, in_hand=7, sessions=3)
    await store.close()
    return worker


async def gone(config: Config, worker: Worker) -> None:
    """It stops."""
    store = await open_store(config)
    await store.gone(worker)
    await store.close()


async def actions(config: Config) -> list[Action]:
    """What the log is going to tell of operators."""
    store: Store = await open_store(config)
    found = await store.unlogged_actions(100)
    await store.close()
    return found


@both_engines
def test_nodes_are_listed_with_their_workers(cli: Cli, config: Config) -> None:
    """`node list`: number, pid, version, load, start and last sign of life of each worker; later, who was seen last."""
    code, out, err = cli("node", "list")
    assert (code, out) == (0, "") and "No relay has worked" in err
    worker = asyncio.run(join(config))
    (shown,) = json.loads(cli("node", "list", "--json").out)["items"]
    assert (shown["node"], shown["pid"], shown["writer"]) == (worker.host, worker.pid, worker.writer)
    assert (shown["status"], shown["in_hand"], shown["sessions"]) == ("alive", 7, 3)
    assert shown["version"] and shown["started_at"] and shown["seen_ago_s"] < 60
    asyncio.run(gone(config, worker))
    code, out, err = cli("node", "list", "-o", "csv")
    assert code == 0 and ",gone," in out and f"No worker is alive; {worker.host} was seen last, " in err
    (shown,) = json.loads(cli("node", "list", "--json").out)["items"]
    assert shown["in_hand"] == 0 and shown["seen_at"]


@both_engines
def test_mail_is_found_without_an_id(cli: Cli) -> None:
    """`message list` has the newest first, decided or not, each message's recipients in their order; at most 20."""
    code, out, _ = cli("message", "list")
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == [HELD, NEWS, NEWS, RECEIPT, RECEIPT, RECEIPT]
    code, out, _ = cli("message", "list", "to:ada@")
    assert code == 0 and out.split("\t")[2:4] == ["sent", "ada@gmail.com"]
    body = json.loads(cli("message", "list", "--limit", "2", "--json=recipient").out)
    assert body["schema"] == "mailtrail/message.list/1" and body["total"] == 6
    assert [item["recipient"] for item in body["items"]] == ["eve@example.net", "carl@gmail.com"]
    assert cli("message", "list", "-o", "ids").out.split() == [HELD, NEWS, RECEIPT]
    assert cli("message", "list", "to:nobody@").code == 3


@both_engines
def test_what_is_done_to_credentials_is_told(cli: Cli, config: Config) -> None:
    """add, set, rotate and revoke each leave an event with the user's name, for the log's admin lines."""
    for words in (["add", "shop"], ["set", "shop", "--rate", "10/s"], ["rotate", "shop"], ["revoke", "shop"]):
        assert cli("credential", *words).code == 0
    told = [action for action in asyncio.run(actions(config)) if action.event.startswith("credential_")]
    assert [action.event for action in told] == [f"credential_{verb}" for verb in ("add", "set", "rotate", "revoke")]
    assert {action.queue_id for action in told} == {""} and {action.detail["name"] for action in told} == {"shop"}
    assert "relay" not in {action.actor for action in told}


@both_engines
def test_the_first_credential_makes_the_tables(bare: Cli) -> None:
    """Looking at a database that does not exist yet says what to do; adding a credential makes it."""
    code, _, err = bare("status")
    assert code == 1 and ("there is no database" in err or "mailtrail db migrate" in err)
    assert bare("credential", "add", "app", "--rate", "10/s").code == 0
    assert bare("status").code == 0


@pytest.mark.parametrize("engine", ["postgres"])
def test_a_server_is_named_without_its_password(cli: Cli, config: Config, postgres: Server) -> None:
    """`db path` and `db migrate` show the place; `db backup` says what does it there, and leaves no file."""
    file = config.data_dir.parent / "config.toml"
    text = file.read_text().replace("postgres@", "postgres:s3cret@")
    file.write_text(text)
    shown = cli("db", "path").out.strip()
    assert shown.startswith("postgresql://127.0.0.1:") and "s3cret" in text and "s3cret" not in shown
    code, out, _ = cli("db", "migrate")
    assert code == 0 and shown in out and "up to date" in out and "s3cret" not in out
    copy = config.data_dir / "copy.db"
    code, _, err = cli("db", "backup", str(copy))
    assert code == 1 and "pg_dump --format=custom" in err and not copy.exists() and "s3cret" not in err
    assert "no damage" in cli("db", "check").out
    assert "0 messages" in cli("db", "prune").out


@pytest.mark.parametrize("engine", ["postgres"])
def test_sums_of_the_server_are_numbers(cli: Cli) -> None:
    """PostgreSQL's decimals are numbers in JSON, too."""
    body = json.loads(cli("db", "query", "SELECT sum(size) AS n, 1.5 AS x FROM email_status", "--json").out)
    assert body["items"][0]["n"] > 0 and body["items"][0]["x"] == 1.5


@pytest.mark.parametrize("engine", ["postgres"])
def test_a_server_that_is_away_is_told_in_words(cli: Cli, config: Config) -> None:
    """Exit code 1, the place, and no traceback."""
    file = config.data_dir.parent / "config.toml"
    file.write_text(file.read_text().replace(config.database_url, "postgresql://u:s3cret@127.0.0.1:1/mail"))
    code, _, err = cli("status")
    assert code == 1 and "cannot connect to postgresql://127.0.0.1:1/mail" in err and "s3cret" not in err


@contextmanager
def member(config: Config) -> Iterator[None]:
    """As another user, who is in the group that the data directory belongs to."""
    for folder in (config.data_dir, *config.data_dir.parents[:3]):  # pytest's own, which nobody else may enter
        folder.chmod(0o755)
    for path in (config.data_dir, *config.data_dir.iterdir()):
        os.chown(path, 0, NOBODY)
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_members_of_the_group_can_look_and_not_touch(cli: Cli, config: Config) -> None:
    """Who may only read the database reads, while the relay runs and after it; a change is refused in words."""
    assert cli("status").code == 0  # leaves the file as a relay does when it stops
    with member(config):
        for words in (["status"], ["queue", "list"], ["message", "show", RECEIPT], ["credential", "list"]):
            assert cli(*words).code == 0, words
        code, _, err = cli("queue", "hold", NEWS, "--yes")
        assert code == 1 and "this user may only read it" in err and "sudo" in err
        assert cli("credential", "revoke", "billing-app").code == 1
    asyncio.run(beside(cli, config))
    assert json.loads(cli("status", "--json").out)["queue"]["held"] == 1


async def beside(cli: Cli, config: Config) -> None:
    """The same while a worker has the database open."""
    store = await open_store(config)
    await store.spend("billing-app", Rate(10, 60.0))
    with member(config):
        code, out, _ = await asyncio.to_thread(cli, "status")
        assert code == 0 and "1 held" in out
    await store.close()
    migrate(config)
