"""Where one worker's time goes: its functions by their own time, under the load of the race.

Runs Mailtrail with one worker, sends it the load of the race (connections kept) and lets py-spy look at the worker
a few hundred times a second, from outside: the program is the one that ships. Wants root and py-spy:

    .venv/bin/pip install py-spy
    python -m bench.hot [--messages N] [--clients N] [--lines N]

Prints the functions that were on top of a stack (own) and anywhere in it (all), in percent of the time in which the
worker did something. The stacks stay in bench/results/hot.txt, in the form that flame graph programs read.
"""

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from bench.load import Load, Sink, scratch, send
from bench.peers import Mailtrail
from bench.race import RESULTS, run

OPTIONS = ("--nonblocking", "--rate", "400", "--format", "raw", "--duration", "3600")


def spy_program() -> str:
    """Where py-spy is; SystemExit in words if nowhere."""
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin") or shutil.which(
        "py-spy"
    )
    if not found:
        sys.exit("py-spy is not installed: .venv/bin/pip install py-spy")
    return found


def record(directory: Path, load: Load, stacks: Path) -> float:
    """Run `load` under the eyes of py-spy; messages a second."""
    with Sink() as sink, Mailtrail(directory, {"*": sink.port}, workers=1) as relay:
        send(Load("warm up", 10, True, 200), relay.port)
        sink.wait_for(200)
        spy = subprocess.Popen(
            [spy_program(), "record", *OPTIONS, "--output", str(stacks), "--pid", str(relay.workers()[0])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        rate = run(relay, sink, load)
        spy.send_signal(2)  # as Ctrl-C: it writes what it has seen
        spy.wait(60)
        return rate


def shares(stacks: Path) -> tuple[Counter[str], Counter[str], int]:
    """Function → samples in which it was on top, and in which it was anywhere; and the number of samples."""
    own: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        functions = [frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in stack.split(";")]
        own[functions[-1]] += int(count)
        for function in set(functions):
            anywhere[function] += int(count)
    return own, anywhere, max(1, sum(own.values()))


def main() -> None:
    """Profile."""
    parser = argparse.ArgumentParser(description="Functions of one worker by their own time, under load.")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--lines", type=int, default=40, help="functions to show")
    options = parser.parse_args()
    spy_program()
    RESULTS.mkdir(exist_ok=True)
    stacks = RESULTS / "hot.txt"
    with scratch(Path("/var/tmp")) as place:
        rate = record(place, Load("hot", options.clients, True, options.messages), stacks)
    own, anywhere, total = shares(stacks)
    print(f"{rate:.0f} messages a second with one worker, {total} samples\n  own   all  function")
    for function, count in own.most_common(options.lines):
        print(f"{100 * count / total:5.1f} {100 * anywhere[function] / total:5.1f}  {function}")


if __name__ == "__main__":
    main()
