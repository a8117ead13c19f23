"""The real program as a process: started, listened to, killed. For everybody's journeys.

    async with relay(tmp_path, {"delivery": {"routes": {"*": "127.0.0.1:2626"}}}) as program:
        reader, writer = await asyncio.open_connection(*program.submission)
        …
        await program.line(r"status=sent")

Nothing sleeps: every wait is for a line, an end of output or an exit, and fails with the
last lines that were heard. When the block ends the process and its children are gone.
"""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds until a wait counts as failed; no test is meant to come near it


class Program:
    """A running process and every line that it and its children have written (both streams)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._ended = False
        self._heard = asyncio.Condition()
        self._listener = asyncio.create_task(self._listen(), name="program output")

    @property
    def pid(self) -> int:
        """The process itself; of a relay, the supervisor."""
        return self.process.pid

    @property
    def children(self) -> list[int]:
        """The living children: a relay's workers."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def matching(self, pattern: str) -> list[str]:
        """The lines so far in which the regular expression `pattern` is found."""
        return [line for line in self.lines if re.search(pattern, line)]

    async def line(self, pattern: str, *, count: int = 1) -> str:
        """The `count`th line in which `pattern` is found, as soon as it is there."""
        try:
            async with asyncio.timeout(PATIENCE), self._heard:
                await self._heard.wait_for(lambda: self._ended or len(self.matching(pattern)) >= count)
        except TimeoutError:
            raise TimeoutError(f"no {count} × {pattern!r}:\n{self.last}") from None
        found = self.matching(pattern)
        assert len(found) >= count, f"ended without {count} × {pattern!r}:\n{self.last}"
        return found[count - 1]

    async def end_of_output(self) -> None:
        """Wait until the process and all that share its output are gone."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self._listener)

    async def exit_code(self) -> int:
        """Wait for the end; negative: the signal that ended it."""
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
        await self.end_of_output()
        return code

    async def stop(self) -> int:
        """SIGTERM, as systemd would; the exit code."""
        self.send(signal.SIGTERM)
        return await self.exit_code()

    async def kill(self) -> None:
        """SIGKILL, as a crash would; back when the children are dead too."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
        await self.exit_code()

    def send(self, number: signal.Signals) -> None:
        """A signal to the process."""
        self.process.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        """A signal to the process and its children at once, as a terminal does with Ctrl-C."""
        os.killpg(self.pid, number)

    @property
    def last(self) -> str:
        """The last lines, for a failing test."""
        return "\n".join(self.lines[-30:])

    async def _listen(self) -> None:
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            async with self._heard:
                self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self._heard.notify_all()
        async with self._heard:
            self._ended = True
            self._heard.notify_all()


class Relay(Program):
    """`mailtrail serve`, ready."""

    ready_line = ""

    @property
    def submission(self) -> tuple[str, int]:
        """Host and port of the first plain submission listener, as the ready line names it."""
        return self._listener_called("submission")

    @property
    def submission_tls(self) -> tuple[str, int]:
        """Host and port of the first listener with implicit TLS."""
        return self._listener_called("submission_tls")

    @property
    def inbound(self) -> tuple[str, int]:
        """Host and port of the first listener for what comes back."""
        return self._listener_called("inbound")

    @property
    def tracking(self) -> tuple[str, int]:
        """Host and port of the first listener of the public web."""
        return self._listener_called("tracking")

    def _listener_called(self, name: str) -> tuple[str, int]:
        found = re.search(rf'\b{name}="?\[?([0-9a-fA-F.:]+?)\]?:(\d+)[" ,]', self.ready_line + " ")
        assert found, f"no {name} in {self.ready_line!r}"
        return found[1], int(found[2])


@asynccontextmanager
async def running(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Program]:
    """`python ARGUMENTS…` as a process of its own session."""
    program = Program(await _spawn(arguments, env))
    try:
        yield program
    finally:
        await program.kill()


@asynccontextmanager
async def relay(
    tmp_path: Path, settings: Mapping[str, Any] | None = None, *options: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Relay]:
    """`python -m relay serve --config …`, with `settings` over those of `write_config`; entered when it is ready."""
    config = write_config(tmp_path, settings or {})
    program = Relay(await _spawn(("-m", "relay", "serve", "--config", str(config), *options), env))
    try:
        program.ready_line = await program.line(r"/relay\[\d+\]: ready: ")
        yield program
    finally:
        await program.kill()


async def command(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run `python -m relay ARGUMENTS…` to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "relay",
        *arguments,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def write_config(directory: Path, settings: Mapping[str, Any]) -> Path:
    """`directory`/config.toml: one worker, a loopback port that the system chooses, and `settings` over that."""
    wanted: dict[str, Any] = {
        "hostname": "relay.test",
        "data_dir": str(directory / "data"),
        "workers": 1,
        "submission": {"listen": ["127.0.0.1:0"]},
    }
    for key, value in settings.items():
        wanted[key] = {**wanted.get(key, {}), **value} if isinstance(value, Mapping) else value
    plain = [f"{key} = {toml(value)}\n" for key, value in wanted.items() if not isinstance(value, Mapping)]
    for name, section in wanted.items():
        if isinstance(section, Mapping):
            plain.append(f"\n[{name}]\n")
            plain.extend(f"{json.dumps(key)} = {toml(value)}\n" for key, value in section.items())
    (directory / "data").mkdir(parents=True, exist_ok=True)
    path = directory / "config.toml"
    path.write_text("".join(plain))
    return path


def toml(value: object) -> str:
    """A value as TOML writes it; mappings as inline tables."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


async def _spawn(arguments: tuple[str, ...], env: Mapping[str, str] | None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=1024 * 1024,
    )
