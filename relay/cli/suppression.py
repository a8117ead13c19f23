"""`mailtrail suppression`: who must not be mailed, and why.

`list`, `check` and `export` look; `add` and `remove` (`suppression_changes.py`) and `import`
(`suppression_import.py`) change the list, and every change is an event with who and why. A running relay
notices within a second: what waits for an address that is added is stopped at once.
"""

import argparse
import csv
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from relay.cli import suppression_changes, suppression_import, wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.database import opened
from relay.cli.failures import NothingMatched, Usage
from relay.cli.listing import limit_of
from relay.cli.progress import Progress
from relay.cli.screen import Column, Listing, Screen, plain
from relay.cli.suppression_words import addresses, item, scope, selection

if TYPE_CHECKING:
    from relay.store import Store
    from relay.store.entries import Dropped
    from suppression.entry import Entry

EXPORTED = ("address", "scope", "reason", "source", "added_at", "expires_at", "cause_queue_id", "note", "reply")


def add(noun: Parser) -> None:
    """The verbs of `suppression`."""
    level = noun.below("verb")
    verb = level.verb(
        "list",
        list_,
        "The entries, the newest first, expired ones too.\n\nFilters: a part of the address, @domain, reason:, "
        'source:, scope: (a tag; "*": all mail), reply:, note:, after:, before:. All must fit.',
        (
            "mailtrail suppression list",
            "mailtrail suppression list reason:hard_bounce after:7d",
            "mailtrail suppression list @example.org --json",
        ),
    )
    verb.add_argument("filter", nargs="*", metavar="FILTER", help="which entries (none: all)")
    verb.add_argument("--limit", type=int, metavar="N", help="at most N entries; 0: all")
    outputs(verb)
    verb = level.verb(
        "check",
        check,
        "May these be mailed? Why not, since when, and what has been dropped since.\n\nExit 0 either way.",
        ("mailtrail suppression check ada@example.org", "mailtrail suppression check ada@example.org --json"),
    )
    verb.add_argument("filter", nargs="+", metavar="ADDRESS", help="-: addresses on standard input")
    outputs(verb, "table", "json")
    suppression_changes.add(level)
    suppression_import.add(level)
    verb = level.verb(
        "export",
        export,
        "The list for other programs, and for `import`: CSV with a header on standard output.",
        (
            "mailtrail suppression export",
            "mailtrail suppression export reason:unsubscribe -o text",
            "mailtrail suppression export -o jsonl",
        ),
    )
    verb.add_argument("filter", nargs="*", metavar="FILTER", help="as of list")
    verb.add_argument(
        "-o", "--output", choices=("csv", "text", "json", "jsonl"), metavar="FORM", help="csv|text|json|jsonl"
    )
    verb.add_argument("--json", nargs="?", const="", metavar="FIELDS", help="JSON; --json=a,b only these fields")


def _listing(screen: Screen) -> Listing:
    return Listing(
        "suppression.list",
        (
            Column("ADDRESS", "address"),
            Column("SCOPE", "scope", scope),
            Column("REASON", "reason"),
            Column("SINCE", "added_at", screen.clock),
            Column("EXPIRES", "expires_at", lambda text: text[:10]),
            Column("SOURCE", "source", most=30),
            Column("MESSAGE", "cause_queue_id"),
            Column("REPLY", "reply", most=200),
            Column("NOTE", "note", wide=True, most=200),
        ),
        "address",
        ("live",),
    )


