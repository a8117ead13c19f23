"""How `mailtrail domain` shows keys and DNS records: for people, for zone files and for programs."""

from collections.abc import Sequence
from typing import Any

from relay.cli import wording
from relay.cli.screen import Column, Listing, Screen
from relay.config import Config
from relay.key_record import bind_line, record
from relay.signing_key import KEEP_RECORD, SigningKey, State

LISTING = Listing(
    "domain.list",
    (
        Column("DOMAIN", "domain"),
        Column("SIGNS WITH", "active"),
        Column("WAITING", "waiting"),
        Column("RETIRED", "retired", wide=True),
        Column("FROM", "source"),
    ),
    "domain",
)


def kind(key: SigningKey) -> str:
    """`RSA`, `Ed25519`."""
    return "RSA" if key.algorithm.kind == "rsa" else "Ed25519"


def names(keys: Sequence[SigningKey]) -> str:
    """`s202611 (RSA) and e202611 (Ed25519)`."""
    return " and ".join(f"{key.selector} ({kind(key)})" for key in keys)


def state(key: SigningKey, screen: Screen) -> str:
    """What the key does, and what is to be done about it."""
    since = wording.moment(key.state_at, screen.zone)
    if key.state is State.ACTIVE:
        return f"signs since {since}"
    if key.state is State.WAITING:
        return f"waits for its DNS record since {since}"
    free = key.state_at + KEEP_RECORD
    if screen.now < free:
        return f"retired {since}; leave its record in the DNS until {wording.moment(free, screen.zone)}"
    return f"retired {since}; its record may be taken out of the DNS: {key.record_name}"


def row(domain: str, keys: Sequence[SigningKey], *, configured: bool) -> dict[str, Any]:
    """A domain in the list."""
    by_state = {one: " ".join(key.selector for key in keys if key.state is one) for one in State}
    return {
        "domain": domain,
        **{one.value: selectors for one, selectors in by_state.items()},
        "source": "configuration" if configured else "database",
    }


def public(key: SigningKey) -> dict[str, Any]:
    """A key as JSON shows it: everything but its private half."""
    removable = key.state_at + KEEP_RECORD if key.state is State.RETIRED else None
    return {
        "selector": key.selector,
        "algorithm": key.algorithm.kind,
        "state": key.state.value,
        "record": {
            "name": key.record_name,
            "type": "TXT",
            "value": record(key),
            "zone": bind_line(key.record_name, record(key)),
        },
        "created_at": wording.rfc3339(key.created_at),
        "state_at": wording.rfc3339(key.state_at),
        "seen_at": wording.rfc3339(key.seen_at),
        "record_removable_at": wording.rfc3339(removable),
    }


def advice(domain: str, config: Config) -> list[dict[str, str]]:
    """The records beside the keys.

    Who may send for the domain, and what receivers should do about others; where bounces come back to a domain of their
    own, the way there and who may send for that one: its name is the envelope sender of all mail.
    """
    records = [
        _spf(domain, config.hostname),
        {
            "purpose": "DMARC",
            "name": f"_dmarc.{domain}",
            "type": "TXT",
            "value": f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}",
        },
    ]
    if bounces := bounce_domain(config):
        records.append({"purpose": "MX", "name": bounces, "type": "MX", "value": f"10 {config.hostname}."})
        records += [_spf(bounces, config.hostname)] * (bounces != domain)
    return records


def bounce_domain(config: Config) -> str:
    """The domain of our bounces, if the DNS has to know of it: that of the sandbox is nobody's."""
    return "" if config.sandbox else config.inbound.bounce_domain


def _spf(domain: str, hostname: str) -> dict[str, str]:
    return {"purpose": "SPF", "name": domain, "type": "TXT", "value": f"v=spf1 a:{hostname} ~all"}


def show_zone(screen: Screen, keys: Sequence[SigningKey]) -> None:
    """The records of all keys that sign or wait, a line each."""
    for key in keys:
        if key.state is not State.RETIRED:
            screen.line(bind_line(key.record_name, record(key)))


def show_records(screen: Screen, domain: str, keys: Sequence[SigningKey]) -> None:
    """The same, for a zone file and for the web page of a DNS provider."""
    for key in keys:
        if key.state is State.RETIRED:
            continue
        screen.line(f"; DKIM: zone file of {domain}")
        screen.line(bind_line(key.record_name, record(key)))
        screen.line("; the same for a web page")
        screen.line(f"Name   {key.record_name}")
        screen.line("Type   TXT")
        screen.line(f"Value  {record(key)}")
        screen.line()


def show_advice(screen: Screen, domain: str, config: Config) -> None:
    """The records beside the keys, in a line each."""
    for one in advice(domain, config):
        value = one["value"] if one["type"] == "MX" else f'"{one["value"]}"'
        which = " for bounces, once for all domains" if one["name"] == bounce_domain(config) else ""
        unless = {"SPF": f", or put a:{config.hostname} into the one that is there", "DMARC": ", unless there is one"}
        record = f"{one['name']} {one['type']} {value}{unless.get(one['purpose'], '')}"
        screen.line(f"; {one['purpose']}{which}: {record}")
    screen.note(f"Next: mailtrail domain check {domain}")
