"""The pages that recipients see: unsubscribe, choose, and why a link cannot be opened.

Makes bytes of HTML out of values; does not know HTTP, tokens or clocks. Rules: one h1, the
title tells the state first, real buttons, no script, no cookie, nothing from elsewhere, at most
15 kB (with as many streams as people can read). The address is masked: a link may have been
forwarded. Whatever is filled in is escaped. Links are relative: a proxy may put the web
under a path of its own. Nobody is asked for a reason before it is done.
What they say is in texts.toml, how they look in look.py.
Fails: never.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from html import escape

from tracker.backend import UNDO, Settings, Subscription
from tracker.language import Texts
from tracker.look import Look, Page, look

__all__ = ["REASONS", "Page", "Pages", "Place", "masked"]

REASONS = ("too_many", "not_interested", "not_signed_up", "other")

_NOTE = re.compile(r"\s+[–—-]\s+")  # "Weekly offers – about one a week": a name, and what to expect
_MOST_SENDERS = 12  # names on the page of /


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands, and for whom: a token in its URL, and the delivery behind that."""

    texts: Texts
    token: str
    subscription: Subscription


class Pages:
    """All pages, for one operator's settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looks = {domain: look(sender) for domain, sender in settings.senders.items()}

    # Unsubscribe: /u/TOKEN

    def ask(self, at: Place) -> Page:
        """Shall we stop? Nothing has happened yet."""
        texts, sub = at.texts, at.subscription
        name = self._stream(sub.tag)
        # Without a tag there is nothing to tell this mail from the sender's other mail by.
        title = "ask_stream" if name else "ask" if sub.tag else "ask_sender"
        stay, wider = "", ""
        if sub.tag:
            stay = "" if sub.all_mail else _p(self._fill(at, "others_stay"))
            # Only streams tell what is not essential; without them there is all or this.
            wider = _tick(
                "everything", "yes", self._fill(at, "everything" if self._settings.streams else "everything_all")
            )
        body = (
            f"<h1>{self._fill(at, title)}</h1>{_p(self._fill(at, 'ask_to'))}{stay}"
            + _form(
                at.token,
                f'<div class="row">{_button("unsubscribe", texts["unsubscribe"])}'
                f'<a href="{escape(at.token)}?keep">{escape(texts["keep"])}</a></div>{wider}',
            )
            + self._choose_link(at)
        )
        return self._page(at, texts["unsubscribe"], body)

    def kept(self, at: Place) -> Page:
        """Who does not want to unsubscribe after all."""
        stands = self._barred(at) if at.subscription.barred else _p(self._fill(at, "kept_to"))
        body = _told(escape(at.texts["kept"]), stands)
        body += _link(at.token, at.texts["back"])
        return self._page(at, at.texts["kept"], body + self._choose_link(at))

    def done(self, at: Place) -> Page:
        """It is done just now."""
        sub = at.subscription
        if sub.everything or not sub.tag:
            what = "done_everything" if sub.tag and self._settings.streams and not sub.all_mail else "done_all"
        else:
            what = "done_stream" if self._stream(sub.tag) else "done_to"
        said = _p(self._fill(at, what)) + _p(escape(at.texts["done_soon"]), "soft")
        body = _told(escape(at.texts["done"]), said) + self._undo(at) + self._choose_link(at) + _why(at)
        return self._page(at, at.texts["done_title"], body)

    def already(self, at: Place, now: float) -> Page:
        """It was done before; asking again is no mistake."""
        since = at.subscription.unsubscribed_at or now
        said = _p(self._fill(at, "already_since", date=at.texts.date(since)))
        late = now - since > UNDO
        way_back = _p(self._fill(at, "too_late"), "soft") if late else self._undo(at)
        body = _told(escape(at.texts["already"]), said) + way_back + self._choose_link(at)
        return self._page(at, at.texts["done_title"], body)

    def thanks(self, at: Place) -> Page:
        """For telling why."""
        body = _told(escape(at.texts["thanks"]), _p(escape(at.texts["thanks_note"]))) + self._undo(at)
        return self._page(at, at.texts["done_title"], body + self._choose_link(at))

    def undone(self, at: Place) -> Page:
        """Taken back."""
        body = _told(escape(at.texts["undone"]), _p(self._fill(at, "undone_to")))
        body += _link(at.token, at.texts["unsubscribe"])
        return self._page(at, at.texts["undone_title"], body + self._choose_link(at))

    def barred(self, at: Place) -> Page:
        """Taken back; but something else stops these emails, and that is not changed here."""
        body = _told(escape(at.texts["barred"]), self._barred(at))
        return self._page(at, at.texts["barred"], body + self._choose_link(at))

    # Preferences: /p/TOKEN

    def streams(self, at: Place) -> Page:
        """Which streams shall come?"""
        texts, sub = at.texts, at.subscription
        ticks = "".join(
            _off(tag, _sentence(sentence), wanted=tag not in sub.stopped)
            if tag in sub.barred_streams
            else _tick("stream", tag, _sentence(sentence), ticked=tag not in sub.stopped)
            for tag, sentence in self._settings.streams.items()
        )
        note = self._barred(at) if sub.barred_streams else ""
        buttons = "" if sub.barred_streams.issuperset(self._settings.streams) else _button("choose", texts["save"])
        always = ""
        if not sub.all_mail:
            always = _always(texts)
            buttons += _button("stop_all", texts["stop_all"], "second")
        body = f"<h1>{self._fill(at, 'streams')}</h1>{_p(self._fill(at, 'streams_to'))}{note}" + _form(
            at.token,
            f"<fieldset><legend>{escape(texts['you_get'])}</legend>{ticks}</fieldset>{always}"
            f'<div class="row">{buttons}</div>',
        )
        return self._page(at, texts["streams_title"], body)

    def saved(self, at: Place) -> Page:
        """What was chosen, repeated: first what comes."""
        texts, sub = at.texts, at.subscription
        stopped = sub.stopped | sub.barred_streams
        comes = [sentence for tag, sentence in self._settings.streams.items() if tag not in stopped]
        stays_away = [sentence for tag, sentence in self._settings.streams.items() if tag in stopped]
        body = _told(escape(texts["saved"]), _p(self._fill(at, "saved_to")))
        body += f"<h2>{escape(texts['you_get'])}</h2>"
        body += _list(comes) if comes else _p(escape(texts["none"]))
        if stays_away:
            body += f"<h2>{escape(texts['you_do_not_get'])}</h2>{_list(stays_away)}"
        if sub.barred_streams:
            body += self._barred(at)
        if not sub.all_mail:
            body += f"<h2>{escape(texts['always'])}</h2>{_p(escape(texts['always_what']))}"
        body += _link(at.token, texts["change"])
        return self._page(at, texts["saved_title"], body)

    # Links that do not work, trouble of our own, and the root

    def expired(self, texts: Texts) -> Page:
        """A good token of a delivery that we have forgotten."""
        return self._plain(410, texts, texts["expired"], _p(escape(texts["expired_note"])))

    def broken(self, texts: Texts) -> Page:
        """Not a link of ours, or no longer whole: the same page for both."""
        said = _p(escape(texts["broken_note"])) + _p(escape(texts["broken_help"]))
        return self._plain(404, texts, texts["broken"], said)

    def trouble(self, texts: Texts) -> Page:
        """We could not save it, and say so."""
        said = _p(f"<strong>{escape(texts['not_saved'])}</strong>") + _p(escape(texts["trouble_help"]))
        return self._plain(503, texts, texts["trouble"], said, title=texts["trouble_title"])

    def root(self, texts: Texts) -> Page:
        """What this host is for."""
        names = list(dict.fromkeys(each.name for each in self._looks.values()))[:_MOST_SENDERS]
        said = _p(_fill(texts["root_senders"], senders=", ".join(names)) if names else escape(texts["root_note"]))
        if contact := self._settings.contact:
            link = f'<a href="mailto:{escape(contact)}">{escape(contact)}</a>'
            said += _p(escape(texts["abuse"]).replace("{contact}", link))
        return self._plain(200, texts, texts["root"], said)

    # Parts

    def _plain(self, status: int, texts: Texts, heading: str, said: str, *, title: str = "") -> Page:
        looks = {each.name: each for each in self._looks.values()}
        shown = Look()
        if len(looks) == 1:  # of several senders we cannot know which
            (only,) = looks.values()
            shown = replace(only, logo="")  # nor how deep the page stands, and so the way to a logo
        return shown.page(status, texts, title or heading, f"<h1>{escape(heading)}</h1>{said}")

    def _page(self, at: Place, title: str, body: str) -> Page:
        return self._look(at.subscription.sender_domain).page(200, at.texts, title, body)

    def _fill(self, at: Place, key: str, **more: str) -> str:
        """A text as HTML, with what belongs to the place filled in."""
        return _fill(
            at.texts[key],
            address=masked(at.subscription.recipient),
            sender=self._look(at.subscription.sender_domain).name,
            stream=self._stream(at.subscription.tag),
            **more,
        )

    def _look(self, domain: str) -> Look:
        """What people know, of the domain or of the nearest above it; else the domain is the name."""
        domain = domain.lower()
        above = domain
        while above:
            if known := self._looks.get(above):
                return known
            above = above.partition(".")[2]
        return Look(domain)

    def _stream(self, tag: str) -> str:
        """A stream's name. A tag that is no stream is the application's own word, and not for people."""
        return _NOTE.split(self._settings.streams.get(tag, ""), maxsplit=1)[0]

    def _choose_link(self, at: Place) -> str:
        if not self._settings.streams:
            return ""
        return _link(f"../p/{at.token}", at.texts["choose"])

    def _barred(self, at: Place) -> str:
        return _p(self._fill(at, "barred_to")) + _p(self._fill(at, "too_late"), "soft")

    def _undo(self, at: Place) -> str:
        return _form(at.token, _p(escape(at.texts["undo_note"])) + _button("undo", at.texts["undo"], "second"))


def masked(address: str) -> str:
    """a•••@gmail.com: its owner knows it again, and nobody else learns it. The dots do not tell the length."""
    local, _, domain = address.rpartition("@")
    return f"{local[0] if len(local) > 1 else ''}•••@{domain}"


def _fill(text: str, **values: str) -> str:
    """`bdi`: an address or a name keeps its own direction of writing."""
    return escape(text).format_map({name: f"<bdi>{escape(value)}</bdi>" for name, value in values.items()})


def _p(html: str, kind: str = "") -> str:
    return f'<p class="{kind}">{html}</p>' if kind else f"<p>{html}</p>"


def _link(to: str, text: str) -> str:
    return _p(f'<a href="{escape(to)}">{escape(text)}</a>', "go")


def _told(heading: str, said: str) -> str:
    """What came of it: read out at once, and where the keyboard begins."""
    return f'<div role="status"><h1 tabindex="-1" autofocus>{heading}</h1>{said}</div>'


def _form(token: str, inside: str) -> str:
    return f'<form method="post" action="{escape(token)}">{inside}</form>'


def _button(do: str, text: str, kind: str = "first") -> str:
    return f'<button class="{kind}" name="do" value="{do}">{escape(text)}</button>'


def _tick(name: str, value: str, html: str, *, ticked: bool = False) -> str:
    checked = " checked" if ticked else ""
    return f'<label><input type="checkbox" name="{name}" value="{escape(value)}"{checked}><span>{html}</span></label>'


def _off(stream: str, html: str, *, wanted: bool) -> str:
    """A stream that does not come, whatever is ticked. Saving the page keeps what its recipient wanted of it."""
    kept = f'<input type="hidden" name="stream" value="{escape(stream)}">' if wanted else ""
    return f'<label class="off"><input type="checkbox" disabled><span>{html}</span></label>{kept}'


def _sentence(sentence: str) -> str:
    name, *note = _NOTE.split(sentence, maxsplit=1)
    return escape(name) + "".join(f"<small>{escape(each)}</small>" for each in note)


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_sentence(each)}</li>" for each in sentences) + "</ul>"


def _always(texts: Texts) -> str:
    return (
        f'<fieldset><legend>{escape(texts["always"])}</legend><label class="off">'
        '<input type="checkbox" checked disabled>'
        f"<span>{escape(texts['always_what'])}<small>{escape(texts['always_why'])}</small></span></label></fieldset>"
    )


def _why(at: Place) -> str:
    choices = "".join(
        f'<label><input type="radio" name="reason" value="{each}" required>'
        f"<span>{escape(at.texts['why_' + each])}</span></label>"
        for each in REASONS
    )
    inside = f"<fieldset><legend>{escape(at.texts['why'])}</legend>{choices}</fieldset>"
    return _form(at.token, inside + _button("reason", at.texts["send"], "second"))
