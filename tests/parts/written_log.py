"""A log in a file, a clock that stands still, and the deliveries and verdicts that tests log."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from relay.address import Address
from relay.config import Config, LogSection
from relay.delivery import Attempt, Delivery, Status, Verdict
from relay.envelope import Message, Role
from relay.log import Log, Peer
from relay.reply import Reply

MORNING = 1_795_252_442.118204  # 2026-11-21T09:14:02.118204Z
APP = Peer("app1.internal", "10.0.3.17")
STRANGER = Peer("unknown", "192.0.2.66")
SUBMISSION = "submission/smtpd"
BILLING = Address("billing", "example.com")
ID = "3kq7mvt2z0hy"


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = MORNING

    def __call__(self) -> float:
        return self.now


class Written:
    """A log in a file, and what stands there."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.path = directory / "mail.log"
        self.clock = Clock()
        section = LogSection(file=self.path, **settings)
        self.log = Log(Config("mx1.relay.example.com", log=section), clock=self.clock)

    @property
    def lines(self) -> list[str]:
        self.log.flush()
        return self.path.read_text().splitlines()

    @property
    def last(self) -> str:
        """The last line from its stage on."""
        return re.sub(r"^\S+ mx1 postfix-relay/(\S+)\[\d+\]: ", r"\1: ", self.lines[-1])


def zone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TZ", name)
    time.tzset()


def delivery(recipient: Address, queue_id: str = ID, sender: Address | None = BILLING) -> Delivery:
    message = Message(queue_id, MORNING, sender, 18423, str(sender), client_ip="10.0.3.17", credential="billing-app")
    return Delivery(message, 0, recipient, Role.TO, recipient.domain)


def attempt(host: str | None, ip: str | None = "203.0.113.9", *, step: str | None = None, took: float = 1.3) -> Attempt:
    return Attempt(
        MORNING + 0.05,
        MORNING + took,
        host,
        ip if host else None,
        25 if host else None,
        in_reply_to=step,
        ms_queue=10,
        ms_dns=20,
        ms_connect=100,
        ms_tls=500,
        ms_data=610,
    )


def verdict(status: Status, code: int, text: str, reason_class: str | None = None) -> Verdict:
    reply = Reply.parse(code, text)
    return Verdict(status, reason_class, reply.enhanced or f"{code // 100}.0.0", reply.line, reply)
