"""The configuration file: what it may say, and what is said about its mistakes."""

import os
import re
import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import private_key
from relay.config import Config, DeliverySection, DkimKey, Endpoint, Route, Submission, Tracking
from relay.config_file import DEFAULT_PATH, ConfigError, LoadedConfig, find_config, load, sandbox_config
from relay.config_schema import SCHEMA, to_toml
from relay.config_values import duration, quoted, show_duration, show_size, size
from relay.signing_key import Algorithm
from tests.parts.certs import Authority
from tracker.colour import Colour
from tracker.sender import Logo, Sender
from tracker.texts import read_own
from tracker.wire import GIF

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
HOSTNAME = 'hostname = "mx1.shop.test"\n'


def _load(directory: Path, text: str, **environ: str) -> LoadedConfig:
    file = directory / "config.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def _config(directory: Path, text: str, **environ: str) -> Config:
    return _load(directory, HOSTNAME + text, **environ).config


def _keys(section: Any, prefix: str = "") -> list[str]:
    """The dotted name of every field of a configuration, as the file writes it."""
    names = []
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            names += _keys(value, f"{prefix}{field.name}.")
        else:
            names.append(f"{prefix}{field.name}")
    return [name.replace("database_url", "database.url") for name in names if name != "sandbox"]


# The example


def test_the_example_loads_and_states_the_true_defaults() -> None:
    """What stands in config.example.toml is what the relay does without it."""
    assert load(EXAMPLE, {}).config == Config(hostname="relay.example.com")


def test_the_example_has_every_key_once() -> None:
    """Every field of the configuration is in the example: with its default, or behind "# " where it has none."""
    section = ""
    written = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"\[([a-z.]+)\]$", line):
            section = heading[1] + "."
        elif key := re.match(r"(?:# )?([a-z_0-9]+) = ", line):
            written.append(section + key[1])
    # The keys of DKIM stand under names nobody can know beforehand: their section is an example in a comment.
    assert '#     [dkim."example.com"]' in EXAMPLE.read_text(encoding="utf-8")
    assert sorted([*written, "dkim"]) == sorted(_keys(Config(hostname="x.test")))


def test_every_key_of_the_example_is_explained() -> None:
    """Each key, or the group of keys it stands in, has a comment above it or beside it; so has each section."""
    for paragraph in EXAMPLE.read_text(encoding="utf-8").split("\n\n"):
        heading = re.search(r"^\[(?!log\]|database\])", paragraph, re.MULTILINE)
        if heading or " = " in paragraph:
            assert "# " in paragraph, paragraph


def test_the_file_can_say_everything_there_is_to_configure() -> None:
    """No field of the configuration is out of reach, and no key leads nowhere."""
    known = [f"{section}.{key}".lstrip(".") for section, keys in SCHEMA.items() for key in keys]
    assert sorted([*known, "delivery.routes", "dkim", "tracking.senders", "tracking.texts"]) == sorted(
        _keys(Config(hostname="x.test"))
    )


# Reading


def test_a_hostname_is_enough(tmp_path: Path) -> None:
    """Everything else has a default."""
    loaded = _load(tmp_path, HOSTNAME)
    assert loaded.config == Config(hostname="mx1.shop.test")
    assert loaded.warnings == ()


