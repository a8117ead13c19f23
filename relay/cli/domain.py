"""`mailtrail domain`: the domains whose mail is signed (DKIM), and their keys.

`add` makes a key and keeps it; the domain's mail is signed at once, and the DNS record that makes the
signature good is printed, ready to paste (a signature whose key is not found is as none). `rotate` makes a
key that waits until the relay sees its record. Running relays take up every change within a second.
Private keys are never shown. A key in the configuration, `[dkim."example.com"]`, wins over those kept here;
it is listed, and changed only there. Which keys a command means: `domain_keys.py`; how they are shown:
`domain_words.py`; how records are checked: `domain_check.py`.
"""

import argparse
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from relay.cli import domain_words as words
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.choose import ask
from relay.cli.database import configuration, opened, user
from relay.cli.domain_keys import configured_keys, found, keys_of, known, named
from relay.cli.failures import Failure, NothingMatched, Usage
from relay.cli.listing import mode_of
from relay.cli.screen import Screen
from relay.signing_key import Algorithm, SigningKey, State, new_selector

if TYPE_CHECKING:
    from relay.store import Store

ALGORITHMS = {"rsa": (Algorithm.RSA,), "ed25519": (Algorithm.ED25519,), "both": tuple(Algorithm)}


def add(noun: Parser) -> None:
    """The verbs of `domain`."""
    level = noun.below("verb")
    verb = level.verb(
        "add",
        add_,
        "Sign a domain's mail: makes a key, prints its DNS record.",
        (
            "mailtrail domain add example.com",
            "mailtrail domain add example.com --algorithm both",
            "mailtrail domain add example.com --selector s2026",
        ),
    )
    _takes_domain(verb)
    _makes_keys(verb, "rsa")
    outputs(verb, "table", "json")
    outputs(level.verb("list", list_, "All domains that are signed.", ("mailtrail domain list",)))
    verb = level.verb(
        "show", show, "A domain's keys: which signs, which waits.", ("mailtrail domain show example.com",)
    )
    _takes_domain(verb)
    outputs(verb, "table", "json")
    verb = level.verb(
        "records",
        records,
        "The DNS records that a domain needs, ready to paste.",
        ("mailtrail domain records example.com", "mailtrail domain records example.com --zone"),
    )
    _takes_domain(verb)
    verb.add_argument("--zone", action="store_true", help="only the lines of the keys, as a zone file has them")
    outputs(verb, "table", "json")
    verb = level.verb(
        "check",
        check,
        "Are the DNS records there, and do signatures verify with them? Exit code 6 if not.",
        ("mailtrail domain check example.com",),
    )
    _takes_domain(verb)
    outputs(verb, "table", "json")
    verb = level.verb(
        "rotate",
        rotate,
        "A new key, which signs as soon as the relay sees its DNS record.",
        ("mailtrail domain rotate example.com", "mailtrail domain rotate example.com --algorithm rsa"),
    )
    _takes_domain(verb)
    _makes_keys(verb, None)
    outputs(verb, "table", "json")
    verb = level.verb(
        "remove",
        remove,
        "Forget a domain's keys, or one of them: it signs no more.",
        ("mailtrail domain remove example.com", "mailtrail domain remove example.com --selector s202611 --yes"),
    )
    _takes_domain(verb)
    verb.add_argument("--selector", metavar="NAME", help="only this key")
    verb.add_argument("--yes", action="store_true", help="do not ask")
    outputs(verb, "table", "json")


def _takes_domain(verb: Parser) -> None:
    verb.add_argument("domain", metavar="DOMAIN", help="as in the From field of the mail")


def _makes_keys(verb: Parser, default: str | None) -> None:
    usual = default or "as the domain has now"
    verb.add_argument("--algorithm", choices=tuple(ALGORITHMS), default=default, help=f"(default: {usual})")
    verb.add_argument("--selector", metavar="NAME", help="the key's name in the DNS (default: by the month)")


async def add_(args: argparse.Namespace, screen: Screen) -> int:
    """`domain add`."""
    domain, algorithms = named(args), ALGORITHMS[args.algorithm]
    async with opened(args, create=True) as store:
        keys = keys_of(domain, await store.signing_keys())
        there = [key for key in keys if key.algorithm in algorithms and key.state is not State.RETIRED]
        if there:
            raise Failure(
                f"{domain} has the {words.kind(there[0])} key {there[0].selector} already",
                f"mailtrail domain rotate {domain} makes a new one; mailtrail domain records {domain} shows its record",
            )
        made = await _make(args, store, keys, algorithms, State.ACTIVE, screen.now)
    if wants_json(args):
        _json(args, screen, "domain.add", domain, made)
        return 0
    screen.note(f"{screen.mark('ok')} mail from {domain} is signed from now on, with {words.names(made)}")
    _tell_if_configured(args, screen, domain)
    words.show_records(screen, domain, made)
    words.show_advice(screen, domain, configuration(args))
    return 0


