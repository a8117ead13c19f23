"""`mailtrail config`: is the configuration right, where is it, and what is in effect?"""

import argparse
import sys

from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.database import configuration
from relay.cli.failures import PROBLEMS_FOUND, Usage
from relay.cli.screen import Screen


def add(noun: Parser) -> None:
    """The verbs of `config`."""
    level = noun.below("verb")
    verb = level.verb(
        "check",
        check,
        "Read the configuration: exit 0, or every error with its key and exit 6.",
        ("mailtrail config check", "mailtrail config check --config ./config.toml", "mailtrail config check --json"),
    )
    outputs(verb, "table", "json")
    level.verb("path", path, "Which file is read.", ("mailtrail config path",))
    level.verb(
        "show",
        show,
        "The configuration in effect, every default written out and secrets hidden.",
        ("mailtrail config show", "mailtrail --sandbox config show"),
    )


def check(args: argparse.Namespace, screen: Screen) -> int:
    """`config check`."""
    from relay.config_file import ConfigError, find_config, load

    if getattr(args, "sandbox", False):
        raise Usage("the sandbox has no configuration to check", "mailtrail config check --config FILE")
    file = find_config(getattr(args, "config", None))
    try:
        problems, warnings = [], list(load(file).warnings)
    except ConfigError as error:
        problems, warnings = list(error.problems), []
    if wants_json(args):
        told = {"problems": problems, "warnings": warnings}
        body = {
            name: [{"key": p.key, "where": p.where, "message": p.what} for p in each] for name, each in told.items()
        }
        screen.json("config.check", {"file": str(file), "ok": not problems} | body, args.json or "")
    else:
        for each in problems:
            screen.line(f"{screen.mark('failed')} {each}")
        for each in warnings:
            screen.line(f"{'!' if screen.unicode else '[!]'} {each}")
        if problems:
            screen.note(f"{file}: {wording.count(len(problems), 'error')}. The relay would not start.")
        else:
            screen.line(f"{screen.mark('ok')} {file} is valid")
    return PROBLEMS_FOUND if problems else 0


def path(args: argparse.Namespace, screen: Screen) -> int:
    """`config path`."""
    from relay.config_file import find_config

    if getattr(args, "sandbox", False):
        raise Usage("the sandbox has no configuration file", "mailtrail --sandbox config show")
    screen.line(str(find_config(getattr(args, "config", None)).absolute()))
    return 0


def show(args: argparse.Namespace, screen: Screen) -> int:
    """`config show`."""
    from relay.config_schema import to_toml

    sys.stdout.write(to_toml(configuration(args)))
    return 0
