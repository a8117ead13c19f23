"""`mailtrail message`: what became of messages.

`list` finds them without an id, newest first, decided or not.
`show` is the answer to "did it arrive?": every recipient with its status, why, and what comes
next; with `--transcript` the conversation of an attempt, with `--headers` the header as kept.
`source` writes the content as it is kept, byte by byte; it goes once every recipient is decided,
unless the retention says otherwise.
"""

import argparse
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.came_back import came_back
from relay.cli.choose import add_choice, choice, preview
from relay.cli.database import configuration, opened
from relay.cli.failures import NothingMatched
from relay.cli.listing import items, limit_of, messages
from relay.cli.screen import Screen, plain

Row = Mapping[str, Any]
NEWEST = 20  # recipients that `list` shows


def add(noun: Parser) -> None:
    """The verbs of `message`."""
    level = noun.below("verb")
    verb = level.verb(
        "list",
        list_,
        "Messages by recipient, newest first, whatever became of them.\n\nThe first 20 unless --limit says otherwise.",
        (
            "mailtrail message list to:ada@",
            "mailtrail message list status:hard_bounce,soft_bounce after:24h --limit 100",
            "mailtrail message list tag:receipt --json=recipient,status,reason",
        ),
    )
    add_choice(verb)
    verb.add_argument("--limit", type=int, metavar="N", help="at most N recipients; 0: all (default: 20)")
    outputs(verb)
    verb = level.verb(
        "show",
        show,
        "One message: every recipient, what became of it, and why.",
        (
            "mailtrail message show 3kq7mvt2z0hy",
            "mailtrail message show 3kq7mvt2z0hy --transcript 1",
            "mailtrail message show 3kq7mvt2z0hy --json=status,recipients",
        ),
    )
    verb.add_argument("queue_id", metavar="QUEUE_ID", help="from the reply `250 2.0.0 Queued as …`, the log or a list")
    verb.add_argument("--transcript", type=int, metavar="N", help="the conversation of attempt N, for each recipient")
    verb.add_argument("--headers", action="store_true", help="the header, as kept")
    outputs(verb, "table", "json")
    verb = level.verb(
        "source", source, "The content as it is kept, while it is kept.", ("mailtrail message source 3kq7mvt2z0hy",)
    )
    verb.add_argument("queue_id", metavar="QUEUE_ID")


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`message list`."""
    mode, limit = limit_of(args, screen, NEWEST)
    filters = choice(args, screen)
    async with opened(args) as store:

        async def rows() -> AsyncIterator[dict[str, Any]]:
            left = limit
            for one in filters:
                found = store.search(one, limit=left, newest_first=True)
                async for row in items(found, screen.now):
                    left = None if left is None else left - 1
                    yield row
                if left == 0:
                    return

        # To count what a filter finds among all that is kept takes longer than to show it: only for who asks.
        total = (await preview(store, filters, ())).deliveries if mode == "json" else 0
        shown = await screen.rows(
            messages(screen), rows(), mode, fields=args.json or "", header=args.header, total=total
        )
    if not shown:
        screen.note("No recipient matches." if args.filter else "There are no messages.")
    elif shown == limit and screen.tty:
        screen.note(f"the newest {shown:,} (--limit 0 for all)")
    return 0 if shown or not args.filter else 3


async def show(args: argparse.Namespace, screen: Screen) -> int:
    """`message show`."""
    queue_id = args.queue_id.lower()
    async with opened(args) as store:
        message = await store.message(queue_id)
        if message is None:
            raise _unknown(args.queue_id)
        content = await store.content(queue_id) if args.headers else None
    if wants_json(args):
        screen.json("message.show", public(message), args.json or "")
    elif args.transcript is not None:
        _transcripts(screen, message, args.transcript)
    elif args.headers:
        _headers(args.queue_id, content)
    else:
        _message(screen, message, lifetime=configuration(args).delivery.lifetime)
    return 0


async def source(args: argparse.Namespace, screen: Screen) -> int:
    """`message source`."""
    async with opened(args) as store:
        content = await store.content(args.queue_id.lower())
        if content is None and await store.message(args.queue_id.lower()) is None:
            raise _unknown(args.queue_id)
    sys.stdout.flush()
    sys.stdout.buffer.write(_kept(args.queue_id, content))
    return 0


def public(message: Row) -> dict[str, Any]:
    """The message as JSON shows it: the names of the views, times in RFC 3339."""
    recipients = [dict(row) for row in message["recipients"]]
    body = {name: value for name, value in message.items() if name not in ("received_at", "metadata")}
    return body | {
        "received_at": wording.rfc3339(message["received_at"]),
        "metadata": json.loads(message["metadata"]) if message["metadata"] else {},
        "status": overall([row["status"] for row in recipients]),
        "recipients": recipients,
        "events": [dict(row) | {"detail": json.loads(row["detail"] or "{}")} for row in message["events"]],
    }


def overall(statuses: list[str]) -> str:
    """The message's own status, as the view `message_status` words it."""
    if {"creating", "spooled", "deferred", "held"} & set(statuses):
        return "in_progress"
    sent = statuses.count("sent")
    return "sent" if sent == len(statuses) else "partial" if sent else "failed"


