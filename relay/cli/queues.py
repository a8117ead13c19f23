"""`mailtrail queue`: what waits, and what to do with it.

`list` and `shape` look; `retry`, `hold`, `release` and `cancel` change, after a preview and a
question (`choose.py`). Each verb touches only what it can change: `release` what is held, the
others what still has an attempt to come (and `cancel` what is held too).
"""

import argparse
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from relay.cli import shape, wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.choose import add_choice, agreed, choice, destructive_choice, preview
from relay.cli.database import opened, user
from relay.cli.failures import Usage
from relay.cli.listing import deliveries, items, limit_of
from relay.cli.progress import Progress
from relay.cli.screen import Screen
from relay.delivery import OPEN, WAITING, Status
from relay.filters import Filter, FilterError, seconds

if TYPE_CHECKING:
    from relay.store import Store

TOUCHES = {
    verb: tuple(sorted(statuses))
    for verb, statuses in (("retry", OPEN), ("hold", OPEN), ("release", {Status.HELD}), ("cancel", WAITING))
}
QUEUE = tuple(sorted(WAITING))
TITLES = {"retry": "Retry now", "hold": "Hold", "release": "Release", "cancel": "Cancel"}
DONE = {"retry": "scheduled", "hold": "held", "release": "released", "cancel": "cancelled"}


def add(noun: Parser) -> None:
    """The verbs of `queue`."""
    level = noun.below("verb")
    listed = level.verb(
        "list",
        list_,
        "What waits: every recipient that is not yet decided.\n\nThe oldest first. In a pipe and with -o ids|json|… "
        "everything is written, on a terminal the first 50.",
        (
            "mailtrail queue list",
            "mailtrail queue list status:deferred domain:gmail.com after:24h",
            "mailtrail queue list dsn:4.2.1 -o ids | mailtrail queue retry - --yes",
        ),
    )
    add_choice(listed)
    listed.add_argument("--limit", type=int, metavar="N", help="at most N recipients; 0: all")
    outputs(listed)
    shape.add(level)
    for name, description, examples in _CHANGES:
        verb = level.verb(name, change, description, examples)
        add_choice(verb, destructive=True)
        if name == "retry":
            verb.add_argument(
                "--spread", metavar="TIME", default="0s", help="over how long: 60s, 10m (default: at once)"
            )
        outputs(verb, "table", "json")


_CHANGES = (
    (
        "retry",
        "Try again now, without waiting for the next attempt's time.",
        (
            "mailtrail queue retry 3kq7mvt2z0hy --yes",
            "mailtrail queue retry domain:gmail.com class:throttled --spread 10m --dry-run",
            "mailtrail queue retry --all --yes",
        ),
    ),
    (
        "hold",
        "Stop deliveries until they are released.\n\nAn attempt that is on its way just now still tells the truth.",
        (
            "mailtrail queue hold tag:newsletter --reason 'wrong price' --yes",
            "mailtrail queue hold 3kq7mvt2z0hy --yes",
            "mailtrail queue hold cred:billing-app --dry-run",
        ),
    ),
    (
        "release",
        "Let held deliveries go on.",
        (
            "mailtrail queue release tag:newsletter --yes",
            "mailtrail queue release 3kq7mvt2z0hy --dry-run",
            "mailtrail queue release --all --yes",
        ),
    ),
    (
        "cancel",
        "Take deliveries out of the queue for good.\n\nThe sender is not told. There is no way back.",
        (
            "mailtrail queue cancel to:=gone@example.org --reason 'asked by customer' --yes",
            "mailtrail queue cancel before:3d class:network --dry-run",
            "mailtrail queue cancel 3kq7mvt2z0hy --yes",
        ),
    ),
)


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`queue list`."""
    mode, limit = limit_of(args, screen)
    filters = choice(args, screen)
    async with opened(args) as store:
        found = await preview(store, filters, QUEUE)

        async def rows() -> AsyncIterator[dict[str, Any]]:
            left = limit
            for one in filters:
                async for row in items(store.search(one, statuses=QUEUE, limit=left), screen.now):
                    left = None if left is None else left - 1
                    yield row
                if left == 0:
                    return

        shown = await screen.rows(
            deliveries(screen), rows(), mode, fields=args.json or "", header=args.header, total=found.deliveries
        )
    _summary(args, screen, found.deliveries, shown)
    return 0 if found.deliveries or not args.filter else 3


def _summary(args: argparse.Namespace, screen: Screen, total: int, shown: int) -> None:
    if not total:
        screen.note("No waiting recipient matches." if args.filter else "Nothing is waiting.")
    elif shown < total:
        screen.note(f"{wording.count(total, 'recipient')} waiting, {shown:,} shown (--limit 0 for all)")
    elif screen.tty:
        screen.note(f"{wording.count(total, 'recipient')} waiting")


async def change(args: argparse.Namespace, screen: Screen) -> int:
    """`queue retry`, `hold`, `release` and `cancel`."""
    spread = _spread(args)
    filters = destructive_choice(args, screen)
    changed = 0
    async with opened(args) as store:
        found = await agreed(args, screen, store, TITLES[args.verb], filters, TOUCHES[args.verb])
        if not args.dry_run:
            changed = await _operate(store, args, filters, found.deliveries, spread)
    if wants_json(args):
        body = {"matched": found.deliveries, "changed": changed, "dry_run": args.dry_run, "reason": args.reason}
        screen.json(f"queue.{args.verb}", body, args.json or "")
    elif not args.dry_run:
        over = f", spread over {wording.span(spread)}" if spread else ""
        screen.line(f"{screen.mark('ok')} {wording.count(changed, 'recipient')} {DONE[args.verb]}{over}.")
    return 0


async def _operate(
    store: "Store", args: argparse.Namespace, filters: Sequence[Filter], total: int, spread: float
) -> int:
    """How many deliveries changed."""
    changed = 0
    with Progress(TITLES[args.verb], total) as progress:
        for one in filters:

            def ahead(done: int, before: int = changed) -> None:
                progress(before + done)

            changed += await store.operate(
                args.verb, one, actor=user(), reason=args.reason, spread=spread, progress=ahead
            )
    return changed


def _spread(args: argparse.Namespace) -> float:
    try:
        return seconds(getattr(args, "spread", "0s"))
    except FilterError as error:
        raise Usage(f"--spread: {error}", error.hint) from None
