"""`[delivery.routes]`: destinations and their next hops, as the configuration file writes them.

A route is "host:port", or a table with host, port, tls, user and password (or password_file, which
keeps the secret out of the configuration). All problems are reported, each under its own key.
"""

import ipaddress
import re
from pathlib import Path
from typing import Any

from relay.address import AddressError, parse_address
from relay.config import Route
from relay.config_addresses import Report, host_and_port
from relay.config_values import PATH, TEXT, Kind, choice, count, quoted, text

TLS = ("none", "opportunistic", "require", "implicit")
HIDDEN = "(hidden)"


def _host(value: object) -> str:
    host = text(value).strip("[]")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", host):
            return host
    raise ValueError(f'"{value}" is no host name and no address')


KEYS: dict[str, Kind] = {
    "host": Kind(_host, quoted),
    "port": count(1, 65535),
    "tls": choice(*TLS),
    "user": TEXT,
    "password": TEXT,
    "password_file": PATH,
}


def read_routes(value: object, key: str, base: Path, report: Report) -> dict[str, Route]:
    """The routes in `value`; relative password files are seen from the directory `base`."""
    if not isinstance(value, dict):
        report(key, 'should be a table, destination to next hop: { "*" = "10.0.0.9:25" }')
        return {}
    routes: dict[str, Route] = {}
    for written, hop in value.items():
        own_key = f"{key}.{quoted(written)}"
        destination = _destination(written, own_key, report)
        route = _route(hop, own_key, base, report)
        if destination in routes:
            report(own_key, f'is the same destination as another route ("{destination}")')
        elif destination is not None and route is not None:
            routes[destination] = route
    return routes


def _destination(written: str, key: str, report: Report) -> str | None:
    """As deliveries name it: lower-case A-labels."""
    if written == "*":
        return written
    try:
        return parse_address(f"postmaster@{written}").destination
    except AddressError as error:
        report(key, f'is no destination: {error}. Write a domain, or "*" for all others')
        return None


def _route(hop: object, key: str, base: Path, report: Report) -> Route | None:
    if isinstance(hop, str):
        try:
            host, port = host_and_port(hop)
            return Route(_host(host), KEYS["port"].read(port))
        except ValueError as error:
            report(key, str(error))
            return None
    if not isinstance(hop, dict):
        report(key, 'should be "host:port" or a table: { host = "10.0.0.9", port = 25 }')
        return None
    return _route_of_table(hop, key, base, report)


def _route_of_table(table: dict[str, Any], key: str, base: Path, report: Report) -> Route | None:
    values: dict[str, Any] = {}
    well = True

    def wrong(name: str, what: str) -> None:
        nonlocal well
        well = False
        report(f"{key}.{name}" if name else key, what)

    for name, value in table.items():
        if name not in KEYS:
            wrong(name, f"unknown key. A route has {', '.join(KEYS)}")
            continue
        try:
            values[name] = KEYS[name].read(value)
        except ValueError as error:
            wrong(name, str(error))
    for name in ("host", "port"):
        if name not in table:
            wrong("", f"has no {name}")
    if "password_file" in values:
        if "password" in table:
            wrong("password_file", "there is a password too. Keep one of them")
        try:
            secret = (base / values.pop("password_file")).read_text(encoding="utf-8")
            values["password"] = TEXT.read(secret.partition("\n")[0].strip())
        except (OSError, UnicodeDecodeError) as error:
            wrong("password_file", f"cannot be read: {error}")
        except ValueError as error:
            wrong("password_file", f"{error} in its first line, where the password should be")
    if well and ("user" in values) != ("password" in values):
        wrong("", "has a user or a password alone. Set both or neither")
    if well and "user" in values and "tls" not in values and not _near(values["host"]):
        wrong("", 'would show its password to the network. Set tls = "require" (or "none", if the network is yours)')
    return Route(**values) if well else None


def _near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def show_routes(routes: dict[str, Route]) -> str:
    """The routes as one TOML inline table, passwords hidden."""
    return (
        "{ " + ", ".join(f"{quoted(name)} = {_shown(route)}" for name, route in routes.items()) + " }"
        if routes
        else "{}"
    )


def _shown(route: Route) -> str:
    pairs = [f"host = {quoted(route.host)}", f"port = {route.port}", f"tls = {quoted(route.tls)}"]
    if route.user is not None:
        pairs += [f"user = {quoted(route.user)}", f"password = {quoted(HIDDEN)}"]
    return "{ " + ", ".join(pairs) + " }"