async def _items(entries: "AsyncIterator[Entry]", now: float) -> AsyncIterator[dict[str, Any]]:
    async for entry in entries:
        yield item(entry, now)


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression list`."""
    mode, limit = limit_of(args, screen)
    chosen = selection(args.filter, screen)
    async with opened(args) as store:
        total = await store.count_entries(chosen)
        rows = _items(store.entries(chosen, limit=limit), screen.now)
        shown = await screen.rows(_listing(screen), rows, mode, fields=args.json or "", header=args.header, total=total)
    if not total:
        screen.note("No entry matches." if args.filter else "The suppression list is empty.")
    elif shown < total:
        screen.note(f"{wording.count(total, 'entry', 'entries')}, {shown:,} shown (--limit 0 for all)")
    return 0 if total or not args.filter else NothingMatched.exit


async def check(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression check`."""
    asked = addresses(args.filter)
    items = []
    async with opened(args) as store:
        for address in asked:
            entries = await store.entries_of(address)
            dropped = [await _dropped(store, entry) for entry in entries]
            if wants_json(args):
                items.append(_checked(address, entries, [number for number, _ in dropped], screen.now))
            else:
                _show(screen, address, entries, dropped)
    if wants_json(args):
        body = items[0] if len(items) == 1 else {"items": items}
        screen.json("suppression.check", body, args.json or "")
    return 0


def _checked(address: str, entries: "list[Entry]", dropped: list[int], now: float) -> dict[str, Any]:
    shown = [item(entry, now) | {"dropped": number} for entry, number in zip(entries, dropped, strict=True)]
    live = [entry for entry in entries if entry.live(now)]
    everything = any(not entry.scope for entry in live)
    return {"address": address, "suppressed": everything, "listed": bool(live), "entries": shown}


async def _dropped(store: "Store", entry: "Entry") -> "tuple[int, Dropped | None]":
    """How much it has stopped since, and the latest of it."""
    number, latest = 0, None
    async for one in store.dropped(entry):
        number += 1
        if latest is None or one.at >= latest.at:
            latest = one
    return number, latest


def _show(screen: Screen, address: str, entries: "list[Entry]", dropped: "list[tuple[int, Dropped | None]]") -> None:
    if not any(entry.live(screen.now) for entry in entries):
        screen.line(f"{screen.mark('ok')} {address} is not on the suppression list")
    for entry, (number, latest) in zip(entries, dropped, strict=True):
        if entry.live(screen.now):
            screen.line(f"{screen.mark('rejected')} {address} is on the suppression list")
        since = f"{wording.moment(entry.since, screen.zone)} ({wording.span(max(0.0, screen.now - entry.since))})"
        until = f", until {wording.moment(entry.expires_at, screen.zone)}" if entry.expires_at else ""
        over = "" if entry.live(screen.now) else ": expired, and counts no more"
        whole = f"   all of {entry.address}" if entry.address.startswith("@") else ""
        screen.line(f"  scope   {scope(entry.scope)}{whole}   since  {since}{until}{over}")
        cause = f"   message {entry.queue_id}" if entry.queue_id else ""
        said = f": {plain(entry.reply)}" if entry.reply else ""
        screen.line(f"  reason  {wording.status(entry.reason)}{said}   source  {plain(entry.source)}{cause}")
        if entry.note:
            screen.line(f"  note    {plain(entry.note)}")
        if latest:
            when = wording.moment(latest.at, screen.zone)
            screen.line(f'  dropped {wording.count(number, "message")} since (latest {when} "{plain(latest.subject)}")')
    if any(entry.live(screen.now) for entry in entries):
        retry = " --retry-dropped" if any(number for number, _ in dropped) else ""
        screen.note(f"Remove: mailtrail suppression remove {entries[0].address}{retry}")


async def export(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression export`."""
    if args.json is not None and args.output not in (None, "json", "jsonl"):
        raise Usage(f"--json and -o {args.output} contradict each other", "leave one of them out")
    form = args.output or ("json" if args.json is not None else "csv")
    chosen = selection(args.filter, screen)
    async with opened(args) as store:
        total = await store.count_entries(chosen)
        with Progress("Exporting", total) as progress:
            rows = _counted(_items(store.entries(chosen), screen.now), progress)
            if form in ("json", "jsonl"):
                await screen.rows(_listing(screen), rows, form, fields=args.json or "", total=total)
            else:
                await _write(rows, form)
    return 0


async def _counted(rows: AsyncIterator[dict[str, Any]], progress: Progress) -> AsyncIterator[dict[str, Any]]:
    done = 0
    async for row in rows:
        yield row
        done += 1
        progress(done)


async def _write(rows: AsyncIterator[dict[str, Any]], form: str) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if form == "csv":
        writer.writerow(EXPORTED)
    async for row in rows:
        if form == "csv":
            writer.writerow([plain(row[name]) for name in EXPORTED])
        else:
            sys.stdout.write(f"{plain(row['address'])}\n")
