"""Bounces without a machine-readable part: what mail servers tell people, read for recipients and diagnostics.

Not reports with RFC 3464 fields (`status_report`), not the judgement of a diagnostic (`replies`).

A family is a file with one function, `read(notice) -> list[Recipient]`: empty when the notice is not of that family, or
says nothing that it understands. The first family that finds somebody is believed; those that know no server's ways
(`general`, `elsewhere`) are asked last.
"""

from collections.abc import Callable
from dataclasses import replace

from suppression.found import Recipient, line
from suppression.letter import Letter
from suppression.prose import (
    causes,
    elsewhere,
    exchange,
    exim,
    general,
    groupware,
    known,
    languages,
    lists,
    paragraphs,
    sendmail,
)
from suppression.prose.form import verdict
from suppression.prose.notice import Notice, prepared

FAMILIES: tuple[Callable[[Notice], list[Recipient]], ...] = (
    lists.read,
    known.read,
    exim.read,
    sendmail.read,
    exchange.read,
    groupware.read,
    paragraphs.read,
    languages.read,
    general.read,
    elsewhere.read,
)


def read(letter: Letter) -> list[Recipient]:
    """The recipients that a bounce in prose names; [] when it is none, or names nobody."""
    words = prepared(letter)
    recipients = next((found for family in FAMILIES if (found := family(words))), [])
    names = {one.address for one in recipients}
    if len(recipients) == 1 and recipients[0].diagnostic:
        return [_explained(recipients[0], words)]
    # A server that gives no reason has at least said that it failed.
    return [
        one if one.diagnostic else replace(one, diagnostic=line(causes.sentence(words.text, names - {one.address})))
        for one in recipients
    ]


def _explained(one: Recipient, words: Notice) -> Recipient:
    """Where its words give no cause, the plainest sentence of the notice does, if that is more than a guess."""
    if causes.weight(one.diagnostic, one.status, one.mta):
        return one
    said = causes.sentence(words.text)
    if causes.hedged(said) or causes.weight(said) < 2:
        return one
    return verdict(one.address, said, one.action, one.also)


def sentence(letter: Letter) -> str:
    """What a bounce that names nobody says of its cause; "" when it says none."""
    return causes.sentence(prepared(letter).text)
