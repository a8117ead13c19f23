"""`[dkim."example.com"]`: domains and the keys that sign for them, as the configuration file writes them.

A domain has one table with `selector` and `key_file`, or several (`[[dkim."example.com"]]`): an RSA and an
Ed25519 key, for instance, which then both sign. Every key is read and tried here, so that a wrong one is told
by `config check` and not by the first message. All problems are reported, each under its own key.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relay.config import DkimKey
from relay.config_addresses import Report, by_domain
from relay.config_values import PATH, Kind, quoted, text


def _selector(value: object) -> str:
    # RFC 6376 3.1: a selector is made of labels, with dots between.
    written = text(value)
    label = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
    if not re.fullmatch(rf"{label}(?:\.{label})*", written):
        raise ValueError(f'"{written}" is no selector: letters, digits and hyphens, like "s2026"')
    return written.lower()


KEYS: dict[str, Kind] = {"selector": Kind(_selector, quoted), "key_file": PATH}


def read_keys(value: object, key: str, base: Path, report: Report) -> tuple[DkimKey, ...]:
    """The keys in `value`; relative files are seen from the directory `base`."""
    if not isinstance(value, dict):
        report(key, f'should be a section for each domain: [{key}."example.com"]')
        return ()
    keys: list[DkimKey] = []
    for domain, own_key, tables in by_domain(value, key, report):
        for table in tables if isinstance(tables, list) and tables else [tables]:
            found = _key(domain, table, own_key, base, report)
            if found is not None and any((found.domain, found.selector) == (one.domain, one.selector) for one in keys):
                report(f"{own_key}.selector", f'"{found.selector}" is there twice. Every key has its own')
            elif found is not None:
                keys.append(found)
    return tuple(keys)


def _key(domain: str, table: object, key: str, base: Path, report: Report) -> DkimKey | None:
    """One key that can sign, or None and what is wrong with it."""
    if not isinstance(table, dict):
        report(key, 'should be a table with selector and key_file: { selector = "s2026", key_file = "s2026.pem" }')
        return None
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in KEYS:
            report(f"{key}.{name}", "unknown key. There is " + ", ".join(KEYS))
            continue
        try:
            values[name] = KEYS[name].read(value)
        except ValueError as error:
            report(f"{key}.{name}", str(error))
    for name in KEYS:
        if name not in table:
            report(key, f"has no {name}")
    if len(values) < len(KEYS):
        return None
    found = DkimKey(domain, values["selector"], base / values["key_file"])
    wrong = _tried(found)
    if wrong:
        report(f"{key}.key_file", wrong)
    return None if wrong else found


def _tried(key: DkimKey) -> str:
    """Why this key cannot sign; empty if it can."""
    from relay.compose.signature import signer  # here, because `cryptography` takes its time and few commands need it

    try:
        signer(key.domain, key.selector, key.key_file.read_bytes())
    except OSError as error:
        return f"{key.key_file} cannot be read: {error.strerror}"
    except ValueError as error:
        return f"{key.key_file} is no key to sign with: {error}"
    return ""


def show_keys(keys: Sequence[DkimKey]) -> list[str]:
    """The keys as lines of TOML."""
    lines = []
    for key in keys:
        lines += [f"\n[[dkim.{quoted(key.domain)}]]", f"selector = {quoted(key.selector)}"]
        lines.append(f"key_file = {quoted(key.key_file)}")
    return lines
