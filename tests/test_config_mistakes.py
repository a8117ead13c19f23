"""Mistakes in the configuration file: all are found before the start, told together, and each with its remedy."""

from pathlib import Path

import pytest

from relay import private_key
from relay.config import Config, Route
from relay.config_file import ConfigError, LoadedConfig, load
from relay.config_schema import to_toml
from relay.signing_key import Algorithm
from tests.parts.certs import Authority

HOSTNAME = 'hostname = "mx1.shop.test"\n'


def _load(directory: Path, text: str, **environ: str) -> LoadedConfig:
    file = directory / "config.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def _problems(directory: Path, text: str, **environ: str) -> list[str]:
    """Everything that is wrong with this text, after a hostname in line 1."""
    with pytest.raises(ConfigError) as error:
        _load(directory, HOSTNAME + text, **environ)
    assert all(str(problem) in str(error.value) for problem in error.value.problems)
    return [str(problem) for problem in error.value.problems]


def _config(directory: Path, text: str, **environ: str) -> Config:
    return _load(directory, HOSTNAME + text, **environ).config


def test_all_mistakes_are_told_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    """One run of the check shows everything, with key, line and remedy."""
    text = '[delivery]\nretyr = ["5m"]\nlifetime = "5 dyas"\n[submission]\nlisten = ["localhost:25"]\n'
    assert _problems(tmp_path, text) == [
        "line 3: delivery.retyr: unknown key. Did you mean delivery.retry?",
        'line 4: delivery.lifetime: "5 dyas" is no duration. Write it like "30s", "15m", "4h", "5d" or "1h30m"',
        'line 6: submission.listen: "localhost:25" has no IP address before the port. Write "127.0.0.1:25" for this '
        'machine alone, "0.0.0.0:25" or "[::]:25" for all',
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("worker = 1", "Did you mean workers?"),
        ("max_recipients = 1", "Did you mean submission.max_recipients?"),
        ("[submision]", "Did you mean submission?"),
        ("[delivery.timeout]", "Did you mean delivery.timeouts?"),
        ('[delivery.timeouts]\nfinaldot = "1m"', "Did you mean delivery.timeouts.final_dot?"),
        ("[log]\nqwxz = 1", "There is format, syslog_name, file, json_file, privacy"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path, text: str, meant: str) -> None:
    """A slip, a key in the wrong section, a misspelt section; and where nothing is near, what there is."""
    (problem,) = _problems(tmp_path, text)
    assert problem.endswith(f"unknown key. {meant}")


def test_a_missing_hostname_is_told(tmp_path: Path) -> None:
    """It is the one key without a default."""
    with pytest.raises(ConfigError, match=r"hostname: is missing\. Write the name of this machine"):
        _load(tmp_path, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = true", "is true, and should be a whole number"),
        ("workers = -1", "is -1, and should be between 0 and 1000"),
        ("grace = [1]", "is a list, and should be a duration"),
        ("grace = inf", "inf is no duration"),
        ("submission = 5", "should be a section: [submission]"),
        ('[database]\nurl = "mysql://u:secret@h/d"', "is no database we know"),
        ('[database]\nurl = "sqlite://x.db"', "is no database we know"),
        ("[submission]\nlisten = [587]", "is 587, and should be text in quotes"),
        ('[submission]\nlisten = "0.0.0.0:587"', "should be a list"),
        ('[submission]\nlisten = ["::1:587"]', 'Write "[::1:587]:PORT"'),
        ('[submission]\nlisten = ["0.0.0.0:70000"]', "70000 is no port"),
        ('[submission]\nlisten = ["0.0.0.0:25", "0.0.0.0:25"]', "names 0.0.0.0:25 twice"),
        ('[submission]\ntrusted_networks = ["10.0.0.5/8"]', 'Did you mean "10.0.0.0/8"?'),
        ('[submission]\ntrusted_networks = ["office"]', '"office" is no network'),
        ('[submission]\nmax_message_size = "25M"', "unknown unit. Write KiB, MiB"),
        ('[submission]\nmax_message_size = "big"', '"big" is no size'),
        ("[submission]\nmax_message_size = 0", "from 1 octet to 1024GiB"),
        ('[submission]\nmax_message_size = "9e9MiB"', "is no size"),
        ("grace = 1" + "0" * 400, "is no duration"),
        ('data_dir = "~/mail"', "Write the whole path"),
        ('[submission]\nmax_header_size = "1MiB"', "may be 256KiB at most"),
        ('[submission]\nmax_message_size = "1KiB"', "is smaller than submission.max_header_size"),
        ('[submission]\nhide_client_address = "no"', "should be true or false, without quotes"),
        ("[delivery]\nretry = []", "is empty"),
        ('[delivery]\nretry = ["5m", "1m"]', 'has "1m" after "5m". Put the shorter wait first'),
        ('[delivery]\nlease = "0s"', "must be a millisecond or more"),
        ('[tracking]\nbase_url = "t.shop.test"', "Write scheme and host alone"),
        ('[tracking]\nbase_url = "https://t.shop.test/mail"', "Write scheme and host alone"),
        ('[tracking]\nbase_url = "https://me@t.shop.test"', "Write scheme and host alone"),
        ('[tracking]\nbase_url = "https://t.shop.test:0"', "0 is no port"),
        ('[tracking]\nbase_url = "https://t_1.shop.test"', "is no host name"),
        ('[tracking]\ntrusted_proxies = ["0.0.0.0/0"]', "anybody could then give any address"),
        ('[tracking]\nclient_address = "all"', 'should be one of "whole", "shortened", "none"'),
        ('[tracking]\ncontact = "nobody"', '"nobody" is no mail address'),
        ('[tracking]\nsenders = ["shop.test"]', "should be a table"),
        ('[tracking.senders]\n"shop test" = "Shop"', '"shop test" is no host name'),
        (
            '[tracking.senders]\n"shop.test" = "Shop"\n"Shop.test" = "Shop"',
            "is there twice. shop.test can be known by one name",
        ),
        ("[tracking.streams]\nweekly = true", 'has "weekly", which is true, and should be text'),
        ('[tracking]\nlisten = ["0.0.0.0:587"]', "takes mail already"),
        ('dkim = "s2026"', 'should be a section for each domain: [dkim."example.com"]'),
        ('[log]\nformat = "xml"', 'is "xml", and should be one of "text", "json"'),
        ('[log]\nsyslog_name = "two words"', "is no name for log lines"),
        ('[log]\nfile = "/nowhere/at/all/mail.log"', "the directory /nowhere/at/all does not exist"),
        ('data_dir = "/dev/null"', "/dev/null is no directory"),
    ],
)
def test_a_wrong_value_is_told_with_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake has one sentence that says what is wrong and what to write."""
    (problem,) = _problems(tmp_path, text)
    assert said in problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    "name", ["", "mx_1.shop.test", "192.0.2.1", "bücher.test", "a..b", "-a.test", "x" * 64 + ".test"]
)
def test_a_hostname_is_a_name(tmp_path: Path, name: str) -> None:
    """What other servers would not take for a name is refused."""
    with pytest.raises(ConfigError, match="hostname: "):
        _load(tmp_path, f'hostname = "{name}"\n')


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "128.0.0.0/1"])
def test_the_whole_world_is_never_trusted(tmp_path: Path, network: str) -> None:
    """No configuration makes an open relay."""
    (problem,) = _problems(tmp_path, f'[submission]\ntrusted_networks = ["{network}"]')
    assert "open relay" in problem


def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path) -> None:
    """A syntax error names line and column; bytes that are no UTF-8 and a missing file are told too."""
    assert "line 2, column" in _problems(tmp_path, "workers = \n")[0]
    assert "is not valid TOML" in _problems(tmp_path, "workers = " + "9" * 5000)[0]
    assert "is not valid TOML" in _problems(tmp_path, "workers = " + "[" * 5000)[0]
    (tmp_path / "config.toml").write_bytes(b'hostname = "\xff"')
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "config.toml", {})
    with pytest.raises(ConfigError, match=r"there is no such file\. Name it with --config"):
        load(tmp_path / "missing.toml", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


def test_a_mistake_in_the_environment_is_named(tmp_path: Path) -> None:
    """The person is sent to the variable, not to the file."""
    (problem,) = _problems(tmp_path, "", MAILTRAIL_DATABASE_URL="mysql://x")
    assert problem.startswith("database.url: ")
    assert "$MAILTRAIL_DATABASE_URL" in problem


# Certificates


def test_certificate_and_key_come_together(tmp_path: Path) -> None:
    """One without the other is a mistake, and so is implicit TLS without both."""
    certified = Authority(tmp_path).certificate("mx1.shop.test")
    assert _problems(tmp_path, f'[submission]\ntls_key = "{certified.key}"') == [
        "line 3: submission.tls_key: needs submission.tls_certificate beside it"
    ]
    assert _problems(tmp_path, '[submission]\nlisten_tls = ["0.0.0.0:465"]') == [
        "line 3: submission.listen_tls: needs submission.tls_certificate and submission.tls_key"
    ]


def test_a_certificate_is_tried(tmp_path: Path) -> None:
    """A key of another certificate, a file that is neither, and one that is not there are found before the start."""
    authority = Authority(tmp_path)
    one, other = authority.certificate("mx1.shop.test"), authority.certificate("mx2.shop.test")
    section = '[submission]\ntls_certificate = "{}"\ntls_key = "{}"\n'
    assert "does not belong to the certificate" in _problems(tmp_path, section.format(one.certificate, other.key))[0]
    assert "are no certificate and key" in _problems(tmp_path, section.format(one.key, one.key))[0]
    missing = _problems(tmp_path, section.format("gone.crt", "gone.key"))
    assert [problem.partition(": /")[0] for problem in missing] == [
        "line 3: submission.tls_certificate",
        "line 4: submission.tls_key",
    ]


def test_the_web_side_has_a_certificate_of_its_own(tmp_path: Path) -> None:
    """The same is told of it, under its own keys."""
    certified = Authority(tmp_path).certificate("t.shop.test")
    assert _problems(tmp_path, f'[tracking]\ntls_certificate = "{certified.certificate}"') == [
        "line 3: tracking.tls_certificate: needs tracking.tls_key beside it"
    ]
    section = f'[tracking]\ntls_certificate = "{certified.key}"\ntls_key = "{certified.key}"\n'
    assert _problems(tmp_path, section)[0].startswith("line 3: tracking.tls_certificate: ")


# Keys that sign


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('[dkim."no domain"]\nselector = "s"', "is no domain"),
        ('[dkim."shop.test"]\nselector = "s"', "has no key_file"),
        ('[dkim."shop.test"]\nkey_file = "key.pem"', "has no selector"),
        ('[dkim."shop.test"]\nselector = "s s"\nkey_file = "key.pem"', '"s s" is no selector'),
        ('[dkim."shop.test"]\nselector = "s"\nkey_file = "key.pem"\nkey = 1', "unknown key. There is selector"),
        ('[dkim."shop.test"]\nselector = "s"\nkey_file = "gone.pem"', "gone.pem cannot be read: No such file"),
        ('[dkim."shop.test"]\nselector = "s"\nkey_file = "odd.pem"', "odd.pem is no key to sign with: "),
        ('[dkim]\n"shop.test" = "key.pem"', "should be a table with selector and key_file"),
        (
            '[[dkim."shop.test"]]\nselector = "s"\nkey_file = "key.pem"\n'
            '[[dkim."shop.test"]]\nselector = "S"\nkey_file = "key.pem"\n',
            '"s" is there twice',
        ),
    ],
)
def test_a_wrong_key_is_told(tmp_path: Path, section: str, said: str) -> None:
    """Each mistake stands under its domain, and is found before the first message."""
    (tmp_path / "key.pem").write_bytes(private_key.pem(private_key.make(Algorithm.ED25519)))
    (tmp_path / "odd.pem").write_bytes(b"no key at all")
    (problem,) = _problems(tmp_path, section)
    assert "dkim." in problem
    assert said in problem
    assert problem.startswith("line ")


# Pages that recipients see


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("= true", ": is true, and should be text in quotes"),
        ('= ""', ": is empty"),
        ('= { colour = "#fff" }', ": has no name"),
        ('= { name = "Shop", colour = "green" }', '.colour: "green" is no colour. Write it like "#0b6e4f"'),
        ('= { name = "Shop", colour = 5 }', ".colour: is 5, and should be text in quotes"),
        ('= { name = "Shop", color = "#fff" }', ".color: unknown key. A sender has name, colour, logo"),
        ('= { name = "Shop", logo = "gone.svg" }', ".logo: {}/gone.svg cannot be read: No such file or directory"),
        ('= { name = "Shop", logo = "." }', ".logo: {} cannot be read: Is a directory"),
        ('= { name = "Shop", logo = "shop.pdf" }', ".logo: {}/shop.pdf is no image that we serve: PNG, JPEG, GIF, "),
        ('= { name = "Shop", logo = "large.gif" }', ".logo: {}/large.gif is larger than 100 kB"),
    ],
)
def test_a_wrong_sender_is_told(tmp_path: Path, line: str, said: str) -> None:
    """Under his domain and the key that is wrong."""
    (tmp_path / "shop.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "large.gif").write_bytes(b"GIF89a" + bytes(100_000))
    (problem,) = _problems(tmp_path, f'[tracking.senders]\n"shop.test" {line}\n')
    assert problem.startswith(f'line 3: tracking.senders."shop.test"{said.format(tmp_path)}')


def test_all_that_is_wrong_with_a_sender_is_told(tmp_path: Path) -> None:
    """Together, as everywhere."""
    assert len(_problems(tmp_path, '[tracking.senders."shop.test"]\nname = 1\ncolour = 2\nlogo = 3\nicon = 4\n')) == 4


def test_wrong_texts_are_told(tmp_path: Path) -> None:
    """Each mistake in the file, and a file that is not there."""
    (tmp_path / "texts.toml").write_text('[de]\ndnoe = "Weg"\ndone = "{address}"\n[sv]\ndone = "Borta"\n')
    told = _problems(tmp_path, '[tracking]\ntexts = "texts.toml"\n')
    assert [problem.partition("texts.toml: ")[2][:30] for problem in told] == [
        "[de] dnoe: unknown text. Did y",
        "[de] done: {address} is not fi",
        "[sv] is not one of our languag",
    ]
    assert all(problem.startswith("line 3: tracking.texts: texts.toml: ") for problem in told)
    (told_of_none,) = _problems(tmp_path, '[tracking]\ntexts = "gone.toml"\n')
    assert told_of_none == f"line 3: tracking.texts: {tmp_path}/gone.toml cannot be read: No such file or directory"
    assert "should be text in quotes" in _problems(tmp_path, "[tracking]\ntexts = []\n")[0]


# Routes


def test_a_route_may_have_a_login(tmp_path: Path) -> None:
    """Host, port, TLS, user and a password that stands in a file of its own, which is not in the file or shown."""
    (tmp_path / "provider.secret").write_text("pa55\nsecond line\n", encoding="utf-8")
    config = _config(
        tmp_path,
        """
        [delivery.routes]
        "Bücher.example" = { host = "mx.example.net", port = 465, tls = "implicit" }
        "*" = { host = "smtp.example.net", port = 587, tls = "require", user = "me", password_file = "provider.secret" }
        """,
    )
    assert config.delivery.routes == {
        "xn--bcher-kva.example": Route("mx.example.net", 465, "implicit"),
        "*": Route("smtp.example.net", 587, "require", "me", "pa55"),
    }
    assert "pa55" not in repr(config)
    assert "pa55" not in to_toml(config)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ('"x.test" = 25', '"x.test": should be "host:port" or a table'),
        ('"x.test" = "10.0.0.9"', 'does not say host and port. Write "HOST:PORT"'),
        ('"x.test" = "10.0.0.9:0"', "should be between 1 and 65535"),
        ('"no domain" = "10.0.0.9:25"', "is no destination: the domain is not valid"),
        ('"x.test" = { host = "10.0.0.9" }', "has no port"),
        ('"x.test" = { host = "a b", port = 25 }', "is no host name and no address"),
        ('"x.test" = { host = "10.0.0.9", port = 25, tsl = "none" }', "unknown key. A route has host, port, tls"),
        ('"x.test" = { host = "10.0.0.9", port = 25, tls = "always" }', 'should be one of "none", "opportunistic"'),
        ('"x.test" = { host = "10.0.0.9", port = 25, user = "me" }', "Set both or neither"),
        ('"x.test" = { host = "10.0.0.9", port = 25, user = "me", password_file = "gone" }', "cannot be read"),
        ('"x.test" = { host = "mx.test", port = 25, user = "me", password = "p" }', "would show its password"),
        ('"x.test" = "10.0.0.9:25"\n"X.test" = "10.0.0.8:25"', "is the same destination as another route"),
    ],
)
def test_a_wrong_route_is_told(tmp_path: Path, route: str, said: str) -> None:
    """Each mistake stands under its destination; passwords do not travel in the clear by accident."""
    (problem,) = _problems(tmp_path, f"[delivery.routes]\n{route}\n")
    assert "delivery.routes." in problem
    assert said in problem
    assert problem.startswith("line ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[submission]\nlisten = ["127.0.0.1:25"]\n'
            '[inbound]\nlisten = ["127.0.0.1:25"]\nbounce_domain = "b.shop.test"',
            "line 5: inbound.listen: 127.0.0.1:25 is in [submission] too",
        ),
        (
            '[inbound]\nlisten = ["127.0.0.1:25"]\nbounce_domain = "b.shop.test"\nforward_to = "ops@B.shop.test"',
            "line 5: inbound.forward_to: is in bounce_domain itself: mail would go in circles",
        ),
        (
            '[inbound]\nbounce_domain = "bounce domain"',
            'line 3: inbound.bounce_domain: "bounce domain" is no host name',
        ),
        ('[inbound]\nforward_to = "ops"', 'line 3: inbound.forward_to: "ops" is no mail address'),
        ('[suppression]\ninactive = "maybe"', 'line 3: suppression.inactive: is "maybe", and should be one of'),
        ('[suppression]\nrules = "gone.toml"', "line 3: suppression.rules: "),
    ],
)
def test_mistakes_about_what_comes_back_are_told(tmp_path: Path, text: str, said: str) -> None:
    """A port that is taken, mail that would go in circles, rules that are not there."""
    (problem,) = _problems(tmp_path, text)
    assert problem.startswith(said)


def test_rules_of_the_operators_own_are_read_before_the_start(tmp_path: Path) -> None:
    """A table that is wrong is told with its file and the rule; a good one is taken, seen from the configuration."""
    rules = tmp_path / "replies.toml"
    rules.write_text('[[rule]]\nclass = "hrad"\nwords = ["gone fishing"]\n')
    (problem,) = _problems(tmp_path, '[suppression]\nrules = "replies.toml"')
    assert "replies.toml: rule 1: 'hrad' is no class" in problem
    rules.write_text('[[rule]]\nclass = "hard"\nwords = ["gone fishing"]\n')
    assert _config(tmp_path, '[suppression]\nrules = "replies.toml"').suppression.rules == rules
