"""`mailtrail domain`: keys are made, shown, rotated and removed; records are printed to paste, and checked."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.compose.signature import verified
from relay.config import Config
from relay.event import Action
from relay.key_record import tags
from relay.log import Log
from relay.private_key import pem
from relay.signing import Signing
from relay.signing_key import KEEP_RECORD, SigningKey, State
from relay.store import open_store
from tests.cli.conftest import Cli, both_engines, terminal
from tests.parts.dns import FakeDns, Name
from tests.parts.keys import ED25519, RSA, private
from tests.parts.program import command, write_config

LETTER = b"From: ada@example.com\r\nSubject: hi\r\n\r\nHello.\r\n"


async def kept(config: Config) -> list[SigningKey]:
    """The keys in the store."""
    store = await open_store(config)
    keys = await store.signing_keys()
    await store.close()
    return keys


async def actions(config: Config) -> list[Action]:
    """What the log is going to tell of operators."""
    store = await open_store(config)
    found = await store.unlogged_actions(100)
    await store.close()
    return found


async def signed(config: Config) -> bytes:
    """What a worker signs now."""
    store = await open_store(config)
    signing = Signing((), store, Log(config))
    await signing.refresh()
    await store.close()
    return signing.sign(LETTER, "example.com", 0.0) + LETTER


def zone(text: str) -> dict[str, list[bytes]]:
    """Name → TXT records of the lines for a zone file."""
    found: dict[str, list[bytes]] = {}
    for name, strings in re.findall(r"^(\S+)\. 3600 IN TXT (.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append("".join(re.findall(r'"([^"]*)"', strings)).encode())
    return found


@both_engines
def test_a_domain_is_signed_at_once_with_the_record_that_is_printed(bare: Cli, config: Config) -> None:
    """`domain add` makes the tables if need be; what it prints for zone files is what verifiers need."""
    code, out, err = bare("domain", "add", "example.com")
    assert code == 0 and "mail from example.com is signed from now on" in err
    records = zone(out)
    assert list(records) == [f"{asyncio.run(kept(config))[0].selector}._domainkey.example.com"]
    assert verified(asyncio.run(signed(config)), lambda name: records.get(name, []))
    (value,) = re.findall(r"^Value  (.*)$", out, re.MULTILINE)
    assert [value.encode()] == next(iter(records.values()))
    assert "v=spf1 a:" in out and "v=DMARC1" in out


def test_both_kinds_sign_side_by_side(bare: Cli, config: Config) -> None:
    """`--algorithm both`: an RSA and an Ed25519 key, each with a selector and a record of its own."""
    code, out, _ = bare("domain", "add", "example.com", "--algorithm", "both")
    assert code == 0
    assert sorted(tags(text)["k"] for (text,) in zone(out).values()) == ["ed25519", "rsa"]
    assert asyncio.run(signed(config)).count(b"DKIM-Signature:") == 2


def test_a_private_key_is_never_shown(bare: Cli, config: Config) -> None:
    """Not by any verb, not in JSON, not in the database; only in the files of its own user."""
    for words in (["add"], ["show"], ["records"], ["rotate"], ["show", "--json"]):
        code, out, err = bare("domain", *words[:1], "example.com", *words[1:])
        assert code == 0 and "PRIVATE" not in out + err
    files = [file for file in config.data_dir.rglob("*") if file.is_file() and b"PRIVATE KEY" in file.read_bytes()]
    assert len(files) == 2
    assert all(file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0 for file in files)


def test_a_second_key_is_a_rotation(bare: Cli, config: Config) -> None:
    """`add` refuses where such a key is, and names `rotate`; a key of the other kind may be added."""
    assert bare("domain", "add", "example.com").code == 0
    code, _, err = bare("domain", "add", "EXAMPLE.com.")
    assert code == 1 and "already" in err and "mailtrail domain rotate example.com" in err
    assert bare("domain", "add", "example.com", "--algorithm", "ed25519").code == 0
    assert {key.algorithm for key in asyncio.run(kept(config))} == {RSA, ED25519}


def test_a_rotation_waits(bare: Cli, config: Config) -> None:
    """`rotate` makes one key for each that signs; they wait, the old ones sign on, and a second time is refused."""
    assert bare("domain", "add", "other.example").code == 0
    assert bare("domain", "rotate", "example.com").code == 3
    assert bare("domain", "add", "example.com", "--algorithm", "both").code == 0
    code, out, err = bare("domain", "rotate", "example.com")
    assert code == 0 and len(zone(out)) == 2 and "as soon as the relay sees the record" in err
    states = [key.state for key in asyncio.run(kept(config)) if key.domain == "example.com"]
    assert sorted(states) == ["active", "active", "waiting", "waiting"]
    code, _, err = bare("domain", "rotate", "example.com", "--algorithm", "rsa")
    assert code == 1 and "waits for its record already" in err
    assert "waits for its DNS record" in bare("domain", "show", "example.com").out


def test_show_says_when_an_old_record_may_go(bare: Cli, config: Config) -> None:
    """The record of a retired key stays for 7 days; afterwards it is named as one to take out."""

    async def keep(selector: str, at: float) -> None:
        store = await open_store(config)
        key = SigningKey("example.com", selector, RSA, State.RETIRED, "AAAA", at, at)
        await store.save_signing_key(key, pem(private(RSA)), actor="anna")
        await store.close()

    assert bare("domain", "add", "example.com").code == 0
    now = asyncio.run(kept(config))[0].created_at
    asyncio.run(keep("young", now - 60))
    asyncio.run(keep("old", now - KEEP_RECORD - 60))
    lines = bare("domain", "show", "example.com").out.splitlines()
    assert "leave its record in the DNS until" in next(line for line in lines if "young" in line)
    assert "may be taken out of the DNS: old._domainkey.example.com" in next(line for line in lines if " old " in line)
    assert not {"young._domainkey.example.com", "old._domainkey.example.com"} & set(
        zone(bare("domain", "records", "example.com").out)
    )


def test_domains_are_listed(bare: Cli) -> None:
    """`list`: domain and selectors by state; `--json` has the same; none is told in words."""
    assert bare("domain", "add", "b.example", "--selector", "S2026").code == 0
    assert bare("domain", "add", "a.example", "--selector", "k1").code == 0
    assert [line.split("\t")[:2] for line in bare("domain", "list").out.splitlines()] == [
        ["a.example", "k1"],
        ["b.example", "s2026"],
    ]
    body = json.loads(bare("domain", "list", "--json").out)
    assert body["total"] == 2 and body["items"][0]["source"] == "database"
    for name in ("a.example", "b.example"):
        assert bare("domain", "remove", name, "--yes").code == 0
    code, out, err = bare("domain", "list")
    assert (code, out) == (0, "") and "mailtrail domain add" in err


def test_json_has_what_a_program_needs(bare: Cli) -> None:
    """`add --json` and `show --json`: each key with its record, split and whole, and the advice."""
    added = json.loads(bare("domain", "add", "example.com", "--json").out)
    shown = json.loads(bare("domain", "show", "example.com", "--json").out)
    assert added["schema"] == "mailtrail/domain.add/1" and shown["schema"] == "mailtrail/domain.show/1"
    (key,) = shown["keys"]
    assert key["state"] == "active" and key["algorithm"] == "rsa" and added["keys"][0]["record"] == key["record"]
    assert zone(key["record"]["zone"]) == {key["record"]["name"]: [key["record"]["value"].encode()]}
    assert [one["purpose"] for one in shown["advice"]] == ["SPF", "DMARC"]


def test_removing_is_asked_for(bare: Cli, config: Config) -> None:
    """Without a terminal and without --yes nothing goes; one key or all; the last one takes the domain with it."""
    assert bare("domain", "add", "example.com", "--algorithm", "both").code == 0
    code, _, err = bare("domain", "remove", "example.com")
    assert code == 4 and "Its mail is then not signed" in err and len(asyncio.run(kept(config))) == 2
    selector = next(key.selector for key in asyncio.run(kept(config)) if key.algorithm is RSA)
    code, _, err = bare("domain", "remove", "example.com", "--selector", selector, "--yes")
    assert code == 0 and "not signed" not in err and "for 7 days" in err
    assert bare("domain", "remove", "example.com", "--selector", selector, "--yes").code == 3
    assert bare("domain", "remove", "example.com", "--yes").code == 0
    assert asyncio.run(signed(config)) == LETTER and bare("domain", "show", "example.com").code == 3
    assert not [file for file in config.data_dir.rglob("*") if file.is_file() and b"PRIVATE" in file.read_bytes()]


def test_a_terminal_is_asked(bare: Cli, config: Config) -> None:
    """A "y" removes, anything else does not."""
    assert bare("domain", "add", "example.com").code == 0
    code, seen = terminal(config, "domain", "remove", "example.com", typed=b"n\n")
    assert code == 4 and "Continue?" in seen and asyncio.run(kept(config))
    code, _ = terminal(config, "domain", "remove", "example.com", typed=b"y\n")
    assert code == 0 and not asyncio.run(kept(config))


@both_engines
def test_what_is_done_to_domains_is_told(bare: Cli, config: Config) -> None:
    """add, rotate and remove each leave an event with the user's name, for the log's admin lines."""
    for verb in (["add"], ["rotate"], ["remove", "--yes"]):
        assert bare("domain", verb[0], "example.com", *verb[1:]).code == 0
    told = [action for action in asyncio.run(actions(config)) if action.event.startswith("signing_key_")]
    assert [action.event.removeprefix("signing_key_") for action in told] == ["add", "add", "remove", "remove"]
    assert {action.detail["domain"] for action in told} == {"example.com"} and "relay" not in {a.actor for a in told}


@pytest.mark.parametrize("name", ["com", "exa mple.com", "-x.test", "192.0.2.1", "a..b", "x" * 64 + ".test", ""])
def test_what_is_no_domain_is_refused(bare: Cli, name: str) -> None:
    """Exit code 2, in words, and no key."""
    code, out, err = bare("domain", "add", name)
    assert code == 2 and out == "" and err.startswith("mailtrail: ")


def test_international_domains_are_kept_as_the_dns_has_them(bare: Cli, config: Config) -> None:
    """U-labels become A-labels."""
    assert bare("domain", "add", "Bücher.example").code == 0
    assert [key.domain for key in asyncio.run(kept(config))] == ["xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "words", [["--selector", "a b"], ["--selector", "x", "--algorithm", "both"], ["--algorithm", "dsa"]]
)
def test_odd_options_are_refused(bare: Cli, config: Config, words: list[str]) -> None:
    """A selector that no record can have, one name for two keys, an algorithm that nobody verifies."""
    assert bare("domain", "add", "example.com", *words).code == 2


class Office:
    """A configuration whose DNS is ours, and its commands."""

    def __init__(self, folder: Path, dns: FakeDns, settings: Mapping[str, Any] | None = None) -> None:
        self.file = write_config(folder, {"dns": {"nameservers": [str(dns.endpoint)]}} | dict(settings or {}))

    async def domain(self, *words: str) -> tuple[int, str, str]:
        return await command("domain", *words, "--config", str(self.file))

    async def json(self, *words: str) -> dict[str, Any]:
        code, out, err = await self.domain(*words, "--json")
        assert code in (0, 6), err
        body: dict[str, Any] = json.loads(out)
        return body


def as_zone(value: str) -> Name:
    """A name's data with that TXT record."""
    return {"TXT": [" ".join(f'"{value[at : at + 255]}"' for at in range(0, len(value), 255))]}


