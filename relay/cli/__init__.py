"""The command line: `mailtrail NOUN VERB`.

`main` is all there is to call. It reads the command, runs it and turns every failure into words
on standard error (JSON with `--json`) and an exit code (`failures.py`). Each noun has its own
file, imported only when it is typed. What is printed where: `screen.py`. Which deliveries a
command means and how it asks before changing them: `choose.py`.

An unexpected exception is our own mistake and keeps its traceback.
"""

import argparse
import os
import sys
from collections.abc import Coroutine, Sequence

from relay.cli.arguments import Parser, parse
from relay.cli.failures import Failure
from relay.cli.screen import Screen

NOUNS = (
    ("serve", "run the relay"),
    ("status", "one screen: running? what waits? what happened in the last hour?"),
    ("queue", "what waits: list, shape, retry, hold, release, cancel"),
    ("message", "what became of messages: list, show, source"),
    ("suppression", "who must not be mailed: list, check, add, remove, import, export"),
    ("refused", "what was refused at SMTP time: list, show"),
    ("credential", "what applications log in with: add, list, show, set, rotate, revoke"),
    ("domain", "who signs: add, list, show, records, check, rotate, remove"),
    ("token", "what links of ours contain, and the keys they are signed with: decode, list, rotate"),
    ("explain", "what a reply, a rule or a refusal means"),
    ("node", "the machines and their workers: list"),
    ("db", "the database: path, schema, query, backup, copy, check, prune, migrate"),
    ("config", "the configuration: check, path, show"),
    ("version", "which version this is"),
    ("help", "help on a topic: statuses, filters, exit-codes, log, sql"),
)
_MODULES = {"queue": "queues", "help": "topics", "version": "topics"}  # the others bear the noun's name

EXAMPLES = (
    "mailtrail serve --sandbox",
    "mailtrail queue list status:deferred domain:gmail.com",
    "mailtrail message show 3kq7mvt2z0hy",
)


def program() -> Parser:
    """The whole command tree; nouns are empty until `Parser.filled`."""
    root = Parser(
        prog="mailtrail",
        description="A self-hosted SMTP relay that tells what became of every message.",
        examples=EXAMPLES,
    )
    level = root.below("noun")
    for name, summary in NOUNS:
        level.noun(name, summary, f"relay.cli.{_MODULES.get(name, name)}")
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` without one); its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        root = program()
        args = parse(root, words)
        if not hasattr(args, "run"):
            parser = root.nouns.get(args.noun or "", root)
            (sys.stderr if args.noun else sys.stdout).write(parser.filled().short_help())
            return 2 if args.noun else 0
        code = _run(args)
        sys.stdout.flush()
        return code
    except Failure as failure:
        _tell(failure, as_json=any(word.startswith("--json") for word in words))
        return failure.exit
    except SystemExit as end:  # --help
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        # The reader has gone (`| head`). The interpreter's own flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def _run(args: argparse.Namespace) -> int:
    result: int | Coroutine[None, None, int] = args.run(args, Screen(getattr(args, "color", "auto")))
    if isinstance(result, int):
        return result
    import asyncio

    return asyncio.run(result)


def _tell(failure: Failure, *, as_json: bool) -> None:
    """What happened, why, and what to type."""
    sys.stdout.flush()
    if as_json:
        import json

        error = {"code": failure.code, "message": str(failure), "hint": failure.hint}
        sys.stderr.write(json.dumps({"error": error}, ensure_ascii=False) + "\n")
        return
    first, *more = str(failure).splitlines() or [""]
    sys.stderr.write(f"mailtrail: {first}\n" + "".join(f"       {line}\n" for line in more))
    if failure.hint:
        sys.stderr.write(
            f"       {failure.hint if failure.hint.startswith('did you mean') else f'Fix: {failure.hint}'}\n"
        )
