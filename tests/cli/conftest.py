"""A database as a relay leaves it, and the command line to look at it: real store, no relay running.

SQLite in the sandbox's directory; tests that bear the mark `both_engines` run on PostgreSQL as well.
"""

import asyncio
import io
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from relay.cli import main
from relay.config import Config
from relay.config_file import load, sandbox_config
from relay.credential import Credential, Secret, digest
from relay.delivery import Attempt, Delivery, Line, Made, Status, Verdict
from relay.envelope import Role
from relay.event import Refusal
from relay.filters import parse
from relay.reply import Reply
from relay.store import Store, migrate, open_store
from relay.store.spool import Settlement
from tests.parts.mail import accepted
from tests.parts.postgres import Server, postgres
from tests.parts.program import write_config

__all__ = ["postgres"]

both_engines = pytest.mark.parametrize("engine", ["sqlite", "postgres"])

RECEIPT = "3kq7mvt2z0hy"  # to ada (sent), cc bob (deferred), bcc gone (hard bounce)
NEWS = "3kq7mvt2z100"  # to two people at gmail.com, not tried yet
HELD = "3kq7mvt2z200"  # to one at example.net, held
REF = "8fq2zz"
SECRET = "mt_a-secret-that-tests-know"


class Result(NamedTuple):
    """What a command did: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


ROOT = Path(__file__).parents[2]
Cli = Callable[..., Result]


@pytest.fixture
def engine() -> str:
    """Which database: `both_engines` says it twice."""
    return "sqlite"


@pytest.fixture
def config(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """The sandbox in a directory of the test's own; on PostgreSQL a configuration, which the sandbox has none of."""
    if engine == "sqlite":
        yield sandbox_config(tmp_path / "data")
        return
    server: Server = request.getfixturevalue("postgres")
    with server.database(migrated=False) as url:
        yield load(write_config(tmp_path, {"database": {"url": url}})).config


@pytest.fixture
def bare(config: Config, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs one command on that directory, in this process, without terminals."""

    def run(*words: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        here = ["--sandbox", "--data-dir", str(config.data_dir)]
        if not config.sandbox:
            here = ["--config", str(config.data_dir.parent / "config.toml")]
        code = main([*here, *words])
        out, err = capsysbinary.readouterr()
        return Result(code, out.decode(), err.decode())

    return run


@pytest.fixture
def cli(bare: Cli, config: Config) -> Cli:
    """The same, on a database with mail in it."""
    asyncio.run(fill(config))
    return bare


async def fill(config: Config) -> None:
    """Accepts, settles and holds what `RECEIPT`, `NEWS` and `HELD` describe."""
    migrate(config)
    store = await open_store(config)
    now = time.time()
    await store.save_credential(Credential("billing-app", (Secret(digest(SECRET)),), now, ("example.com",)))
    await _receipt(store, now - 27 * 60)
    news = accepted(
        ("carl@gmail.com", "dora@mail.gmail.com"),
        queue_id=NEWS,
        received_at=now - 60,
        tag="newsletter",
        subject="News, 100 % new",
        sender="news@shop.example",
    )
    await store.accept(news, claimed=False)
    await store.accept(
        accepted(("eve@example.net",), queue_id=HELD, received_at=now - 90000, subject="Größe"), claimed=False
    )
    await store.operate("hold", parse(f"id:{HELD}", now), actor="anna", reason="wrong price")
    store.refuse_later(
        Refusal(
            REF,
            now - 30,
            "192.0.2.66",
            "MAIL",
            530,
            "5.7.0",
            "R4101",
            f"530 5.7.0 Login required. Fix: set SMTP user and password. [R4101 {REF}]",
            mail_from="x@y.test",
        )
    )
    await store.close()


async def _receipt(store: Store, at: float) -> None:
    mail = accepted(
        ("ada@gmail.com", "bob@busy.example.net", "gone@example.org"),
        content=b"Subject: Your receipt #7430\r\nFrom: billing@example.com\r\n\r\nThank you.\r\n",
        queue_id=RECEIPT,
        received_at=at,
        subject="Your receipt #7430",
        sender="billing@example.com",
        tag="receipt",
        credential="billing-app",
        client_ip="10.0.3.17",
    )
    roles = zip(mail.deliveries, (Role.TO, Role.CC, Role.BCC), strict=True)
    mail = replace(mail, deliveries=tuple(replace(delivery, role=role) for delivery, role in roles))
    await store.accept(mail, claimed=True)
    answers = (
        Verdict(Status.SENT, None, "2.0.0", "250 2.0.0 OK", Reply(250, "2.0.0", "OK")),
        Verdict(Status.DEFERRED, "throttled", "4.2.1", "450 4.2.1 mailbox busy", Reply(450, "4.2.1", "mailbox busy")),
        Verdict(
            Status.HARD_BOUNCE, "bad_mailbox", "5.1.1", "550 5.1.1 User unknown", Reply(550, "5.1.1", "User unknown")
        ),
    )
    made = (Made(True, 4), Made(False, 0, "signed by its application"), Made(True, 4))
    for delivery, verdict, copy in zip(mail.deliveries, answers, made, strict=True):
        due_at = at + 86400 if verdict.status is Status.DEFERRED else None
        await store.settle(Settlement(delivery, _attempt(delivery, verdict, at), verdict, due_at=due_at, copy=copy))


def _attempt(delivery: Delivery, verdict: Verdict, at: float) -> Attempt:
    assert verdict.reply is not None
    lines = (Line(0, "=", "connected"), Line(28, "S", "220 mx ESMTP"), Line(1900, "S", verdict.reply.line))
    host = f"mx.{delivery.destination}"
    return Attempt(at, at + 1.9, host, "203.0.113.9", 25, in_reply_to="RCPT TO", transcript=lines)


def terminal(config: Config, *words: str, typed: bytes = b"", env: "dict[str, str] | None" = None) -> tuple[int, str]:
    """Runs a command with a terminal for all three streams; its exit code and what appeared."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "relay", "--sandbox", "--data-dir", str(config.data_dir), *words]
    variables = (
        {"TERM": "xterm", "PYTHONUTF8": "1"} | {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | (env or {})
    )
    process = subprocess.Popen(command, cwd=ROOT, stdin=follower, stdout=follower, stderr=follower, env=variables)
    os.close(follower)
    os.write(leader, typed)
    seen = b""
    while chunk := _read(leader):
        seen += chunk
    os.close(leader)
    return process.wait(60), seen.decode().replace("\r\n", "\n")


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 4096)
    except OSError:  # Linux: EIO when the last follower is closed
        return b""
