"""`mailtrail domain check`: are a domain's records in the DNS, and do its signatures verify with them?

Asks the name servers of the configuration, which may remember an older answer. A key's record is judged by its
text and then, where its private half can be read, by the proof: a message is signed and verified with
what the DNS says. A key that signs and cannot be verified is a failure (exit code 6), and so is an
`inbound.bounce_domain` that leads nowhere. A key that waits is none; SPF, DMARC and the rest are advice. Nothing is
changed: the relay switches to a waiting key by itself.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

from relay.cli import domain_words as words
from relay.cli.arguments import wants_json
from relay.cli.database import configuration, opened
from relay.cli.domain_keys import known
from relay.cli.failures import OK, PROBLEMS_FOUND
from relay.cli.screen import Screen
from relay.compose.signature import Signer, sign, signer, verified
from relay.config import Config
from relay.deliver.dns import Outcome, Resolver
from relay.key_record import record, wrong
from relay.signing import configured
from relay.signing_key import SigningKey, State
from relay.store import Store, StoreUnavailable


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at one name. `status` is ok, wrong (mail suffers), waiting or advice."""

    purpose: str  # DKIM, SPF, DMARC, MX
    name: str
    status: str
    detail: str
    have: tuple[str, ...] = ()
    want: str = ""


MARKS = {"ok": "ok", "wrong": "failed", "waiting": "deferred", "advice": "soft_bounce"}  # of a status, on the screen


async def check(args: argparse.Namespace, screen: Screen) -> int:
    """`domain check`."""
    domain, keys = await known(args)
    config = configuration(args)
    signers = await _signers(args, domain, config)
    resolver = Resolver(config.dns)
    try:
        found = [
            *[await _key(resolver, key, signers) for key in keys if key.state is not State.RETIRED],
            await _spf(resolver, domain, config),
            await _dmarc(resolver, domain, config),
            *(await _bounces(resolver, domain, config) if words.bounce_domain(config) else ()),
        ]
    finally:
        await resolver.close()
    failed = sum(one.status == "wrong" for one in found)
    if wants_json(args):
        items = [
            {
                "purpose": one.purpose,
                "name": one.name,
                "status": one.status,
                "detail": one.detail,
                "have": list(one.have),
                "want": one.want,
            }
            for one in found
        ]
        screen.json("domain.check", {"domain": domain, "ready": not failed, "checks": items}, args.json or "")
    else:
        _show(screen, domain, found, failed)
    return PROBLEMS_FOUND if failed else OK


async def _signers(args: argparse.Namespace, domain: str, config: Config) -> dict[str, Signer]:
    """Selector → signer, of the keys whose private halves can be read by this user."""
    if own := configured(one for one in config.dkim if one.domain == domain).get(domain):
        return {one.selector: one for one in own}
    async with opened(args) as store:
        return {key.selector: one for key in await store.signing_keys() if (one := await _kept(store, key, domain))}


async def _kept(store: Store, key: SigningKey, domain: str) -> Signer | None:
    if key.domain != domain:
        return None
    try:
        pem = await store.private_key(key)
    except StoreUnavailable:  # a member of the group may look at the database, and not at keys
        return None
    return signer(domain, key.selector, pem) if pem else None


async def _key(resolver: Resolver, key: SigningKey, signers: dict[str, Signer]) -> Finding:
    answer = await resolver.txt(key.record_name)
    have = tuple(text.decode("utf-8", "replace") for text in answer.records)
    if answer.outcome is Outcome.FAILED:
        problem = answer.problem
    else:
        problem = wrong(key, answer.records) or _proof(key, answer.records, signers)
    if not answer.records and (twice := await _zone_twice(resolver, key)):
        problem = twice
    if not problem:
        said = "matches, and a signature verifies with it" if key.selector in signers else "matches"
        return Finding("DKIM", key.record_name, "ok", said, have, record(key))
    status = "waiting" if key.state is State.WAITING else "wrong"
    return Finding("DKIM", key.record_name, status, problem, have, record(key))


def _proof(key: SigningKey, records: Sequence[bytes], signers: dict[str, Signer]) -> str:
    """Why a signature does not verify with these records; empty if it does, or cannot be tried."""
    if key.selector not in signers:
        return ""
    message = f"From: postmaster@{key.domain}\r\nSubject: check\r\n\r\nHello.\r\n".encode()
    signed = sign(message, [signers[key.selector]], time.time()) + message
    return "" if verified(signed, lambda _: records) else "it looks right, and a signature does not verify with it"


