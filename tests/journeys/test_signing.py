"""What signatures cover, and whose they are: with tracking, after the application's own, and while keys change."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.compose.signature import sign
from relay.key_record import record
from relay.private_key import pem
from tests.journeys.internet import Internet
from tests.journeys.office import Office, office
from tests.journeys.test_tracking import HTML, PAGE
from tests.parts.keys import ED25519, RSA, private, signer_of, signing_key
from tests.parts.reader import Letter

pytestmark = pytest.mark.asyncio(loop_scope="package")

OFFER = HTML | {"X-Mailtrail-Tag": "weekly", "X-Mailtrail-Unsubscribe": "yes"}


async def signs(here: Office, internet: Internet, domain: str) -> None:
    """`domain add` with both kinds of key; the records are there, and the running relay has taken the keys up."""
    added = json.loads(await here.cli("domain", "add", domain, "--algorithm", "both", "--json"))
    for key in added["keys"]:
        internet.publish(key["record"])
    async with internet.mx("until.test") as mx:
        while not mx.messages or mx.messages[-1].content.count(b"DKIM-Signature:") < 2:
            queue_id = await here.send("bob@until.test", headers={"From": f"ada@{domain}"})
            await here.outcome(queue_id, "sent")


async def test_the_signature_covers_what_we_added(tracked: Office, internet: Internet) -> None:
    """Tracked, with List-Unsubscribe, RSA and Ed25519: every copy verifies; whoever changes our links breaks it."""
    await signs(tracked, internet, "covered.test")
    async with internet.mx("verifier.test") as mx:
        to = ["bob@verifier.test", "ann@verifier.test"]
        queue_id = await tracked.send(*to, headers=OFFER | {"From": "ada@covered.test"}, body=PAGE)
        await tracked.outcome(queue_id, "sent", count=2)
    for mail in mx.messages:
        letter = Letter(mail.content)
        assert letter.pixel and letter.unsubscribe
        assert await internet.verified(mail.content)
        for ours in (letter.pixel, letter.links[0], letter.unsubscribe):
            assert not await internet.verified(mail.content.replace(ours.encode(), ours[:-1].encode() + b"!"))
        post = b"List-Unsubscribe-Post: List-Unsubscribe=One-Click"
        assert not await internet.verified(mail.content.replace(post, post + b"s"))


async def test_a_key_of_the_configuration_signs(internet: Internet, tmp_path: Path) -> None:
    """A file and a selector are enough; so is a list of two."""
    tables = []
    for algorithm in (RSA, ED25519):
        key = signing_key("configured.test", algorithm)
        (tmp_path / f"{key.selector}.pem").write_bytes(pem(private(algorithm)))
        tables.append({"selector": key.selector, "key_file": tmp_path / f"{key.selector}.pem"})
        internet.publish(record_of("configured.test", algorithm))
    for wanted in (tables[:1], tables):
        dkim: Any = wanted if len(wanted) > 1 else wanted[0]
        settings = internet.settings() | {"dkim": {"configured.test": dkim}}
        async with office(tmp_path, internet, settings) as here, internet.mx("reads.test") as mx:
            queue_id = await here.send("bob@reads.test", headers={"From": "ada@configured.test"})
            await here.outcome(queue_id, "sent")
            assert mx.messages[0].content.count(b"DKIM-Signature:") == len(wanted)
            assert await internet.verified(mx.messages[0].content)


async def test_a_rotation_waits_for_the_new_record(internet: Internet, tmp_path: Path) -> None:
    """As long as the DNS does not have the new key's record the old key signs; when it has, the new one does alone."""
    async with office(tmp_path, internet) as here:
        (old,) = json.loads(await here.cli("domain", "add", "rotating.test", "--json"))["keys"]
        (new,) = json.loads(await here.cli("domain", "rotate", "rotating.test", "--json"))["keys"]
        assert await here.program.stop() == 0
    internet.publish(old["record"])
    async with internet.mx("rotation.test") as mx:

        async def sent(here: Office) -> bytes:
            queue_id = await here.send("bob@rotation.test", headers={"From": "ada@rotating.test"})
            await here.outcome(queue_id, "sent")
            content = mx.messages[-1].content
            assert await internet.verified(content)
            return content

        async with office(tmp_path, internet) as here:
            await internet.dns.asked(new["record"]["name"], "TXT")
            assert signed_with(await sent(here), old)
            assert await here.program.stop() == 0
        internet.publish(new["record"])
        async with office(tmp_path, internet) as here:
            await here.program.line(f"signing key switched: .*selector={new['selector']}, retired={old['selector']}")
            while not signed_with(copy := await sent(here), new):
                assert signed_with(copy, old)


def signed_with(content: bytes, key: Mapping[str, str]) -> bool:
    """Is it signed once, and with this key?"""
    return content.count(b"DKIM-Signature:") == 1 and f"\ts={key['selector']};".encode() in content


def record_of(domain: str, algorithm: Any) -> dict[str, str]:
    """What the DNS must have for a test's key."""
    key = signing_key(domain, algorithm)
    return {"name": key.record_name, "value": record(key)}


async def test_an_applications_signature_stays_only_on_what_it_signed(tracked: Office, internet: Internet) -> None:
    """Nothing changed under it: it arrives and holds. Tracked: it would be broken, so it is not there, and ours is."""
    await signs(tracked, internet, "signed-app.test")
    fields = "From: ada@signed-app.test\r\nTo: bob@keeps.test\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
    fields += "Message-ID: <1@signed-app.test>\r\nSubject: Offer\r\n"
    fields += "".join(f"{name}: {value}\r\n" for name, value in HTML.items())
    written = f"{fields}\r\n{PAGE}".encode()
    theirs = sign(written, [signer_of("app.signed-app.test")], 1795262400.0)
    internet.publish(record_of("app.signed-app.test", RSA))
    off = b"X-Mailtrail-Track-Opens: no\r\nX-Mailtrail-Track-Clicks: no\r\n"
    async with internet.mx("keeps.test") as mx:
        for content, stays in ((off + theirs + written, True), (theirs + written, False)):
            queue_id = await tracked.submit(content, "bob@keeps.test")
            await tracked.outcome(queue_id, "sent")
            copy = mx.messages[-1].content
            assert (b"d=app.signed-app.test;" in copy) is stays
            assert copy.count(b"DKIM-Signature:") == (3 if stays else 2)
            assert await internet.verified(copy)