def test_the_names_of_the_documentation_are_understood(tmp_path: Path) -> None:
    """What people write by the manual is what they get."""
    certified = Authority(tmp_path).certificate("mx1.shop.test")
    config = _config(
        tmp_path,
        f"""
        data_dir = "/srv/mail"
        workers = 2
        [database]
        url = "sqlite:///queue.db"
        [submission]
        listen = ["127.0.0.1:0", "[::]:587"]
        listen_tls = ["0.0.0.0:465"]
        tls_certificate = "{certified.certificate}"
        tls_key = "{certified.key}"
        trusted_networks = ["10.1.0.0/16", "192.0.2.7"]
        max_message_size = "10MB"
        max_recipients = 50
        [dns]
        nameservers = ["192.0.2.53", "[2001:db8::53]:5353", "2001:db8::54"]
        [delivery]
        port = 2525
        allow_private_destinations = true
        routes = {{ "*" = "127.0.0.1:2626", "internal.example" = "10.0.0.9:25" }}
        lifetime = "36h"
        retry = ["250ms", 5, "1m30s"]
        """,
    )
    assert config.database_path == Path("/srv/mail/queue.db")
    assert config.submission == Submission(
        listen=(Endpoint("127.0.0.1", 0), Endpoint("::", 587)),
        listen_tls=(Endpoint("0.0.0.0", 465),),
        tls_certificate=certified.certificate,
        tls_key=certified.key,
        trusted_networks=("10.1.0.0/16", "192.0.2.7/32"),
        max_message_size=10_000_000,
        max_recipients=50,
    )
    assert [str(server) for server in config.dns.nameservers] == [
        "192.0.2.53:53",
        "[2001:db8::53]:5353",
        "[2001:db8::54]:53",
    ]
    assert config.delivery == DeliverySection(
        port=2525,
        allow_private_destinations=True,
        routes={"*": Route("127.0.0.1", 2626), "internal.example": Route("10.0.0.9", 25)},
        lifetime=129600.0,
        retry=(0.25, 5.0, 90.0),
    )


def test_relative_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    """It does not matter where the relay is started from."""
    config = _config(tmp_path, 'data_dir = "data"\n[log]\nfile = "mail.log"\n')
    assert (config.data_dir, config.log.file) == (tmp_path / "data", tmp_path / "mail.log")


def test_the_environment_wins(tmp_path: Path) -> None:
    """Names and secrets may come from outside the file, which then does not need them."""
    config = _load(
        tmp_path,
        '[database]\nurl = "sqlite:///a.db"\n',
        MAILTRAIL_HOSTNAME="mx2.shop.test",
        MAILTRAIL_DATABASE_URL="sqlite:////srv/b.db",
    ).config
    assert (config.hostname, config.database_path) == ("mx2.shop.test", Path("/srv/b.db"))


def test_tracking_is_configured_by_the_names_of_the_documentation(tmp_path: Path) -> None:
    """What is written is settled once: domains are in small letters, files are read and checked."""
    (tmp_path / "books.bin").write_bytes(GIF)
    (tmp_path / "texts.toml").write_text('[de]\ndone = "Schade!"\n')
    config = _config(
        tmp_path,
        """
        [tracking]
        listen = ["0.0.0.0:8080", "[::]:8080"]
        base_url = "HTTPS://T.Example.com/"
        trusted_proxies = ["127.0.0.1", "10.1.0.0/16"]
        opens = false
        plain_text = "leave"
        client_address = "shortened"
        contact = "abuse@shop.example"
        texts = "texts.toml"
        [tracking.senders]
        "Shop.Example" = "The Shop"
        "books.example" = { name = "Books", colour = "#0B6", logo = "books.bin" }
        [tracking.streams]
        weekly = "Weekly offers, about one a week"
        """,
    )
    assert config.tracking == Tracking(
        listen=(Endpoint("0.0.0.0", 8080), Endpoint("::", 8080)),
        base_url="https://t.example.com",
        trusted_proxies=("127.0.0.1/32", "10.1.0.0/16"),
        opens=False,
        plain_text="leave",
        client_address="shortened",
        contact="abuse@shop.example",
        senders={
            "shop.example": Sender("The Shop"),
            "books.example": Sender("Books", Colour(0, 0xBB, 0x66), Logo(tmp_path / "books.bin", "image/gif", GIF)),
        },
        streams={"weekly": "Weekly offers, about one a week"},
        texts=read_own(tmp_path / "texts.toml"),
    )
    assert config.tracking.texts and config.tracking.texts.languages["de"]["done"] == "Schade!"
    assert config.tracking.on


