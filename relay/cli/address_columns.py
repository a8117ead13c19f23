"""What the columns of other people's lists mean: address, reason, tag, time, and what a server said.

Pure: a row (names to values) in, `Found`, `Skipped` or `Bad` out. Columns are known by name, whatever their order; a
service is known by the columns that its files have (`_FORMS`), and where these alone say why an address is there,
they are the reason.

Rules. An address that holds an unreadable or invisible character protects nobody: it is `Bad`. Only proof about the
address makes a hard bounce: a row with a server's reply is judged as replies to our own mail are (`suppression`), and
what proves nothing is `Skipped`. Our own export has been judged already. A row with several tags is several entries.
Standards: RFC 3463, RFC 5321 4.2 (what `suppression.replies` reads).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from relay.address import AddressError, parse_address
from relay.reply import printable
from suppression.entry import Reason
from suppression.replies import classify
from suppression.rules import Inactive, consequence

# What a column is, by its name in small letters and digits alone.
_ADDRESS = ("address", "email", "emailaddress", "recipient", "mail", "destination")
_REASON = ("reason", "suppressionreason", "type", "suppressiontype", "category")
_TAGS = ("tags", "tag")
_SINCE = (
    "addedat",
    "addedts",
    "created",
    "createdat",
    "bouncedat",
    "lastupdatetime",
    "lastupdate",
    "timestamp",
    "date",
)
_EXPIRES = ("expiresat", "expires", "expirests")
_REPLY = ("reply", "error", "details", "description", "diagnostic", "diagnosticcode", "message")
_STATUS = ("status", "code", "enhancedcode")
_NOTE = ("note", "notes", "comment", "remark")
_SOURCE = ("source", "origin")

_OURS = "mailtrail suppression export"
# Columns → whose they are, and the reason that they alone tell. The first that are all there, `only`: and no others.
_FORMS: tuple[tuple[frozenset[str], bool, str, Reason | None], ...] = (
    (frozenset(("address", "scope", "reason", "source", "addedat")), False, _OURS, None),
    (frozenset(("emailaddress", "suppressionreason")), False, "Postmark", None),
    (frozenset(("emailaddress", "reason", "createdat")), False, "Postmark", None),
    (frozenset(("emailaddress", "reason", "lastupdatetime")), False, "Amazon SES", None),
    (frozenset(("emailaddress", "reason")), True, "Amazon SES", None),
    (frozenset(("email", "created", "status", "reason")), False, "SendGrid, bounces or blocks", None),
    (frozenset(("email", "created", "ip")), True, "SendGrid, spam reports", "complaint"),
    (frozenset(("email", "groupid")), False, "SendGrid, unsubscribes of a group", "unsubscribe"),
    (frozenset(("email", "created")), True, "SendGrid, unsubscribes", "unsubscribe"),
    (frozenset(("address", "code", "error")), False, "Mailgun, bounces", None),
    (frozenset(("address", "tags")), False, "Mailgun, unsubscribes", "unsubscribe"),
)

# What others call the reasons. Our own words are known too.
_REASONS: Mapping[str, Reason] = {
    **dict.fromkeys(("hardbounce", "hard", "bounce", "bounced", "bounces", "permanent"), "hard_bounce"),
    **dict.fromkeys(("complaint", "complaints", "complained", "spamcomplaint", "spamreport", "abuse"), "complaint"),
    **dict.fromkeys(("spamnotification", "fbl"), "complaint"),
    **dict.fromkeys(("unsubscribe", "unsubscribed", "unsubscribes", "unsubscription", "optout"), "unsubscribe"),
    **dict.fromkeys(("groupunsubscribe", "globalunsubscribe"), "unsubscribe"),
    **dict.fromkeys(("manual", "manualsuppression", "manuallydeactivated", "customer", "blocklist"), "manual"),
    **dict.fromkeys(("invalid", "invalidemail", "bademailaddress", "invalidemailaddress"), "invalid"),
    "spam": "spam",
}
_SAYS_HARD = frozenset(("hardbounce", "hard", "permanent"))  # their word counts where the reply says nothing

# Kinds of trouble that prove nothing about an address: such rows are left out.
_NO_PROOF = frozenset(
    (
        *("soft", "softbounce", "transient", "temporary", "deferred", "delayed", "block", "blocked", "dnserror"),
        *("undetermined", "unknown", "autoresponder", "addresschange", "challengeverification", "virusnotification"),
        *("smtpapierror", "inboundrecipientfilter", "dmarcpolicy", "templaterenderingfailed", "delivered", "sent"),
        *("subscribe", "subscribed", "active", "pending", "valid"),
    )
)

_WORD = re.compile(r"[^a-z0-9]")
_MILLISECONDS = 1e11  # more than this are no seconds: the year 5138
_JOINERS = "\u200c\u200d"  # invisible, and needed between letters of some scripts


@dataclass(frozen=True, slots=True)
class Found:
    """One address. What the list does not say is None or ""."""

    where: str  # "line 17"
    address: str
    reason: Reason | None = None  # what the row says
    scope: str = ""
    since: float | None = None  # Unix seconds
    expires_at: float | None = None
    reply: str = ""
    note: str = ""
    source: str = ""
    implied: Reason | None = None  # what its columns tell, where the row says nothing
    form: str = field(default="", compare=False)  # whose columns these are, in words


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row about which nothing is wrong, and which is no reason to suppress. `row`: what it would be for a person."""

    where: str
    text: str
    why: str
    row: Found | None = None  # None: not even a person's word makes one of it
    form: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that is no address."""

    where: str
    text: str
    why: str


Row = Found | Skipped | Bad


def name_of(text: str) -> str:
    """The name of a column, as the tables here have it."""
    return _WORD.sub("", text.lower())


def names_an_address(name: str) -> bool:
    """Is this the column of the addresses?"""
    return name in _ADDRESS


def bare(where: str, values: list[str]) -> Row:
    """A row without names: the address, and perhaps one word for the reason (as Amazon SES exports it)."""
    said = values[1].strip() if len(values) > 1 else ""
    if name_of(said) in _NO_PROOF:
        return Skipped(where, values[0][:80], f"{said!r} is no proof about the address", form="addresses and reasons")
    reason = _REASONS.get(name_of(said))
    form = "addresses and reasons" if reason else "addresses"
    return checked(Found(where, values[0], reason=reason, form=form))


def rows(where: str, given: Mapping[str, object], inactive: Inactive) -> Iterator[Row]:
    """What a row with names says: an entry for each of its tags.

    `inactive` is the setting for mailboxes that are closed.
    """
    form, implied = _form(given)
    row = {name: _text(value) for name, value in given.items()}
    written = next((given[name] for name in _ADDRESS if row.get(name)), "")
    for address in map(_text, written if isinstance(written, list) else [written]):
        for scope in _scopes(given):
            yield _row(Found(where, address, scope=scope, implied=implied, form=form), row, inactive)


def _form(names: Mapping[str, object]) -> tuple[str, Reason | None]:
    """Whose columns these are, and what they tell."""
    for columns, only, whose, reason in _FORMS:
        if columns <= names.keys() and (not only or columns == names.keys()):
            return whose, reason
    return f"columns {', '.join(names)}", None


def _scopes(given: Mapping[str, object]) -> list[str]:
    """The scopes of a row: "" is all mail. Ours is one tag as it is written; that of others may be a list."""
    if scope := _text(given.get("scope")):
        return ["" if scope == "*" else scope]
    tags = next((tags for name in _TAGS if (tags := _tags(given.get(name)))), [])
    return list(dict.fromkeys(tags)) if tags and "*" not in tags else [""]


def _tags(value: object) -> list[str]:
    """Tags as a list, as JSON writes one (`["weekly"]`), or as people do (`[weekly, news]`)."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = [part.strip(" '\"") for part in str(value).strip(" []").split(",")]
    tags = value if isinstance(value, list) else [value]
    return [text for tag in tags if (text := _text(tag))]