async def test_check_asks_the_dns(tmp_path: Path) -> None:
    """Missing: exit code 6, what is there and what should be; right: a signature is verified with it, exit code 0."""
    async with FakeDns() as dns:
        office = Office(tmp_path, dns)
        added = await office.json("add", "example.com")
        code, out, _ = await office.domain("check", "example.com")
        assert code == 6 and "not ready" in out and "there is no record" in out and "want  v=DKIM1; k=rsa" in out
        record = added["keys"][0]["record"]
        dns.zone[record["name"]] = as_zone(record["value"])
        body = await office.json("check", "example.com")
        dkim, spf, dmarc = body["checks"]
        assert body["ready"] and dkim["status"] == "ok" and "a signature verifies" in dkim["detail"]
        assert (spf["status"], dmarc["status"]) == ("advice", "advice")
        dns.zone["example.com"] = {"TXT": ['"v=spf1 a:relay.test -all"', '"other"']}
        dns.zone["_dmarc.example.com"] = as_zone("v=DMARC1; p=none")
        code, out, err = await office.domain("check", "example.com")
        assert code == 0 and "example.com: ready" in out and "want" not in out and err == ""


async def test_the_domain_of_bounces_is_printed_and_checked(tmp_path: Path) -> None:
    """It is the envelope sender of all mail: it needs an MX that leads here, and an SPF record of its own."""
    inbound = {"inbound": {"listen": ["127.0.0.1:0"], "bounce_domain": "bounce.example.com"}}
    async with FakeDns() as dns:
        office = Office(tmp_path, dns, inbound)
        code, out, _ = await office.domain("add", "example.com", "--algorithm", "ed25519")
        assert code == 0 and "; MX for bounces, once for all domains: bounce.example.com MX 10 relay.test.\n" in out
        assert '; SPF for bounces, once for all domains: bounce.example.com TXT "v=spf1 a:relay.test ~all"' in out
        shown = await office.json("records", "example.com")
        assert [(one["purpose"], one["name"]) for one in shown["advice"]][2:] == [
            ("MX", "bounce.example.com"),
            ("SPF", "bounce.example.com"),
        ]
        record = shown["keys"][0]["record"]
        dns.zone[record["name"]] = as_zone(record["value"])

        async def found() -> tuple[bool, list[tuple[str, str]]]:
            body = await office.json("check", "example.com")
            return body["ready"], [(one["purpose"], one["status"]) for one in body["checks"][3:]]

        assert await found() == (False, [("MX", "wrong"), ("SPF", "advice")])
        dns.zone["bounce.example.com"] = {"MX": ["10 mx.elsewhere.test."], "TXT": ['"v=spf1 a:relay.test -all"']}
        dns.zone["mx.elsewhere.test"] = {"A": ["192.0.2.1"]}
        assert await found() == (True, [("MX", "advice"), ("SPF", "ok")])
        dns.zone["relay.test"] = {"A": ["192.0.2.1"]}
        assert await found() == (True, [("MX", "ok"), ("SPF", "ok")])
        dns.zone["bounce.example.com"] = {"A": ["192.0.2.1"]}
        assert await found() == (True, [("MX", "ok"), ("SPF", "advice")])


