"""Makes notices and reads them again: with Python's own parser, and by RFC 3464's own grammar."""

import email
import email.message
import email.policy
import re
from dataclasses import replace

from relay.address import parse_address
from relay.compose.dsn import Kind, notice
from relay.delivery import Attempt, Delivery, Verdict
from relay.envelope import Message
from tests.compose.letters import ATTEMPT, MESSAGE, NOON, ORIGINAL, REFUSED, delivery

INTERNATIONAL = replace(MESSAGE, reverse_path=parse_address("rechnung-für@example.com"), smtputf8=True)


def make(
    kind: Kind = Kind.FAILURE,
    about: Delivery | None = None,
    verdict: Verdict = REFUSED,
    attempt: Attempt | None = ATTEMPT,
    *,
    original: bytes = ORIGINAL,
    hostname: str = "relay.example.com",
    will_retry_until: float | None = None,
) -> tuple[Message, Delivery, bytes]:
    return notice(
        kind,
        about or delivery(),
        verdict,
        attempt,
        hostname=hostname,
        now=NOON + 7200,
        queue_id="0abcdef99999",
        original=original,
        will_retry_until=will_retry_until,
    )


def read_back(content: bytes) -> email.message.Message:
    """The content as Python's own parser reads it, after a look at its lines."""
    lines = content.split(b"\r\n")
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
    parsed = email.message_from_bytes(content, policy=email.policy.compat32)
    assert parsed.get_content_type() == "multipart/report"
    parts = parsed.get_payload()
    assert isinstance(parts, list)
    assert not [part.defects for part in (parsed, *parts) if part.defects]
    return parsed


def parts_of(content: bytes) -> list[email.message.Message]:
    parts = read_back(content).get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, email.message.Message)]


def words_of(content: bytes) -> str:
    """The human part, its wrapped lines joined."""
    octets = parts_of(content)[0].get_payload(decode=True)
    assert isinstance(octets, bytes)
    return " ".join(octets.decode("utf-8").split())


def status_of(content: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """The fields of the message and those of the recipient, read by a parser of RFC 3464's own grammar."""
    report = parts_of(content)[1]
    octets = content.split(b"delivery-status\r\n", 1)[1].split(b"\r\n\r\n", 1)[1].split(b"\r\n--=_", 1)[0]
    if report["Content-Transfer-Encoding"] == "7bit":
        assert octets.isascii()
    groups = octets.decode("utf-8").removesuffix("\r\n").split("\r\n\r\n")
    assert len(groups) == 2, "one group for the message, one for the recipient"
    read = []
    for group in groups:
        unfolded = re.sub(r"\r\n(?=[ \t])", "", group.removesuffix("\r\n"))
        pairs = [line.partition(": ") for line in unfolded.split("\r\n")]
        assert all(re.fullmatch(r"[A-Za-z-]+", name) and colon for name, colon, _ in pairs)
        assert len({name for name, _, _ in pairs}) == len(pairs), "no field twice"
        read.append({name: value for name, _, value in pairs})
    return read[0], read[1]