async def rotate(args: argparse.Namespace, screen: Screen) -> int:
    """`domain rotate`."""
    domain = named(args)
    async with opened(args) as store:
        keys = found(domain, await store.signing_keys(), configuration(args))
        active = {key.algorithm for key in keys if key.state is State.ACTIVE}
        algorithms = ALGORITHMS[args.algorithm] if args.algorithm else tuple(sorted(active))
        waiting = [key for key in keys if key.state is State.WAITING and key.algorithm in algorithms]
        if waiting:
            raise Failure(
                f"the {words.kind(waiting[0])} key {waiting[0].selector} of {domain} waits for its record already",
                f"mailtrail domain records {domain} shows it; mailtrail domain remove {domain} "
                f"--selector {waiting[0].selector} forgets it",
            )
        if not algorithms:
            raise Failure(f"no key of {domain} signs now", f"mailtrail domain add {domain}")
        made = await _make(args, store, keys, algorithms, State.WAITING, screen.now)
    if wants_json(args):
        _json(args, screen, "domain.rotate", domain, made)
        return 0
    screen.note(f"{screen.mark('ok')} {words.names(made)} will sign for {domain} as soon as the relay sees the record")
    _tell_if_configured(args, screen, domain)
    words.show_records(screen, domain, made)
    screen.note("The old record stays: mailtrail domain show says when it may go.")
    return 0


async def _make(
    args: argparse.Namespace,
    store: "Store",
    keys: Sequence[SigningKey],
    algorithms: Sequence[Algorithm],
    state: State,
    now: float,
) -> list[SigningKey]:
    """New keys, one for each algorithm, kept."""
    from relay.private_key import make, pem, public_half

    taken = {key.selector for key in keys}
    chosen = _selector(args, taken, algorithms)
    made = []
    for algorithm in algorithms:
        private = make(algorithm)
        selector = chosen or new_selector(algorithm, taken, now)
        key = SigningKey(args.domain, selector, algorithm, state, public_half(private), now, now)
        await store.save_signing_key(key, pem(private), actor=user())
        made.append(key)
    return made


def _selector(args: argparse.Namespace, taken: set[str], algorithms: Sequence[Algorithm]) -> str:
    """The selector that was asked for; empty: none was."""
    from relay.config_dkim import KEYS

    if args.selector is None:
        return ""
    if len(algorithms) > 1:
        raise Usage("--selector names one key, and there would be two", "leave it out, or name one --algorithm")
    try:
        selector = str(KEYS["selector"].read(args.selector))
    except ValueError as error:
        raise Usage(f"--selector: {error}") from None
    if selector in taken:
        raise Usage(f"{args.domain} has a key {selector} already", "every key has a selector of its own")
    return selector


async def remove(args: argparse.Namespace, screen: Screen) -> int:
    """`domain remove`."""
    domain = named(args)
    async with opened(args) as store:
        keys = found(domain, await store.signing_keys(), configuration(args))
        gone = [key for key in keys if args.selector in (None, key.selector)]
        if not gone:
            raise NothingMatched(f"{domain} has no key {args.selector}", f"mailtrail domain show {domain}")
        signs = any(key.state is State.ACTIVE for key in keys if key not in gone)
        screen.note(f"Remove {words.names(gone)} of {domain}." + ("" if signs else " Its mail is then not signed."))
        if not args.yes:
            ask(len(gone))
        for key in gone:
            await store.remove_signing_key(domain, key.selector, actor=user())
    if wants_json(args):
        _json(args, screen, "domain.remove", domain, gone)
        return 0
    screen.line(f"{screen.mark('ok')} {domain}: {words.names(gone)} removed")
    if any(key.state is State.ACTIVE for key in gone):
        screen.note("Leave the DNS record for 7 days: mail that is on its way is verified with it.")
    return 0


async def show(args: argparse.Namespace, screen: Screen) -> int:
    """`domain show`."""
    domain, keys = await known(args)
    if wants_json(args):
        _json(args, screen, "domain.show", domain, keys)
        return 0
    screen.line(domain)
    for key in keys:
        screen.line(f"  {key.selector:12} {words.kind(key):8} {words.state(key, screen)}")
    _tell_if_configured(args, screen, domain)
    return 0


async def records(args: argparse.Namespace, screen: Screen) -> int:
    """`domain records`."""
    domain, keys = await known(args)
    if wants_json(args):
        _json(args, screen, "domain.records", domain, keys)
    elif args.zone:
        words.show_zone(screen, keys)
    else:
        words.show_records(screen, domain, keys)
        words.show_advice(screen, domain, configuration(args))
    return 0


async def check(args: argparse.Namespace, screen: Screen) -> int:
    """`domain check`."""
    from relay.cli import domain_check  # here, because asking the DNS and verifying load much

    return await domain_check.check(args, screen)


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`domain list`."""
    configured = configured_keys(configuration(args))
    async with opened(args) as store:
        kept = await store.signing_keys()
    domains = sorted({key.domain for key in (*kept, *configured)})

    async def each() -> AsyncIterator[dict[str, Any]]:
        for domain in domains:
            own = keys_of(domain, configured)
            yield words.row(domain, own or keys_of(domain, kept), configured=bool(own))

    mode = mode_of(args)
    await screen.rows(words.LISTING, each(), mode, fields=args.json or "", header=args.header, total=len(domains))
    if not domains:
        screen.note("No mail is signed. Next: mailtrail domain add DOMAIN")
    return 0


def _tell_if_configured(args: argparse.Namespace, screen: Screen, domain: str) -> None:
    if any(one.domain == domain for one in configuration(args).dkim):
        screen.note(f'[dkim."{domain}"] in the configuration wins: keys that are kept here do not sign.')


def _json(args: argparse.Namespace, screen: Screen, schema: str, domain: str, keys: Sequence[SigningKey]) -> None:
    value = {"domain": domain, "keys": [words.public(key) for key in keys]}
    screen.json(schema, value | {"advice": words.advice(domain, configuration(args))}, args.json or "")
