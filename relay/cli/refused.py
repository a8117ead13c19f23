"""`mailtrail refused`: what the relay said no to, by the reference that also stands in the reply and in the log."""

import argparse
from collections.abc import AsyncIterator
from typing import Any

from relay.cli import rules
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.database import opened
from relay.cli.failures import NothingMatched
from relay.cli.listing import limit_of
from relay.cli.screen import Column, Listing, Screen, plain

EVERYTHING = 1_000_000  # rows; refusals are kept 30 days


def add(noun: Parser) -> None:
    """The verbs of `refused`."""
    level = noun.below("verb")
    verb = level.verb(
        "list",
        list_,
        "What was refused at SMTP time, the newest first.",
        ("mailtrail refused list", "mailtrail refused list --limit 5 --json", "mailtrail refused list -o csv"),
    )
    verb.add_argument("--limit", type=int, metavar="N", help="at most N refusals; 0: all")
    outputs(verb)
    verb = level.verb("show", show, "One refusal and what it means.", ("mailtrail refused show 8fq2zz",))
    verb.add_argument("ref", metavar="REF", help="the reference at the end of the reply: [R4101 8fq2zz]")
    outputs(verb, "table", "json")


def _listing(screen: Screen) -> Listing:
    return Listing(
        "refused.list",
        (
            Column("REF", "ref"),
            Column("AT", "at", screen.clock),
            Column("CLIENT", "client_ip"),
            Column("STAGE", "stage"),
            Column("RULE", "rule"),
            Column("FROM", "mail_from", most=40),
            Column("TO", "rcpt_to", most=40),
            Column("REPLY", "text", most=200),
            Column("CREDENTIAL", "credential", wide=True),
            Column("CODE", "smtp_code", wide=True),
            Column("DSN", "dsn", wide=True),
        ),
        "ref",
        ("ts",),
    )


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`refused list`."""
    mode, limit = limit_of(args, screen)
    async with opened(args) as store:
        found = await store.refusals(limit=limit or EVERYTHING)
    await screen.rows(
        _listing(screen), _each(found), mode, fields=args.json or "", header=args.header, total=len(found)
    )
    if not found:
        screen.note("Nothing was refused.")
    return 0


async def _each(rows: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in rows:
        yield row


async def show(args: argparse.Namespace, screen: Screen) -> int:
    """`refused show`."""
    async with opened(args) as store:
        found = await store.refusals(ref=args.ref.lower(), limit=10)
    if not found:
        raise NothingMatched(f"no refusal has the reference {args.ref!r}", "mailtrail refused list shows the latest")
    if wants_json(args):
        screen.json("refused.show", {"items": found}, args.json or "")
        return 0
    for row in found:
        login = f"   credential {plain(row['credential'])}" if row["credential"] else ""
        screen.line(f"{row['ref']}   {row['at']}   {row['client_ip']}   at {row['stage']}{login}")
        screen.line(f"  from   {plain(row['mail_from']) or '-'}   to   {plain(row['rcpt_to']) or '-'}")
        screen.line(f"  reply  {plain(row['text'])}")
        if meaning := rules.meaning(row["rule"]):
            screen.line(f"  rule   {row['rule']}: {meaning}")
    return 0
