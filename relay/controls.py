"""Header fields an application speaks to us with: which they are, and what they ask for. Pure.

Ours are `X-Mailtrail-*`; those of other services (Postmark, Mailgun, SendGrid, SparkPost, Mandrill, Amazon
SES) are understood where they say the same, so that an application can move here without a change. None of
them ever leaves the relay (`is_control`): they would tell strangers the application's business.

Rules. `read` folds all fields of a message into one `Wishes`; "no" in any of them wins, in whatever order
they stand. A value that nobody defined means nothing. Values are cut off at 64 KiB; JSON that is broken or
nested too deep means nothing. Nothing here raises.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_VALUE = 64 * 1024  # octets of a field's value that are read

# Whole families: a misspelt one of ours would else carry the application's metadata to strangers.
_FAMILIES = ("x-mailtrail-", "x-pm-track", "x-pm-metadata-", "x-mailgun-", "x-mc-")
_SINGLE = frozenset(
    {
        "x-pm-tag",
        "x-pm-message-stream",
        "x-smtpapi",
        "x-msys-api",
        "x-ses-configuration-set",
        "x-ses-message-tags",
        "x-ses-list-management-options",
        "x-ses-source-arn",
        "x-ses-from-arn",
        "x-ses-return-path-arn",
    }
)


def is_control(name: str) -> bool:
    """Is a field of this name (in any case) meant for the relay alone?"""
    name = name.lower()
    return name.startswith(_FAMILIES) or name in _SINGLE


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for, each: yes, no, or not a word about it (None)."""

    opens: bool | None = None
    clicks: bool | None = None
    unsubscribe: bool | None = None

    def __and__(self, other: "Wishes") -> "Wishes":
        """Both together: "no" wins over "yes", and "yes" over silence."""
        return Wishes(
            _both(self.opens, other.opens),
            _both(self.clicks, other.clicks),
            _both(self.unsubscribe, other.unsubscribe),
        )


SILENCE = Wishes()


def read(fields: Iterable[tuple[bytes, bytes]]) -> Wishes:
    """What these fields (name in lower case, value as it stands) ask for together."""
    wishes = SILENCE
    for name, value in fields:
        reader = READERS.get(name)
        if reader is not None:
            said = value[:MAX_VALUE].replace(b"\r\n", b"").decode("utf-8", "replace").strip()
            wishes &= reader(said)
    return wishes


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is None or other is None:
        return other if one is None else one
    return one and other


# --- what the values mean ------------------------------------------------------------------------------------

_YES_OR_NO = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}

# Clicks are tracked in HTML parts only: "HTML only" is a yes, "text only" leaves nothing.
_LINKS = {"none": False, "textonly": False, "htmlonly": True, "htmlandtext": True} | _YES_OR_NO
_MC_CLICKS = {"clicks": True, "clicks_all": True, "clicks_htmlonly": True, "clicks_textonly": False}


def _opens(value: str) -> Wishes:
    return Wishes(opens=_YES_OR_NO.get(value.lower()))


def _clicks(value: str) -> Wishes:
    return Wishes(clicks=_LINKS.get(value.lower()))


def _opens_and_clicks(value: str) -> Wishes:
    said = _LINKS.get(value.lower())
    return Wishes(opens=said, clicks=said)


def _unsubscribe(value: str) -> Wishes:
    return Wishes(unsubscribe=_YES_OR_NO.get(value.lower()))


def _smtpapi(value: str) -> Wishes:
    """SendGrid: {"filters": {"opentrack": {"settings": {"enable": 0}}}}."""
    filters = _inside(_json(value), "filters")
    return Wishes(
        opens=_enabled(filters, "opentrack"),
        clicks=_enabled(filters, "clicktrack"),
        unsubscribe=_enabled(filters, "subscriptiontrack"),
    )


def _msys(value: str) -> Wishes:
    """SparkPost: {"options": {"open_tracking": false}}."""
    options = _inside(_json(value), "options")
    return Wishes(opens=_flag(options.get("open_tracking")), clicks=_flag(options.get("click_tracking")))


def _mc_track(value: str) -> Wishes:
    """Mandrill: a list of what is to be tracked. What a list does not name is not wanted."""
    words = {word.strip() for word in value.lower().split(",")}
    clicks = [said for word, said in _MC_CLICKS.items() if word in words]
    if not clicks and "opens" not in words:
        return SILENCE
    return Wishes(opens="opens" in words, clicks=any(clicks))


# Every field that is read, and by whom. The tag and metadata, which ask for nothing, are read in relay/accept.
READERS: Mapping[bytes, Callable[[str], Wishes]] = {
    b"x-mailtrail-track-opens": _opens,
    b"x-mailtrail-track-clicks": _clicks,
    b"x-mailtrail-unsubscribe": _unsubscribe,
    b"x-pm-trackopens": _opens,
    b"x-pm-tracklinks": _clicks,
    b"x-mailgun-track": _opens_and_clicks,
    b"x-mailgun-track-opens": _opens,
    b"x-mailgun-track-clicks": _clicks,
    b"x-smtpapi": _smtpapi,
    b"x-msys-api": _msys,
    b"x-mc-track": _mc_track,
}


# --- JSON as others write it ---------------------------------------------------------------------------------


def _json(value: str) -> dict[str, Any]:
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _inside(table: dict[str, Any], name: str) -> dict[str, Any]:
    inner = table.get(name)
    return inner if isinstance(inner, dict) else {}


def _enabled(filters: dict[str, Any], name: str) -> bool | None:
    return _flag(_inside(_inside(filters, name), "settings").get("enable"))


def _flag(value: object) -> bool | None:
    """true, 1, "1" and so on; anything else says nothing."""
    return _YES_OR_NO.get(str(value).lower()) if isinstance(value, bool | int | str) else None