def test_a_domain_may_have_one_key_or_several(tmp_path: Path) -> None:
    """Files are seen from the configuration; RSA and Ed25519 may sign together."""
    for name, algorithm in (("a.pem", Algorithm.RSA), ("b.pem", Algorithm.ED25519)):
        (tmp_path / name).write_bytes(private_key.pem(private_key.make(algorithm)))
    config = _config(
        tmp_path,
        """
        [dkim."Shop.example"]
        selector = "s2026"
        key_file = "a.pem"
        [[dkim."news.example"]]
        selector = "r1"
        key_file = "a.pem"
        [[dkim."news.example"]]
        selector = "e1.mail"
        key_file = "b.pem"
        """,
    )
    assert config.dkim == (
        DkimKey("shop.example", "s2026", tmp_path / "a.pem"),
        DkimKey("news.example", "r1", tmp_path / "a.pem"),
        DkimKey("news.example", "e1.mail", tmp_path / "b.pem"),
    )
    assert _load(tmp_path, to_toml(config)).config == config


@pytest.mark.parametrize("section", ["activity"])
def test_sections_of_a_later_version_are_kept_with_a_warning(tmp_path: Path, section: str) -> None:
    """A configuration for more than this version can do starts, and says what is ignored."""
    loaded = _load(tmp_path, f'{HOSTNAME}[{section}]\nanything = "goes"\n')
    assert [str(warning) for warning in loaded.warnings] == [
        f"line 2: {section}: [{section}] is not part of this version and is ignored"
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('hostname = "mx1"', "hostname"),
        ('hostname = "relay.example.com"', "hostname"),
        (HOSTNAME + "[submission]\nlisten = []", "submission.listen"),
        (HOSTNAME + '[delivery]\nlifetime = "10s"', "delivery.lifetime"),
        (HOSTNAME + '[tracking]\nlisten = ["127.0.0.1:8080"]', "tracking.base_url"),
        (HOSTNAME + '[tracking]\nbase_url = "https://t.shop.test"', "tracking.listen"),
        (
            HOSTNAME + '[tracking]\nlisten = ["127.0.0.1:8080"]\nbase_url = "http://t.shop.test"',
            "tracking.base_url",
        ),
        (HOSTNAME + '[inbound]\nlisten = ["127.0.0.1:25"]', "inbound.bounce_domain"),
        (HOSTNAME + '[inbound]\nbounce_domain = "bounce.shop.test"', "inbound.listen"),
        (HOSTNAME + '[inbound]\nlisten = ["127.0.0.1:25"]\nbounce_domain = "shop.test"', "inbound.bounce_domain"),
        (HOSTNAME + '[inbound]\nlisten = ["127.0.0.1:25"]\nbounce_domain = "mx1.shop.test"', "inbound.bounce_domain"),
        (HOSTNAME + '[delivery.routes]\n"*" = "127.0.0.1:587"', 'delivery.routes."*"'),
        (
            HOSTNAME
            + '[submission]\nlisten = ["127.0.0.1:2587"]\n[delivery]\nroutes = { "a.test" = "127.0.0.1:2587" }',
            'delivery.routes."a.test"',
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(tmp_path: Path, text: str, key: str) -> None:
    """The relay starts, and the person hears what will probably not work."""
    assert [warning.key for warning in _load(tmp_path, text).warnings] == [key]


def test_a_route_to_another_server_of_this_machine_is_no_doubt(tmp_path: Path) -> None:
    """Another port, or another address than those it listens on; a domain for bounces alone."""
    text = '[submission]\nlisten = ["127.0.0.1:587"]\n'
    text += '[delivery.routes]\n"*" = "127.0.0.1:2626"\n"a.test" = "127.0.0.2:587"\n'
    text += '[inbound]\nlisten = ["127.0.0.1:25"]\nbounce_domain = "bounce.shop.test"\n'
    assert _load(tmp_path, HOSTNAME + text).warnings == ()


# Where, sandbox, showing


def test_the_argument_comes_before_the_environment_and_that_before_the_default() -> None:
    """--config, $MAILTRAIL_CONFIG, /etc/mailtrail/config.toml."""
    assert find_config("a.toml", {"MAILTRAIL_CONFIG": "b.toml"}) == Path("a.toml")
    assert find_config(None, {"MAILTRAIL_CONFIG": "b.toml"}) == Path("b.toml")
    assert find_config(None, {}) == DEFAULT_PATH


def test_the_sandbox_needs_no_configuration_and_stays_on_the_machine(tmp_path: Path) -> None:
    """It listens on loopback, and what is deferred comes due while a person watches."""
    config = sandbox_config(tmp_path)
    assert config.sandbox
    assert config.data_dir == tmp_path
    assert [str(endpoint) for endpoint in config.submission.listen] == ["127.0.0.1:2587"]
    assert [str(endpoint) for endpoint in config.inbound.listen] == ["127.0.0.1:2525"]
    assert config.inbound.bounce_domain.endswith(".localhost")
    assert [str(endpoint) for endpoint in config.tracking.listen] == ["127.0.0.1:8080"]
    assert config.tracking.base_url == "http://127.0.0.1:8080"
    assert sum(config.delivery.retry[:2]) <= 60
    assert sandbox_config(environ={"XDG_DATA_HOME": "/x"}).data_dir == Path("/x/mailtrail-sandbox")


def test_a_configuration_that_is_shown_reads_as_the_same(tmp_path: Path) -> None:
    """What `config show` prints is a configuration with the same effect, secrets apart."""
    (tmp_path / "b.gif").write_bytes(GIF)
    (tmp_path / "texts.toml").write_text('[de]\ndone = "Schade!"\n')
    certified = Authority(tmp_path).certificate("mx1.shop.test")
    before = _config(
        tmp_path,
        f"""
        grace = "1500ms"
        [submission]
        tls_certificate = "{certified.certificate}"
        tls_key = "{certified.key}"
        max_message_size = 1001
        max_header_size = 1000
        [delivery]
        routes = {{ "a.test" = {{ host = "10.0.0.9", port = 25, tls = "none", user = "quo\\"te", password = "p" }} }}
        [tracking]
        base_url = "https://[2001:db8::1]:8443"
        senders = {{ "shop.test" = "The \\"Shop\\"", "b.test" = {{ name = "B", colour = "#fff", logo = "b.gif" }} }}
        texts = "texts.toml"
        streams = {{ weekly = "Offers" }}
        """,
    )
    after = _load(tmp_path, to_toml(before)).config
    hidden = {"a.test": replace(before.delivery.routes["a.test"], password="(hidden)")}
    assert after == replace(before, delivery=replace(before.delivery, routes=hidden))


# Values


@given(st.integers(0, 10**11))
def test_a_duration_that_is_shown_reads_as_the_same(milliseconds: int) -> None:
    """Every duration can be written down, to the millisecond."""
    assert duration(show_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(1, 2**40))
def test_a_size_that_is_shown_reads_as_the_same(octets: int) -> None:
    """Every size can be written down."""
    assert size(show_size(octets)) == octets


@given(st.text().filter(lambda text: text.isprintable() or "\x7f" in text or "\n" in text))
def test_any_text_can_be_quoted(text: str) -> None:
    """Quotes, backslashes and control characters included."""
    assert tomllib.loads(f"key = {quoted(text)}")["key"] == text


@given(st.text(max_size=20) | st.floats() | st.integers() | st.booleans() | st.lists(st.integers()) | st.none())
def test_any_value_is_read_or_refused_in_words(value: object) -> None:
    """No kind of value raises anything but a sentence."""
    for section in SCHEMA.values():
        for kind in section.values():
            try:
                kind.read(value)
            except ValueError as error:
                assert re.search(r"[a-z]{2}", str(error))


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3))
def test_any_toml_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any]) -> None:
    """A file that is TOML gives a configuration or problems, whatever its keys."""
    directory = tmp_path_factory.getbasetemp()
    body = "".join(f"{quoted(key)} = {quoted(value)}\n" for key, value in table.items())
    for heading in ("", "[delivery]\n", "[delivery.routes]\n", "[tracking.senders]\n", "[log]\n"):
        file = directory / f"any-{os.getpid()}.toml"
        file.write_bytes((heading + body).encode("utf-8", "replace"))
        with pytest.raises(ConfigError):
            load(file, {})
