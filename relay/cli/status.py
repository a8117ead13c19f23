"""`mailtrail status`: one screen with everything a person asks first.

Running or not is read from the database: a worker signs there every few seconds. The command
itself works either way and then exits 0; `--running` makes it a check (exit 5 when nothing runs).
"""

import argparse
from datetime import datetime
from typing import Any

from relay import __version__
from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.database import configuration, opened
from relay.cli.failures import NotRunning
from relay.cli.screen import Screen

HAPPENED = ("accepted", "sent", "hard_bounce", "soft_bounce", "rejected", "refused")


def add(noun: Parser) -> None:
    """`status` has no verbs."""
    noun.set_defaults(run=status)
    noun.examples = ("mailtrail status", "mailtrail status --json", "mailtrail status --running")
    noun.add_argument("--running", action="store_true", help="exit 5 unless the relay runs")
    outputs(noun, "table", "json")


async def status(args: argparse.Namespace, screen: Screen) -> int:
    """`status`."""
    config = configuration(args)
    async with opened(args) as store:
        found = await store.status()
    body = public(found, screen.now)
    if wants_json(args):
        screen.json("status", body, args.json or "")
    else:
        _show(screen, body, config.hostname, " ".join(f":{end.port}" for end in config.submission.listen))
    if args.running and not body["running"]:
        raise NotRunning("the relay is not running", "systemctl start mailtrail, or mailtrail serve")
    return 0


def public(found: dict[str, Any], now: float) -> dict[str, Any]:
    """The store's figures under public names."""
    workers = [dict(worker) for worker in found["workers"]]
    last_hour = dict(found["last_hour"])
    last_hour["accepted"] = last_hour.pop("creating", 0)
    last = found["last_sent"]
    return {
        "version": __version__,
        "running": bool(workers),
        "uptime_s": int(now - min(worker["started_at"] for worker in workers)) if workers else None,
        "workers": workers,
        "queue": {name: found["queue"].get(name, 0) for name in ("creating", "spooled", "deferred", "held")},
        "oldest_s": found["oldest_s"],
        "last_hour": {name: last_hour.get(name, 0) for name in HAPPENED},
        "last_sent_at": last["at"] if last else None,
        "last_sent_to": last["recipient"].rpartition("@")[2] if last and last["recipient"] else None,
    }


def _show(screen: Screen, body: dict[str, Any], hostname: str, listening: str) -> None:
    workers = body["workers"]
    running = (
        f"up {wording.age(body['uptime_s'])}   {wording.count(len(workers), 'worker')}" if workers else "not running"
    )
    screen.line(f"mailtrail {body['version']} on {hostname}   {running}")
    screen.line(f"  submission: {listening}" if workers else "  submission: nobody listens (mailtrail serve)")
    queue = " · ".join(f"{number:,} {name}" for name, number in body["queue"].items() if number) or "empty"
    oldest = f"   oldest {wording.span(body['oldest_s'])}" if body["oldest_s"] is not None else ""
    screen.line(f"  queue:      {queue}{oldest}")
    happened = body["last_hour"]
    screen.line("  last hour:  " + " · ".join(f"{happened[name]:,} {wording.status(name)}" for name in HAPPENED))
    if body["last_sent_at"]:
        ago = screen.now - datetime.fromisoformat(body["last_sent_at"]).timestamp()
        screen.line(f"  last sent:  {wording.span(ago)} ago to {body['last_sent_to']}")
