"""What a long queue costs: a worker's memory, and the time until a program that starts with it delivers.

The queue is made the honest way: 200,000 messages come in by SMTP, and their next hop answers 450 to every recipient,
so that all are deferred, for one destination. Then the program is started anew beside it. Memory is the resident set
of the biggest worker (VmRSS), after some messages to another destination have gone through. Takes some minutes;
prints a table and writes bench/results/memory.json.

    python -m bench.memory [--messages N] [--directory DIR]
"""

import argparse
import json
import sys
import time
from pathlib import Path

from bench.load import Load, Sink, scratch, send, wait_until
from bench.peers import Mailtrail
from bench.race import RESULTS

BUSY = "busy.test"
PROBE = Load("probe", clients=1, keep=True, messages=1)
ACTIVE = Load("active", clients=10, keep=True, messages=500)
NOT_AGAIN_TODAY = 'retry = ["1d"]'


def resident(relay: Mailtrail) -> float:
    """Resident memory of the biggest worker, MiB."""

    def of(process: int) -> float:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ProcessLookupError(process)

    return max(of(process) for process in relay.workers())


def fill(relay: Mailtrail, busy: Sink, messages: int) -> float:
    """Put `messages` into the queue and wait until all are deferred; returns resident MiB right after that."""
    for done in range(0, messages, 10_000):
        send(Load("fill", 20, True, min(10_000, messages - done), octets=1024), relay.port, f"user@{BUSY}")
        print(f"{done:,} of {messages:,} messages accepted", file=sys.stderr, flush=True)

    def deferred() -> bool:
        busy.count()  # it must still be there: without it nothing is deferred any more, or for another reason
        return relay.count("deferred") >= messages

    wait_until(deferred, "not all messages are deferred", seconds=1800, pause=1)
    return resident(relay)


def first_fresh(relay: Mailtrail, sink: Sink) -> float:
    """Start the program, send a message as soon as it answers: seconds from the start until that is delivered."""
    before, begin = sink.count(), time.monotonic()
    relay.start()
    relay.wait_until_it_answers()
    send(PROBE, relay.port)
    sink.wait_for(before + 1)
    return time.monotonic() - begin


def first_waiting(relay: Mailtrail, sink: Sink) -> float:
    """Start the program on a queue in which everything is due: seconds from the start until the first delivery."""
    before, begin = sink.count(), time.monotonic()
    relay.start()
    sink.wait_for(before + 1)
    return time.monotonic() - begin


def in_use(relay: Mailtrail, sink: Sink) -> float:
    """Resident MiB after some messages."""
    before = sink.count()
    send(ACTIVE, relay.port)
    sink.wait_for(before + ACTIVE.messages)
    return resident(relay)


def measure(directory: Path, messages: int) -> dict[str, float]:
    """Every number by what it is."""
    numbers: dict[str, float] = {}
    with Sink() as sink, Sink("-r", "RCPT") as busy:
        empty = Mailtrail(directory / "empty", {"*": sink.port})
        numbers["empty queue: start to first delivery, s"] = first_fresh(empty, sink)
        numbers["empty queue: a worker, MiB"] = in_use(empty, sink)
        empty.stop()

        routes = {"*": sink.port, BUSY: busy.port}
        with Mailtrail(directory / "long", routes, delivery=NOT_AGAIN_TODAY) as filled:
            numbers["long queue: a worker that saw it come, MiB"] = fill(filled, busy, messages)
        long = Mailtrail(directory / "long", routes, delivery=NOT_AGAIN_TODAY)
        numbers["long queue: start to first delivery, s"] = first_fresh(long, sink)
        numbers["long queue: a worker, MiB"] = in_use(long, sink)
        long.stop()

        due = Mailtrail(directory / "long", {"*": sink.port})
        due.command("queue", "retry", "--all", "--yes")
        numbers["long queue, all due: start to first delivery, s"] = first_waiting(due, sink)
        numbers["long queue, all due: a worker, MiB"] = in_use(due, sink)
        due.stop()
    return numbers


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="Memory and start-up time of Mailtrail with a long queue.")
    parser.add_argument("--messages", type=int, default=200_000, help="in the long queue")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the spool is; a real disk")
    options = parser.parse_args()
    with scratch(options.directory) as place:
        numbers = measure(place, options.messages)
    print(
        f"{options.messages:,} deferred messages in the long queue; "
        "aim: less than 50 MiB more than empty, less than 3 s to the first delivery"
    )
    for what, number in numbers.items():
        print(f"{what:50}{number:8.1f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory.json").write_text(json.dumps({"messages": options.messages} | numbers, indent=1))


if __name__ == "__main__":
    main()
