"""One message, one straight line, and every place where it can end at the first try."""

import asyncio
import re
import smtplib
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.internet import Internet
from tests.journeys.office import Office, hand_in, office
from tests.parts.certs import Authority

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_from_accepted_to_sent(here: Office, internet: Internet) -> None:
    """Creating, spooled, sent: each recipient has a copy, a role and a row; nobody reads of the Bcc."""
    async with internet.mx("line.test") as mx:
        queue_id = await here.send(
            "to@line.test",
            "cc@line.test",
            "hidden@line.test",
            headers={"To": "To <to@line.test>", "Cc": "cc@LINE.test", "Bcc": "hidden@line.test"},
            body="All of it.\r\n.\r\nA dot alone.\r\n",
        )
        for name in ("to", "cc", "hidden"):
            await here.outcome(queue_id, "sent", to=f"{name}@line.test")
        await here.program.line(f"qmgr.*{queue_id}: removed")
        copies = {copy.recipients: copy for copy in mx.messages}

    assert len(here.program.matching(f"{queue_id}: removed")) == 1
    assert set(copies) == {("to@line.test",), ("cc@line.test",), ("hidden@line.test",)}
    for copy in copies.values():
        assert copy.mail_from == "ada@sender.test"
        head, _, body = copy.content.partition(b"\r\n\r\n")
        assert body == b"All of it.\r\n.\r\nA dot alone.\r\n"
        assert b"hidden" not in head and b"Bcc" not in head
        assert re.match(
            rb"Received: from app\.test \(\[127\.0\.0\.1\]\)\r\n\tby relay\.test .* id %b" % queue_id.encode(), head
        )
        assert b"\r\nMessage-ID: <" in head and b"\r\nDate: " in head
    rows = here.rows("SELECT * FROM email_status WHERE queue_id = ? ORDER BY recipient_id", queue_id)
    assert [(row["recipient_type"], row["status"], row["mx_host"]) for row in rows] == [
        ("to", "sent", "mx10.line.test"),
        ("cc", "sent", "mx10.line.test"),
        ("bcc", "sent", "mx10.line.test"),
    ]
    assert sorted(here.events(queue_id)) == ["creating"] * 3 + ["sent"] * 3 + ["spooled"] * 3
    (message,) = here.rows("SELECT * FROM message_status WHERE queue_id = ?", queue_id)
    assert (message["status"], message["recipients"], message["sent"]) == ("sent", 3, 3)


async def test_an_address_that_does_not_exist(here: Office, internet: Internet) -> None:
    """550 5.1.1: a hard bounce at once, with its reason, and the sender's own mail server gets a notice."""
    async with internet.mx("gone.test", rcpt="550 5.1.1 No such user") as mx:
        queue_id = await here.send("bob@gone.test", sender="bounced@sender.test")
        await here.outcome(queue_id, "bounced")
        assert mx.messages == []
    row = here.delivery(queue_id)
    assert (row["status"], row["reason_class"], row["smtp_code"], row["dsn"]) == (
        "hard_bounce",
        "bad_mailbox",
        550,
        "5.1.1",
    )
    assert "550 5.1.1 No such user (in reply to RCPT TO command)" in row["reason"]
    notice = await here.notice("bounced@sender.test")
    assert notice.get_content_type() == "multipart/report"
    report = str(notice)
    assert "Final-Recipient: rfc822; bob@gone.test" in report
    assert "Action: failed" in report and "Status: 5.1.1" in report
    assert "Diagnostic-Code: smtp; 550 5.1.1 No such user" in report


async def test_one_recipient_of_two_bounces(here: Office, internet: Internet) -> None:
    """A refused recipient harms no other of the same message, and each has the status that is its own."""
    async with internet.mx("half.test", rcpt={"no@half.test": "550 5.1.1 No such user"}) as mx:
        queue_id = await here.send("yes@half.test", "no@half.test")
        await here.outcome(queue_id, "sent", to="yes@half.test")
        await here.outcome(queue_id, "bounced", to="no@half.test")
        assert [copy.recipients for copy in mx.messages] == [("yes@half.test",)]
    (message,) = here.rows("SELECT * FROM message_status WHERE queue_id = ?", queue_id)
    assert (message["status"], message["sent"], message["hard_bounced"]) == ("partial", 1, 1)


async def test_a_refusal_about_us_condemns_no_address(here: Office, internet: Internet) -> None:
    """554 5.7.1 after the message: a soft bounce; it says nothing about the address."""
    async with internet.mx("policy.test", dot="554 5.7.1 Your message looks like spam"):
        queue_id = await here.send("bob@policy.test")
        await here.outcome(queue_id, "bounced")
    row = here.delivery(queue_id)
    assert (row["status"], row["reason_class"]) == ("soft_bounce", "blocked_content")
    assert here.attempts(queue_id)[0]["in_reply_to"] == "end of DATA"


