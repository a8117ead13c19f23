"""`mailtrail node`: the machines that work with this database, and their workers.

What is shown is what the workers have written: each one signs every few seconds and says how
much it has to do. It works with the relay stopped, too: then none is alive, and the last sign
of life is shown. A number keeps its last worker until another one takes it.
"""

import argparse
from collections.abc import AsyncIterator
from typing import Any

from relay.cli import wording
from relay.cli.arguments import Parser, outputs
from relay.cli.database import opened
from relay.cli.listing import mode_of
from relay.cli.screen import Column, Listing, Screen


def add(noun: Parser) -> None:
    """The verbs of `node`."""
    level = noun.below("verb")
    verb = level.verb(
        "list",
        list_,
        "Every node's workers: alive or not, version, load, last sign of life.",
        ("mailtrail node list", "mailtrail node list --json", "mailtrail node list -o csv"),
    )
    outputs(verb)


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`node list`."""
    mode = mode_of(args)
    async with opened(args) as store:
        workers = [public(row, screen.now) for row in await store.workers()]

    async def each() -> AsyncIterator[dict[str, Any]]:
        for worker in workers:
            yield worker

    shown = _listing(screen)
    await screen.rows(shown, each(), mode, fields=args.json or "", header=args.header, total=len(workers))
    _summary(screen, workers)
    return 0


def public(row: dict[str, Any], now: float) -> dict[str, Any]:
    """A worker under public names; the fields only grow."""
    return {
        "node": row["host"],
        "writer": row["writer"],
        "pid": row["pid"],
        "status": "alive" if row["alive"] else "gone",
        "version": row["version"],
        "in_hand": row["in_hand"] if row["alive"] else 0,
        "sessions": row["sessions"] if row["alive"] else 0,
        "started_at": wording.rfc3339(row["started_at"]),
        "seen_at": wording.rfc3339(row["seen_at"]),
        "seen_ago_s": max(0, int(now - row["seen_at"])),
    }


def _listing(screen: Screen) -> Listing:
    from datetime import datetime

    def moment(text: str) -> str:
        return wording.moment(datetime.fromisoformat(text).timestamp(), screen.zone)

    return Listing(
        "node.list",
        (
            Column("NODE", "node"),
            Column("WORKER", "writer", right=True),
            Column("PID", "pid", right=True),
            Column("STATUS", "status"),
            Column("VERSION", "version"),
            Column("IN HAND", "in_hand", right=True),
            Column("SESSIONS", "sessions", right=True),
            Column("STARTED", "started_at", moment),
            Column("SEEN", "seen_ago_s", lambda seconds: f"{wording.age(seconds)} ago"),
            Column("SEEN AT", "seen_at", moment, wide=True),
        ),
        "node",
    )


def _summary(screen: Screen, workers: list[dict[str, Any]]) -> None:
    alive = [worker for worker in workers if worker["status"] == "alive"]
    if not workers:
        screen.note("No relay has worked with this database yet.")
    elif not alive:
        last = min(workers, key=lambda worker: worker["seen_ago_s"])
        screen.note(f"No worker is alive; {last['node']} was seen last, {wording.span(last['seen_ago_s'])} ago.")
    elif screen.tty:
        nodes = wording.count(len({worker["node"] for worker in alive}), "node")
        screen.note(f"{nodes}, {wording.count(len(alive), 'worker')}")
