"""`mailtrail status`: one screen with everything a person asks first.

Running or not is read from the database: a worker signs there every few seconds, and counts as alive for some seconds
more, unless it is known that its process is gone. The command itself works either way and then exits 0; `--running`
makes it a check (exit 5 when nothing runs).
"""

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from relay import __version__
from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.database import configuration, opened
from relay.cli.failures import NotRunning
from relay.cli.screen import Screen

if TYPE_CHECKING:
    from relay.config import Config, Endpoint

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
    body = public(found, screen.now) | {"listeners": listeners(config)}
    if wants_json(args):
        screen.json("status", body, args.json or "")
    else:
        _show(screen, body, config)
    if args.running and not body["running"]:
        raise NotRunning("the relay is not running", "systemctl start mailtrail, or mailtrail serve")
    return 0


def public(found: dict[str, Any], now: float) -> dict[str, Any]:
    """The store's figures under public names."""
    from relay.store.chores import SIGN_OF_LIFE, vanished

    # One that has just signed is alive, whatever is known here: another container may have this machine's name.
    gone = [
        worker
        for worker in found["workers"]
        if now - worker["seen_at"] > SIGN_OF_LIFE and vanished(worker["host"], worker["pid"])
    ]
    workers = [dict(worker) for worker in found["workers"] if worker not in gone]
    last_hour = dict(found["last_hour"])
    last_hour["accepted"] = last_hour.pop("creating", 0)
    last = found["last_sent"]
    return {
        "version": __version__,
        "running": bool(workers),
        "uptime_s": int(now - min(worker["started_at"] for worker in workers)) if workers else None,
        "workers": workers,
        "last_seen_at": wording.rfc3339(max((worker["seen_at"] for worker in gone), default=None)),
        "queue": {name: found["queue"].get(name, 0) for name in ("creating", "spooled", "deferred", "held")},
        "oldest_s": found["oldest_s"],
        "last_hour": {name: last_hour.get(name, 0) for name in HAPPENED},
        "last_sent_at": last["at"] if last else None,
        "last_sent_to": last["recipient"].rpartition("@")[2] if last and last["recipient"] else None,
    }


def listeners(config: "Config") -> dict[str, list[str]]:
    """Where the relay listens, by what is spoken there; only what is configured."""
    submission, inbound, tracking = config.submission, config.inbound, config.tracking
    each = {"submission": submission.listen, "submission_tls": submission.listen_tls}
    each |= {"inbound": inbound.listen, "tracking": tracking.listen}
    return {name: [str(end) for end in ends] for name, ends in each.items() if ends}


def _show(screen: Screen, body: dict[str, Any], config: "Config") -> None:
    workers, seen = body["workers"], body["last_seen_at"]
    running = "not running"
    if workers:
        running = f"up {wording.age(body['uptime_s'])}   {wording.count(len(workers), 'worker')}"
    elif seen:
        running += f" (last seen {wording.span(screen.now - datetime.fromisoformat(seen).timestamp())} ago)"
    screen.line(f"mailtrail {body['version']} on {config.hostname}   {running}")
    if workers:
        _show_listeners(screen, config)
    else:
        screen.line("  submission: nobody listens (mailtrail serve)")
    queue = " · ".join(f"{number:,} {name}" for name, number in body["queue"].items() if number) or "empty"
    oldest = f"   oldest {wording.span(body['oldest_s'])}" if body["oldest_s"] is not None else ""
    screen.line(f"  queue:      {queue}{oldest}")
    happened = body["last_hour"]
    screen.line("  last hour:  " + " · ".join(f"{happened[name]:,} {wording.status(name)}" for name in HAPPENED))
    if body["last_sent_at"]:
        ago = screen.now - datetime.fromisoformat(body["last_sent_at"]).timestamp()
        screen.line(f"  last sent:  {wording.span(ago)} ago to {body['last_sent_to']}")


def _show_listeners(screen: Screen, config: "Config") -> None:
    """A line for each purpose: an address, or the port alone where it is open to all."""
    starttls = " STARTTLS" if config.submission.tls_certificate else ""
    takes = [f"{_short(end)}{starttls}" for end in config.submission.listen]
    takes += [f"{_short(end)} TLS" for end in config.submission.listen_tls]
    screen.line(f"  submission: {', '.join(takes) or 'none'}")
    if config.inbound.listen:
        screen.line(f"  inbound:    {', '.join(map(_short, config.inbound.listen))}   {config.inbound.bounce_domain}")
    if config.tracking.listen:
        screen.line(f"  tracking:   {', '.join(map(_short, config.tracking.listen))}   {config.tracking.base_url}")


def _short(end: "Endpoint") -> str:
    return f":{end.port}" if end.host in ("0.0.0.0", "::") else str(end)
