"""What people do on the pages: unsubscribe, undo, say why, choose their streams.

Knows tokens, the backend and the pages; does not know HTTP (`app.py` reads and writes that).
Plan of a POST: mail program or page? – is the token ours? – is the delivery still known? – do
it – tell what was done. Rules: GET changes nothing; whatever is asked twice is done once and
succeeds twice; a forged token and an unknown one look the same.
Standards: RFC 8058 (one-click).
Fails: never with an exception of the backend's; `Unavailable` becomes 503 and "not saved".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from tracker.backend import UNDO, Backend, Reason, Settings, Unavailable
from tracker.language import Texts
from tracker.pages import REASONS, Page, Pages, Place
from tracker.token import Keyring, Purpose, Token


@dataclass(frozen=True, slots=True)
class Plain:
    """What is answered to a program: a status and a line."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a page."""

    token: str
    texts: Texts
    ip: str  # as it may be kept
    agent: str
    now: float  # Unix seconds
    query: str = ""
    fields: Mapping[str, Sequence[str]] | None = None  # of a POST; None: it is a GET or HEAD

    def field(self, name: str) -> str:
        """The first value of a field of a POST."""
        values = (self.fields or {}).get(name)
        return values[0].strip() if values else ""

    @property
    def one_click(self) -> bool:
        """RFC 8058 3.1: the body is List-Unsubscribe=One-Click; programs that spell it their own way are understood."""
        return self.field("List-Unsubscribe").lower() == "one-click"


_Answer = Callable[[Asked, Token], Awaitable[Page | Plain | None]]  # None: the delivery has been purged

NOT_UNDERSTOOD = Plain(400, "This request was not understood. Nothing was changed.")


class Choices:
    """Answers for /u/TOKEN and /p/TOKEN."""

    def __init__(self, keyring: Callable[[], Keyring], backend: Backend, pages: Pages, settings: Settings) -> None:
        self._keyring = keyring
        self._backend = backend
        self._pages = pages
        self._streams = frozenset(settings.streams)

    async def unsubscribe(self, asked: Asked) -> Page | Plain:
        """/u/TOKEN."""
        return await self._answered(asked, self._one_click if asked.one_click else self._unsubscribe_page)

    async def preferences(self, asked: Asked) -> Page | Plain:
        """/p/TOKEN; there is nothing to choose unless streams are configured."""
        if not self._streams:
            return self._pages.broken(asked.texts)
        return await self._answered(asked, self._preferences_page)

    async def _answered(self, asked: Asked, answer: _Answer) -> Page | Plain:
        token = self._keyring().read(Purpose.UNSUBSCRIBE, asked.token)
        try:
            answered: Page | Plain | None
            answered = await answer(asked, token) if token else self._pages.broken(asked.texts)
        except Unavailable:
            answered = self._pages.trouble(asked.texts)
        if answered is None:
            answered = self._pages.expired(asked.texts)
        if asked.one_click and isinstance(answered, Page):
            return Plain(answered.status, _ONE_CLICK[answered.status])
        return answered

    async def _one_click(self, asked: Asked, token: Token) -> Plain | None:
        done = await self._backend.unsubscribe(token, everything=False, how="one-click", ip=asked.ip, agent=asked.agent)
        return Plain(200, "Unsubscribed.") if done else None

    async def _unsubscribe_page(self, asked: Asked, token: Token) -> Page | Plain | None:
        """GET shows how it stands; POST does what the button says."""
        sub = await self._backend.subscription(token)
        if sub is None:
            return None
        at = Place(asked.texts, asked.token, sub)
        if asked.fields is not None:
            return await self._do(asked, token, at)
        if sub.unsubscribed_at is not None:
            return self._pages.already(at, asked.now)
        return self._pages.kept(at) if asked.query == "keep" else self._pages.ask(at)

    async def _do(self, asked: Asked, token: Token, at: Place) -> Page | Plain | None:
        """The buttons of the pages of /u/TOKEN."""
        backend, who, sub = self._backend, {"ip": asked.ip, "agent": asked.agent}, at.subscription
        match asked.field("do"):
            case "unsubscribe":
                everything = asked.field("everything") == "yes"
                if sub.unsubscribed_at is not None and (sub.everything or not everything):
                    return self._pages.already(at, asked.now)
                after = await backend.unsubscribe(token, everything=everything, how="page", **who)
                return self._pages.done(Place(at.texts, at.token, after)) if after else None
            case "undo":
                if sub.unsubscribed_at is not None and asked.now - sub.unsubscribed_at > UNDO:
                    return self._pages.already(at, asked.now)
                after = await backend.resubscribe(token, **who)
                if after is None:
                    return None
                at = Place(at.texts, at.token, after)
                if after.unsubscribed_at is not None:
                    return self._pages.already(at, asked.now)
                return self._pages.barred(at) if after.barred else self._pages.undone(at)
            case "reason" if asked.field("reason") in REASONS:
                after = await backend.tell_reason(token, cast(Reason, asked.field("reason")), **who)
                return self._pages.thanks(Place(at.texts, at.token, after)) if after else None
        return NOT_UNDERSTOOD

    async def _preferences_page(self, asked: Asked, token: Token) -> Page | Plain | None:
        """GET shows the boxes; POST keeps what is ticked, and repeats it."""
        if asked.fields is None:
            sub = await self._backend.subscription(token)
            return self._pages.streams(Place(asked.texts, asked.token, sub)) if sub else None
        match asked.field("do"):
            case "choose":
                wanted = self._streams.intersection(asked.fields.get("stream", ()))
            case "stop_all":
                wanted = frozenset()
            case _:
                return NOT_UNDERSTOOD
        sub = await self._backend.choose(token, wanted=wanted, ip=asked.ip, agent=asked.agent)
        return self._pages.saved(Place(asked.texts, asked.token, sub)) if sub else None


_ONE_CLICK = {
    404: "This link is not one of ours, or not complete.",
    410: "This link has expired.",
    503: "Not saved. Please try again in a few minutes.",
}
