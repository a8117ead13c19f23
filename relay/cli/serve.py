"""`mailtrail serve`: the relay itself. SIGTERM stops it cleanly, SIGHUP reads the configuration again."""

import argparse

from relay.cli.arguments import Parser
from relay.cli.database import config_hint, loaded
from relay.cli.failures import Failure
from relay.cli.screen import Screen


def add(noun: Parser) -> None:
    """`serve` has no verbs."""
    noun.set_defaults(run=serve)
    noun.description = (
        "Run the relay.\n\n--sandbox needs no configuration. It listens on loopback (submission on port 2587, bounces "
        "on 2525, the web on 8080).\n"
        "No mail leaves the machine: every recipient is answered by the built-in simulator.\n"
        "Its data is in ~/.local/share/mailtrail-sandbox ($XDG_DATA_HOME), or in --data-dir."
    )
    noun.examples = (
        "mailtrail serve --sandbox",
        "mailtrail serve --sandbox --data-dir ./data",
        "mailtrail serve --config /etc/mailtrail/config.toml",
    )


def serve(args: argparse.Namespace, screen: Screen) -> int:
    """`serve`: returns when the relay has stopped."""
    from relay import service, supervisor
    from relay.config_file import ConfigError

    try:
        found = loaded(args)
    except ConfigError as error:
        raise Failure(str(error), config_hint(error.path)) from None
    return supervisor.run(
        found.config,
        service.prepare,
        service.work,
        service.finish,
        warnings=found.warnings,
        # The sandbox has nothing to read again: with its terminal it ends.
        reload=None if found.config.sandbox else lambda: loaded(args),
    )
