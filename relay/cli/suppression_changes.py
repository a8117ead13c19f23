"""`mailtrail suppression add` and `remove`.

Removing by cause (`reason:hard_bounce reply:5.7.26 after:2026-11-20`) repairs what one mistake of one's own has put on
the list: it shows how many entries that are, and asks. An address is removed in every scope unless one is named.
"""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from relay.cli import wording
from relay.cli.arguments import Level, outputs, wants_json
from relay.cli.choose import ask
from relay.cli.database import opened, user
from relay.cli.failures import NothingMatched, Usage
from relay.cli.progress import Progress
from relay.cli.screen import Screen
from relay.cli.suppression_words import (
    KEYS,
    add_entry_options,
    addresses,
    expiry,
    item,
    reason,
    scope,
    selection,
)
from suppression.entry import Entry

if TYPE_CHECKING:
    from relay.store import Store
    from relay.store.entries import Selection


def add(level: Level) -> None:
    """Both verbs."""
    verb = level.verb(
        "add",
        add_,
        "Stop mail to addresses, or to whole domains, from now on; what waits for them is dropped.",
        (
            "mailtrail suppression add ada@example.org --note 'asked by phone'",
            "mailtrail suppression add @example.org --expires 30d",
            "mailtrail suppression add ada@example.org --scope newsletter",
        ),
    )
    verb.add_argument("filter", nargs="+", metavar="ADDRESS", help="-: addresses on standard input")
    add_entry_options(verb)
    outputs(verb, "table", "json")
    verb = level.verb(
        "remove",
        remove,
        "Let addresses have mail again: by name, or all entries with one cause.\n\nWhat was dropped stays dropped, "
        "unless --retry-dropped releases what this entry has stopped since, as far as its content is still kept.",
        (
            "mailtrail suppression remove ada@example.org --retry-dropped",
            "mailtrail suppression remove reason:hard_bounce reply:5.7.26 after:2026-11-20 --dry-run",
            "mailtrail suppression remove source:import --yes",
        ),
    )
    verb.add_argument("filter", nargs="*", metavar="ADDRESS|FILTER|-", help="as of list; -: addresses on stdin")
    verb.add_argument("--scope", metavar="TAG", help='only the entry for this tag ("*": the one for all mail)')
    verb.add_argument("--retry-dropped", action="store_true", help="send what it has stopped since")
    verb.add_argument("--all", action="store_true", help="the whole list")
    verb.add_argument("--dry-run", action="store_true", help="show what would be removed, change nothing")
    verb.add_argument("--yes", action="store_true", help="do not ask")
    verb.add_argument("--reason", metavar="TEXT", help="why, kept with the events")
    outputs(verb, "table", "json")


async def add_(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression add`."""
    who = user()
    why = reason(args.reason) if args.reason else "manual"
    until = expiry(args, screen)
    scope_ = "" if args.scope == "*" else args.scope
    given = addresses(args.filter)
    async with opened(args, create=True) as store:
        now = store.engine.now()
        entries = [Entry(one, scope_, why, who, now, until, note=args.note) for one in given]
        added = await store.suppress_many(entries, actor=who)
        kept = [await store.entry(one, scope_) for one in given]
    if wants_json(args):
        body = {"added": added.new, "changed": added.changed, "already_listed": added.same, "stopped": added.stopped}
        screen.json("suppression.add", body | {"items": [item(one, now) for one in kept if one]}, args.json or "")
        return 0
    for one in kept:
        if one:
            screen.line(f"{screen.mark('ok')} {one.address} is on the suppression list ({scope(one.scope)})")
    if added.stopped:
        screen.note(f"{wording.count(added.stopped, 'waiting message')} stopped.")
    return 0


async def remove(args: argparse.Namespace, screen: Screen) -> int:
    """`suppression remove`."""
    if bool(args.filter) == args.all:
        raise Usage("remove needs addresses or filters, or --all", "mailtrail suppression remove ada@example.org")
    by_cause = args.all or any(word.partition(":")[0].lower() in KEYS and ":" in word for word in args.filter)
    if by_cause:
        chosen = selection([*args.filter, *([f"scope:{args.scope}"] if args.scope is not None else [])], screen)
    async with opened(args) as store:
        removed = await (_by_cause(args, screen, store, chosen) if by_cause else _by_name(args, screen, store))
        retried = lost = 0
        if args.retry_dropped and not args.dry_run:
            for entry in removed:
                released, gone = await store.retry_dropped(entry, actor=user())
                retried, lost = retried + released, lost + gone
    _tell(args, screen, removed, retried, lost)
    return 0


async def _by_name(args: argparse.Namespace, screen: Screen, store: "Store") -> list[Entry]:
    """The entries of the addresses, in one scope or in all."""
    wanted = None if args.scope is None else "" if args.scope == "*" else args.scope
    found: list[Entry] = []
    for address in addresses(args.filter):
        own = [
            entry for entry in await store.entries_of(address, domain=False) if wanted is None or entry.scope == wanted
        ]
        if not own:
            screen.note(f"{address} is not on the list.")
        found += own
    if not found:
        raise NothingMatched("none of these is on the suppression list", "mailtrail suppression check ADDRESS")
    if not args.dry_run:
        for entry in found:
            await store.unsuppress(entry.address, entry.scope, actor=user(), reason=args.reason)
    return found


async def _by_cause(args: argparse.Namespace, screen: Screen, store: "Store", chosen: "Selection") -> list[Entry]:
    """The chosen entries, after a look at them and a question."""
    total = await store.count_entries(chosen)
    if not total:
        raise NothingMatched("no entry matches", "mailtrail suppression list shows them")
    await _preview(screen, store, chosen, total)
    if args.dry_run:
        return [entry async for entry in store.entries(chosen)]
    if not args.yes:
        ask(total)
    with Progress("Removing", total) as progress:
        return [
            entry async for entry in store.unsuppress_many(chosen, actor=user(), reason=args.reason, progress=progress)
        ]


async def _preview(screen: Screen, store: "Store", chosen: "Selection", total: int) -> None:
    reasons: Counter[str] = Counter()
    samples: list[Entry] = []
    async for entry in store.entries(chosen):
        reasons[entry.reason] += 1
        samples += [entry] if len(samples) < 3 else []
    kinds = ", ".join(f"{wording.status(name)} ({number:,})" for name, number in reasons.most_common())
    screen.note(f"Remove: {wording.count(total, 'entry', 'entries')}: {kinds}")
    for entry in samples:
        said = f"   {entry.reply}" if entry.reply else ""
        screen.note(f"  sample   {entry.address}  {scope(entry.scope)}  {wording.status(entry.reason)}{said}")


def _tell(args: argparse.Namespace, screen: Screen, removed: list[Entry], retried: int, lost: int) -> None:
    if wants_json(args):
        body = {"matched": len(removed), "removed": 0 if args.dry_run else len(removed), "dry_run": args.dry_run}
        screen.json("suppression.remove", body | {"retried": retried, "content_gone": lost}, args.json or "")
        return
    if args.dry_run:
        screen.note(f"Nothing was changed (dry run): {wording.count(len(removed), 'entry', 'entries')} would go.")
        return
    screen.line(f"{screen.mark('ok')} {wording.count(len(removed), 'entry', 'entries')} removed.")
    if args.retry_dropped:
        screen.line(f"{screen.mark('ok')} {wording.count(retried, 'dropped message')} scheduled.")
    if lost:
        screen.note(
            f"{wording.count(lost, 'dropped message')} cannot be sent: the content is no longer kept "
            "(retention.dropped says how long it is)."
        )
