"""The bounds of a credential as people write them: `--from`, `--ip`, `--rate`, `--max-size`, `--tag`; its tracking.

Reads and words them; knows no database. "any" takes a bound away, "default" a word about tracking.
Fails with `Usage`.
"""

import argparse
import ipaddress
import re
from dataclasses import replace

from relay.address import AddressError, parse_address
from relay.cli.failures import Usage
from relay.config_values import duration, show_duration, show_size, size
from relay.credential import Credential, Rate

ANY = "any"
_TRACKING = {"yes": True, "no": False, "default": None}
_RATE = re.compile(r"(\d{1,9})/(\d*(?:ms|s|m|h|d|w))")


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """The options."""
    bounds = parser.add_argument_group("bounds (each can be 'any')")
    bounds.add_argument(
        "--from", dest="domains", nargs="+", metavar="DOMAIN", help="domains in From; .example.com: and below"
    )
    bounds.add_argument("--ip", dest="networks", nargs="+", metavar="CIDR", help="networks that it may log in from")
    bounds.add_argument("--rate", metavar="N/TIME", help="at most N messages in TIME: 10/s, 100/m, 5000/24h")
    bounds.add_argument("--max-size", metavar="SIZE", help="largest message: 512KiB, 10MiB")
    tracking = parser.add_argument_group("tracking (each yes, no or default; a no wins over what a message says)")
    for option, what in (
        ("--track-opens", "put a pixel into its mail"),
        ("--track-clicks", "rewrite links in its mail"),
        ("--unsubscribe", "give its mail List-Unsubscribe fields"),
    ):
        tracking.add_argument(option, choices=tuple(_TRACKING), metavar="WORD", help=what)
    bounds.add_argument("--tag", help="for messages that bring none")


def any_bound(args: argparse.Namespace) -> bool:
    """Is a bound given?"""
    bounds = (args.domains, args.networks, args.rate, args.max_size, args.tag)
    given = (*bounds, args.track_opens, args.track_clicks, args.unsubscribe)
    return any(bound is not None for bound in given)


def bounded(credential: Credential, args: argparse.Namespace) -> Credential:
    """`credential` with the bounds that are given."""
    if args.domains is not None:
        credential = replace(credential, domains=tuple(_domain(one) for one in args.domains if one != ANY))
    if args.networks is not None:
        credential = replace(credential, networks=tuple(_network(one) for one in args.networks if one != ANY))
    if args.rate is not None:
        credential = replace(credential, rate=None if args.rate == ANY else _rate(args.rate))
    if args.max_size is not None:
        credential = replace(credential, max_message_size=None if args.max_size == ANY else _size(args.max_size))
    if args.tag is not None:
        credential = replace(credential, tag=None if args.tag == ANY else _tag(args.tag))
    if args.track_opens is not None:
        credential = replace(credential, track_opens=_TRACKING[args.track_opens])
    if args.track_clicks is not None:
        credential = replace(credential, track_clicks=_TRACKING[args.track_clicks])
    if args.unsubscribe is not None:
        credential = replace(credential, unsubscribe=_TRACKING[args.unsubscribe])
    return credential


def limits(credential: Credential) -> str:
    """The bounds in words; empty: none."""
    rate, biggest = credential.rate, credential.max_message_size
    parts = [
        f"from {', '.join(credential.domains)}" if credential.domains else "",
        f"in {', '.join(credential.networks)}" if credential.networks else "",
        f"{rate.messages} per {show_duration(rate.seconds)}" if rate else "",
        f"up to {show_size(biggest)}" if biggest else "",
        f"tag {credential.tag}" if credential.tag else "",
        *_tracking(credential),
    ]
    return " · ".join(part for part in parts if part)


def _tracking(credential: Credential) -> list[str]:
    said = {"opens": credential.track_opens, "clicks": credential.track_clicks, "unsubscribe": credential.unsubscribe}
    return [f"{what} {'yes' if wanted else 'no'}" for what, wanted in said.items() if wanted is not None]


def _domain(text: str) -> str:
    dot = "." if text.startswith(".") else ""
    try:
        return dot + parse_address(f"postmaster@{text.strip('.').lstrip('@')}").destination
    except AddressError as error:
        raise Usage(
            f"--from: {text!r} is not a domain: {error}", "--from example.com, or .example.com with all below"
        ) from None


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise Usage(f"--ip: {text!r} is not a network", "--ip 10.0.3.0/24, or one address") from None


def _rate(text: str) -> Rate:
    found = _RATE.fullmatch(text.lower())
    if not found or int(found[1]) < 1:
        raise Usage(f"--rate: {text!r} is not a rate", "--rate 10/s, 100/m or 5000/24h")
    period = duration(found[2] if found[2][0].isdigit() else f"1{found[2]}")
    if period <= 0:
        raise Usage(f"--rate: {text!r} has no time in it", "--rate 10/s")
    return Rate(int(found[1]), period)


def _size(text: str) -> int:
    try:
        return size(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise Usage(f"--max-size: {error}") from None


def _tag(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise Usage("--tag: a tag has 1 to 100 printable characters")
    return text.strip()
