"""`mailtrail queue shape`: how much waits for which domain, and how long, laid out exactly as by Postfix's qshape.

The table is qshape's own: a total and buckets of doubling age; each column as wide as its widest
number plus one, at least three; the right edge at column 80; domains right-aligned, long ones cut
to `+tail`; sorted by total. `Shape` is pure. Options as in qshape(1): `-s` (by sender), `-b`
buckets, `-t` minutes of the first one.
"""

import argparse
import math
from collections import defaultdict

from relay.cli.arguments import Level, outputs, wants_json
from relay.cli.choose import add_choice, choice
from relay.cli.database import opened
from relay.cli.failures import Usage
from relay.cli.progress import Progress
from relay.cli.screen import Screen
from relay.delivery import WAITING

WIDTH = 80
NAME_WIDTH = 18  # the least room for the domain
SENDERLESS = "MAILER-DAEMON"  # qshape's word for the null reverse-path


class Shape:
    """Counts by domain and age."""

    def __init__(self, buckets: int = 10, tick: float = 5) -> None:
        self._buckets = buckets
        self._tick = tick  # minutes of the first bucket
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (buckets + 1))
        self._total = [0] * (buckets + 1)

    def add(self, domain: str, age: float) -> None:
        """One delivery of this age (seconds)."""
        minutes = age / 60 / self._tick
        bucket = 1 if minutes < 1 else min(2 + int(math.log2(minutes)), self._buckets)
        for counts in (self._total, self._counts[domain]):
            counts[0] += 1
            counts[bucket] += 1

    def heads(self) -> list[str]:
        """`T 5 10 20 … 1280 1280+`."""
        ends = [f"{self._tick * 2**number:g}" for number in range(self._buckets - 1)]
        return ["T", *ends, f"{ends[-1] if ends else 0}+"]

    def rows(self) -> list[tuple[str, list[int]]]:
        """Every domain with its counts (the total first), the fullest first."""
        return sorted(self._counts.items(), key=lambda item: (-item[1][0], len(item[0]), item[0]))

    def lines(self) -> list[str]:
        """The table."""
        heads = self.heads()
        widths = [_width(head, number) for head, number in zip(heads, self._total, strict=True)]
        room = max(WIDTH - sum(widths), NAME_WIDTH)
        table: list[tuple[str, list[object]]] = [("", [*heads]), ("TOTAL", [*self._total])]
        table += [(domain, [*counts]) for domain, counts in self.rows()]
        return [
            _name(name, room) + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))
            for name, cells in table
        ]


def _width(head: str, total: int) -> int:
    longest = max(len(head), len(str(total)))
    return longest + 1 if longest > 2 else 3


def _name(name: str, room: int) -> str:
    return f"+{name[len(name) - room + 1 :]}" if len(name) > room else name.rjust(room)


def add(level: Level) -> None:
    """The verb."""
    verb = level.verb(
        "shape",
        shape,
        "How much waits for which domain, by age: qshape's table.\n\nColumns are ages in minutes: 5 means younger "
        "than five, 10 means five to ten, and so on.",
        ("mailtrail queue shape", "mailtrail queue shape -s status:deferred", "mailtrail queue shape -b 6 -t 10"),
    )
    add_choice(verb)
    verb.add_argument("-s", "--by-sender", action="store_true", help="by the sender's domain")
    verb.add_argument("-b", "--buckets", type=int, default=10, metavar="N", help="how many ages (default: 10)")
    verb.add_argument("-t", "--tick", type=int, default=5, metavar="MINUTES", help="the first age (default: 5)")
    outputs(verb, "table", "json")


async def shape(args: argparse.Namespace, screen: Screen) -> int:
    """`queue shape`."""
    if args.buckets < 1 or args.tick < 1:
        raise Usage("-b and -t must be at least 1", "mailtrail queue shape -b 10 -t 5")
    counted = Shape(args.buckets, args.tick)
    done = 0
    async with opened(args) as store:
        with Progress("Counting") as progress:
            for one in choice(args, screen):
                async for row in store.search(one, statuses=tuple(sorted(WAITING))):
                    counted.add(_domain(row, args.by_sender), screen.now - row["received_ts"])
                    done += 1
                    progress(done)
    if wants_json(args):
        heads = counted.heads()
        screen.json(
            "queue.shape",
            {
                "by": "sender" if args.by_sender else "recipient",
                "total": done,
                "items": [
                    {"domain": domain, **dict(zip(heads, counts, strict=True))} for domain, counts in counted.rows()
                ],
            },
            args.json or "",
        )
    else:
        for line in counted.lines():
            screen.line(line)
    return 0


def _domain(row: "dict[str, object]", by_sender: bool) -> str:
    if not by_sender:
        return str(row["recipient_domain"])
    return str(row["envelope_from"] or "").rpartition("@")[2].lower() or SENDERLESS
