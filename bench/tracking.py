"""The whole line with tracking and DKIM, beside Postfix with OpenDKIM that signs and tracks nothing.

10 KB of HTML with 10 links, RSA-2048 on both sides, each link rewritten and a pixel added on ours. Runs are
interleaved as in `bench.race`, and mean the same. Prints a table and writes bench/results/tracking.json.

    python -m bench.tracking [--rounds N] [--messages N] [--workers N] [--directory DIR]
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.letter import write_letter
from bench.load import LOOPBACK, Load, Sink, free_port, scratch
from bench.peers import Mailtrail, OpenDkim, Postfix
from bench.race import LOADS, RESULTS, machine, race, table

AIM = (4.0, 3.0)  # times Postfix with OpenDKIM, in the order of LOADS

SECTIONS = """\
[tracking]
listen = ["{host}:{port}"]
base_url = "http://{host}:{port}"

[dkim."bench.test"]
selector = "race"
key_file = "{key}"
"""


def make_key(path: Path) -> Path:
    """An RSA-2048 key that both sign with. OpenDKIM changes its user before it reads it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o644)
    return path


def main() -> None:
    """Run the race."""
    parser = argparse.ArgumentParser(description="Tracking and DKIM beside Postfix with OpenDKIM, messages a second.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000, help="in each run")
    parser.add_argument("--workers", type=int, default=2, help="of Mailtrail")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"), help="where both spools are; a real disk")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The race wants root: Postfix does not start without it.")

    with scratch(options.directory) as place, ExitStack() as stack:
        content = write_letter(place)
        loads = [Load(name, clients, keep, options.messages, content=content) for name, clients, keep in LOADS]
        facts = machine(place)
        print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
        key = make_key(place / "key.pem")
        sinks = [stack.enter_context(Sink()) for _ in range(2)]
        milter = stack.enter_context(OpenDkim(place / "opendkim", key))
        postfix = stack.enter_context(Postfix(place / "postfix", sinks[0].port, milter=milter.port))
        more = SECTIONS.format(host=LOOPBACK, port=free_port(), key=key)
        ours = stack.enter_context(
            Mailtrail(place / "mailtrail", {"*": sinks[1].port}, workers=options.workers, more=more)
        )
        rates = race([(postfix, sinks[0]), (ours, sinks[1])], loads, options.rounds)
    print(table(rates, AIM))
    RESULTS.mkdir(exist_ok=True)
    facts["messages"] = options.messages
    (RESULTS / "tracking.json").write_text(json.dumps({"machine": facts, "rates": rates}, indent=1))


if __name__ == "__main__":
    main()
