"""Pixel and click: requests a second and p99, beside a bare aiohttp handler that answers the same octets.

One worker each, wrk on the same machine, runs interleaved, medians. After each run every hit must be in the database.
Prints a table and writes bench/results/web.json.

    python -m bench.web [--rounds N] [--seconds N] [--directory DIR]
"""

import argparse
import asyncio
import json
import re
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from bench.letter import write_letter
from bench.load import LOOPBACK, Load, Sink, free_port, listens, scratch, send, wait_until
from bench.peers import Mailtrail
from bench.race import RESULTS, machine

AIM = 0.8  # of bare
CLIENTS = 64

_URL = re.compile(rb'(?:href|src)="(http://[^"]+/([oc])/[^"]+)"')
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_DONE = re.compile(r"(\d+) requests in")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def addresses_in(copy: bytes) -> dict[str, str]:
    """The pixel ("o") and the first link ("c") of a copy."""
    found = {kind.decode(): url.decode() for url, kind in reversed(_URL.findall(copy))}
    assert set(found) == {"o", "c"}, "the copy carries no pixel or no link"
    return found


def answer_of(url: str) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body that the tracker answers: what the bare handler is to say."""
    host, port = url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"GET /{url.split('/', 3)[3]} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    own = {name: value for name, value in fields.items() if name not in ("Connection", "Content-Length", "Date")}
    return int(first.split()[1]), own, body


def serve_bare(port: int, answers: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
    """The bare handler's whole life: it knows two answers by the first letter of the path."""

    async def answer(request: web.BaseRequest) -> web.Response:
        status, fields, body = answers[request.path[1]]
        return web.Response(status=status, headers=fields, body=body)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(web.Server(answer), LOOPBACK, port)
        async with server:
            await server.serve_forever()

    uvloop.run(main())


@contextmanager
def bare(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[int]:
    """The bare handler in a process of its own; its port."""
    port = free_port()
    told = json.dumps(
        {kind: [status, fields, body.decode("latin-1")] for kind, (status, fields, body) in answers.items()}
    )
    process = subprocess.Popen([sys.executable, "-m", "bench.web", "--bare", str(port)], stdin=subprocess.PIPE)
    try:
        assert process.stdin
        process.stdin.write(told.encode())
        process.stdin.close()
        wait_until(lambda: listens(port), "the bare handler does not listen", 20)
        yield port
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def hit(url: str, seconds: int) -> tuple[float, float, int]:
    """wrk: requests a second, p99 in milliseconds, and how many there were."""
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--latency", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, p99, done = _RATE.search(said), _P99.search(said), _DONE.search(said)
    assert rate and p99 and done and "Non-2xx or 3xx" not in said, said
    return float(rate[1]), float(p99[1]) * _MILLISECONDS[p99[2]], int(done[1])


def all_recorded(ours: Mailtrail, kind: str, hits: int) -> None:
    """Wait until the database has every hit (wrk cuts off at most one request of each client)."""
    column = "opens + auto_opens" if kind == "o" else "clicks + auto_clicks"
    wait_until(
        lambda: ours.number(f"SELECT sum({column}) FROM email_status") >= hits, f"not all of {hits} hits are kept"
    )


def race(place: Path, rounds: int, seconds: int) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """What is hit → whose it is → rate and p99 of each round."""
    figures: dict[str, dict[str, list[tuple[float, float]]]] = {
        kind: {"bare": [], "Mailtrail": []} for kind in ("pixel", "click")
    }
    with ExitStack() as stack:
        place.chmod(0o777)  # the sink runs as nobody
        sink = stack.enter_context(Sink("-d", str(place / "copy.%M%S")))
        port = free_port()
        more = f'[tracking]\nlisten = ["{LOOPBACK}:{port}"]\nbase_url = "http://{LOOPBACK}:{port}"\n'
        ours = stack.enter_context(Mailtrail(place / "mailtrail", {"*": sink.port}, workers=1, more=more))
        send(Load("one", 1, False, 1, content=write_letter(place)), ours.port)
        sink.wait_for(1)
        wait_until(ours.settled, "the letter is not settled")
        urls = addresses_in(next(place.glob("copy.*")).read_bytes())
        peer = stack.enter_context(bare({kind: answer_of(url) for kind, url in urls.items()}))
        hits = dict.fromkeys(urls, 1)
        for number in range(rounds + 1):
            for kind, name in (("o", "pixel"), ("c", "click")):
                url = urls[kind]
                theirs = hit(f"http://{LOOPBACK}:{peer}/{url.split('/', 3)[3]}", seconds)
                mine = hit(url, seconds)
                hits[kind] += mine[2]
                all_recorded(ours, kind, hits[kind])
                if number:
                    figures[name]["bare"].append(theirs[:2])
                    figures[name]["Mailtrail"].append(mine[:2])
                    print(
                        f"round {number}  {name:6} bare {theirs[0]:7.0f}/s  Mailtrail {mine[0]:7.0f}/s", file=sys.stderr
                    )
    return figures


def main() -> None:
    """Run the race, or be the bare handler."""
    parser = argparse.ArgumentParser(description="Pixel and click beside a bare aiohttp handler.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where the database is; a real disk")
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        told = json.load(sys.stdin)
        serve_bare(options.bare, {kind: (one[0], one[1], one[2].encode("latin-1")) for kind, one in told.items()})
        return
    with scratch(options.directory) as place:
        facts = machine(place)
        figures = race(place, options.rounds, options.seconds)
    print(
        f"{'requests a second':17}{'bare':>8}{'Mailtrail':>11}{'ratio':>7}{'aim':>5}{'p99: bare':>13}{'Mailtrail':>14}"
    )
    for name, peers in figures.items():
        (rate, p99), (our_rate, our_p99) = (
            tuple(statistics.median(values) for values in zip(*peers[who], strict=True))
            for who in ("bare", "Mailtrail")
        )
        print(f"{name:17}{rate:8.0f}{our_rate:11.0f}{our_rate / rate:7.2f}{AIM:5.1f}{p99:8.1f} ms{our_p99:12.1f} ms")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "web.json").write_text(json.dumps({"machine": facts, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
