"""What people write about the suppression list, read; and an entry in words.

Entries are chosen by words as deliveries are: `reason:hard_bounce reply:5.7.26 after:2026-11-20`, or a part of the
address. Knows no database. Fails with `Usage`.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from relay.address import AddressError, parse_address
from relay.cli import wording
from relay.cli.failures import Usage
from relay.cli.screen import Screen
from relay.filters import FilterError, did_you_mean, parse, seconds
from suppression.entry import Entry, Reason, normalised

if TYPE_CHECKING:
    from relay.store.entries import Selection

KEYS = ("address", "domain", "reason", "source", "scope", "reply", "note", "after", "before")
REASONS: tuple[Reason, ...] = get_args(Reason)
EVERYTHING = "*"  # as a scope: all mail
_KEYED = re.compile(r"([A-Za-z_]+):(.*)", re.DOTALL)


def selection(words: Iterable[str], screen: Screen) -> "Selection":
    """Which entries the words choose; without words all of them."""
    from relay.store.entries import Selection

    chosen = Selection()
    for word in words:
        keyed = _KEYED.fullmatch(word)
        key, value = (keyed[1].lower(), keyed[2].strip('"')) if keyed else ("address", word)
        if key not in KEYS:
            near = did_you_mean(key, list(KEYS))
            raise Usage(f"unknown filter {key}:", f"did you mean {near}: ?" if near else f"known: {', '.join(KEYS)}")
        chosen = _chosen(chosen, key, value, screen)
    return chosen


def _chosen(chosen: "Selection", key: str, value: str, screen: Screen) -> "Selection":
    """The selection, narrowed by one word."""
    match key:
        case "after":
            return replace(chosen, since=moment(key, value, screen))
        case "before":
            return replace(chosen, until=moment(key, value, screen))
        case "scope":
            return replace(chosen, scope="" if value == EVERYTHING else value)
        case "reason":
            return replace(chosen, reason=reason(value))
        case "source":
            return replace(chosen, source=value)
        case "reply":
            return replace(chosen, reply=value)
        case "note":
            return replace(chosen, note=value)
    if key == "domain" or value.startswith("@"):
        return replace(chosen, domain=normalised(value)[1:] if value.startswith("@") else value.lower())
    return replace(chosen, address=value)


def moment(key: str, value: str, screen: Screen) -> float:
    """The Unix seconds of `7d` (ago), `2026-11-20` or `2026-11-20T18:00`."""
    try:
        at = parse([f"{key}:{value}"], screen.now, screen.zone).terms[0].at
    except FilterError as error:
        raise Usage(str(error), error.hint) from None
    assert at is not None
    return at


def reason(word: str) -> Reason:
    """A reason of the list, by name."""
    for known in REASONS:
        if word.lower().replace("-", "_") == known:
            return known
    raise Usage(f"unknown reason {word!r}", f"known: {', '.join(REASONS)}")


def addresses(words: Iterable[str]) -> list[str]:
    """Addresses and whole domains, each checked; `-` stands for those on standard input."""
    given: list[str] = []
    for word in words:
        given += [line.strip() for line in sys.stdin if line.strip()] if word == "-" else [word]
    for address in given:
        try:
            parse_address(f"x{address}" if address.startswith("@") else address)
        except AddressError as error:
            raise Usage(
                f"{address!r} is not an address: {error}", "ada@example.org, or @example.org: all of it"
            ) from None
    return given


def add_entry_options(parser: argparse.ArgumentParser) -> None:
    """What an entry says beside its address."""
    parser.add_argument("--scope", metavar="TAG", default="", help="only mail with this tag (default: all mail)")
    parser.add_argument("--reason", metavar="WORD", help=f"{', '.join(REASONS)} (default: manual)")
    parser.add_argument("--expires", metavar="TIME", help="until when: 30d, 2027-01-31 (default: for ever)")
    parser.add_argument("--note", metavar="TEXT", default="", help="kept with the entry")


def expiry(args: argparse.Namespace, screen: Screen) -> float | None:
    """When an entry that `--expires` speaks of ends, in Unix seconds; None: never."""
    if args.expires is None:
        return None
    try:
        return screen.now + seconds(args.expires)
    except FilterError:
        at = moment("before", args.expires, screen)
    if at <= screen.now:
        raise Usage(f"--expires: {args.expires} is over", "30d, or a day to come")
    return at


def scope(name: str) -> str:
    """A scope in words."""
    return name or "everything"


def item(entry: Entry, now: float) -> dict[str, Any]:
    """An entry as `--json` shows it; the names only grow."""
    return {
        "address": entry.address,
        "scope": entry.scope,
        "reason": entry.reason,
        "source": entry.source,
        "added_at": wording.rfc3339(entry.since),
        "expires_at": wording.rfc3339(entry.expires_at),
        "cause_queue_id": entry.queue_id or None,
        "note": entry.note or None,
        "reply": entry.reply or None,
        "live": entry.live(now),
    }