async def test_a_domain_that_does_not_exist(here: Office) -> None:
    """NXDOMAIN is a hard bounce at once, and names the domain that was probably meant."""
    queue_id = await here.send("bob@gmial.com", sender="typo@sender.test")
    await here.outcome(queue_id, "bounced")
    row = here.delivery(queue_id)
    assert (row["status"], row["reason_class"], row["mx_host"]) == ("hard_bounce", "bad_domain", None)
    assert "did you mean gmail.com?" in row["reason"].lower()
    assert "gmail.com" in str(await here.notice("typo@sender.test"))


async def test_a_domain_that_takes_no_mail(here: Office, internet: Internet) -> None:
    """A null MX (RFC 7505) is a hard bounce, and nobody is connected to."""
    internet.dns.zone["null.test"] = {"MX": [(0, ".")], "A": [internet.address()]}
    queue_id = await here.send("bob@null.test")
    await here.outcome(queue_id, "bounced")
    row = here.delivery(queue_id)
    assert (row["status"], row["dsn"]) == ("hard_bounce", "5.1.10")


async def test_dns_that_fails_is_not_the_address_s_fault(here: Office, internet: Internet) -> None:
    """SERVFAIL defers; nothing is concluded from it."""
    internet.dns.zone["broken.test"] = "servfail"
    queue_id = await here.send("bob@broken.test")
    await here.outcome(queue_id, "deferred")
    assert here.delivery(queue_id)["reason_class"] == "dns_temp"
    await here.cli("queue", "cancel", queue_id, "--yes")


@pytest.mark.parametrize("trouble", ["greeting", "drop_at", "ehlo_reply"])
async def test_the_second_mail_server_takes_what_the_first_does_not(
    here: Office, internet: Internet, trouble: str
) -> None:
    """A best host that is busy or hangs up: the next one gets the message in the same attempt."""
    domain = f"{trouble.replace('_', '-')}.test"
    said: Any = {"greeting": "421 4.3.2 busy", "drop_at": "GREETING", "ehlo_reply": "421 4.3.2 going down"}[trouble]
    async with internet.mx(domain, preference=20) as second, internet.mx(domain, **{trouble: said}):
        queue_id = await here.send(f"bob@{domain}")
        await here.outcome(queue_id, "sent")
        assert len(second.messages) == 1
    (attempt,) = here.attempts(queue_id)
    assert attempt["mx_host"] == f"mx20.{domain}"
    assert f"mx10.{domain}" in attempt["transcript"]


async def test_the_first_mail_server_is_not_there(here: Office, internet: Internet) -> None:
    """Nobody listens at the best host: the next one gets the message in the same attempt."""
    internet.deserted("absent.test")
    async with internet.mx("absent.test", preference=20) as second:
        queue_id = await here.send("bob@absent.test")
        await here.outcome(queue_id, "sent")
        assert len(second.messages) == 1
    assert "Connection refused" in here.attempts(queue_id)[0]["transcript"]


async def test_an_address_literal(here: Office, internet: Internet) -> None:
    """bob@[127.x.y.z] goes to that address, and DNS is not asked."""
    async with internet.mx("literal.test") as mx:
        queue_id = await here.send(f"bob@[{mx.listen}]")
        await here.outcome(queue_id, "sent")
        assert mx.messages[0].recipients == (f"bob@[{mx.listen}]",)


async def test_a_domain_without_mx_is_its_own_mail_host(here: Office, internet: Internet) -> None:
    """No MX: the domain's address takes the mail (RFC 5321 5.1)."""
    async with internet.mx("other.test") as mx:
        internet.dns.zone["bare.test"] = {"A": [mx.listen]}
        queue_id = await here.send("bob@bare.test")
        await here.outcome(queue_id, "sent")
    assert here.delivery(queue_id)["mx_host"] == "bare.test"


async def test_tls_where_it_is_offered(here: Office, internet: Internet, tmp_path: Path) -> None:
    """STARTTLS is used whatever the certificate says, and version, cipher and name are kept with the attempt."""
    certified = Authority(tmp_path).certificate("somebody-else.test")
    async with internet.mx("tls.test", tls=certified.server_context()) as mx:
        queue_id = await here.send("bob@tls.test")
        await here.outcome(queue_id, "sent")
        assert mx.messages[0].tls
    assert re.fullmatch(r"TLSv1\.3 TLS_\w+ somebody-else\.test", here.attempts(queue_id)[0]["tls"])


async def test_tls_that_fails_is_no_reason_to_fail(here: Office, internet: Internet, tmp_path: Path) -> None:
    """After a broken handshake the same host is tried once more in the clear, in the same attempt."""
    certified = Authority(tmp_path).certificate("mx10.badtls.test")
    async with internet.mx("badtls.test", tls=certified.server_context(), bad_tls=True) as mx:
        queue_id = await here.send("bob@badtls.test")
        await here.outcome(queue_id, "sent")
        assert not mx.messages[0].tls
        assert mx.connections == 2
    (attempt,) = here.attempts(queue_id)
    assert attempt["tls"] is None and "once more without it" in attempt["transcript"]


