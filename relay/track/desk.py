"""What recipients choose on the public web, carried out on the store.

The `Backend` of `tracker/app.py`: visits go to the journal, choices to the suppression list. Every
choice leaves its event, with the visitor's address and program, for people ask later who it was.

Rules. Unsubscribing stops what the mail was: its tag. "Everything" is every configured stream and
that tag, and never the mail that is in no stream (orders, passwords). Only where nothing says
what else there is (no tag, or "everything" and no streams) does it stop all mail to the address.
Taking back is for what the recipient unsubscribed from, never for what a bounce, a complaint or the
operator stopped: those stand beside it on the list, and a page is told of them (`barred`).
The same choice made twice is made once.
Fails with `Unavailable` where the store does; what was done until then stays done, and doing it
again does the rest.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from relay.event import Event
from relay.log import Log
from relay.store import Store, StoreUnavailable
from relay.store.suppressions import RECIPIENT
from relay.track.journal import Journal
from suppression.entry import Entry
from tracker.backend import UNDO, How, Reason, Subscription, Unavailable
from tracker.token import Token
from tracker.visit import Visit

ALL = ""  # the scope of all mail
WISH: Final = "unsubscribe"  # the reason of what recipients ask for themselves

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _or_unavailable(
    does: Callable[_P, Coroutine[Any, Any, _T]],
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """The store's trouble in the words of the web."""

    async def tried(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await does(*args, **kwargs)
        except StoreUnavailable as error:
            raise Unavailable(str(error)) from error

    return tried


@dataclass(frozen=True, slots=True)
class _Known:
    """A delivery whose recipient is choosing, and who the visitor is."""

    token: Token
    recipient: str
    tag: str
    visitor: Mapping[str, str]  # ip and agent, for the event

    @property
    def delivery(self) -> tuple[str, int]:
        return self.token.queue_id, self.token.number


class Desk:
    """`streams`: the configured ones, by tag."""

    def __init__(self, store: Store, journal: Journal, log: Log, streams: Iterable[str]) -> None:
        self._store = store
        self._journal = journal
        self._log = log
        self._streams = frozenset(streams)

    def saw(self, visit: Visit) -> None:
        """Keep a visit."""
        self._journal.saw(visit)

    @_or_unavailable
    async def subscription(self, token: Token) -> Subscription | None:
        """The delivery as it stands; None: purged. Raises `Unavailable`, as all of them do."""
        return await self._standing(token)

    @_or_unavailable
    async def unsubscribe(
        self, token: Token, *, everything: bool, how: How, ip: str, agent: str
    ) -> Subscription | None:
        """Stop mail with this delivery's tag, or everything that is not essential."""
        known = await self._known(token, ip, agent)
        if known:
            scopes = [known.tag]
            if everything:
                scopes += sorted(self._streams - {known.tag}) or [ALL]
            await self._stop(known, scopes, how)
        return await self._standing(token)

    @_or_unavailable
    async def resubscribe(self, token: Token, *, ip: str, agent: str) -> Subscription | None:
        """Take back what this delivery's link has stopped within the last `UNDO` seconds."""
        known = await self._known(token, ip, agent)
        if known:
            for scope in sorted({known.tag, ALL} | self._streams):
                entry = await self._wish(known.recipient, scope)
                # Another mail's link may have stopped another stream: that was another choice.
                mine = entry and (scope in (known.tag, ALL) or (entry.queue_id, entry.number) == known.delivery)
                if entry and mine and entry.since >= self._store.engine.now() - UNDO:
                    await self._take_back(known, scope, "undo")
        return await self._standing(token)

    @_or_unavailable
    async def choose(self, token: Token, *, wanted: frozenset[str], ip: str, agent: str) -> Subscription | None:
        """Of the configured streams `wanted`, and no others."""
        known = await self._known(token, ip, agent)
        if known:
            before = await self._standing(token)
            stopped = before.stopped if before else frozenset()
            await self._stop(known, sorted(self._streams - wanted - stopped), "preferences")
            back = sorted(wanted & stopped)
            if back and await self._wish(known.recipient, ALL):
                # All mail was stopped. What is not wanted must be stopped by itself before that is taken back.
                await self._stop(known, sorted(self._streams - wanted), "preferences")
                back.append(ALL)
            for scope in back:
                if await self._wish(known.recipient, scope):
                    await self._take_back(known, scope, "preferences")
        return await self._standing(token)

    @_or_unavailable
    async def tell_reason(self, token: Token, reason: Reason, *, ip: str, agent: str) -> Subscription | None:
        """Why; "not_signed_up" is also told in the log, since it is half a complaint."""
        known = await self._known(token, ip, agent)
        if known:
            detail = {"because": reason, "address": known.recipient, "tag": known.tag, **known.visitor}
            now = self._store.engine.now()
            await self._store.happened(Event(now, "unsubscribe_reason", *known.delivery, RECIPIENT, detail))
            if reason == "not_signed_up":
                await self._store.happened(Event(now, "not_signed_up", *known.delivery, RECIPIENT, detail))
                self._log.warning(
                    f"{token.queue_id}: {known.recipient} says it never signed up for this", tag=known.tag
                )
        return await self._standing(token)

    async def _known(self, token: Token, ip: str, agent: str) -> _Known | None:
        found = await self._store.subscription(token.queue_id, token.number)
        return _Known(token, found.recipient, found.tag, {"ip": ip, "agent": agent}) if found else None

    async def _standing(self, token: Token) -> Subscription | None:
        found = await self._store.subscription(token.queue_id, token.number)
        if found is None:
            return None
        scopes = [ALL, found.tag, *sorted(self._streams)]
        forbidding = await self._store.forbidding([(found.recipient, scope) for scope in scopes])
        wished = {scope for scope, some in zip(scopes, forbidding, strict=True) if any(map(_wished, some))}
        barred = {scope for scope, some in zip(scopes, forbidding, strict=True) if not all(map(_wished, some))}
        every_stream = bool(self._streams) and self._streams <= wished
        return Subscription(
            recipient=found.recipient,
            sender_domain=found.sender_domain,
            tag=found.tag,
            unsubscribed_at=found.unsubscribed_at,
            everything=ALL in wished or (found.unsubscribed_at is not None and every_stream),
            stopped=self._streams & wished,
            all_mail=ALL in wished | barred,
            barred=found.tag in barred,
            barred_streams=self._streams & barred,
        )

    async def _wish(self, address: str, scope: str) -> Entry | None:
        """The entry by which the recipient stopped exactly this."""
        return next(iter(await self._store.named(address, scope, WISH)), None)

    async def _stop(self, known: _Known, scopes: Sequence[str], how: str) -> None:
        for scope in scopes:
            now = self._store.engine.now()
            entry = Entry(known.recipient, scope, WISH, how, now)
            detail = {**known.visitor, "how": how}
            await self._store.suppress(entry, actor=RECIPIENT, delivery=known.delivery, detail=detail)

    async def _take_back(self, known: _Known, scope: str, how: str) -> None:
        detail = {**known.visitor, "how": how, "queue_id": known.token.queue_id, "number": known.token.number}
        await self._store.unsuppress(known.recipient, scope, WISH, actor=RECIPIENT, detail=detail)


def _wished(entry: Entry) -> bool:
    return entry.reason == WISH
