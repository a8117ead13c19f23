"""What one PostgreSQL carries: a node on it beside a node on SQLite and beside Postfix, and two nodes beside one.

The race of bench/race.py, connections kept, with the same clocks and the same sinks. PostgreSQL runs with its
shipping durability on the same disk and the same cores, so its own work is in the figures. After the race: how long
a claim takes with a million deliveries waiting.

    python -m bench.nodes [--rounds N] [--messages N] [--waiting N] [--directory DIR]
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.load import Load, Sink, scratch, send, wait_until
from bench.peers import Mailtrail, Postfix
from bench.race import RESULTS, machine
from relay.config import Config
from relay.deliver.dispatcher import BATCH
from relay.store import migrate, open_store
from tests.parts.postgres import Server, fresh

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "60",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
}
AIM = {"of SQLite": 0.6, "of Postfix": 3.0}


class Node(Mailtrail):
    """`mailtrail serve` on a PostgreSQL that may be shared with other nodes."""

    def __init__(self, directory: Path, sink: Sink, server: Server, url: str, *, workers: int) -> None:
        super().__init__(directory, {"*": sink.port}, workers=workers, database=url)
        self._server = server
        self._database = url.rpartition("/")[2]

    def number(self, sql: str, *values: str) -> int:
        assert not values
        return int(self._server.run(sql, self._database)[0][0])


def run(nodes: Sequence[Mailtrail | Postfix], sink: Sink, load: Load) -> float:
    """Messages a second of one run; the load is divided among the nodes, and sent to all at once."""
    part = Load(load.name, load.clients // len(nodes), load.keep, load.messages // len(nodes))
    before = sink.count()
    start = time.monotonic()
    with ThreadPoolExecutor(len(nodes)) as threads:
        list(threads.map(lambda node: send(part, node.port), nodes))
    sink.wait_for(before + part.messages * len(nodes))
    wait_until(nodes[0].settled, f"{nodes[0].name} has not settled every delivery")
    return part.messages * len(nodes) / (time.monotonic() - start)


async def claims(url: str, server: Server, waiting: int) -> list[float]:
    """Milliseconds of each claim of BATCH with so many deliveries waiting for one destination."""
    config = Config("bench.test", database_url=url, data_dir=Path(tempfile.gettempdir()))
    migrate(config)
    for statement in _FILL.format(waiting=waiting).split(";\n"):
        server.run(statement, url.rpartition("/")[2])
    store = await open_store(config)
    try:
        took = []
        for _ in range(20):
            start = time.perf_counter()
            claimed = await store.claim({"slow.test": BATCH})
            took.append(1000 * (time.perf_counter() - start))
            assert len(claimed) == BATCH
        return took
    finally:
        await store.close()


def sizes(server: Server, database: str) -> dict[str, int]:
    """Octets on disk for each delivery that is decided, by table, indexes included."""
    server.run("VACUUM FULL", database)
    (count,) = server.run("SELECT count(*) FROM deliveries", database)[0]
    tables = server.run("SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables", database)
    return {name: size // count for name, size in tables if size // count}


_FILL = """
INSERT INTO messages (queue_id, received_at, origin, reverse_path, sender, sender_domain, subject, message_id, size,
                      eight_bit, smtputf8)
SELECT lpad(n::text, 12, '0'), extract(epoch FROM now()), 'application', 'a@b.test', 'a@b.test', 'b.test', 's', 'm',
       4000, 0, 0
  FROM generate_series(1, {waiting}) AS n;
INSERT INTO deliveries (queue_id, number, recipient, role, destination, notify, status, status_at, due_at, attempts,
                        in_hand)
SELECT lpad(n::text, 12, '0'), 0, 'u@slow.test', 'to', 'slow.test', '', 'deferred', extract(epoch FROM now()),
       extract(epoch FROM now()) - 5, 1, 0
  FROM generate_series(1, {waiting}) AS n;
INSERT INTO queues (destination, next_at) VALUES ('slow.test', 0);
VACUUM ANALYZE"""


def main() -> None:
    """Run the race, then the claims."""
    parser = argparse.ArgumentParser(description="Nodes on PostgreSQL beside SQLite and Postfix, messages a second.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=6000, help="in each run")
    parser.add_argument("--waiting", type=int, default=1_000_000, help="deliveries in the queue for the claims")
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="where everything is kept; a real disk"
    )
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The race wants root: Postfix does not start without it.")
    tempfile.tempdir = str(options.directory)

    load = Load("connections kept, 100 clients", 100, True, options.messages)
    warm = Load(load.name, load.clients, True, options.messages // 10)
    with scratch(options.directory) as place, fresh(SETTINGS) as server, ExitStack() as stack:
        facts = machine(place)
        print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
        sinks = [stack.enter_context(Sink()) for _ in range(4)]
        one, two = (stack.enter_context(server.database(migrated=False)) for _ in range(2))
        runners: dict[str, tuple[list[Any], Sink]] = {
            "Postfix": ([stack.enter_context(Postfix(place / "postfix", sinks[0].port))], sinks[0]),
            "SQLite": ([stack.enter_context(Mailtrail(place / "sqlite", {"*": sinks[1].port}))], sinks[1]),
            "PostgreSQL": ([stack.enter_context(Node(place / "one", sinks[2], server, one, workers=2))], sinks[2]),
            "two nodes": (
                [stack.enter_context(Node(place / n, sinks[3], server, two, workers=1)) for n in ("left", "right")],
                sinks[3],
            ),
        }
        rates: dict[str, list[float]] = {name: [] for name in runners}
        for number in range(options.rounds + 1):
            for name in list(runners) if number % 2 else list(reversed(runners)):
                nodes, sink = runners[name]
                rate = run(nodes, sink, load if number else warm)
                if number:
                    rates[name].append(rate)
                    print(f"round {number}  {name:12}{rate:8.0f}/s", file=sys.stderr, flush=True)
        octets = sizes(server, one.rpartition("/")[2])
        with server.database(migrated=False) as url:
            took = asyncio.run(claims(url, server, options.waiting))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        print(f"{name:12}{rate:8.0f}/s")
    for name, peer in (("of SQLite", "SQLite"), ("of Postfix", "Postfix")):
        print(f"PostgreSQL {medians['PostgreSQL'] / medians[peer]:.2f} {name} (aim {AIM[name]})")
    print(f"two nodes {medians['two nodes'] / medians['PostgreSQL']:.2f} of one, on the same two cores")
    parts = ", ".join(f"{name} {size}" for name, size in sorted(octets.items(), key=lambda part: -part[1]))
    print(f"{sum(octets.values())} octets on disk for a delivery: {parts}")
    worst = f"median {statistics.median(took):.1f} ms, worst {max(took):.1f} ms"
    print(f"a claim of {BATCH} among {options.waiting:,} waiting: {worst}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "nodes.json").write_text(json.dumps({"machine": facts, "rates": rates, "claims_ms": took}, indent=1))


if __name__ == "__main__":
    main()
