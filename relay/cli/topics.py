"""`mailtrail help TOPIC` and `mailtrail version`: what no single command's help can tell."""

import argparse
import platform
from collections.abc import Callable

from relay import __version__
from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.failures import MEANINGS, Usage
from relay.cli.screen import Screen
from relay.filters import KEYS, did_you_mean

TOPICS = ("statuses", "filters", "exit-codes", "log", "sql")

LOG = """\
The relay writes one line per event, in Postfix's shape; log.format = "json" makes them JSON.
The stages: submission/smtpd (what came in), cleanup, qmgr, smtp (what went out), admin (who did what).

  grep 3kq7mvt2z0hy /var/log/mail.log                      everything about one message
  tail -f /var/log/mail.log | grep -v ' status=sent '      only trouble
  journalctl -u mailtrail -g 3kq7mvt2z0hy                  under systemd
  pflogsumm --syslog-name=postfix-relay /var/log/mail.log  a daily report
fail2ban's own jails [postfix] and [postfix-sasl] understand it."""

SQL = """\
The views are a public interface: columns are only ever added at the end. mailtrail db schema describes them.
Times come twice: ..._at is RFC 3339 in UTC, ..._ts is Unix seconds.

  mailtrail db query "SELECT recipient, status, reason FROM email_status ORDER BY received_ts DESC LIMIT 10"
  mailtrail db query "SELECT * FROM bounce_reasons ORDER BY recipients DESC" -o csv
  mailtrail db query "SELECT * FROM daily_stats ORDER BY day DESC LIMIT 7" --json
  mailtrail db query "SELECT * FROM domain_stats ORDER BY requests DESC LIMIT 10"
  sqlite3 -box "$(mailtrail db path)" "SELECT * FROM queue_shape"
db query cannot write and gives up after 5 seconds (--timeout)."""


def add(noun: Parser) -> None:
    """`help` and `version` have no verbs."""
    if noun.prog.endswith("version"):
        noun.set_defaults(run=version)
        noun.examples = ("mailtrail version", "mailtrail version --json")
        outputs(noun, "table", "json")
        return
    noun.set_defaults(run=help_)
    noun.examples = ("mailtrail help filters", "mailtrail help exit-codes", "mailtrail queue --help")
    noun.add_argument("topic", nargs="?", metavar="TOPIC", help=", ".join(TOPICS))


def version(args: argparse.Namespace, screen: Screen) -> int:
    """`version`."""
    if wants_json(args):
        screen.json("version", {"version": __version__, "python": platform.python_version()}, args.json or "")
    else:
        screen.line(f"mailtrail {__version__} (Python {platform.python_version()})")
    return 0


def help_(args: argparse.Namespace, screen: Screen) -> int:
    """`help`."""
    if args.topic is None:
        for topic in TOPICS:
            screen.line(f"mailtrail help {topic}")
        screen.line("mailtrail --help          every command")
        return 0
    if args.topic not in _WRITE:
        near = did_you_mean(args.topic, list(TOPICS))
        raise Usage(
            f"there is no topic {args.topic!r}", f"did you mean {near} ?" if near else f"topics: {', '.join(TOPICS)}"
        )
    for line in _WRITE[args.topic](screen):
        screen.line(line)
    return 0


def _statuses(screen: Screen) -> list[str]:
    return [f"{screen.mark(word)} {word:12} {meaning}" for word, meaning in wording.MEANINGS.items()]


def _filters(_: Screen) -> list[str]:
    return [
        "A filter is words that must all hold. A value is a part of what is looked for; = in front: all of it.",
        'A comma gives alternatives; - or ! in front turns a word round; quotes keep blanks: subject:"receipt 47"',
        "",
        *(f"  {key + ':':9} {meaning}" for key, meaning in KEYS.items()),
        "  word      without a key: part of the recipient, the sender or the subject",
        "",
        "Dates without an offset are local: 2026-11-20, 2026-11-20T18:00, 2026-11-20T18:00+01:00; 24h and 7d are ago.",
        "",
        "  mailtrail queue list status:deferred,held domain:gmail.com",
        "  mailtrail queue list 'subject:\"receipt 47\" -tag:newsletter after:7d'",
        "  mailtrail queue list to:=ada@example.com",
        "  mailtrail queue list code:45 mx:google",
    ]


def _exit_codes(_: Screen) -> list[str]:
    return [f"{code}  {meaning}" for code, meaning in MEANINGS.items()]


_WRITE: dict[str, Callable[[Screen], list[str]]] = {
    "statuses": _statuses,
    "filters": _filters,
    "exit-codes": _exit_codes,
    "log": lambda _: LOG.splitlines(),
    "sql": lambda _: SQL.splitlines(),
}