async def test_a_connection_lost_after_the_dot(here: Office, internet: Internet) -> None:
    """Nobody knows who has the message: it is deferred, the reason says it may arrive twice, and it is tried again."""
    async with internet.mx("lost.test", drop_at="DOT") as mx:
        queue_id = await here.send("bob@lost.test")
        await here.outcome(queue_id, "deferred")
        assert "message may be sent more than once" in here.delivery(queue_id)["reason"]
        mx.drop_at = None
        await here.outcome(queue_id, "sent")


async def test_connections_are_used_again(here: Office, internet: Internet) -> None:
    """Messages that follow each other share a connection, up to `messages_per_connection` (3 here)."""
    async with internet.mx("reuse.test") as mx:
        for number in range(4):
            queue_id = await here.send(f"bob{number}@reuse.test")
            await here.outcome(queue_id, "sent")
        assert mx.connections == 2
    assert "message 3" not in here.attempts(queue_id)[0]["transcript"]


async def test_a_kept_connection_that_died_costs_nothing(here: Office, internet: Internet) -> None:
    """A server that hangs up between two messages: the second one is sent over a new connection, in one attempt."""
    async with internet.mx("impatient.test", closes_after=1) as mx:
        for _ in range(2):
            queue_id = await here.send("bob@impatient.test")
            await here.outcome(queue_id, "sent")
        assert mx.connections == 2
    assert len(here.attempts(queue_id)) == 1


async def test_a_destination_has_no_more_connections_than_its_limit(here: Office, internet: Internet) -> None:
    """`connections_per_destination` (2 here) holds however much mail is waiting."""
    async with internet.mx("narrow.test", hold_at="DOT") as mx:
        queue_ids = [await here.send(f"bob{number}@narrow.test") for number in range(8)]
        await mx.connected(2)
        async with internet.mx("wide.test"):  # another destination's mail, taken in later, is through before
            await here.outcome(await here.send("bob@wide.test"), "sent")
        assert mx.connections == mx.open == 2
        mx.hold_at = None
        mx.release.set()
        for queue_id in queue_ids:
            await here.outcome(queue_id, "sent")
        assert len(mx.messages) == 8


async def test_the_limit_holds_over_all_workers(internet: Internet, tmp_path: Path) -> None:
    """With two workers, both full of mail for one destination, it sees as many connections as one worker may make."""
    settings = internet.settings(connections_per_destination=2) | {"workers": 2}
    async with office(tmp_path, internet, settings) as here, internet.mx("shared.test", hold_at="DOT") as mx:
        # More than one worker takes in hand for its one connection: the other one finds the rest.
        queue_ids = await asyncio.gather(*(here.send(f"bob{number}@shared.test") for number in range(120)))
        await mx.connected(2)
        async with internet.mx("aside.test"):
            for number in range(4):
                await here.outcome(await here.send(f"bob{number}@aside.test"), "sent")
        assert mx.connections == 2
        mx.hold_at = None
        mx.release.set()
        for queue_id in queue_ids:
            await here.outcome(queue_id, "sent")
        assert len({re.search(r"/smtp\[(\d+)\]", line)[1] for line in here.program.matching("shared.test>.*sent")}) == 2  # type: ignore[index]


async def test_a_limit_smaller_than_the_number_of_workers(internet: Internet, tmp_path: Path) -> None:
    """One connection for two workers: one of them delivers, and what the other accepted is not forgotten."""
    settings = internet.settings(connections_per_destination=1) | {"workers": 2}
    async with office(tmp_path, internet, settings) as here, internet.mx("single.test") as mx:
        queue_ids = await asyncio.gather(*(here.send(f"bob{number}@single.test") for number in range(12)))
        for queue_id in queue_ids:
            await here.outcome(queue_id, "sent")
        assert len(mx.messages) == 12
        assert mx.connections == 1


async def test_one_client_connection_many_messages(here: Office, internet: Internet) -> None:
    """An application may keep its connection: each message has its own queue id and fate."""

    def several() -> list[str]:
        with smtplib.SMTP(*here.program.submission, local_hostname="app.test", timeout=60) as client:
            content = b"Subject: one of three\r\n\r\nhello\r\n"
            return [hand_in(client, "ada@sender.test", [f"n{n}@many.test"], content) for n in range(3)]

    async with internet.mx("many.test") as mx:
        for queue_id in await asyncio.to_thread(several):
            await here.outcome(queue_id, "sent")
        assert {copy.recipients[0] for copy in mx.messages} == {"n0@many.test", "n1@many.test", "n2@many.test"}
