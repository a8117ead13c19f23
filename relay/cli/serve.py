"""`mailtrail serve`: the relay itself. SIGTERM stops it cleanly, SIGHUP reads the configuration again."""

import argparse
from typing import TYPE_CHECKING

from relay.cli.arguments import Parser
from relay.cli.database import configuration
from relay.cli.screen import Screen

if TYPE_CHECKING:
    from relay.config import Config


def add(noun: Parser) -> None:
    """`serve` has no verbs."""
    noun.set_defaults(run=serve)
    noun.description = (
        "Run the relay.\n\n--sandbox needs no configuration: it listens on loopback (submission on port 2587), and no "
        "mail leaves the machine, every recipient is answered by the built-in simulator."
    )
    noun.examples = (
        "mailtrail serve --sandbox",
        "mailtrail serve --sandbox --data-dir ./data",
        "mailtrail serve --config /etc/mailtrail/config.toml",
    )


def serve(args: argparse.Namespace, screen: Screen) -> int:
    """`serve`: returns when the relay has stopped."""
    from relay import service, supervisor

    def reload() -> "Config":
        return configuration(args)

    config = configuration(args)
    return supervisor.run(config, service.prepare, service.work, service.finish, reload=reload)
