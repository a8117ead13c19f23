"""`mailtrail suppression import`: a list from elsewhere, CSV, JSON or text (`address_lists.py` reads them).

It goes in steps and can be run again: what is there already stays as it is. Rows that are no addresses are told with
their lines and harm no others; the exit code is then 6.
"""

import argparse
import sys
from pathlib import Path

from relay.cli import wording
from relay.cli.address_lists import Bad, Found, decoded, read
from relay.cli.arguments import Level, outputs, wants_json
from relay.cli.database import opened, user
from relay.cli.failures import PROBLEMS_FOUND, Failure
from relay.cli.progress import Progress
from relay.cli.screen import Screen, plain
from relay.cli.suppression_words import add_entry_options, expiry, reason
from suppression.entry import Entry, Reason

SHOWN = 20  # bad rows with a line of their own


def add(level: Level) -> None:
    """The verb."""
    verb = level.verb(
        "import",
        import_,
        "Addresses from a file: text (one a line), CSV or JSON.\n\nKnows its own exports and those of SendGrid, "
        "Mailgun, Postmark and Amazon SES. What a row says comes before the options; --reason and the others are for "
        "rows that say nothing. Exit 6 when rows were left out.",
        (
            "mailtrail suppression import old-esp.csv --dry-run",
            "mailtrail suppression import unsubscribes.txt --reason unsubscribe --scope newsletter",
            "mailtrail suppression export | mailtrail suppression import - --dry-run",
        ),
    )
    verb.add_argument("file", metavar="FILE", help="-: standard input")
    add_entry_options(verb)
    verb.add_argument("--dry-run", action="store_true", help="say what it would do, change nothing")
    outputs(verb, "table", "json")


async def import_(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression import`."""
    usual: Reason = reason(args.reason) if args.reason else "manual"
    until = expiry(args, screen)
    rows = list(read(_text(args.file)))
    bad = [row for row in rows if isinstance(row, Bad)]
    entries = [_entry(row, args, usual, until, screen.now) for row in rows if isinstance(row, Found)]
    async with opened(args, create=not args.dry_run) as store:
        with Progress("Importing", len(entries)) as progress:
            added = await store.suppress_many(
                entries,
                actor=user(),
                detail={} if args.file == "-" else {"file": Path(args.file).name},
                progress=progress,
                dry_run=args.dry_run,
            )
    if wants_json(args):
        body = {"rows": len(rows), "new": added.new, "changed": added.changed, "already_listed": added.same}
        body |= {"invalid": len(bad), "stopped": added.stopped, "dry_run": args.dry_run}
        errors = [{"where": one.where, "text": one.text, "error": one.why} for one in bad]
        screen.json("suppression.import", body | {"errors": errors}, args.json or "")
        return PROBLEMS_FOUND if bad else 0
    for one in bad[:SHOWN]:
        screen.note(f'{one.where}: "{plain(one.text)}": {one.why}')
    if len(bad) > SHOWN:
        screen.note(f"… and {len(bad) - SHOWN:,} more (--json has them all)")
    changed = f"{added.changed:,} changed, " if added.changed else ""
    first = f' (first: {bad[0].where} "{plain(bad[0].text)}")' if bad else ""
    done = " — nothing changed (dry run)" if args.dry_run else ""
    screen.line(
        f"{wording.count(len(rows), 'line')}: {added.new:,} new, {changed}{added.same:,} already listed, "
        f"{len(bad):,} invalid{first}{done}"
    )
    if added.stopped:
        screen.note(f"{wording.count(added.stopped, 'waiting message')} stopped.")
    return PROBLEMS_FOUND if bad else 0


def _entry(row: Found, args: argparse.Namespace, usual: Reason, until: float | None, now: float) -> Entry:
    return Entry(
        row.address,
        row.scope or ("" if args.scope == "*" else args.scope),
        row.reason or usual,
        row.source or "import",
        min(row.since, now) if row.since else now,
        row.expires_at or until,
        reply=row.reply,
        note=row.note or args.note,
    )


def _text(file: str) -> str:
    """What is in it. Raises `Failure`."""
    if file == "-":
        stream = getattr(sys.stdin, "buffer", None)
        return decoded(stream.read()) if stream else sys.stdin.read()
    try:
        return decoded(Path(file).read_bytes())
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", "name another file, or - for standard input") from None