async def test_check_knows_the_usual_mistakes(tmp_path: Path) -> None:
    """The zone's name twice, a record cut off, two SPF records, a server that fails: each is named."""
    async with FakeDns() as dns:
        office = Office(tmp_path, dns)
        record = (await office.json("add", "example.com"))["keys"][0]["record"]
        for data, why in (
            ({f"{record['name']}.example.com": as_zone(record["value"])}, "is there twice"),
            ({record["name"]: as_zone(record["value"][:255])}, "it is cut off"),
            ({record["name"]: "servfail"}, "DNS look-up of TXT"),
            ({"example.com": {"TXT": ['"v=spf1 -all"', '"v=spf1 a -all"']}}, "there are 2 records"),
        ):
            dns.zone = dict(data)
            code, out, _ = await office.domain("check", "example.com")
            assert code == 6 and why in out, out


async def test_a_waiting_key_is_no_failure(tmp_path: Path) -> None:
    """Its record is asked for, too; that it is not there yet is what waiting means."""
    async with FakeDns() as dns:
        office = Office(tmp_path, dns)
        record = (await office.json("add", "example.com"))["keys"][0]["record"]
        dns.zone[record["name"]] = as_zone(record["value"])
        await office.json("rotate", "example.com")
        body = await office.json("check", "example.com")
        assert [one["status"] for one in body["checks"][:2]] == ["ok", "waiting"] and body["ready"]


async def test_keys_of_the_configuration_are_shown_and_checked(tmp_path: Path) -> None:
    """They are listed as such, their records are printed and verified, and they are changed only there."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem(private(ED25519)))
    file.chmod(0o600)
    async with FakeDns() as dns:
        office = Office(tmp_path, dns, {"dkim": {"example.com": {"selector": "conf", "key_file": str(file)}}})
        (key,) = (await office.json("records", "example.com"))["keys"]
        assert key["record"]["name"] == "conf._domainkey.example.com" and key["algorithm"] == "ed25519"
        dns.zone[key["record"]["name"]] = as_zone(key["record"]["value"])
        assert (await office.json("check", "example.com"))["checks"][0]["status"] == "ok"
        code, _, err = await office.domain("add", "example.com")
        assert code == 0 and "in the configuration wins" in err
        body = await office.json("list")
        assert [(one["active"], one["source"]) for one in body["items"]] == [("conf", "configuration")]
