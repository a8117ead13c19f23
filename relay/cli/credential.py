"""`mailtrail credential`: what applications log in with.

A secret is made by us (or read from standard input with --password-stdin), shown once and kept
as a digest. A credential is bound to what is given: From domains, networks, a rate, a message
size; without bounds it may do everything. It may also say whether its mail is tracked. `rotate` gives
a new secret and lets the old one live for a grace time; `revoke` ends all of them at once and keeps the
name for the records.
"""

import argparse
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.bounds import add_bounds, any_bound, bounded, limits
from relay.cli.database import configuration, opened, user
from relay.cli.failures import Failure, NothingMatched, Usage
from relay.cli.listing import mode_of
from relay.cli.screen import Column, Listing, Screen
from relay.config import Config
from relay.credential import Credential, Secret, digest, new_secret
from relay.filters import FilterError, seconds

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
SHORTEST = 16  # characters of a secret that somebody brings; ours have 35


def add(noun: Parser) -> None:
    """The verbs of `credential`."""
    level = noun.below("verb")
    verb = level.verb(
        "add",
        add_,
        "A new credential. Its secret is shown once.",
        (
            "mailtrail credential add app",
            "mailtrail credential add shop --from shop.example --rate 10/s --tag shop",
            "mailtrail credential add legacy --ip 10.0.0.0/8 --password-stdin < secret.txt",
        ),
    )
    verb.add_argument("name", metavar="NAME")
    verb.add_argument("--password-stdin", action="store_true", help="take the secret from standard input")
    add_bounds(verb)
    outputs(verb, "table", "json")
    outputs(
        level.verb("list", list_, "All credentials.", ("mailtrail credential list", "mailtrail credential list --json"))
    )
    verb = level.verb(
        "show",
        show,
        "One credential and its bounds. The secret is not kept and cannot be shown.",
        ("mailtrail credential show billing-app",),
    )
    verb.add_argument("name", metavar="NAME")
    outputs(verb, "table", "json")
    verb = level.verb(
        "set",
        set_,
        "Change bounds and tracking. What is not named stays; 'any' takes a bound away.",
        (
            "mailtrail credential set billing-app --rate 100/m",
            "mailtrail credential set billing-app --from example.com .shop.example",
            "mailtrail credential set billing-app --ip any",
            "mailtrail credential set billing-app --track-opens no --track-clicks default",
        ),
    )
    verb.add_argument("name", metavar="NAME")
    add_bounds(verb)
    outputs(verb, "table", "json")
    verb = level.verb(
        "rotate",
        rotate,
        "A new secret; the old one stays valid for a grace time.",
        ("mailtrail credential rotate billing-app", "mailtrail credential rotate billing-app --grace 7d"),
    )
    verb.add_argument("name", metavar="NAME")
    verb.add_argument(
        "--grace", default="24h", metavar="TIME", help="how long the old secret stays valid (default: 24h)"
    )
    verb.add_argument("--password-stdin", action="store_true", help="take the new secret from standard input")
    outputs(verb, "table", "json")
    verb = level.verb(
        "revoke",
        revoke,
        "No secret of it works any more, from now on. `rotate` brings it back to life.",
        ("mailtrail credential revoke billing-app",),
    )
    verb.add_argument("name", metavar="NAME")
    outputs(verb, "table", "json")


async def add_(args: argparse.Namespace, screen: Screen) -> int:
    """`credential add`."""
    if not _NAME.fullmatch(args.name):
        raise Usage(f"{args.name!r} cannot be a name", "letters, digits and . _ @ + -, at most 64, no blank")
    secret = _secret(args)
    credential = bounded(Credential(args.name, (Secret(digest(secret)),), screen.now), args)
    async with opened(args, create=True) as store:
        if await store.credential(args.name) is not None:
            raise Failure(
                f"there is a credential {args.name} already",
                f"mailtrail credential rotate {args.name} gives it a new secret",
            )
        await store.save_credential(credential, verb="add", actor=user())
    _tell_secret(args, screen, "credential.add", credential, secret, "created")
    return 0


async def rotate(args: argparse.Namespace, screen: Screen) -> int:
    """`credential rotate`."""
    try:
        until = screen.now + seconds(args.grace)
    except FilterError as error:
        raise Usage(f"--grace: {error}", error.hint) from None
    secret = _secret(args)
    async with opened(args) as store:
        old = _found(await store.credential(args.name), args.name)
        kept = tuple(
            Secret(one.digest, until if one.expires_at is None else min(one.expires_at, until))
            for one in old.secrets
            if old.revoked_at is None and (one.expires_at is None or one.expires_at > screen.now)
        )
        fresh = replace(old, secrets=(Secret(digest(secret)), *(kept if until > screen.now else ())), revoked_at=None)
        await store.save_credential(fresh, verb="rotate", actor=user())
    _tell_secret(args, screen, "credential.rotate", fresh, secret, "has a new secret")
    if len(fresh.secrets) > 1:
        screen.note(f"The old secret stays valid until {wording.moment(until, screen.zone)}.")
    return 0


async def revoke(args: argparse.Namespace, screen: Screen) -> int:
    """`credential revoke`."""
    async with opened(args) as store:
        credential = _found(await store.credential(args.name), args.name)
        if credential.revoked_at is None:
            credential = replace(credential, secrets=(), revoked_at=screen.now)
            await store.save_credential(credential, verb="revoke", actor=user())
    _tell(args, screen, "credential.revoke", credential, "revoked: no login with it works any more")
    return 0


