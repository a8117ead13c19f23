"""A signature survives a real mail server: what Postfix passes on still verifies with dkimpy.

Wants Postfix (`apt-get install postfix`) and root, to run an instance of its own; the system's is not touched.
"""

import asyncio
import os
import re
import shutil
import smtplib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers import Postfix
from relay.compose.signature import sign, verified
from tests.parts.keys import ED25519, RSA, published, signer_of
from tests.parts.mx import FakeMx, Received

SIGNERS = [signer_of("example.com", RSA), signer_of("example.com", ED25519)]
DNS = published(*SIGNERS)

HEADER = (
    b"From: Ada <ada@example.com>\r\nTo: bob@x.test\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n"
    b"Message-ID: <%d@example.com>\r\n"
)
LETTERS = {
    "plain": b"Subject: plain\r\n\r\nHello.\r\n",
    "folded": b"Subject: one\r\n\ttwo\r\n   three \t\r\n four\r\nTo:\r\n carl@x.test\r\n\r\nHello.\r\n",
    "blanks": b"SUBJECT:\t  a \t b  \r\n\r\n  a \t b \t\r\n\t\r\n \r\nend   \r\n",
    "no body": b"Subject: nothing\r\n\r\n",
    "empty lines": b"Subject: empty\r\n\r\n\r\n\r\ntext\r\n\r\n\r\n",
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n...\r\nFrom here\r\n",
    "8 bit": "Subject: 8bit\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße, 漢字 😀\r\n".encode(),
    "UTF-8 header": "Subject: Größe 漢字\r\nReply-To: Ä <ä@example.com>\r\n\r\nGrüße\r\n".encode(),
    "long lines": b"Subject: "
    + b"x" * 900
    + b"\r\nReferences:"
    + b" <1@x.test>" * 80
    + b"\r\n\r\n"
    + b"y" * 998
    + b"\r\n",
    "repeated": b"List-Id: one\r\nList-Id: two\r\nReply-To: a@x.test\r\nReply-To: b@x.test\r\n\r\nHi\r\n",
    "no From line": b"Subject: body only\r\n\r\nSubject: not a field\r\n\r\n--\r\nbye\r\n",
    "html": b'Subject: html\r\nContent-Type: text/html\r\n\r\n<p>  <a href="https://t.example.com/c/1">x</a>\r\n</p>\r\n',
    "quoted": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=20=\r\n=C3=A4=09\r\n",
}

here = pytest.mark.skipif(
    not shutil.which("postfix", path=f"{os.environ['PATH']}:/usr/sbin") or os.geteuid() != 0,
    reason="Postfix is not installed, or this is not root: signatures are not tried through a real mail server",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that Postfix's own user may enter; pytest's may not be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def hand_over(port: int, copies: list[bytes]) -> None:
    """Submit all, as a relay does: UTF-8 allowed, 8 bit, nothing encoded."""
    with smtplib.SMTP("127.0.0.1", port, "client.test") as client:
        client.ehlo()
        for copy in copies:
            client.sendmail("ada@example.com", ["bob@x.test"], copy, ["SMTPUTF8", "BODY=8BITMIME"])


async def passed_on(folder: Path, copies: list[bytes]) -> list[Received]:
    """What arrives behind a Postfix that was given these."""
    async with FakeMx() as sink:
        postfix = Postfix(folder / "postfix", sink.port)
        await asyncio.to_thread(postfix.__enter__)
        try:
            await asyncio.to_thread(hand_over, postfix.port, copies)
            async with asyncio.timeout(60):
                return list(await sink.received(len(copies)))
        finally:
            await asyncio.to_thread(postfix.__exit__, None, None, None)


@here
async def test_every_copy_verifies_behind_a_mail_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd headers, UTF-8, long lines, dots, an empty body, blanks at the end: both signatures hold at the far end."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    letters = [HEADER % number + letter for number, letter in enumerate(LETTERS.values())]
    copies = [sign(letter, SIGNERS, time.time()) + letter for letter in letters]
    received = await passed_on(folder, copies)
    arrived = {int(re.findall(rb"Message-ID: <(\d+)@", one.content)[0]): one.content for one in received}
    for number, name in enumerate(LETTERS):
        content = arrived[number]
        assert content.startswith((b"Received:", b"Return-Path:")), name
        rsa, ed25519 = re.findall(rb"DKIM-Signature:(?:[^\n]*\n)(?:[ \t][^\n]*\n)*", content)
        assert verified(rsa + content.replace(rsa, b""), DNS), name
        assert verified(ed25519 + content.replace(ed25519, b""), DNS), name
