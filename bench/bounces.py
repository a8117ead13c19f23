"""How well and how fast what comes back is read: bounces, complaints, automatic answers, and servers' replies.

Scores `python -m suppression parse|classify` against a collection of real mail that is not part of this project:

    MAILTRAIL_YARDSTICK=/path/to/bounces python -m bench.bounces [--by-family] [--variants] [--truncated STEP]

The directory holds `score.py`, `score_replies.py`, `truth.jsonl`, `replies.jsonl` and the mails that they name.
Without it only our own hostile letters are timed. Prints the scores; ms a report and µs a reply in one warm process
(mean and 99th percentile); and what hostile letters of 25 MB cost. `--truncated` reads each mail cut off at every
STEP-th octet: an exception ends the run.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter

from suppression.replies import classify
from suppression.report import class_of, parse

SIZE = 25_000_000  # octets of a hostile letter
HEAD = b"From: MAILER-DAEMON@x.test\r\nSubject: failure notice\r\n"
REPORT = (
    HEAD + b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
)
HOSTILE = {
    "one line": (HEAD + b"\r\n", b"A"),
    "a million recipients": (REPORT, b"Final-Recipient: rfc822; a@b.test\r\nAction: failed\r\n\r\n"),
    "empty groups": (REPORT, b"\r\n \r\n"),
    "a million addresses": (HEAD + b"\r\n", b"<a@b.test>: 550 5.1.1 no\r\n"),
    "boundaries": (HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", b"--b\r\n"),
    "parts in parts": (b"", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"),
    "messages in messages": (b"", b"Content-Type: message/rfc822\r\n\r\n"),
    "open comments of HTML": (HEAD + b"Content-Type: text/html\r\n\r\n", b"<!--"),
    "entities of HTML": (HEAD + b"Content-Type: text/html\r\n\r\n", b"&#9"),
    "header fields": (b"", b"X: y\r\n"),
    "encoded words": (b"Subject: ", b"=?utf-8?q?a?= "),
    "open comments": (b"From: ", b"(("),
    "open objects": (b"\r\n", b'{"a":'),
    "carriage returns": (HEAD + b"\r\n", b"\r"),
}


def spent(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    begun = perf_counter()
    work()
    return perf_counter() - begun


def summary(times: Iterable[float], unit: float) -> str:
    """Mean and 99th percentile, in `unit` seconds."""
    ordered = sorted(times)
    mean = sum(ordered) / len(ordered) / unit
    return f"mean {mean:.2f}, 99 % under {ordered[int(0.99 * (len(ordered) - 1))] / unit:.2f}"


def read_whole(message: bytes) -> None:
    """What the relay does with a letter: read it and judge each recipient."""
    report = parse(message)
    for recipient in report.recipients:
        class_of(report, recipient)


def hostile() -> None:
    """Print what each hostile letter costs."""
    print(f"\nhostile letters of {SIZE / 1e6:.0f} MB, ms")
    for name, (head, piece) in HOSTILE.items():
        letter = head + piece * ((SIZE - len(head)) // len(piece))
        print(f"  {name:24}{spent(partial(read_whole, letter)) * 1000:8.1f}")


def scores(yardstick: Path, options: list[str]) -> None:
    """Print what the yardstick's own scorers say."""
    parser, classifier = (f"{sys.executable} -m suppression {command}" for command in ("parse", "classify"))
    subprocess.run([sys.executable, str(yardstick / "score.py"), "--batch", parser, *options], check=True)
    print(flush=True)
    subprocess.run([sys.executable, str(yardstick / "score_replies.py"), "--cmd", classifier], check=True)


def speed(yardstick: Path) -> list[bytes]:
    """Print the time a report and a reply take; the mails."""
    truth = map(json.loads, (yardstick / "truth.jsonl").read_text("utf-8").splitlines())
    mails = [(yardstick / case["file"]).read_bytes() for case in truth]
    replies = [json.loads(row) for row in (yardstick / "replies.jsonl").read_text("utf-8").splitlines()]
    texts = [str(row["reply"]) for row in replies]
    for mail in mails[:50]:
        read_whole(mail)  # warm up
    print(f"\n{len(mails)} reports, ms a report: {summary([spent(partial(read_whole, mail)) for mail in mails], 1e-3)}")
    print(f"{len(texts)} replies, µs a reply: {summary([spent(partial(classify, text)) for text in texts], 1e-6)}")
    return mails


def truncated(mails: list[bytes], step: int) -> None:
    """Read every mail cut off at every `step`-th octet; print how many there were."""
    cuts = [mail[:end] for mail in mails for end in range(0, len(mail), step)]
    took = sum(spent(partial(read_whole, cut)) for cut in cuts)
    print(f"\n{len(cuts)} mails cut off somewhere: no exception, {took / len(cuts) * 1000:.2f} ms each")


def main() -> None:
    """Score, time, and be hostile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by-family", action="store_true", help="score on whole families that were set apart")
    parser.add_argument("--variants", action="store_true", help="score copies with other line ends too")
    parser.add_argument("--truncated", type=int, metavar="STEP", help="cut every mail off at every STEP-th octet")
    options = parser.parse_args()
    where = os.environ.get("MAILTRAIL_YARDSTICK")
    if where:
        yardstick = Path(where)
        scores(
            yardstick, [f"--{name}" for name in ("by-family", "variants") if getattr(options, name.replace("-", "_"))]
        )
        mails = speed(yardstick)
        if options.truncated:
            truncated(mails, options.truncated)
    else:
        print("MAILTRAIL_YARDSTICK names no collection of mails: nothing is scored")
    hostile()


if __name__ == "__main__":
    main()