async def set_(args: argparse.Namespace, screen: Screen) -> int:
    """`credential set`."""
    if not any_bound(args):
        raise Usage("nothing to change", "mailtrail credential set --help lists the bounds")
    async with opened(args) as store:
        old = _found(await store.credential(args.name), args.name)
        changed = bounded(old, args)
        await store.save_credential(changed, verb="set", actor=user())
    _tell(args, screen, "credential.set", changed, limits(changed) or "no bounds")
    return 0


async def show(args: argparse.Namespace, screen: Screen) -> int:
    """`credential show`."""
    async with opened(args) as store:
        credential = _found(await store.credential(args.name), args.name)
    if wants_json(args):
        screen.json("credential.show", public(credential, screen.now), args.json or "")
        return 0
    item = public(credential, screen.now)
    screen.line(f"{credential.name}   {item['state']}   created {wording.moment(credential.created_at, screen.zone)}")
    screen.line(f"  bounds   {limits(credential) or 'none'}")
    for secret in credential.secrets:
        if secret.expires_at is not None and secret.expires_at > screen.now:
            screen.line(f"  old secret valid until {wording.moment(secret.expires_at, screen.zone)}")
    return 0


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`credential list`."""
    async with opened(args) as store:
        found = await store.credentials()

    async def each() -> AsyncIterator[dict[str, Any]]:
        for one in found:
            yield public(one, screen.now)

    await screen.rows(_LISTING, each(), mode_of(args), fields=args.json or "", header=args.header, total=len(found))
    if not found:
        screen.note("There are no credentials. Next: mailtrail credential add NAME")
    return 0


_LISTING = Listing(
    "credential.list",
    (
        Column("NAME", "name"),
        Column("STATE", "state"),
        Column("BOUNDS", "bounds"),
        Column("CREATED", "created_at"),
        Column("TAG", "tag", wide=True),
        Column("SECRETS", "secrets", wide=True),
    ),
    "name",
    ("from", "networks", "rate", "max_message_size", "revoked_at", "track_opens", "track_clicks", "unsubscribe"),
)


def public(credential: Credential, now: float) -> dict[str, Any]:
    """A credential as JSON shows it: everything but digests."""
    valid = [one for one in credential.secrets if one.expires_at is None or one.expires_at > now]
    rate = credential.rate
    return {
        "name": credential.name,
        "state": "active" if credential.revoked_at is None else "revoked",
        "bounds": limits(credential),
        "from": list(credential.domains),
        "networks": list(credential.networks),
        "rate": {"messages": rate.messages, "seconds": rate.seconds} if rate else None,
        "max_message_size": credential.max_message_size,
        "tag": credential.tag,
        "secrets": len(valid),
        "created_at": wording.rfc3339(credential.created_at),
        "revoked_at": wording.rfc3339(credential.revoked_at),
        "track_opens": credential.track_opens,  # null: as the relay does
        "track_clicks": credential.track_clicks,
        "unsubscribe": credential.unsubscribe,
    }


def _secret(args: argparse.Namespace) -> str:
    if not args.password_stdin:
        return new_secret()
    secret = sys.stdin.readline().rstrip("\r\n")
    if len(secret) < SHORTEST:
        # Digests are fast ones: that is right for random secrets and wrong for words.
        raise Usage(
            f"the secret on standard input has {len(secret)} characters, and must have {SHORTEST} random ones or more",
            "openssl rand -base64 24 | mailtrail credential add NAME --password-stdin",
        )
    return secret


def _found(credential: Credential | None, name: str) -> Credential:
    if credential is None:
        raise NothingMatched(f"there is no credential {name!r}", "mailtrail credential list")
    return credential


def _tell(args: argparse.Namespace, screen: Screen, schema: str, credential: Credential, done: str) -> None:
    if wants_json(args):
        screen.json(schema, public(credential, screen.now), args.json or "")
    else:
        screen.line(f"{screen.mark('ok')} credential {credential.name}: {done}")


def _tell_secret(
    args: argparse.Namespace, screen: Screen, schema: str, credential: Credential, secret: str, done: str
) -> None:
    """The only time that a secret is shown; one that came from standard input is known already."""
    config = configuration(args)
    host, port = _server(config)
    shown = None if args.password_stdin else secret
    if wants_json(args):
        server = {"host": host, "port": port, "user": credential.name, "password": shown}
        screen.json(schema, public(credential, screen.now) | {"smtp": server}, args.json or "")
        return
    screen.note(f"{screen.mark('ok')} credential {credential.name} {done}")
    screen.line(f"SMTP_HOST={host}")
    screen.line(f"SMTP_PORT={port}")
    screen.line(f"SMTP_USER={credential.name}")
    if shown is None:
        return
    screen.line(f"SMTP_PASSWORD={shown}")
    tls = "--tls " if config.submission.tls_certificate else ""
    screen.note("The password is shown only now. Test:")
    screen.note(
        f"  swaks --server {host}:{port} {tls}--auth-user {credential.name} --auth-password '{shown}' "
        f"--from {_sender(credential)} --to delivered@sim.test --header 'Subject: Hello'"
    )


def _server(config: Config) -> tuple[str, int]:
    listen = config.submission.listen or config.submission.listen_tls
    return ("127.0.0.1" if config.sandbox else config.hostname), listen[0].port


def _sender(credential: Credential) -> str:
    domain = credential.domains[0].lstrip(".") if credential.domains else "example.com"
    return f"{credential.name.partition('@')[0]}@{domain}"
