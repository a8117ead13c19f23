"""One recipient's copy of a message, as it goes out: tracked, with unsubscribe headers, signed.

It is the accepted content without what the application said to us alone, with links that lead through
the tracker and a pixel where that is wanted, and on top our signature and the name of the delivery. Everything
else is the same byte for byte. Pure (`now` is an argument), and on the hot path: a message with nothing to do costs one
search through its header and is returned as it is, not copied.

Rules:
 - Only what applications send is tracked; our own notices are signed and nothing else.
 - "Off" wins: the relay's setting, and what the credential and the message want (`Message.track_opens` …).
 - An application's own List-Unsubscribe is more precise than ours, which then is not added.
 - A signature of the application's own stays if nothing changed that it covers, else it goes:
   a broken one is worse than none.

Standards: RFC 8058, RFC 6376 (5.3 and 5.4 say what a signature covers).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from relay.address import Address
from relay.compose.draft import Draft
from relay.compose.mime import Field, header_end
from relay.compose.tracked import Links, Tracked, track
from relay.config import Tracking
from relay.controls import is_control
from relay.delivery import Delivery
from relay.envelope import Message, Origin
from relay.return_path import FIELD, bounce_local
from tracker import unsubscribe
from tracker.token import Keyring

# (finished copy, domain of From in A-labels, Unix seconds) → the DKIM-Signature fields to stand in front of it
Sign = Callable[[bytes, str, float], bytes]

# All control fields are extension fields; others need not be asked about.
_EXTENSION = re.compile(rb"\n(x-[!-9;-~]++)")
_COVERED = re.compile(rb"(?:\A|;)[ \t\r\n]*+h[ \t\r\n]*+=([^;]*+)")
_UNTOUCHED = Tracked()


@dataclass(frozen=True, slots=True)
class Making:
    """Everything a worker makes copies with."""

    hostname: str
    tracking: Tracking
    keyring: Keyring | None  # None: nothing is tracked
    sign: Sign
    bounce_domain: str | None = None  # where bounces and mail that unsubscribes come back; None: nowhere


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy: is there a pixel in it, how many links lead through us, why (a part of) it was left alone, if it was."""

    content: bytes
    trackable: bool = False
    links: int = 0
    note: str = ""


def render(delivery: Delivery, content: bytes, making: Making, now: float) -> Copy:
    """The copy of `content` that `delivery` is to send. `now` (Unix seconds) is the time of the signature."""
    # 1. Nothing to take off, to track or to add: it stays.
    # 2. Control fields off, tracking in, unsubscribe headers on.
    # 3. Signatures that this broke off; ours on, and the delivery's name.
    message = delivery.message
    links = _links(delivery, making)
    opens = links is not None and making.tracking.opens and message.track_opens
    clicks = links is not None and making.tracking.clicks and message.track_clicks
    tracked = _UNTOUCHED
    if opens or clicks or (links is not None and message.unsubscribe) or _has_controls(content):
        draft = Draft(content)
        draft.drop(is_control)
        if links is not None:
            if opens or clicks:
                tracked = track(draft, links, making.tracking, opens=opens, clicks=clicks)
            if message.unsubscribe:
                _offer_unsubscribe(draft, links, making.bounce_domain)
        _drop_broken_signatures(draft)
        content = draft.made()
    top = making.sign(content, _from_domain(message), now) + _name(delivery, making)
    return Copy(top + content if top else content, tracked.trackable, tracked.links, tracked.note)


def _links(delivery: Delivery, making: Making) -> Links | None:
    """What makes this delivery's addresses; None where nothing may be tracked."""
    message = delivery.message
    if making.keyring is None or not making.tracking.on or message.origin is not Origin.APPLICATION:
        return None
    return Links(making.keyring, making.tracking.base_url, message.queue_id, delivery.number)


def _name(delivery: Delivery, making: Making) -> bytes:
    """The field by which a report names this delivery; only where reports come back, and about applications' mail."""
    message = delivery.message
    if making.keyring is None or making.bounce_domain is None or message.origin is not Origin.APPLICATION:
        return b""
    return f"{FIELD}: {bounce_local(making.keyring, message.queue_id, delivery.number)}\r\n".encode()


def _has_controls(content: bytes) -> bool:
    header = content[: header_end(content)].lower()
    if b"x-" not in header:
        return False
    return any(is_control(found[1].decode("ascii")) for found in _EXTENSION.finditer(b"\n" + header))


def _offer_unsubscribe(draft: Draft, links: Links, domain: str | None) -> None:
    """RFC 8058 3.1: both fields, unless the application has its own way."""
    if draft.named("list-unsubscribe"):
        return
    for stray in draft.named("list-unsubscribe-post"):  # without the other field it means nothing, and ours comes
        draft.drop_field(stray)
    mailto = links.unsubscribe_address(domain) if domain else None
    draft.add(unsubscribe.headers(links.unsubscribe, mailto), "list-unsubscribe", "list-unsubscribe-post")


def _drop_broken_signatures(draft: Draft) -> None:
    """Take off the DKIM-Signature fields that cover anything that changed."""
    if not draft.touched and not draft.body_changed:
        return
    for signature in draft.named("dkim-signature"):
        if draft.body_changed or draft.touched & _covered(signature):
            draft.drop_field(signature)


def _covered(signature: Field) -> set[str]:
    """RFC 6376 3.5: the names in its h= tag, lower-case."""
    found = _COVERED.search(signature.value)
    return {name.strip().lower() for name in found[1].decode("latin-1").split(":")} if found else set()


def _from_domain(message: Message) -> str:
    return Address("", message.sender.rpartition("@")[2]).destination
