"""`mailtrail suppression import`: a list from elsewhere, CSV, JSON or text (`address_lists.py` reads them).

It goes in steps and can be run again: what is there already stays as it is. Rows that are no addresses, and bounces
that prove nothing, are told with their lines and harm no others; the exit code is then 6.

An entry's reason is what its row says, else `--reason`, else what the columns of the file tell, else "manual".
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relay.cli import wording
from relay.cli.address_columns import Bad, Found, Row, Skipped
from relay.cli.address_lists import decoded, read
from relay.cli.arguments import Level, outputs, wants_json
from relay.cli.database import configuration, opened, user
from relay.cli.explain import own_rules
from relay.cli.failures import PROBLEMS_FOUND, Failure
from relay.cli.progress import Progress
from relay.cli.screen import Screen, plain
from relay.cli.suppression_words import add_entry_options, expiry, reason
from suppression.entry import Entry, Reason

if TYPE_CHECKING:
    from relay.store.entries import Added

SHOWN = 20  # rows left out with a line of their own
THE_ROWS, THE_OPTION, THE_COLUMNS, NOBODY = "their rows say so", "--reason", "their columns say so", "nothing says why"


def add(level: Level) -> None:
    """The verb."""
    verb = level.verb(
        "import",
        import_,
        "Addresses from a file: text (one a line), CSV or JSON.\n\nKnows its own exports and those of SendGrid, "
        "Mailgun, Postmark and Amazon SES, and says which it is, and which reason it takes. What a row says comes "
        "before --reason, that before what the columns tell. A bounce counts when its reply proves that the address is "
        "dead; others are left out, unless --reason is given. Exit 6 when rows were left out.",
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


@dataclass(frozen=True, slots=True)
class _List:
    """A file that was read: its entries, what is left out of it, and what has to be told."""

    entries: list[Entry]
    skipped: list[Skipped]
    bad: list[Bad]
    forms: Counter[str]
    reasons: Counter[tuple[Reason, str]]  # and who says so

    @property
    def left_out(self) -> "list[Skipped | Bad]":
        return [*self.bad, *self.skipped]

    @property
    def rows(self) -> int:
        return len(self.entries) + len(self.left_out)


async def import_(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression import`."""
    given = _list(args, screen)
    async with opened(args, create=not args.dry_run) as store:
        with Progress("Importing", len(given.entries)) as progress:
            added = await store.suppress_many(
                given.entries,
                actor=user(),
                detail={} if args.file == "-" else {"file": Path(args.file).name},
                progress=progress,
                dry_run=args.dry_run,
            )
    if wants_json(args):
        _json(args, screen, given, added)
    else:
        _tell(args, screen, given, added)
    return PROBLEMS_FOUND if given.left_out else 0


def _list(args: argparse.Namespace, screen: Screen) -> _List:
    """The file, read and judged."""
    usual = reason(args.reason) if args.reason else None
    until = expiry(args, screen)
    rows = list(read(_text(args.file), own_rules(configuration(args))))
    given = _List([], [], [], Counter(), Counter())
    for row in rows:
        if isinstance(row, Bad):
            given.bad.append(row)
            continue
        given.forms[row.form] += 1
        if found := _taken(row, usual):
            why, who = _reason(found, usual)
            given.reasons[why, who] += 1
            given.entries.append(_entry(found, args, why, until, screen.now))
        elif isinstance(row, Skipped):
            given.skipped.append(row)
    return given


def _taken(row: Row, usual: Reason | None) -> Found | None:
    """The row, if it counts; what is no proof does where a person gives the reason."""
    return row if isinstance(row, Found) else row.row if isinstance(row, Skipped) and usual else None


def _reason(row: Found, usual: Reason | None) -> tuple[Reason, str]:
    """Why it must not be mailed, and who says so."""
    if row.reason:
        return row.reason, THE_ROWS
    if usual:
        return usual, THE_OPTION
    return (row.implied, THE_COLUMNS) if row.implied else ("manual", NOBODY)


def _entry(row: Found, args: argparse.Namespace, why: Reason, until: float | None, now: float) -> Entry:
    return Entry(
        row.address,
        row.scope or ("" if args.scope == "*" else args.scope),
        why,
        row.source or "import",
        min(row.since, now) if row.since else now,
        row.expires_at or until,
        reply=row.reply,
        note=row.note or args.note,
    )


def _json(args: argparse.Namespace, screen: Screen, given: _List, added: "Added") -> None:
    body = {"rows": given.rows, "new": added.new, "changed": added.changed, "already_listed": added.same}
    body |= {"invalid": len(given.bad), "skipped": len(given.skipped), "stopped": added.stopped}
    errors = [{"where": one.where, "text": one.text, "error": one.why} for one in given.left_out]
    reasons = [{"reason": why, "because": who, "rows": number} for (why, who), number in given.reasons.most_common()]
    told = {"dry_run": args.dry_run, "formats": list(given.forms), "reasons": reasons, "errors": errors}
    screen.json("suppression.import", body | told, args.json or "")


def _tell(args: argparse.Namespace, screen: Screen, given: _List, added: "Added") -> None:
    for form in given.forms:
        screen.note(f"Format: {plain(form)}")
    for (why, who), number in given.reasons.most_common():
        hint = "; --reason names another" if who in (THE_COLUMNS, NOBODY) else ""
        screen.note(f"Reason: {why} for {wording.count(number, 'row')} ({who}{hint})")
    _left_out(screen, given.left_out)
    changed = f"{added.changed:,} changed, " if added.changed else ""
    skipped = f"{len(given.skipped):,} skipped, " if given.skipped else ""
    first = f' (first: {given.bad[0].where} "{plain(given.bad[0].text)}")' if given.bad else ""
    done = " — nothing changed (dry run)" if args.dry_run else ""
    screen.line(
        f"{wording.count(given.rows, 'line')}: {added.new:,} new, {changed}{added.same:,} already listed, "
        f"{skipped}{len(given.bad):,} invalid{first}{done}"
    )
    if added.stopped:
        screen.note(f"{wording.count(added.stopped, 'waiting message')} stopped.")


def _left_out(screen: Screen, rows: "Sequence[Skipped | Bad]") -> None:
    for one in rows[:SHOWN]:
        screen.note(f'{one.where}: "{plain(one.text)}": {plain(one.why)}')
    if len(rows) > SHOWN:
        screen.note(f"… and {len(rows) - SHOWN:,} more (--json has them all)")


def _text(file: str) -> str:
    """What is in it. Raises `Failure`."""
    if file == "-":
        stream = getattr(sys.stdin, "buffer", None)
        return decoded(stream.read()) if stream else sys.stdin.read()
    try:
        return decoded(Path(file).read_bytes())
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", "name another file, or - for standard input") from None
