"""Lists of deliveries, as `queue list` shows them.

The fields of an item are a public interface (`--json`): they only grow.
"""

import argparse
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from relay.cli import wording
from relay.cli.failures import Usage
from relay.cli.screen import Column, Listing, Screen

ON_A_TERMINAL = 50  # rows shown on a terminal unless --limit says otherwise


def deliveries(screen: Screen) -> Listing:
    """How deliveries are listed."""
    return Listing(
        "queue.list",
        (
            Column("ID", "queue_id"),
            Column("AGE", "age_s", wording.age),
            Column("TRY", "attempts"),
            Column("NEXT", "next_attempt_at", screen.clock),
            Column("STATUS", "status", wording.status),
            Column("RECIPIENT", "recipient", most=40),
            Column("LAST REPLY", "reason", most=200),
            Column("HELD BECAUSE", "held_reason", wide=True),
            Column("SENDER", "sender", wide=True, most=40),
            Column("SUBJECT", "subject", wide=True, most=40),
            Column("TAG", "tag", wide=True),
            Column("CREDENTIAL", "credential", wide=True),
            Column("SIZE", "size", wording.size, wide=True, right=True),
            Column("RECEIVED", "received_at", screen.clock, wide=True),
            Column("TYPE", "recipient_type", wide=True),
            Column("DOMAIN", "recipient_domain", wide=True),
            Column("CODE", "smtp_code", wide=True),
            Column("DSN", "dsn", wide=True),
            Column("CLASS", "class", wide=True),
            Column("SERVER", "mx_host", wide=True),
            Column("DELIVERED", "delivered_at", screen.clock, wide=True),
        ),
        "queue_id",
    )


def messages(screen: Screen) -> Listing:
    """How `message list` shows them: the same fields, in the order of its question."""
    named = {column.field: column for column in deliveries(screen).columns}
    first = ("queue_id", "received_at", "status", "recipient", "sender", "subject", "reason")
    shown = [replace(named.pop(field), wide=False) for field in first]
    return Listing("message.list", (*shown, *(replace(column, wide=True) for column in named.values())), "queue_id")


async def items(rows: AsyncIterator[Mapping[str, Any]], now: float) -> AsyncIterator[dict[str, Any]]:
    """Rows of `email_status` as items: the public names and no others."""
    async for row in rows:
        yield {
            "queue_id": row["queue_id"],
            "recipient": row["recipient"],
            "recipient_type": row["recipient_type"],
            "recipient_domain": row["recipient_domain"],
            "status": row["status"],
            "age_s": max(0, int(now - row["received_ts"])),
            "attempts": row["attempts"],
            "next_attempt_at": row["next_attempt_at"],
            "smtp_code": row["smtp_code"],
            "dsn": row["dsn"],
            "class": row["reason_class"],
            "reason": row["reason"],
            "held_reason": row["held_reason"],
            "sender": row["sender"],
            "subject": row["subject"],
            "tag": row["tag"],
            "credential": row["credential"],
            "size": row["size"],
            "received_at": row["received_at"],
            "delivered_at": row["delivered_at"],
            "mx_host": row["mx_host"],
        }


def mode_of(args: argparse.Namespace) -> str:
    """The output mode: `-o`, or json where fields are asked for."""
    if args.json is not None and args.output not in (None, "json", "jsonl"):
        raise Usage(f"--json and -o {args.output} contradict each other", "leave one of them out")
    return args.output or ("json" if args.json is not None else "table")


def limit_of(args: argparse.Namespace, screen: Screen, usual: int | None = None) -> tuple[str, int | None]:
    """The output mode and how many rows to show at most (None: all).

    `usual`: how many without --limit; None: all, or what a terminal takes.
    """
    mode = mode_of(args)
    if args.limit is not None and args.limit < 0:
        raise Usage("--limit cannot be negative", "--limit 0 shows all")
    if args.limit is None and usual is not None:
        return mode, usual
    if args.limit is None:
        return mode, ON_A_TERMINAL if screen.tty and mode in ("table", "wide") else None
    return mode, args.limit or None
