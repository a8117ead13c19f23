"""One copy in CPU time: 10 KB of HTML with 10 links, rewritten and signed (RSA-2048), as a worker makes it.

Prints milliseconds of CPU for the whole copy and for what tracking and signing take of it, medians of rounds.

    python -m bench.copy [--rounds N] [--copies N]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.letter import LINKS, letter
from bench.tracking import make_key
from relay.address import parse_address
from relay.compose.render import Making, render
from relay.compose.signature import sign, signer
from relay.config import Tracking
from relay.delivery import Delivery
from relay.envelope import Message, Role
from tracker.token import KEY_OCTETS, Keyring

AIM = 2.5  # milliseconds for one copy


def made_by(making: Making) -> Callable[[], None]:
    """Makes one copy."""
    content = letter().replace(b"\n", b"\r\n")
    sender, recipient = parse_address("app@bench.test"), parse_address("user@sink.test")
    message = Message("0000000000zz", time.time(), sender, len(content), str(sender))
    delivery = Delivery(message, 0, recipient, Role.TO, recipient.destination)

    def make() -> None:
        copy = render(delivery, content, making, time.time())
        assert copy.links in (0, LINKS)

    return make


def cost(make: Callable[[], None], copies: int) -> float:
    """Milliseconds of CPU for one of `copies`."""
    start = time.process_time()
    for _ in range(copies):
        make()
    return 1000 * (time.process_time() - start) / copies


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="What one recipient's copy costs, in CPU time.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--copies", type=int, default=300, help="in each round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        key = signer("bench.test", "race", make_key(Path(place) / "key.pem").read_bytes())
    keyring = Keyring({0: os.urandom(KEY_OCTETS)})
    tracking = Tracking(base_url="https://t.bench.test")

    def signed(content: bytes, _: str, now: float) -> bytes:
        return sign(content, [key], now)

    def unsigned(_: bytes, __: str, ___: float) -> bytes:
        return b""

    kinds = {
        "tracked and signed": made_by(Making("bench.test", tracking, keyring, signed)),
        "tracked": made_by(Making("bench.test", tracking, keyring, unsigned)),
        "signed": made_by(Making("bench.test", tracking, None, signed)),
    }
    figures: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(options.rounds):
        for name, make in kinds.items():
            figures[name].append(cost(make, options.copies))
    print(f"{'milliseconds of CPU a copy':28}{'median':>8}{'best':>8}   aim for both {AIM}")
    for name, rounds in figures.items():
        print(f"{name:28}{statistics.median(rounds):8.2f}{min(rounds):8.2f}")


if __name__ == "__main__":
    main()
