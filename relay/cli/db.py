"""`mailtrail db`: the database itself.

The views are a public interface (`schema` describes them) and `query` reads them with SQL on a
connection that cannot write. `backup` copies SQLite's file while it is in use; `cp` would tear it.
`copy` (`moving.py`) moves everything to another database, of the other kind if need be.
"""

import argparse
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from relay.cli import moving, wording
from relay.cli.arguments import Parser, outputs
from relay.cli.database import configuration, opened, place
from relay.cli.failures import PROBLEMS_FOUND, Failure, NothingMatched, Usage
from relay.cli.listing import mode_of
from relay.cli.progress import Progress
from relay.cli.screen import Column, Listing, Screen

SECONDS = 5.0  # the longest a query may take, unless told otherwise
_READS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(select|with|values|explain)\b", re.IGNORECASE | re.DOTALL)
MODES = ("table", "json", "jsonl", "csv", "tsv")


def add(noun: Parser) -> None:
    """The verbs of `db`."""
    level = noun.below("verb")
    level.verb("path", path, "Where the database is.", ("mailtrail db path", 'sqlite3 "$(mailtrail db path)"'))
    verb = level.verb(
        "schema",
        schema,
        "Every public view and what its columns mean.",
        ("mailtrail db schema", "mailtrail db schema email_status", "mailtrail db schema --json"),
    )
    verb.add_argument("view", nargs="?", metavar="VIEW")
    outputs(verb, *MODES)
    verb = level.verb(
        "query",
        query,
        "Read with SQL. The connection cannot write.",
        (
            "mailtrail db query \"SELECT recipient, status, reason FROM email_status WHERE status = 'deferred'\"",
            'mailtrail db query "SELECT * FROM bounce_reasons" -o csv',
            'mailtrail db query "SELECT * FROM daily_stats" --json',
        ),
    )
    verb.add_argument("sql", metavar="SQL")
    verb.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS", help="give up after (default: 5)")
    outputs(verb, *MODES)
    verb = level.verb(
        "backup",
        backup,
        "Copy the database (SQLite's) to a new file while it is in use.",
        ("mailtrail db backup mailtrail-backup.db",),
    )
    verb.add_argument("file", metavar="FILE")
    moving.add(level)
    level.verb("check", check, "Look for damage. Exit 6 if there is any.", ("mailtrail db check",))
    level.verb(
        "prune",
        prune,
        "Let go of what is older than its retention, now. The relay does it by itself every hour.",
        ("mailtrail db prune",),
    )
    level.verb(
        "migrate",
        migrate,
        "Create the database, or bring an older one up. The relay does it at its start.",
        ("mailtrail db migrate",),
    )


def path(args: argparse.Namespace, screen: Screen) -> int:
    """`db path`."""
    screen.line(place(configuration(args)))
    return 0


async def schema(args: argparse.Namespace, screen: Screen) -> int:
    """`db schema`."""
    async with opened(args) as store:
        _, rows = await store.query(
            "SELECT view_name, position, column_name, description FROM view_columns ORDER BY 1, 2"
        )
    found = [dict(row) for row in rows if args.view in (None, row["view_name"])]
    if not found:
        raise NothingMatched(f"there is no view {args.view!r}", "mailtrail db schema lists them")
    await _table(args, screen, "db.schema", ["view_name", "column_name", "description"], found)
    return 0


async def query(args: argparse.Namespace, screen: Screen) -> int:
    """`db query`."""
    from relay.store import BadQuery

    # The connection refuses to write tables; ATTACH, PRAGMA and VACUUM INTO would still make files and change settings.
    if not _READS.match(args.sql):
        raise Usage("db query only reads: SELECT, WITH, VALUES or EXPLAIN", "mailtrail queue … changes deliveries")
    async with opened(args) as store:
        try:
            columns, rows = await store.query(args.sql, seconds=args.timeout)
        except TimeoutError as error:
            raise Failure(str(error), "add a LIMIT or a WHERE, or --timeout SECONDS") from None
        except BadQuery as error:
            raise Usage(f"the database says: {error}", "mailtrail db schema lists views and columns") from None
    await _table(args, screen, "db.query", columns, [_simple(dict(row)) for row in rows])
    if screen.tty:
        screen.note(wording.count(len(rows), "row"))
    return 0


def _simple(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the values that JSON has; PostgreSQL's sums are decimals."""
    from decimal import Decimal

    return {
        name: (int(value) if value == int(value) else float(value)) if isinstance(value, Decimal) else value
        for name, value in row.items()
    }


async def _table(
    args: argparse.Namespace, screen: Screen, name: str, columns: list[str], rows: list[dict[str, Any]]
) -> None:
    async def each() -> AsyncIterator[dict[str, Any]]:
        for row in rows:
            yield row

    listing = Listing(name, tuple(Column(column, column) for column in columns), columns[0] if columns else "")
    await screen.rows(listing, each(), mode_of(args), fields=args.json or "", header=args.header, total=len(rows))


async def backup(args: argparse.Namespace, screen: Screen) -> int:
    """`db backup`."""
    target = _new_file(args.file)
    try:
        async with opened(args, as_owner=False) as store:
            with Progress("Copying pages") as progress:
                await store.backup(target, progress)
    except BaseException:  # interrupted or failed: half a backup must not be taken for one
        target.unlink()
        raise
    screen.line(f"{screen.mark('ok')} {target}, {wording.size(target.stat().st_size)}")
    keys = configuration(args).database_path.parent / "keys"
    if keys.is_dir():  # secrets are never in the database; without them links and signatures of old mail are lost
        screen.line(
            f"  the keys of links and signatures are not in it: keep a copy of {keys} too, where nobody reads it"
        )
    return 0


def _new_file(name: str) -> Path:
    """An empty file that nobody else can read: it is going to hold everybody's mail."""
    target = Path(name).absolute()
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise Failure(f"{target} exists already, and a backup overwrites nothing", "choose another name") from None
    except OSError as error:
        raise Failure(f"cannot write {target} ({error.strerror})", "choose another directory") from None
    return target


async def check(args: argparse.Namespace, screen: Screen) -> int:
    """`db check`."""
    async with opened(args) as store:
        problems = await store.check()
    for problem in problems:
        screen.line(f"{screen.mark('failed')} {problem}")
    if problems:
        screen.note("The database is damaged. Stop the relay, keep a copy of the files, and restore the latest backup.")
        return PROBLEMS_FOUND
    screen.line(f"{screen.mark('ok')} no damage found")
    return 0


async def prune(args: argparse.Namespace, screen: Screen) -> int:
    """`db prune`."""
    async with opened(args) as store:
        gone = await store.prune(configuration(args).retention)
    kinds = (("message", gone.messages), ("content", gone.contents), ("transcript", gone.transcripts))
    told = [wording.count(number, kind) for kind, number in (*kinds, ("refusal", gone.refusals))]
    screen.line(f"{screen.mark('ok')} gone: {', '.join(told)}")
    return 0


async def migrate(args: argparse.Namespace, screen: Screen) -> int:
    """`db migrate`."""
    async with opened(args, migrated=True):
        pass
    screen.line(f"{screen.mark('ok')} {place(configuration(args))} is up to date")
    return 0
