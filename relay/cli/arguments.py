"""The command tree's grammar: argparse with our manners.

`mailtrail NOUN VERB [arguments]`. A noun's module is imported when the noun is typed and not
before, so that each command starts fast. `-h` is short and begins with examples, `--help` is
everything. A mistyped noun, verb or option names the nearest known one. `--config`, `--sandbox`,
`--data-dir` and `--color` are understood before and after the verb; positional filters may stand
between options; `-tag:x` is a filter and not an option. Fails with `Usage`; never exits by itself,
except for help.
"""

import argparse
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any, NoReturn

from relay.cli.failures import Usage
from relay.cli.screen import MODES, Screen
from relay.filters import did_you_mean

Run = Callable[[argparse.Namespace, Screen], "int | Coroutine[None, None, int]"]

_NEGATED_FILTER = re.compile(r"-[A-Za-z_]+:")


class Parser(argparse.ArgumentParser):
    """One level of the tree: the program, a noun or a verb."""

    def __init__(self, *, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(
            add_help=False, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )
        self.examples = tuple(examples)
        self.nouns: dict[str, Parser] = {}  # the parsers below, by name
        self.fill: Callable[[Parser], None] | None = None  # adds what is below, once it is needed
        group = self.add_argument_group("general")
        _globals(group)
        self.general = group

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.filled()
        return super().parse_known_args(args, namespace)

    def filled(self) -> "Parser":
        """This parser with everything below it."""
        if self.fill is not None:
            fill, self.fill = self.fill, None
            fill(self)
        return self

    def below(self, title: str) -> "Level":
        """The level below: its names are the values of the argument `title`."""
        return Level(self, self.add_subparsers(dest=title, metavar=title.upper(), parser_class=Parser))

    def short_help(self) -> str:
        """What `-h` prints, on one screen: what the thing is, three examples, what else there is."""
        examples = self.examples or [verb.examples[0] for verb in self.nouns.values() if verb.examples]
        known = [f"  {name:12} {parser.summary}" for name, parser in self.nouns.items()]
        below = known if len(known) < 9 else [f"  {', '.join(self.nouns)}"]
        about = [self.summary, "", *(f"  {example}" for example in examples[:3]), ""]
        return "\n".join([*about, *self._own_usage(), *below, "", f"More: {self.prog} --help"]) + "\n"

    def _own_usage(self) -> list[str]:
        """The usage without the general options."""
        formatter = self._get_formatter()
        own = [action for action in self._actions if action not in self.general._group_actions]
        formatter.add_usage(None, own, [])
        return formatter.format_help().split("\n\n")[0].rstrip().splitlines()

    def format_help(self) -> str:
        examples = "\n".join(f"  {example}" for example in self.examples)
        return super().format_help() + (f"\nexamples:\n{examples}\n" if examples else "")

    @property
    def summary(self) -> str:
        """The first line of the description."""
        return (self.description or "").split("\n")[0]

    def error(self, message: str) -> NoReturn:
        raise Usage(message, f"{self.prog} -h shows how")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            near = did_you_mean(str(value), known)
            what = action.metavar.lower() if isinstance(action.metavar, str) else "value"
            raise Usage(
                f"there is no {what} {value!r} in {self.prog}",
                f"did you mean {near} ?" if near else f"known: {', '.join(known)}",
            )


class Level:
    """The names under a program or a noun."""

    def __init__(self, parent: Parser, action: "argparse._SubParsersAction[Parser]") -> None:
        self._parent = parent
        self._action = action

    def noun(self, name: str, summary: str, module: str) -> None:
        """A noun whose verbs are added by `module.add(parser)` when they are needed."""
        parser = self._parent.nouns[name] = self._action.add_parser(name, help=summary, description=summary)
        parser.fill = lambda noun: import_module(module).add(noun)

    def verb(self, name: str, run: Run, description: str, examples: Sequence[str]) -> Parser:
        """A verb; the first line of its description is its summary."""
        summary = description.split("\n")[0]
        parser = self._action.add_parser(name, help=summary, description=description, examples=examples)
        parser.set_defaults(run=run)
        self._parent.nouns[name] = parser
        return parser


def _globals(group: "argparse._ArgumentGroup") -> None:
    none = argparse.SUPPRESS  # so that the value given before the verb is not overwritten by an absent one after it
    group.add_argument("--config", metavar="FILE", default=none, help="the configuration file ($MAILTRAIL_CONFIG)")
    group.add_argument("--sandbox", action="store_true", default=none, help="the sandbox instead of a configuration")
    group.add_argument("--data-dir", metavar="DIR", default=none, help="where the relay keeps its data")
    group.add_argument(
        "--color", choices=("auto", "always", "never"), default=none, help="colours (auto: on a terminal)"
    )
    group.add_argument("-h", action=_ShortHelp, nargs=0, default=none, help="short help, examples first")
    group.add_argument("--help", action="help", default=none, help="this")


class _ShortHelp(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        assert isinstance(parser, Parser)
        sys.stdout.write(parser.filled().short_help())
        parser.exit()


def outputs(parser: Parser, *modes: str) -> None:
    """Adds `-o`, `--json` and `--header` to a verb that can show its result in `modes` (none named: in all)."""
    known = modes or MODES
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", choices=known, metavar="MODE", help=f"{'|'.join(known)} (default: table)")
    group.add_argument("--json", nargs="?", const="", metavar="FIELDS", help="JSON; --json=a,b only these fields")
    if "tsv" in known:
        group.add_argument("--header", action="store_true", help="a header line where output is not for a terminal")


def wants_json(args: argparse.Namespace) -> bool:
    """Is one JSON object asked for?"""
    return args.json is not None or args.output == "json"


def parse(root: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """The command that `argv` (without the program's name) asks for. Raises `Usage`."""
    namespace: argparse.Namespace
    namespace, rest = root.parse_known_args(_prepared(argv))
    wrong = [word for word in rest if word.startswith("-") and word != "-"]
    if wrong:
        parser = _last_parser(root, namespace)
        near = did_you_mean(wrong[0].split("=")[0], [option for option in parser._option_string_actions])
        raise Usage(
            f"unknown option {wrong[0]}",
            f"did you mean {near} ?" if near else f"{parser.prog} --help lists the options",
        )
    # argparse takes positionals only in one piece: those behind an option are what is left over.
    if rest and not hasattr(namespace, "filter"):
        raise Usage(f"{' '.join(rest)!r} is more than this command takes", f"{_last_parser(root, namespace).prog} -h")
    if rest:
        namespace.filter = [*namespace.filter, *rest]
    return namespace


def _prepared(argv: Sequence[str]) -> list[str]:
    """`--json` without fields must not swallow the next word, and `-tag:x` is not an option."""
    words = []
    for word in argv:
        if word == "--json":
            word = "--json="
        elif _NEGATED_FILTER.match(word):
            word = "!" + word[1:]
        words.append(word)
    return words


def _last_parser(root: Parser, namespace: argparse.Namespace) -> Parser:
    parser = root
    for level in ("noun", "verb"):
        parser = parser.nouns.get(getattr(namespace, level, None) or "", parser)
    return parser
