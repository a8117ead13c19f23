"""`tracking.senders` and `tracking.texts`: whose pages recipients see, and in which words.

A From domain is a name, or a table with name, colour and logo. Logos and texts are files; they are read and checked
here, so that a wrong one is told by `config check` and a lost one harms nobody before the next start or reload. All
problems are reported, each under its own key.
"""

from pathlib import Path
from typing import Any

from relay.config import Tracking
from relay.config_addresses import Report, by_domain
from relay.config_values import PATH, TEXT, Kind, quoted, table_of, text
from tracker import colour
from tracker.language import OwnTexts
from tracker.sender import Logo, Sender

KEYS: dict[str, Kind] = {
    "name": TEXT,
    "colour": Kind(lambda value: colour.parse(text(value)), quoted),
    "logo": PATH,
}


def read_senders(value: object, key: str, base: Path, report: Report) -> dict[str, Sender]:
    """The senders in `value`, by domain in small letters; relative files are seen from the directory `base`."""
    try:
        table = table_of(value, '{ "example.com" = "Example Shop" }')
    except ValueError as error:
        report(key, str(error))
        return {}
    senders: dict[str, Sender] = {}
    for domain, own_key, said in by_domain(table, key, report):
        if domain in senders:
            report(own_key, f"is there twice. {domain} can be known by one name")
        elif found := _sender(said, own_key, base, report):
            senders[domain] = found
    return senders


def _sender(said: object, key: str, base: Path, report: Report) -> Sender | None:
    """One sender, or None and what is wrong with him."""
    table = said if isinstance(said, dict) else {"name": said}
    values: dict[str, Any] = {}
    for name, value in table.items():
        own_key = f"{key}.{name}" if said is table else key
        if name not in KEYS:
            report(own_key, f"unknown key. A sender has {', '.join(KEYS)}")
            continue
        try:
            values[name] = KEYS[name].read(value)
            if name == "logo":
                values[name] = Logo.read(base / values[name])
        except ValueError as error:
            report(own_key, str(error))
        except OSError as error:
            report(own_key, f"{error.filename} cannot be read: {error.strerror}")
    if "name" not in table:
        report(key, "has no name")
    return Sender(**values) if values.keys() == table.keys() and "name" in values else None


def read_texts(value: object, key: str, base: Path, report: Report) -> OwnTexts | None:
    """The texts in the file that `value` names; None: there are none, or they cannot be shown."""
    if value is None:
        return None
    from tracker.texts import BadTexts, read_own  # here, because it reads our texts, and few commands need them

    try:
        return read_own(base / PATH.read(value))
    except ValueError as error:
        report(key, str(error))
    except OSError as error:
        report(key, f"{error.filename} cannot be read: {error.strerror}")
    except BadTexts as error:
        for problem in error.problems:
            report(key, f"{value}: {problem}")
    return None


def show_pages(tracking: Tracking) -> list[str]:
    """The senders and the file of texts as lines of TOML."""
    senders = ", ".join(f"{quoted(domain)} = {_shown(sender)}" for domain, sender in tracking.senders.items())
    lines = [f"senders = {{ {senders} }}" if senders else "senders = {}"]
    return [*lines, f"texts = {quoted(tracking.texts.file)}"] if tracking.texts else lines


def _shown(sender: Sender) -> str:
    if sender.colour is None and sender.logo is None:
        return quoted(sender.name)
    pairs = {"name": sender.name, "colour": sender.colour, "logo": sender.logo and sender.logo.file}
    return "{ " + ", ".join(f"{key} = {quoted(value)}" for key, value in pairs.items() if value is not None) + " }"
