"""Reads the configuration file: TOML and a few environment variables become a `Config`.

What there is to write stands in `relay/config_schema.py`. All problems are reported
together (`ConfigError`), each with its key, its line where that is cheap to know, and what
to do; an unknown key is a problem that names the nearest known one. What is allowed but
doubtful is a warning.

Secrets may come from outside the file: `MAILTRAIL_DATABASE_URL` stands for `database.url`
(likewise `MAILTRAIL_HOSTNAME` and `MAILTRAIL_DATA_DIR`), and a route's password for
`password_file`. What the environment says wins.
"""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.config import (
    HOUR,
    MINUTE,
    Config,
    DeliverySection,
    Dns,
    Endpoint,
    Inbound,
    LogSection,
    Retention,
    Submission,
    SuppressionSection,
    Timeouts,
    Tracking,
)
from relay.config_checks import check
from relay.config_dkim import read_keys
from relay.config_pages import read_senders, read_texts
from relay.config_routes import read_routes
from relay.config_schema import SCHEMA

DEFAULT_PATH = Path("/etc/mailtrail/config.toml")
ENVIRONMENT = {
    "MAILTRAIL_HOSTNAME": "hostname",
    "MAILTRAIL_DATA_DIR": "data_dir",
    "MAILTRAIL_DATABASE_URL": "database.url",
}
LATER = ("activity",)  # sections of a later version: a warning, no more

_ROUTES = "delivery.routes"  # destinations are its keys: relay/config_routes.py
_DKIM = "dkim"  # domains are its keys: relay/config_dkim.py
_SENDERS, _TEXTS = "tracking.senders", "tracking.texts"  # what is in files they name: relay/config_pages.py
_READ_APART = (_ROUTES, _SENDERS, _TEXTS)
_SECTIONS = [*(name for name in SCHEMA if name), _DKIM]
_KEYS = [f"{section}.{key}".lstrip(".") for section, known in SCHEMA.items() for key in known] + [*_READ_APART]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong (or doubtful) with one key: `line 14: delivery.retyr: unknown key. Did you mean delivery.retry?`"""

    key: str
    what: str
    line: int | None = None  # None: not known, or not in the file

    @property
    def where(self) -> str | None:
        """The line, in words."""
        return None if self.line is None else f"line {self.line}"

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.what) if part)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has everything that is wrong with it."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        self.path = path
        self.problems = problems
        super().__init__(f"{path}:\n" + "\n".join(f"  {problem}" for problem in problems))


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that can be used, and what is doubtful about it."""

    config: Config
    warnings: tuple[Problem, ...]
    path: Path


