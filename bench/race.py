"""Mailtrail and Postfix, side by side: messages a second, end to end.

The clock of a run starts with the first client and stops when the sink has every message and the runner has settled
every delivery (in both: nothing is left in the queue). Runs are interleaved, so that whatever else the
machine does meets both; the median of the rounds counts. Prints a table and writes bench/results/race.json.

    python -m bench.race [--rounds N] [--messages N] [--workers N] [--directory DIR]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.load import Load, Sink, scratch, send, wait_until
from bench.peers import Mailtrail, Peer, Postfix

RESULTS = Path(__file__).parent / "results"
LOADS = (
    ("a connection a message, 20 clients", 20, False),
    ("connections kept, 100 clients", 100, True),
)
AIM = (3.0, 6.0)  # times Postfix, in the order of LOADS


def run(peer: Peer, sink: Sink, load: Load) -> float:
    """Messages a second of one run. Raises ValueError if a message came twice: then the number says nothing."""
    before = sink.count()
    start = time.monotonic()
    send(load, peer.port)
    sink.wait_for(before + load.messages)
    wait_until(peer.settled, f"{peer.name} has not settled every delivery")
    took = time.monotonic() - start
    if (arrived := sink.count() - before) != load.messages:
        raise ValueError(f"{peer.name} delivered {arrived} of {load.messages} messages")
    return load.messages / took


def race(runners: Sequence[tuple[Peer, Sink]], loads: Sequence[Load], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Load → peer → messages a second of each round. A first, shorter round warms everything up and does not count."""
    rates: dict[str, dict[str, list[float]]] = {load.name: {peer.name: [] for peer, _ in runners} for load in loads}
    for number in range(rounds + 1):
        for load in loads:
            for peer, sink in runners if number % 2 else reversed(runners):
                if number == 0:
                    run(peer, sink, replace(load, messages=load.messages // 10))
                    continue
                rate = run(peer, sink, load)
                rates[load.name][peer.name].append(rate)
                print(f"round {number}  {load.name:36}{peer.name:10}{rate:8.0f}/s", file=sys.stderr, flush=True)
    return rates


def sync_time(directory: Path) -> float:
    """Median milliseconds of one fdatasync of 32 KiB here: most of what durability costs."""
    took = []
    with (directory / "sync").open("wb", buffering=0) as file:
        file.write(bytes(100 * 32768))
        for number in range(100):
            os.pwrite(file.fileno(), os.urandom(32768), number * 32768)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took)


def machine(directory: Path) -> dict[str, object]:
    """What one must know to compare the numbers with others."""
    postfix = subprocess.run(["postconf", "-dh", "mail_version"], capture_output=True, text=True, check=True)
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postfix": postfix.stdout.strip(),
        "fdatasync_ms": round(sync_time(directory), 2),
    }


def table(rates: dict[str, dict[str, list[float]]], aims: Sequence[float] = AIM) -> str:
    """The result for people: medians, spread and ratio."""
    lines = [f"{'messages a second':36}{'Postfix':>8}{'Mailtrail':>11}{'ratio':>8}{'aim':>6}    spread of Mailtrail"]
    for (load, peers), aim in zip(rates.items(), aims, strict=True):
        postfix, ours = statistics.median(peers["Postfix"]), statistics.median(peers["Mailtrail"])
        spread = f"{min(peers['Mailtrail']):.0f} to {max(peers['Mailtrail']):.0f}"
        lines.append(f"{load:36}{postfix:8.0f}{ours:11.0f}{ours / postfix:8.2f}{aim:6.1f}    {spread}")
    return "\n".join(lines)


def main() -> None:
    """Run the race."""
    parser = argparse.ArgumentParser(description="Mailtrail beside Postfix, messages a second, end to end.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=6000, help="in each run")
    parser.add_argument("--workers", type=int, default=2, help="of Mailtrail")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where both spools are; a real disk")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The race wants root: Postfix does not start without it.")

    loads = [Load(name, clients, keep, options.messages) for name, clients, keep in LOADS]
    with scratch(options.directory) as place, ExitStack() as stack:
        facts = machine(place)
        print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
        sinks = [stack.enter_context(Sink()) for _ in range(2)]
        postfix = stack.enter_context(Postfix(place / "postfix", sinks[0].port))
        ours = stack.enter_context(Mailtrail(place / "mailtrail", {"*": sinks[1].port}, workers=options.workers))
        rates = race([(postfix, sinks[0]), (ours, sinks[1])], loads, options.rounds)
    print(table(rates))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "race.json").write_text(
        json.dumps({"machine": facts, "messages": options.messages, "rates": rates}, indent=1)
    )


if __name__ == "__main__":
    main()
