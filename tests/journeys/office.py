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
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.journeys.internet import Internet
from tests.parts.postgres import Server
from tests.parts.program import Relay, command, relay
from tests.parts.reader import Web
from tests.parts.views import Row, Views

PATIENCE = 60.0  # seconds


@dataclass
class Office:
    """A running relay and all that belongs to it."""

    directory: Path
    program: Relay
    internet: Internet
    views: Views

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
        return await self.submit(content.encode(), *to, sender=sender, options=options, rcpt_options=rcpt_options)

    async def submit(
        self,
        content: bytes,
        *to: str,
        sender: str = "ada@sender.test",
        options: Sequence[str] = (),
        rcpt_options: Sequence[str] = (),
    ) -> str:
        """Send these bytes; the queue id."""
        return await asyncio.to_thread(submit, self.program.submission, sender, to, content, options, rcpt_options)

    async def outcome(self, queue_id: str, status: str, *, to: str = "", count: int = 1) -> str:
        """Wait for the `count`th attempt with this outcome (as logged: sent, deferred, bounced); its line."""
        return await self.program.line(rf"{queue_id}: to=<{re.escape(to)}.*, status={status} ", count=count)

    async def dropped(self, queue_id: str, *, to: str = "") -> str:
        """Wait until a delivery was not tried because its address is suppressed; the line."""
        return await self.program.line(rf"{queue_id}: discard: .*<{re.escape(to)}.*Recipient address suppressed")

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

    # Recipients.

    @property
    def web(self) -> Web:
        """The public web."""
        return Web(self.program.tracking)

    def long_ago(self, queue_id: str) -> None:
        """As if it had been delivered an hour ago: who comes within seconds of delivery may be no person."""
        self.views.change("UPDATE deliveries SET delivered_at = delivered_at - 3600 WHERE queue_id = ?", queue_id)

    async def visited(self, queue_id: str, kind: str, *, to: str = "", count: int = 1) -> str:
        """Wait until the `count`th visit (`kind`: open, click) is in the database; its line."""
        return await self.program.line(rf"{queue_id}: event={kind}, to=<{re.escape(to)}", count=count)

    # The database.

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """What a reader of the public views sees now, whether or not the relay runs."""
        return self.views.rows(sql, *parameters)

    @property
    def settled_down(self) -> bool:
        """Is the database one plain file, which anybody may read? A server's is always there to be read."""
        return not Path(f"{self.views.place}-wal").exists()

    def delivery(self, queue_id: str, recipient: str = "%") -> Row:
        """The row of `email_status`."""
        (row,) = self.rows("SELECT * FROM email_status WHERE queue_id = ? AND recipient LIKE ?", queue_id, recipient)
        return row

    def attempts(self, queue_id: str) -> list[Row]:
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
        code, out, err = await self.run(*words, stdin=stdin)
        assert code == 0, err
        return out

    async def run(self, *words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        """Run `mailtrail …`, however it ends: exit code, output, errors."""
        return await command(*words, "--config", str(self.directory / "config.toml"), stdin=stdin)


@asynccontextmanager
async def office(
    directory: Path,
    internet: Internet,
    settings: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    url: str = "",
) -> AsyncIterator[Office]:
    """A relay that runs, in `directory`, which keeps its database from one to the next; or on the one at `url`."""
    views = Views(url) if url else _databases.views(directory)
    database = {"database": {"url": views.place}} if isinstance(views.place, str) else {}
    async with relay(directory, dict(settings or internet.settings()) | database, env=env) as program:
        yield Office(directory, program, internet, views)


class _Databases:
    """Where offices keep theirs: each in its own directory, or all on a server."""

    def __init__(self, server: Server | None, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack
        self._urls: dict[Path, str] = {}

    def views(self, directory: Path) -> Views:
        if self._server is None:
            return Views(directory / "data" / "mailtrail.db")
        if directory not in self._urls:
            self._urls[directory] = self._stack.enter_context(self._server.database())
        return Views(self._urls[directory])


_databases = _Databases(None, ExitStack())


@contextmanager
def installed(server: Server | None) -> Iterator[None]:
    """All offices inside keep their databases on `server`; None: in their own directories."""
    global _databases
    before = _databases
    with ExitStack() as stack:
        _databases = _Databases(server, stack)
        try:
            yield
        finally:
            _databases = before


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
