"""All that the configuration file can say: section by section, each key and the kind of its value.

Keys bear the names of the fields in `relay/config.py` (but `database.url`, which is `database_url`
there); defaults and units stand there too. Routes, DKIM keys and senders, which are tables of names that nobody
knows beforehand, are read by `relay/config_routes.py`, `relay/config_dkim.py` and `relay/config_pages.py`, and so
are the pages' texts. The same table writes a configuration down again (`to_toml`).
"""

from collections.abc import Mapping
from typing import Any

from relay import config_addresses as addresses
from relay import config_values as kinds
from relay.config import Config, Retention, Timeouts
from relay.config_dkim import show_keys
from relay.config_pages import show_pages
from relay.config_routes import show_routes
from relay.config_values import Kind

_MANY = 10_000_000

SCHEMA: Mapping[str, Mapping[str, Kind]] = {
    "": {
        "hostname": addresses.HOST_NAME,
        "data_dir": kinds.PATH,
        "workers": kinds.count(0, 1000),
        "grace": kinds.DURATION,
    },
    "database": {"url": kinds.DATABASE_URL},
    "submission": {
        "listen": addresses.ENDPOINTS,
        "listen_tls": addresses.ENDPOINTS,
        "tls_certificate": kinds.PATH,
        "tls_key": kinds.PATH,
        "trusted_networks": addresses.TRUSTED_NETWORKS,
        "max_message_size": kinds.SIZE,
        "max_recipients": kinds.count(1, 100_000),
        "max_header_size": kinds.SIZE,
        "max_received": kinds.count(1, 1000),
        "max_sessions": kinds.count(1, _MANY),
        "max_sessions_per_client": kinds.count(1, _MANY),
        "max_errors": kinds.count(1, 1000),
        "command_timeout": kinds.SOME_TIME,
        "data_timeout": kinds.SOME_TIME,
        "min_data_rate": kinds.count(0, _MANY),
        "memory": kinds.SIZE,
        "hide_client_address": kinds.BOOLEAN,
    },
    "inbound": {
        "listen": addresses.ENDPOINTS,
        "bounce_domain": addresses.HOST_NAME_OR_NONE,
        "forward_to": addresses.MAILBOX_OR_NONE,
        "max_message_size": kinds.SIZE,
        "max_recipients": kinds.count(1, 100_000),
        "max_sessions": kinds.count(1, _MANY),
        "max_sessions_per_client": kinds.count(1, _MANY),
        "max_errors": kinds.count(1, 1000),
        "command_timeout": kinds.SOME_TIME,
        "data_timeout": kinds.SOME_TIME,
        "min_data_rate": kinds.count(0, _MANY),
        "memory": kinds.SIZE,
    },
    "dns": {
        "nameservers": addresses.NAME_SERVERS,
        "timeout": kinds.SOME_TIME,
        "max_ttl": kinds.DURATION,
        "failure_ttl": kinds.DURATION,
    },
    "delivery": {
        "port": kinds.count(1, 65535),
        "allow_private_destinations": kinds.BOOLEAN,
        "ipv6": kinds.BOOLEAN,
        "lifetime": kinds.SOME_TIME,
        "retry": kinds.RETRY_TABLE,
        "delay_warning": kinds.DURATION,
        "lease": kinds.SOME_TIME,
        "connections_per_destination": kinds.count(1, 10_000),
        "messages_per_connection": kinds.count(1, _MANY),
        "idle": kinds.DURATION,
        "max_in_hand": kinds.count(1, _MANY),
    },
    "delivery.timeouts": dict.fromkeys(Timeouts.__slots__, kinds.SOME_TIME),
    "tracking": {
        "listen": addresses.ENDPOINTS,
        "base_url": addresses.BASE_URL,
        "tls_certificate": kinds.PATH,
        "tls_key": kinds.PATH,
        "trusted_proxies": addresses.TRUSTED_PROXIES,
        "opens": kinds.BOOLEAN,
        "clicks": kinds.BOOLEAN,
        "plain_text": kinds.choice("add_html", "leave"),
        "visible_urls": kinds.BOOLEAN,
        "hidden_link": kinds.BOOLEAN,
        "client_address": kinds.choice("whole", "shortened", "none"),
        "respect_do_not_track": kinds.BOOLEAN,
        "contact": addresses.MAILBOX_OR_NONE,
        "streams": kinds.SENTENCES,
    },
    "suppression": {
        "consecutive_soft_bounces": kinds.count(0, 1000),
        "inactive": kinds.choice("suppress", "soft"),
        "hard_bounce_expiry": kinds.DURATION,
        "soft_bounces_expiry": kinds.DURATION,
        "complaint_expiry": kinds.DURATION,
        "rules": kinds.PATH,
        "plus_labels": kinds.BOOLEAN,
        "refuse_at_rcpt": kinds.BOOLEAN,
    },
    "retention": dict.fromkeys(Retention.__slots__, kinds.DURATION),
    "log": {
        "format": kinds.choice("text", "json"),
        "syslog_name": kinds.SYSLOG_NAME,
        "file": kinds.PATH,
        "json_file": kinds.PATH,
        "privacy": kinds.choice("full", "domain", "hash"),
    },
}


def to_toml(config: Config) -> str:
    """The configuration in effect as TOML, every default written out and secrets hidden."""
    sections: dict[str, Any] = {
        "": config,
        "submission": config.submission,
        "inbound": config.inbound,
        "dns": config.dns,
        "delivery": config.delivery,
        "delivery.timeouts": config.delivery.timeouts,
        "tracking": config.tracking,
        "suppression": config.suppression,
        "retention": config.retention,
        "log": config.log,
    }
    lines = []
    for section, known in SCHEMA.items():
        lines += [f"\n[{section}]"] if section else []
        if section == "database":
            lines.append(f"url = {kinds.quoted(config.database_url)}")
            continue
        values = ((name, kind, getattr(sections[section], name)) for name, kind in known.items())
        lines += [f"{name} = {kind.show(value)}" for name, kind, value in values if value is not None]
        if section == "delivery":
            lines.append(f"routes = {show_routes(dict(config.delivery.routes))}")
        if section == "tracking":
            lines += show_pages(config.tracking)
    return "\n".join([*lines, *show_keys(config.dkim)]) + "\n"