def _message(screen: Screen, message: Row, *, lifetime: float) -> None:
    at = message["received_at"]
    subject = f'"{plain(message["subject"])}"' if message["subject"] else "(no subject)"
    screen.line(
        f"{message['queue_id']}  {subject}   received {wording.moment(at, screen.zone)}"
        f" ({wording.span(screen.now - at)} ago)"
    )
    login = f"credential {message['credential']}" if message["credential"] else "no login"
    client = f" @ {message['client_ip']}" if message["client_ip"] else ""
    screen.line(
        f"  from   {plain(message['sender'])}   envelope {plain(message['reverse_path']) or '<>'}   {login}{client}"
    )
    tag = f"tag    {plain(message['tag'])}    " if message["tag"] else ""
    screen.line(f"  {tag}size {wording.size(message['size'])}")
    width = max(len(plain(row["recipient"])) for row in message["recipients"])
    for row in message["recipients"]:
        _recipient(screen, row, width, gives_up=at + lifetime)
        for line in came_back(screen, message["events"], row["recipient"]):
            screen.line(f"       {line}")
    tries = max((row["attempts"] for row in message["recipients"]), default=0)
    hints = [f"mailtrail message show {message['queue_id']} --transcript {tries}"] if tries else []
    if any(row["status"] in ("spooled", "deferred") for row in message["recipients"]):
        hints.append(f"mailtrail queue retry {message['queue_id']}")
    if hints and screen.tty:
        screen.note("\nNext: " + "   ·   ".join(hints))


def _recipient(screen: Screen, row: Row, width: int, *, gives_up: float) -> None:
    status = f"{screen.mark(row['status'])} {wording.status(row['status'])}"
    what = [screen.paint(f"{status:13}", row["status"])]
    if row["status"] == "sent":
        what.append(f"{screen.clock(row['delivered_at'])}  by {plain(row['mx_host'])}")
    elif row["status"] == "held":
        because = f", {plain(row['held_reason'])}" if row["held_reason"] else ""
        what.append(f"since {screen.clock(row['status_at'])}{because}")
    elif row["next_attempt_at"] and row["attempts"]:
        what.append(f"try {row['attempts']}, next {screen.clock(row['next_attempt_at'])}")
        what.append(f"gives up {wording.moment(gives_up, screen.zone)}")
    screen.line(
        f"  {row['recipient_type'].capitalize():4} {plain(row['recipient']):{width}}  {'  '.join(what)}".rstrip()
    )
    if marks := _marks(row):
        screen.line(f"       {marks}")
    if row["copy_note"]:
        screen.line(f"       tracking: {plain(row['copy_note'])}")
    if row["reason"]:
        kind = f"   [{row['reason_class']}]" if row["reason_class"] else ""
        screen.line(f"       {plain(row['reason'])}{kind}")


def _marks(row: Row) -> str:
    """What the recipient did with it, by what their copy can tell."""
    said = [_times("opened", row["opens"], row["auto_opens"]), _times("clicked", row["clicks"], row["auto_clicks"])]
    if row["status"] == "sent":
        said[0] = said[0] or ("not opened yet" if row["trackable"] else "")
        said[1] = said[1] or (f"{wording.count(row['links'], 'link')}, none followed" if row["links"] else "")
    said += ["unsubscribed" if row["unsubscribed"] else "", f"spam: {row['spam_source']}" if row["complained"] else ""]
    return ", ".join(part for part in said if part)


def _times(did: str, people: int, machines: int) -> str:
    """`opened 3 (1 automatic)`; empty: never."""
    if not people + machines:
        return ""
    return f"{did} {people + machines}" + (f" ({machines} automatic)" if machines else "")


def _transcripts(screen: Screen, message: Row, number: int) -> None:
    from relay.store.rows import transcript_from

    found = [row for row in message["attempts"] if row["attempt"] == number]
    if not found:
        made = sorted({row["attempt"] for row in message["attempts"]})
        hint = f"attempts made: {', '.join(map(str, made))}" if made else "no attempt has been made yet"
        raise NothingMatched(f"message {message['queue_id']} has no attempt {number}", hint)
    for row in found:
        to = f"{row['mx_host']} [{row['mx_ip']}]:{row['mx_port']}" if row["mx_host"] else "no server reached"
        source_ip = f" from {row['source_ip']}" if row["source_ip"] else ""
        screen.line(f"attempt {number} · {plain(row['recipient'])} · {row['attempted_at']} · {to}{source_ip}")
        if row["transcript"] is None:
            screen.line("  (the conversation is not kept any more)")
        for line in transcript_from(row["transcript"] or ""):
            refused = line.who == "S" and line.text[:1] in ("4", "5")
            who = "===" if line.who == "=" else f"{line.who}:"
            screen.line(f"{'!' if refused else ' '} {_elapsed(line.ms):>7} {who:>3} {plain(line.text)}")
        screen.line(f"  → {row['outcome']}: {plain(row['reply'])}")


def _elapsed(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _headers(queue_id: str, content: bytes | None) -> None:
    header, end, _ = _kept(queue_id, content).partition(b"\r\n\r\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(header + end[:2])


def _kept(queue_id: str, content: bytes | None) -> bytes:
    if content is None:
        raise NothingMatched(
            f"the content of {queue_id} is not kept any more: every recipient is decided",
            "set retention.content to keep it longer, then restart the relay",
        )
    return content


def _unknown(queue_id: str) -> NothingMatched:
    return NothingMatched(
        f"there is no message {queue_id!r} in this database",
        "a queue id has 12 characters; mailtrail queue list shows some",
    )
