"""An installation of the relay as its people see it: applications, operators, and whoever reads the database.

    async with office(directory, internet.settings()) as here:
        queue_id = await here.send("bob@x.test")
        await here.outcome(queue_id, "sent")
        here.delivery(queue_id)["mx_host"]

What is waited for is the log line of an attempt, which comes after its commit: the views tell the same then.
"""

import asyncio
import email.policy
import re
import smtplib
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.journeys.internet import Internet
from tests.parts.program import Relay, command, relay

PATIENCE = 60.0  # seconds


@dataclass
class Office:
    """A running relay and all that belongs to it."""

    directory: Path
    program: Relay
    internet: Internet

    # Applications.

    async def send(
        self,
        *to: str,
        sender: str = "ada@sender.test",
        headers: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        rcpt_options: Sequence[str] = (),
        body: str = "Thank you.\r\n",
    ) -> str:
        """Send one message as smtplib does; its queue id."""
        fields = {"From": sender or "ada@sender.test", "To": ", ".join(to), "Subject": "Your receipt"} | dict(
            headers or {}
        )
        content = "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n" + body
        return await asyncio.to_thread(
            submit, self.program.submission, sender, to, content.encode(), options, rcpt_options
        )

    async def outcome(self, queue_id: str, status: str, *, to: str = "", count: int = 1) -> str:
        """Wait for the `count`th attempt with this outcome (as logged: sent, deferred, bounced); its line."""
        return await self.program.line(rf"{queue_id}: to=<{re.escape(to)}.*, status={status} ", count=count)

    async def notice(self, sender: str, *, count: int = 1) -> EmailMessage:
        """Wait until `sender` has got its `count`th notice from us."""
        await self.program.line(rf": to=<{re.escape(sender)}>, .* status=sent", count=count)
        mine = [mail for mail in self.internet.home.messages if mail.recipients == (sender,)]
        found = email.message_from_bytes(mine[count - 1].content, policy=email.policy.SMTP)
        assert isinstance(found, EmailMessage)
        assert mine[count - 1].mail_from == ""
        return found

    def notices(self, sender: str) -> int:
        """How many notices `sender` has got or will get."""
        return len(self.rows("SELECT 1 FROM delivery_status WHERE origin = 'notice' AND recipient = ?", sender))

    # The database.

    def rows(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """What a reader of the public views sees now."""
        return read(self.database, sql, *parameters)

    @property
    def database(self) -> Path:
        """The file, as `mailtrail db path` tells it."""
        return self.directory / "data" / "mailtrail.db"

    @property
    def settled_down(self) -> bool:
        """Is the database one plain file, which anybody may read?"""
        return not Path(f"{self.database}-wal").exists()

    def delivery(self, queue_id: str, recipient: str = "%") -> sqlite3.Row:
        """The row of `email_status`."""
        (row,) = self.rows("SELECT * FROM email_status WHERE queue_id = ? AND recipient LIKE ?", queue_id, recipient)
        return row

    def attempts(self, queue_id: str) -> list[sqlite3.Row]:
        """The rows of `attempts`, in order."""
        return self.rows("SELECT * FROM attempts WHERE queue_id = ? ORDER BY transcript_ref", queue_id)

    def events(self, queue_id: str) -> list[str]:
        """The words of `events`, in order."""
        return [
            row["event"] for row in self.rows("SELECT * FROM events WHERE queue_id = ? ORDER BY event_id", queue_id)
        ]

    # The operator.

    async def cli(self, *words: str, stdin: bytes = b"") -> str:
        """Run `mailtrail …`; what it said."""
        code, out, err = await command(*words, "--config", str(self.directory / "config.toml"), stdin=stdin)
        assert code == 0, err
        return out


@asynccontextmanager
async def office(
    directory: Path, internet: Internet, settings: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[Office]:
    """A relay that runs, in `directory`, which keeps its database from one to the next."""
    async with relay(directory, settings or internet.settings(), env=env) as program:
        yield Office(directory, program, internet)


def submit(
    server: tuple[str, int],
    sender: str,
    to: Sequence[str],
    content: bytes,
    options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
) -> str:
    """One message over a connection of its own; its queue id."""
    with smtplib.SMTP(*server, local_hostname="app.test", timeout=PATIENCE) as client:
        return hand_in(client, sender, to, content, options, rcpt_options)


def hand_in(
    client: smtplib.SMTP,
    sender: str,
    to: Sequence[str],
    content: bytes,
    options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
) -> str:
    """One message over a connection that is open; its queue id. `smtplib.SMTPResponseException` for a no."""
    client.ehlo_or_helo_if_needed()
    _accepted(client.mail(sender, options))
    for recipient in to:
        _accepted(client.rcpt(recipient, rcpt_options))
    queued = re.search(r"Queued as (\w+)", _accepted(client.data(content)))
    assert queued
    return queued[1]


def _accepted(reply: tuple[int, bytes]) -> str:
    code, text = reply
    if code != 250:
        raise smtplib.SMTPResponseException(code, text)
    return text.decode()


def read(database: Path, sql: str, *parameters: object) -> list[sqlite3.Row]:
    """Rows, by a reader that cannot write."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql, parameters).fetchall()
