"""`python -m suppression parse|classify`: reads paths of messages, or replies, from stdin; a JSON object a line.

parse      a path a line → {"kind", "recipients": [{"address", "action", "status", "class", "diagnostic", "also"}]}
classify   an SMTP reply as a JSON string a line → {"class"}

A file that cannot be read is {"kind": "none", "recipients": [], "error": why}, and the exit status is 1 in the end.
"""

import json
import sys
from pathlib import Path

from suppression.found import Recipient, Report
from suppression.replies import main_classify
from suppression.report import class_of, parse


def main_parse() -> int:
    """The exit status."""
    failed = 0
    for line in sys.stdin:
        if not (path := line.rstrip("\n")):
            continue
        try:
            answer = _as_json(parse(Path(path).read_bytes()))
        except OSError as error:
            answer, failed = {"kind": "none", "recipients": [], "error": str(error)}, 1
        print(json.dumps(answer))
    return failed


def _as_json(report: Report) -> dict[str, object]:
    return {"kind": report.kind, "recipients": [_recipient(report, one) for one in report.recipients]}


def _recipient(report: Report, one: Recipient) -> dict[str, object]:
    return {
        "address": one.address,
        "action": one.action if report.kind == "bounce" else "",
        "status": one.status,
        "class": class_of(report, one),
        "diagnostic": one.diagnostic,
        "also": one.also,
    }


def main() -> int:
    """The exit status: 2 for a wrong call."""
    commands = {"parse": main_parse, "classify": main_classify}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        print("usage: python -m suppression parse|classify", file=sys.stderr)
        return 2
    return commands[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