async def _zone_twice(resolver: Resolver, key: SigningKey) -> str:
    """The usual slip in a provider's form: the zone's name was typed where the form adds it by itself."""
    name = f"{key.record_name}.{key.domain}"
    found = (await resolver.txt(name)).records
    return f"the record is at {name}: the name of the zone is there twice" if found else ""


async def _spf(resolver: Resolver, domain: str, config: Config) -> Finding:
    want, hostname = words.advice(domain, config)[0]["value"], config.hostname
    answer = await resolver.txt(domain)
    have = tuple(text.decode("utf-8", "replace") for text in answer.records if _is_spf(text))
    if answer.outcome is Outcome.FAILED:
        return Finding("SPF", domain, "advice", answer.problem, (), want)
    if not have:
        return Finding("SPF", domain, "advice", "there is no record", (), want)
    if len(have) > 1:
        # RFC 7208 4.5: more than one record is an error, and as good as none.
        return Finding(
            "SPF", domain, "advice", f"there are {len(have)} records, and receivers then take none", have, want
        )
    return Finding("SPF", domain, "ok", f"is there; see that it allows {hostname}", have, want)


def _is_spf(text: bytes) -> bool:
    # RFC 7208 4.5: the version, then a blank or the end.
    return text.lower().split(b" ")[0] == b"v=spf1"


async def _dmarc(resolver: Resolver, domain: str, config: Config) -> Finding:
    """RFC 7489 6.6.3: the domain's own record, else that of the domain above which it belongs to."""
    want = words.advice(domain, config)[1]
    name, problem = domain, ""
    while "." in name:
        answer = await resolver.txt(f"_dmarc.{name}")
        have = tuple(text.decode("utf-8", "replace") for text in answer.records if text.startswith(b"v=DMARC1"))
        if have:
            return Finding("DMARC", f"_dmarc.{name}", "ok", "is there", have, want["value"])
        problem = problem or answer.problem
        name = name.partition(".")[2]
    return Finding("DMARC", want["name"], "advice", problem or "there is no record", (), want["value"])


async def _bounces(resolver: Resolver, domain: str, config: Config) -> list[Finding]:
    """Of the domain that all mail bears as its envelope sender: the way back, and who may send for it."""
    bounces = words.bounce_domain(config)
    spf = [] if bounces == domain else [await _spf(resolver, bounces, config)]
    return [await _way_back(resolver, bounces, config.hostname), *spf]


async def _way_back(resolver: Resolver, bounces: str, hostname: str) -> Finding:
    want = f"10 {hostname}."
    answer = await resolver.mx(bounces)
    if answer.outcome is Outcome.FAILED:
        return Finding("MX", bounces, "advice", answer.problem, (), want)
    have = tuple(f"{one.preference} {one.host}." for one in answer.records)
    # RFC 5321 5.1: without an MX record mail goes to the address of the domain itself.
    hosts = [one.host for one in answer.records] or [bounces]
    there, problem = await _addresses(resolver, hosts)
    here, _ = await _addresses(resolver, [hostname])
    if hostname in hosts or there & here:
        return Finding("MX", bounces, "ok", "leads here", have, want)
    if not there and not problem:
        lost = "leads nowhere: bounces get lost, and many servers refuse mail from such a domain"
        return Finding("MX", bounces, "wrong", lost, have, want)
    said = problem or f"leads to {', '.join(hosts)}; see that it is this relay"
    return Finding("MX", bounces, "advice", said, have, want)


async def _addresses(resolver: Resolver, hosts: Sequence[str]) -> tuple[set[str], str]:
    """The addresses of these hosts, and what kept us from knowing some of them."""
    answers = [await ask(host) for host in hosts if host for ask in (resolver.ipv4, resolver.ipv6)]
    return {record for one in answers for record in one.records}, next((a.problem for a in answers if a.problem), "")


def _show(screen: Screen, domain: str, found: Sequence[Finding], failed: int) -> None:
    screen.line(f"{domain}: {'not ready' if failed else 'ready'}")
    for one in found:
        screen.line(f"  {screen.mark(MARKS[one.status])} {one.purpose:6} {one.name}   {one.detail}")
        if one.status == "ok":
            continue
        for text in one.have:
            screen.line(f"       have  {text}")
        screen.line(f"       want  {one.want}")
    if failed:
        screen.note(f"Resolvers may remember an older answer for a while. Next: mailtrail domain records {domain}")
    if any(one.status == "waiting" for one in found):
        screen.note("The relay looks for the record of a waiting key by itself, and switches when it is there.")
