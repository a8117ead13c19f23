"""`mailtrail db copy`: a relay's whole state, from one database to another.

From SQLite to PostgreSQL when one machine is not enough, and back. It can be interrupted and run
again, and runs while the relay works; the last run, with the relay stopped, is the one that counts.
"""

import argparse
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.cli import wording
from relay.cli.arguments import Level
from relay.cli.database import configuration, opened_at, place
from relay.cli.failures import Failure, Usage
from relay.cli.progress import Progress
from relay.cli.screen import Screen

if TYPE_CHECKING:
    from relay.config import Config


def add(level: Level) -> None:
    """The verb."""
    verb = level.verb(
        "copy",
        copy,
        "Copy a relay's whole state to another database.\n\nRun it while the relay works, as often as you like: what "
        "is there is not copied again. Then stop the relay and run it once more; it compares both sides, exit 0 when "
        "they are alike. A target with mail of its own is never overwritten.",
        (
            "mailtrail db copy --from sqlite:////var/lib/mailtrail/mailtrail.db --to postgresql://mail@db.internal/mail",
            "mailtrail db copy --from sqlite:///mailtrail.db --to sqlite:///moved.db",
        ),
    )
    verb.add_argument("--from", dest="source", metavar="URL", required=True, help="sqlite:////FILE or postgresql://…")
    verb.add_argument("--to", dest="target", metavar="URL", required=True, help="the same; made if it does not exist")


async def copy(args: argparse.Namespace, screen: Screen) -> int:
    """`db copy`."""
    from relay.store.transfer import CannotCopy
    from relay.store.transfer import copy as copy_all

    source, target = _database(args, "--from", args.source), _database(args, "--to", args.target)
    if place(source) == place(target):
        raise Usage("--from and --to name the same database", "name another target")
    with _Steps() as steps:
        async with opened_at(source) as there, opened_at(target, create=True) as here:
            try:
                done = await copy_all(there, here, name=place(source), progress=steps)
            except CannotCopy as error:
                raise Failure(f"nothing was copied to {place(target)}: {error}") from None
    copied = wording.count(done.messages, "message")
    if done.alive:
        told = wording.count(done.alive, "worker is alive", "workers are alive")
        screen.line(f"{screen.mark('ok')} {place(target)} has {copied}; not final")
        screen.note(f"{told} on the source: stop the relay, then run the same command once more.")
        return 0
    if done.differences:
        raise Failure(f"{place(target)} is not a true copy:\n" + "\n".join(done.differences), "run it once more")
    screen.line(f"{screen.mark('ok')} {place(target)} has {copied}, and is a true copy")
    screen.note(f"Now set database.url = {_shown(target)!r} and start the relay with it.")
    return 0


def _database(args: argparse.Namespace, option: str, url: str) -> "Config":
    """A configuration that is nothing but this database. Raises `Usage`."""
    from relay.config import Config
    from relay.config_values import database_url

    try:
        config = Config("", database_url=database_url(url))
    except ValueError as error:
        raise Usage(f"{option} {error}", "sqlite:////absolute/path, or postgresql://user@host/database") from None
    if url.startswith("sqlite:") and not url.startswith("sqlite:////"):
        return replace(config, data_dir=configuration(args).data_dir)  # relative to it, as in the configuration
    return config


def _shown(config: "Config") -> str:
    return config.database_url if config.database_url.startswith("sqlite:") else place(config)


class _Steps(ExitStack):
    """A line of progress for each part in its turn."""

    _what = ""
    _line: Progress | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what or self._line is None:
            self.pop_all().close()
            self._what = what
            self._line = self.enter_context(Progress(f"Copying {what}"))
        self._line(done, total)
