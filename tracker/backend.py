"""What the public web is given: its settings, and who carries out what people ask for.

Values and an interface; nothing here does anything. The relay implements `Backend` on top of
its journal and its database; tests implement it with plain data.
Fails with `Unavailable`, and only with that, when a choice could not be kept: the person then
reads that nothing was saved, and a mail program tries again (503).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tracker.language import Texts
from tracker.sender import Sender
from tracker.texts import LANGUAGES
from tracker.token import Token
from tracker.visit import Visit

Address = Literal["whole", "shortened", "none"]
How = Literal["one-click", "page", "mail"]
Reason = Literal["too_many", "not_interested", "not_signed_up", "other"]

UNDO = 30 * 86400.0  # seconds for which "Undo" takes an unsubscription back


class Unavailable(Exception):
    """The choice was not saved; our own trouble, and temporary."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose for the public web (`[tracking]`)."""

    base_url: str  # "https://t.example.com": what links begin with
    client_address: Address = "whole"  # how visitors' addresses are kept: whole, as /24 and /48, or not at all
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For and Forwarded are believed
    respect_do_not_track: bool = False  # visits with DNT: 1 or Sec-GPC: 1 are answered and not recorded at all
    senders: Mapping[str, Sender] = field(default_factory=dict)  # sending domain → who people know it by
    streams: Mapping[str, str] = field(default_factory=dict)  # tag → "Weekly offers – about one a week"
    contact: str = ""  # where abuse is reported: an address, for / and security.txt
    languages: Mapping[str, Texts] = field(default_factory=lambda: LANGUAGES)  # what the pages say


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a page needs to know of the delivery behind a token."""

    recipient: str  # the whole address; a page shows it masked
    sender_domain: str  # of From
    tag: str  # of the message; "": none
    unsubscribed_at: float | None = None  # Unix seconds since when the recipient does not want mail like this one
    everything: bool = False  # not only this tag is stopped, but all streams; without streams, all mail
    stopped: frozenset[str] = frozenset()  # from which of the configured streams the recipient is unsubscribed
    all_mail: bool = False  # nothing at all is sent to the recipient, whatever the reason; "essential" mail neither
    barred: bool = False  # mail like this one is stopped for a reason that is not the recipient's to take back here
    barred_streams: frozenset[str] = frozenset()  # and so are these streams


class Backend(Protocol):
    """Who carries it out. Each coroutine answers within some seconds, and does nothing twice."""

    def saw(self, visit: Visit) -> None:
        """Keep a visit. The visitor has been answered already; costs microseconds."""

    async def subscription(self, token: Token) -> Subscription | None:
        """The delivery behind an unsubscribe token as it stands; None: it has been purged. Raises `Unavailable`."""

    async def unsubscribe(
        self, token: Token, *, everything: bool, how: How, ip: str, agent: str
    ) -> Subscription | None:
        """Stop mail with this delivery's tag to its recipient, or all streams with it; where there are none, all mail.

        As it stands afterwards; None: purged, and nothing was done. Raises `Unavailable`.
        """

    async def resubscribe(self, token: Token, *, ip: str, agent: str) -> Subscription | None:
        """Take `unsubscribe` back, within `UNDO` seconds of it.

        As it stands afterwards, which tells whether it is taken back; None: purged. Raises `Unavailable`.
        """

    async def choose(self, token: Token, *, wanted: frozenset[str], ip: str, agent: str) -> Subscription | None:
        """Of the configured streams the recipient wants `wanted` and no others.

        As it stands afterwards; None: purged, and nothing was done. Raises `Unavailable`.
        """

    async def tell_reason(self, token: Token, reason: Reason, *, ip: str, agent: str) -> Subscription | None:
        """Why the recipient unsubscribed; "not_signed_up" is a kind of complaint.

        As it stands; None: purged. Raises `Unavailable`.
        """
