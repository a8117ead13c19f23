"""Fuzz what reads other people's bytes: `report.parse` with what it calls, and `replies.classify`.

Wants atheris, which is no dependency of the project:

    .venv/bin/pip install atheris
    python -m bench.fuzz DIRECTORY -max_total_time=600

DIRECTORY keeps the corpus; what stands in it is where it begins. Options are libFuzzer's. An exception, or a letter
that takes longer than `-timeout` seconds, ends the run, and the letter is written beside it.
"""

import sys
from importlib import import_module

try:
    atheris = import_module("atheris")
except ImportError:
    sys.exit("atheris is not installed: .venv/bin/pip install atheris")

with atheris.instrument_imports(include=["suppression"]):
    from suppression.replies import classify
    from suppression.report import class_of, parse


def one(octets: bytes) -> None:
    """Read `octets` as a letter, and as a reply."""
    report = parse(octets)
    for recipient in report.recipients:
        class_of(report, recipient)
    classify(octets.decode("utf-8", "replace"))


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], "-timeout=2", *sys.argv[1:]], one)
    atheris.Fuzz()
