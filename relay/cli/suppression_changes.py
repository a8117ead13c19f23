"""`mailtrail suppression add` and `remove`.

An address is removed at once, in every scope and for every reason unless one is named; it is asked only where
`--retry-dropped` would send more than one message. Removing by cause (`reason:hard_bounce reply:5.7.26
after:2026-11-20`) repairs what one mistake of one's own has put on the list: it shows how many entries that are, and
asks.
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
    REASONS,
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
    from relay.store.entries import Retried, Selection


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
        "unless --retry-dropped releases what was stopped meanwhile, as far as its content is still kept and no other "
        "entry forbids it.",
        (
            "mailtrail suppression remove ada@example.org --retry-dropped",
            "mailtrail suppression remove ada@example.org --only hard_bounce",
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
    verb.add_argument("--only", metavar="REASON", help=f"only the entry for this reason: {', '.join(REASONS)}")
    verb.add_argument("--reason", metavar="TEXT", help="why you remove them, kept with the events")
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
        kept = [entry for one in given for entry in await store.named(one, scope_, why)]
    if wants_json(args):
        body = {"added": added.new, "changed": added.changed, "already_listed": added.same, "stopped": added.stopped}
        screen.json("suppression.add", body | {"items": [item(one, now) for one in kept]}, args.json or "")
        return 0
    for one in kept:
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
        narrowed = {"scope": args.scope, "reason": args.only}
        words = [f"{key}:{value}" for key, value in narrowed.items() if value is not None]
        chosen = selection([*args.filter, *words], screen)
    async with opened(args) as store:
        removed = await (_by_cause(args, screen, store, chosen) if by_cause else _by_name(args, screen, store))
        sending = removed if args.retry_dropped and not args.dry_run else []
        retried = await store.retry_dropped(*sending, actor=user())
    _tell(args, screen, removed, retried)
    return 0


async def _by_name(args: argparse.Namespace, screen: Screen, store: "Store") -> list[Entry]:
    """The entries of the addresses, in one scope or in all, for one reason or for all."""
    scopes = None if args.scope is None else "" if args.scope == "*" else args.scope
    why = reason(args.only) if args.only else None
    found: list[Entry] = []
    for address in addresses(args.filter):
        listed = await store.entries_of(address, domain=False)
        own = [one for one in listed if scopes in (None, one.scope) and why in (None, one.reason)]
        if not own:
            screen.note(f"{address} is not on the list.")
        found += own
    if not found:
        raise NothingMatched("none of these is on the suppression list", "mailtrail suppression check ADDRESS")
    if args.retry_dropped:
        await _agree_to_send(args, screen, store, found)
    if not args.dry_run:
        for entry in found:
            await store.unsuppress(*entry.key, actor=user(), because=args.reason)
    return found


async def _agree_to_send(args: argparse.Namespace, screen: Screen, store: "Store", entries: list[Entry]) -> None:
    """Says how much would be sent after all, and asks where it is more than one message. Raises `NotConfirmed`."""
    number = await store.retriable(*entries)
    screen.note(f"Send after all: {wording.count(number, 'dropped message')}")
    if number > 1 and not (args.yes or args.dry_run):
        ask(number)


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
            entry async for entry in store.unsuppress_many(chosen, actor=user(), because=args.reason, progress=progress)
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


def _tell(args: argparse.Namespace, screen: Screen, removed: list[Entry], retried: "Retried") -> None:
    if wants_json(args):
        body = {"matched": len(removed), "removed": 0 if args.dry_run else len(removed), "dry_run": args.dry_run}
        body |= {"retried": retried.released, "content_gone": retried.gone, "still_suppressed": retried.forbidden}
        screen.json("suppression.remove", body, args.json or "")
        return
    if args.dry_run:
        screen.note(f"Nothing was changed (dry run): {wording.count(len(removed), 'entry', 'entries')} would go.")
        return
    screen.line(f"{screen.mark('ok')} {wording.count(len(removed), 'entry', 'entries')} removed.")
    if args.retry_dropped:
        screen.line(f"{screen.mark('ok')} {wording.count(retried.released, 'dropped message')} scheduled.")
    if retried.forbidden:
        screen.note(f"Not sent: {wording.count(retried.forbidden, 'dropped message')} that another entry forbids.")
    if retried.gone:
        screen.note(
            f"{wording.count(retried.gone, 'dropped message')} cannot be sent: the content is no longer kept "
            "(retention.dropped says how long it is)."
        )
