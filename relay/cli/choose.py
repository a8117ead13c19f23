"""Which deliveries a command means, and the question that is asked before it changes them.

Arguments are filters, queue ids, or `-` for queue ids on standard input. A command that changes
deliveries wants a choice: none is an error, never "all"; all is spelled `--all`; a bare word is an
error too, because `retry gmail.com` would also take what merely mentions it. Before the change a
preview shows how many, how old, which domains, and three samples; then `--dry-run` stops, `--yes`
goes on, a terminal is asked (above 1,000 recipients: for the number), and anything else is
`NotConfirmed`.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.cli import wording
from relay.cli.failures import NotConfirmed, NothingMatched, Usage
from relay.cli.screen import Screen
from relay.filters import ANY, Filter, FilterError, Term, parse

if TYPE_CHECKING:
    from relay.store import Store

TYPE_THE_NUMBER = 1000  # recipients; above it "y" is too easy
IDS_AT_ONCE = 5000  # queue ids in one condition; databases allow about 32,000 parameters

# A queue id's first character is a digit until the year 2040, so no English word is taken for one.
_QUEUE_ID = re.compile(r"[0-9][0-9A-Za-z]{11}")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would touch."""

    deliveries: int
    messages: int
    oldest_at: float | None
    newest_at: float | None
    domains: tuple[tuple[str, int], ...]


def add_choice(parser: argparse.ArgumentParser, *, destructive: bool = False) -> None:
    """The positional arguments, and for destructive verbs the options of the question."""
    parser.add_argument("filter", nargs="*", metavar="FILTER|ID|-", help="mailtrail help filters; -: ids on stdin")
    if destructive:
        parser.add_argument("--all", action="store_true", help="everything that this verb can change")
        parser.add_argument("--dry-run", action="store_true", help="show what would be changed, change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--reason", metavar="TEXT", help="kept with the events")


def choice(args: argparse.Namespace, screen: Screen) -> list[Filter]:
    """What the arguments choose: one filter; several if standard input brought very many ids, none if it was empty."""
    ids, texts = _ids(args.filter)
    try:
        chosen = parse(texts, screen.now, screen.zone)
    except FilterError as error:
        raise Usage(str(error), error.hint) from None
    if not ids:
        return [] if "-" in args.filter else [chosen]
    return [chosen.and_(Term("id", tuple(ids[at : at + IDS_AT_ONCE]))) for at in range(0, len(ids), IDS_AT_ONCE)]


def destructive_choice(args: argparse.Namespace, screen: Screen) -> list[Filter]:
    """`choice` for a verb that changes things: raises `Usage` where there is none, or a word without a key in it."""
    if not args.filter and not args.all:
        raise Usage(f"{args.verb} needs a filter, a queue id or -", f"all of them: mailtrail queue {args.verb} --all")
    if args.filter and args.all:
        raise Usage("--all and a filter contradict each other", "leave one of them out")
    filters = choice(args, screen)
    for term in filters[0].terms if filters else ():
        if term.key == ANY:
            word = term.values[0]
            key = "to" if "@" in word else "domain" if "." in word else "subject"
            raise Usage(f"unknown filter word {word!r}", f"did you mean {Term(key, (word,))} ?")
    return filters


def _ids(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The queue ids among the arguments (and on standard input, for `-`), and the other arguments."""
    ids = [word.lower() for word in arguments if _QUEUE_ID.fullmatch(word)]
    if "-" in arguments:
        for line in sys.stdin:
            word = line.split("\t")[0].strip()
            if word and not _QUEUE_ID.fullmatch(word):
                raise Usage(f"standard input: {word!r} is not a queue id", "mailtrail queue list … -o ids writes them")
            ids += [word.lower()] if word else []
    return list(dict.fromkeys(ids)), [word for word in arguments if word != "-" and not _QUEUE_ID.fullmatch(word)]


async def preview(store: "Store", filters: Sequence[Filter], statuses: Sequence[str]) -> Preview:
    """What `filters` choose together among the deliveries of these statuses."""
    parts = [await store.count(one, statuses=tuple(statuses)) for one in filters]
    domains: Counter[str] = Counter()
    for part in parts:
        domains.update(dict(part.domains))
    return Preview(
        deliveries=sum(part.deliveries for part in parts),
        messages=sum(part.messages for part in parts),
        oldest_at=min((part.oldest_at for part in parts if part.oldest_at is not None), default=None),
        newest_at=max((part.newest_at for part in parts if part.newest_at is not None), default=None),
        domains=tuple(domains.most_common(5)),
    )


async def agreed(
    args: argparse.Namespace,
    screen: Screen,
    store: "Store",
    title: str,
    filters: Sequence[Filter],
    statuses: Sequence[str],
) -> Preview:
    """Shows the preview and asks, unless `--yes` or `--dry-run` makes that needless.

    Raises `NothingMatched` and `NotConfirmed`.
    """
    found = await preview(store, filters, statuses)
    if not found.deliveries:
        raise NothingMatched("no waiting recipient matches", "mailtrail queue list shows what waits")
    _show(screen, title, found)
    async for row in store.search(filters[0], statuses=tuple(statuses), limit=3):
        said = f"   {row['reason']}" if row["reason"] else ""
        screen.note(f"  sample   {row['queue_id']}  {row['recipient']}  {row['status']}{said}")
    if args.dry_run:
        screen.note("Nothing was changed (dry run).")
    elif not args.yes:
        ask(found.deliveries)
    return found


def _show(screen: Screen, title: str, found: Preview) -> None:
    who = f"{wording.count(found.deliveries, 'recipient')} in {wording.count(found.messages, 'message')}"
    screen.note(f"{title}: {who}{_waiting(screen, found)}")
    screen.note("  domains  " + ", ".join(f"{domain} ({number:,})" for domain, number in found.domains))


def _waiting(screen: Screen, found: Preview) -> str:
    if found.oldest_at is None or found.newest_at is None:
        return ""
    shortest, longest = (wording.span(screen.now - at) for at in (found.newest_at, found.oldest_at))
    return f", waiting {longest}" if shortest == longest else f", waiting {shortest} – {longest}"


def ask(number: int) -> None:
    """Ask the person at the terminal whether to change `number` things. Raises `NotConfirmed`."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed("not confirmed: this is not a terminal, so nothing was changed", "add --yes to do it")
    wanted = str(number) if number > TYPE_THE_NUMBER else "y"
    question = f"Type {number} to continue: " if number > TYPE_THE_NUMBER else "Continue? [y/N] "
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower().replace(",", "")
    if answer != wanted and not (wanted == "y" and answer == "yes"):
        raise NotConfirmed("not confirmed, so nothing was changed")
