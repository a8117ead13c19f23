"""The rules by which this relay refuses, in words: their texts are `relay/accept/texts.py`'s."""

import argparse
import re

from relay.cli.arguments import wants_json
from relay.cli.failures import NothingMatched
from relay.cli.screen import Screen

_FIELD = re.compile(r"\{(\w+)\}")


def show(args: argparse.Namespace, screen: Screen, number: str) -> int:
    """`explain R4105`."""
    from relay.accept.texts import RULES

    rule = next((rule for rule in RULES if rule.number == number), None)
    if rule is None:
        known = ", ".join(sorted(rule.number for rule in RULES))
        raise NothingMatched(f"there is no rule {number}", f"rules: {known}")
    if wants_json(args):
        body = {
            "rule": rule.number,
            "code": rule.code,
            "dsn": rule.enhanced,
            "cause": _readable(rule.cause),
            "fix": _readable(rule.fix) or None,
        }
        screen.json("explain", body, args.json or "")
        return 0
    screen.line(f"{rule.number} is a refusal of this relay: {rule.code} {rule.enhanced}")
    screen.line(f"  Cause   {_readable(rule.cause)}")
    if rule.fix:
        screen.line(f"  Fix     {_readable(rule.fix)}")
    later = 400 <= rule.code < 500
    screen.line(f"  Client  {'may try again later' if later else 'must not try the same again'}")
    return 0


def meaning(number: str) -> str | None:
    """One line about a rule of ours."""
    from relay.accept.texts import RULES

    rule = next((rule for rule in RULES if rule.number == number), None)
    return None if rule is None else _readable(rule.cause + (f". Fix: {rule.fix}" if rule.fix else ""))


def _readable(template: str) -> str:
    """The text of a rule for people: what each refusal fills in stands in capitals, as in a command's usage."""
    return _FIELD.sub(lambda field: field[1].upper(), template)
