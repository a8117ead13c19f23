"""`mailtrail token`: what links of ours contain, and the keys they are signed with.

`decode` tells of a link in a mail what it says and whether it is ours. A key is never removed: links live
as long as the mail they are in. `rotate` adds one, for when an old one may have become known.
"""

import argparse
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from relay.cli import wording
from relay.cli.arguments import Parser, outputs, wants_json
from relay.cli.database import opened
from relay.cli.failures import Failure, NothingMatched
from relay.cli.listing import mode_of
from relay.cli.screen import Column, Listing, Screen, plain
from relay.track import keys
from tracker.token import Keyring, Purpose, Token

_PURPOSES = {"o": Purpose.OPEN, "c": Purpose.CLICK, "u": Purpose.UNSUBSCRIBE, "p": Purpose.UNSUBSCRIBE}
_WORDS = {
    Purpose.OPEN: "open",
    Purpose.CLICK: "click",
    Purpose.UNSUBSCRIBE: "unsubscribe",
    Purpose.BOUNCE: "bounce",
    Purpose.MAIL_UNSUBSCRIBE: "unsubscribe by mail",
}
_ADDRESS = re.compile(r"[bu]-(?P<token>[a-z2-7]+)@\S+", re.IGNORECASE)


def add(noun: Parser) -> None:
    """The verbs of `token`."""
    level = noun.below("verb")
    verb = level.verb(
        "decode",
        decode,
        "What a link of ours says, and whether it is ours at all.",
        ("mailtrail token decode https://t.example.com/c/AAE…", "mailtrail token decode AAE…"),
    )
    verb.add_argument("token", metavar="TOKEN|URL")
    outputs(verb, "table", "json")
    outputs(level.verb("list", list_, "The keys that links are signed with.", ("mailtrail token list",)))
    verb = level.verb(
        "rotate",
        rotate,
        "A new key for links that are made from now on. Old links stay valid.",
        ("mailtrail token rotate",),
    )
    outputs(verb, "table", "json")


async def decode(args: argparse.Namespace, screen: Screen) -> int:
    """`token decode`."""
    async with opened(args) as store:
        known = await keys.read(store.engine)
    found = _read(Keyring({key.number: key.key for key in known}), args.token) if known else None
    if found is None:
        raise NothingMatched(
            "this is no link of this relay, or not the whole of one",
            "copy it whole; mail programs break long links",
        )
    purpose, token = found
    if wants_json(args):
        said = {"kind": _WORDS[purpose], "queue_id": token.queue_id, "number": token.number}
        screen.json("token.decode", said | {"link": token.link, "target": token.target}, args.json or "")
        return 0
    screen.line(f"{_WORDS[purpose]}   message {token.queue_id}, recipient {token.number}")
    if purpose is Purpose.CLICK:
        screen.line(f"  link {token.link or 'that no person sees'}   {plain(token.target)}")
    screen.note(f"Next: mailtrail message show {token.queue_id}")
    return 0


async def list_(args: argparse.Namespace, screen: Screen) -> int:
    """`token list`."""
    async with opened(args) as store:
        known = await keys.read(store.engine)
        signs = keys.rested(known, store.engine.now())[-1:]

    async def each() -> AsyncIterator[dict[str, Any]]:
        for key in known:
            state = "signs" if key in signs else "soon" if signs and key.number > signs[0].number else "reads"
            yield {"key": key.number, "state": state, "made_at": wording.rfc3339(key.made_at)}

    await screen.rows(_LISTING, each(), mode_of(args), fields=args.json or "", header=args.header, total=len(known))
    if not known:
        screen.note("There are no keys yet: the relay makes the first one when it starts with tracking.base_url set.")
    return 0


async def rotate(args: argparse.Namespace, screen: Screen) -> int:
    """`token rotate`."""
    async with opened(args) as store:
        try:
            fresh = await keys.renewed(store.engine)
        except ValueError as error:
            raise Failure(str(error)) from None
    if wants_json(args):
        screen.json("token.rotate", {"key": fresh.number, "made_at": wording.rfc3339(fresh.made_at)}, args.json or "")
    else:
        screen.line(
            f"{screen.mark('ok')} key {fresh.number} signs in {wording.span(keys.REST)}, "
            "once every worker has it. Links in mail that is out stay valid."
        )
    return 0


_LISTING = Listing(
    "token.list", (Column("KEY", "key", right=True), Column("STATE", "state"), Column("MADE", "made_at")), "key"
)


def _read(keyring: Keyring, written: str) -> tuple[Purpose, Token] | None:
    """The token alone, in a URL or in an address of ours; without its path every purpose is tried."""
    if address := _ADDRESS.fullmatch(written.strip()):
        written = address["token"]
    *above, text = urlsplit(written.strip()).path.split("/")
    named = _PURPOSES.get(above[-1]) if above else None
    for purpose in [named] if named else Purpose:
        if (token := keyring.read(purpose, text)) is not None:
            return purpose, token
    return None
