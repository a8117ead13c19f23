"""The supervisor with workers that have no mail: `python -m tests.parts.little_relay '{"listen": …}'`.

A worker answers every line of a connection with its number and pid; after the line "hang" its
event loop stands still. Settings (JSON): `behaviour` "polite" (at SIGTERM: no new connections,
the open ones are finished), "busy" (something in hand never ends), "failing" (raises before it
is ready); `too_many`, with how many workers none can start; `prepare` "", "failing", "waiting";
`reload`, a file whose settings SIGHUP puts over these.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from relay.config import Config, Endpoint, LogSection, Submission
from relay.config_file import ConfigError, LoadedConfig, Problem
from relay.lifeline import Lifeline
from relay.log import Log
from relay.supervisor import HANG, run


def main(settings: dict[str, Any]) -> int:
    def work(config: Config, lifeline: Lifeline, doors: Mapping[Endpoint, socket.socket]) -> None:
        if settings.get("behaviour") == "failing" or config.workers == settings.get("too_many"):
            raise ValueError("the cellar is flooded")
        uvloop.run(serve(config, lifeline, doors, ends=settings.get("behaviour") != "busy"))

    def prepare() -> None:
        match settings.get("prepare"):
            case "failing":
                raise ValueError("the database is newer than this program")
            case "waiting":
                print("preparing", flush=True)
                signal.pause()

    def reload() -> LoadedConfig:
        file = Path(settings["reload"])
        try:
            settings.update(json.loads(file.read_text()))
        except json.JSONDecodeError as error:
            raise ConfigError(file, (Problem("", "is no JSON"), Problem("", error.msg))) from error
        return LoadedConfig(configured(settings), (), file)

    return run(
        configured(settings),
        lambda _: prepare(),
        work,
        lambda _: None,
        reload=reload if "reload" in settings else None,
        hang=settings.get("hang", HANG),
    )


def configured(settings: Mapping[str, Any]) -> Config:
    pairs = [address.rpartition(":") for address in settings.get("listen", "127.0.0.1:0").split()]
    return Config(
        hostname="relay.test",
        data_dir=Path(settings["data_dir"]),
        workers=settings.get("workers", 2),
        grace=settings.get("grace", 3600.0),
        submission=Submission(listen=tuple(Endpoint(host, int(port)) for host, _, port in pairs)),
        log=LogSection(file=Path(settings["log"]) if "log" in settings else None),
    )


async def serve(config: Config, lifeline: Lifeline, doors: Mapping[Endpoint, socket.socket], *, ends: bool) -> None:
    log = Log(config)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    alive = asyncio.create_task(lifeline.keep())
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talks.add(task)
        try:
            while line := await reader.readline():
                if line == b"hang\n":
                    log.note("worker stands still")
                    log.flush()
                    threading.Event().wait()
                writer.write(f"{lifeline.number} {os.getpid()}\n".encode())
        finally:
            writer.close()
            talks.discard(task)

    servers = [await asyncio.start_server(talk, sock=doors[endpoint]) for endpoint in config.submission.listen]
    lifeline.ready()
    await stopping.wait()
    for server in servers:
        server.close()
    for _ in range(10):  # turns of the loop, until whoever was let in last is in `talks`
        await asyncio.sleep(0)
    log.note("worker finishes", number=lifeline.number)
    log.flush()
    lifeline.leaving()
    while talks or not ends:
        await asyncio.wait(talks or {asyncio.ensure_future(loop.create_future())})
    log.note("worker ends", number=lifeline.number)
    log.flush()
    alive.cancel()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
