"""The same commands while the relay runs."""

import asyncio
import json
import re
import smtplib
from pathlib import Path

from relay.config import Config
from tests.cli.conftest import both_engines
from tests.parts.program import command, relay


@both_engines
async def test_commands_see_and_steer_a_running_relay(tmp_path: Path, engine: str, config: Config) -> None:
    """A message is sent, followed from its 250 to its status, and what waits is held; the relay goes on as before."""
    database = {"database": {"url": config.database_url}} if engine == "postgres" else {}
    async with relay(tmp_path, database) as program:
        options = ("--config", str(tmp_path / "config.toml"))
        sent = await asyncio.to_thread(_send, program.submission, "delivered@sim.test")
        await program.line(rf"{sent}: to=<delivered@sim.test>.* status=sent")
        later = await asyncio.to_thread(_send, program.submission, "deferred@sim.test")
        await program.line(rf"{later}: to=<deferred@sim.test>.* status=deferred")

        code, out, _ = await command("message", "show", sent, *options)
        assert code == 0 and "✓ sent" in out
        code, out, _ = await command("status", "--running", *options)
        assert code == 0 and "1 worker\n  submission: 127.0.0.1:" in out
        code, out, _ = await command("queue", "hold", later, "--yes", "--reason", "a look at it", *options)
        assert code == 0 and "1 recipient held" in out
        code, out, _ = await command("queue", "release", later, "--yes", *options)
        await program.line(rf"{later}: to=<deferred@sim.test>.* status=deferred", count=2)
        code, out, _ = await command("queue", "retry", "to:deferred@", "--yes", *options)
        await program.line(rf"{later}: to=<deferred@sim.test>.* status=sent")

        code, out, _ = await command("node", "list", "-o", "csv", *options)
        assert code == 0 and ",alive," in out
        assert (await command("credential", "add", "app", *options))[0] == 0
        await program.line(r"/admin\[\d+\]: credential_add: by=.*name=app")

        code, out, _ = await command("message", "show", later, "--json", *options)
        assert json.loads(out)["recipients"][0]["status"] == "sent"
        assert await program.stop() == 0
    code, out, _ = await command("status", *options)
    assert code == 0 and "not running" in out and "queue:      empty" in out


def _send(server: tuple[str, int], recipient: str) -> str:
    """Sends one message; its queue id."""
    with smtplib.SMTP(*server) as client:
        client.ehlo()
        client.mail("ada@example.com")
        client.rcpt(recipient)
        _, reply = client.data(f"From: ada@example.com\r\nTo: {recipient}\r\nSubject: Hello\r\n\r\nHello\r\n")
    found = re.search(rb"[Qq]ueued as (\w+)", reply)
    assert found, reply
    return found[1].decode()