def _text(value: object) -> str:
    """A value as text; of a list its first."""
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value).strip()


def _row(start: Found, row: Mapping[str, str], inactive: Inactive) -> Row:
    """`start` with everything else that the row says."""

    def first(names: Iterable[str]) -> str:
        return next((row[name] for name in names if row.get(name)), "")

    said, status = first(_REASON), first(_STATUS)
    if not re.search(r"\d", status):  # no code, but a word
        said, status = said or status, ""
    word = name_of(said)
    reason = _REASONS.get(word)
    if word in _NO_PROOF:
        return Skipped(start.where, start.address[:80], f"{said!r} is no proof about the address", form=start.form)
    if said and reason is None and not re.search(r"[\s\d]", said):
        return Bad(start.where, start.address[:80], f"unknown reason {said[:40]!r}")
    # Some call the server's words the reason.
    text = first(_REPLY) or ("" if reason else said)
    found = checked(
        replace(
            start,
            reason=reason,
            since=_time(first(_SINCE)),
            expires_at=_time(first(_EXPIRES)),
            reply=printable(text if status in text else f"{status} {text}".strip()),
            note=printable(first(_NOTE)),
            source=printable(first(_SOURCE)),
        )
    )
    if not isinstance(found, Found) or not found.reply or reason not in (None, "hard_bounce") or found.form == _OURS:
        return found
    return _judged(found, inactive, sure=word in _SAYS_HARD)


def _judged(found: Found, inactive: Inactive, *, sure: bool) -> Row:
    """A bounce, by what its reply proves. `sure`: they call it a hard one, and no rule of ours says otherwise."""
    judgement = classify(found.reply)
    hard = consequence(judgement, inactive=inactive).status == "hard_bounce"
    if hard or (sure and judgement.cls == "unclassified"):
        return replace(found, reason="hard_bounce")
    short = found.reply if len(found.reply) <= 80 else found.reply[:79] + "…"
    why = f'"{short}" is no proof that the address is dead ({judgement.cls})'
    return Skipped(found.where, found.address, why, replace(found, reason=None), found.form)


def checked(found: Found) -> Found | Bad:
    """The row with its address alone, if that is one."""
    address = found.address.strip()
    if address.endswith(">") and "<" in address:
        address = address[address.rindex("<") + 1 : -1]  # Ada <ada@example.org>
    for text in (address, found.scope):
        if any(not (c.isprintable() or c in _JOINERS) or c == "\ufffd" for c in text):
            why = "it has a character that cannot be read: save the list as UTF-8"
            return Bad(found.where, printable(text)[:80], why)
    try:
        parse_address(f"x{address}" if address.startswith("@") else address)
    except AddressError as error:
        return Bad(found.where, found.address[:80], str(error))
    return replace(found, address=address)


def _time(text: str) -> float | None:
    """Unix seconds or milliseconds, ISO 8601, or RFC 5322; None: none of these."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return _date(text)
    return (number / 1000 if number > _MILLISECONDS else number) if 0 < number < 1e15 else None


def _date(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, IndexError, OverflowError):
            return None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return None