def find_config(argument: str | Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the configuration is: `--config`, else `$MAILTRAIL_CONFIG`, else `/etc/mailtrail/config.toml`."""
    return Path(argument or environ.get("MAILTRAIL_CONFIG") or DEFAULT_PATH)


def load(path: Path, environ: Mapping[str, str] = os.environ) -> LoadedConfig:
    """Read, check and build the configuration; relative paths are seen from its directory. Raises `ConfigError`."""
    # Read the file; let the environment win; read every value; build; check what no value can tell alone.
    reader = _Reader(path)
    reader.override(environ)
    read = {section: reader.section(section) for section in SCHEMA}
    routes = reader.routes()
    keys = reader.keys()
    tracking = Tracking(**read["tracking"], senders=reader.senders(), texts=reader.texts())
    if "hostname" not in reader.tables and not reader.blames("hostname"):
        reader.problem("hostname", 'is missing. Write the name of this machine: hostname = "relay.example.com"')
    top = {"hostname": "localhost"} | read[""]
    if "url" in read["database"]:
        top["database_url"] = read["database"]["url"]
    config = Config(
        **top,
        submission=Submission(**read["submission"]),
        inbound=Inbound(**read["inbound"]),
        dns=Dns(**read["dns"]),
        delivery=DeliverySection(**read["delivery"], routes=routes, timeouts=Timeouts(**read["delivery.timeouts"])),
        dkim=keys,
        tracking=tracking,
        suppression=SuppressionSection(**read["suppression"]),
        retention=Retention(**read["retention"]),
        log=LogSection(**read["log"]),
    )
    check(config, reader.problem, reader.warning)
    if reader.problems:
        raise ConfigError(path, tuple(sorted(reader.problems, key=lambda problem: problem.line or sys.maxsize)))
    return LoadedConfig(config, tuple(reader.warnings), path)


class _Reader:
    """The parsed file, and what is found wrong with it on the way."""

    def __init__(self, path: Path) -> None:
        self.base = path.absolute().parent
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._from_environment: dict[str, str] = {}
        try:
            text = path.read_bytes().decode("utf-8")
            self.tables = tomllib.loads(text)
        except FileNotFoundError:
            hint = "there is no such file. Name it with --config FILE or in $MAILTRAIL_CONFIG"
            raise ConfigError(path, (Problem("", hint),)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(path, (Problem("", f"cannot be read: {error}"),)) from None
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits and deep nesting included
            raise ConfigError(path, (Problem("", f"is not valid TOML: {error}"),)) from None
        self._lines = _line_numbers(text)

    def override(self, environ: Mapping[str, str]) -> None:
        """Put in what the environment says."""
        for variable, key in ENVIRONMENT.items():
            if environ.get(variable):
                section, _, name = key.rpartition(".")
                table = self.tables.setdefault(section, {}) if section else self.tables
                if isinstance(table, dict):
                    table[name] = environ[variable]
                    self._from_environment[key] = variable

    def section(self, section: str) -> dict[str, Any]:
        """The values of one section that can be read; everything else in it becomes a problem."""
        values = {}
        for name, value in self._table(section).items():
            key = f"{section}.{name}".lstrip(".")
            kind = SCHEMA[section].get(name)
            if kind is None:
                self._unknown(key)
                continue
            try:
                values[name] = kind.read(value)
            except ValueError as error:
                self.problem(key, str(error))
            else:
                if isinstance(values[name], Path):
                    values[name] = self.base / values[name]
        return values

    def routes(self) -> Any:
        """`[delivery.routes]`."""
        return read_routes(self._table("delivery").get("routes", {}), _ROUTES, self.base, self.problem)

    def keys(self) -> Any:
        """`[dkim."example.com"]`."""
        return read_keys(self.tables.get(_DKIM, {}), _DKIM, self.base, self.problem)

    def senders(self) -> Any:
        """`[tracking.senders]`."""
        return read_senders(self._table("tracking").get("senders", {}), _SENDERS, self.base, self.problem)

    def texts(self) -> Any:
        """`tracking.texts`."""
        return read_texts(self._table("tracking").get("texts"), _TEXTS, self.base, self.problem)

    def blames(self, key: str) -> bool:
        """Is something wrong with this key?"""
        return any(problem.key == key for problem in self.problems)

    def problem(self, key: str, what: str) -> None:
        """Report something that must be changed."""
        self.problems.append(self._problem(key, what))

    def warning(self, key: str, what: str) -> None:
        """Report something doubtful."""
        self.warnings.append(self._problem(key, what))

    def _table(self, section: str) -> dict[str, Any]:
        table = self.tables
        for name in section.split(".") if section else ():
            inner = table.get(name, {})
            if not isinstance(inner, dict):
                if not self.blames(section):
                    self.problem(section, f"should be a section: [{section}]")
                return {}
            table = inner
        return table

    def _unknown(self, key: str) -> None:
        """A key that no section has: a later version's, one that has its own reader, or a mistake."""
        if key in LATER:
            self.warning(key, f"[{key}] is not part of this version and is ignored")
        elif key not in (*_SECTIONS, *_READ_APART):
            nearest = _nearest(key)
            self.problem(
                key, "unknown key." + (f" Did you mean {nearest}?" if nearest else f" There is {_siblings(key)}")
            )

    def _problem(self, key: str, what: str) -> Problem:
        if key in self._from_environment:
            return Problem(key, f"{what} (it comes from ${self._from_environment[key]})")
        known = key
        while known and known not in self._lines:
            known = known.rpartition(".")[0]
        return Problem(key, what, self._lines.get(known))


def _nearest(key: str) -> str | None:
    """The known key that was probably meant: nearly this one, or one of this name elsewhere."""
    section, _, name = key.rpartition(".")
    here = {known.rpartition(".")[2]: known for known in [*_KEYS, *_SECTIONS] if known.rpartition(".")[0] == section}
    close = difflib.get_close_matches(name, here, n=1)
    if close:
        return here[close[0]]
    elsewhere = [known for known in _KEYS if known.rpartition(".")[2] == name]
    return elsewhere[0] if elsewhere else next(iter(difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.8)), None)


def _siblings(key: str) -> str:
    section = key.rpartition(".")[0]
    return ", ".join([*SCHEMA.get(section, {}), *([] if section else [f"[{name}]" for name in _SECTIONS])])


_HEADING = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]")
_ASSIGNMENT = re.compile(r"""\s*([\w.*"'-]+)\s*=""")


def _line_numbers(text: str) -> dict[str, int]:
    """Dotted key → line. Cheap and good for files as people write them; a key it misses has no line, no more."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if heading := _HEADING.match(line):
            section = heading[1]
            lines.setdefault(section, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(f"{section}.{assignment[1]}".lstrip("."), number)
    return lines


def sandbox_config(data_dir: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """What `serve --sandbox` runs with: loopback only, no mail leaves, and what is deferred comes due in seconds."""
    home = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Config(
        hostname="sandbox.localhost",  # RFC 6761 6.3: never anybody else's
        data_dir=(data_dir or home / "mailtrail-sandbox").absolute(),
        workers=1,
        sandbox=True,
        submission=Submission(listen=(Endpoint("127.0.0.1", 2587),)),
        inbound=Inbound(listen=(Endpoint("127.0.0.1", 2525),), bounce_domain="bounce.sandbox.localhost"),
        delivery=DeliverySection(retry=(5.0, 10.0, 30.0, MINUTE), lifetime=HOUR),
        tracking=Tracking(listen=(Endpoint("127.0.0.1", 8080),), base_url="http://127.0.0.1:8080"),
    )
