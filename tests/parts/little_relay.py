"""The supervisor with workers that have no mail: `python -m tests.parts.little_relay '{"listen": …}'`.

A worker answers every line of a connection with its index and pid. Settings (JSON):
`behaviour` "polite" (at SIGTERM: no new connections, the open ones are finished), "busy"
(something in hand never ends), "failing" (raises before it is ready); `prepare` "", "failing", "waiting".
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relay.config import Config, Endpoint, LogSection, Submission
from relay.listening import bind
from relay.log import Log
from relay.supervisor import run


def main(settings: dict[str, Any]) -> int:
    host, _, port = settings.get("listen", "127.0.0.1:0").rpartition(":")
    config = Config(
        hostname="relay.test",
        workers=settings.get("workers", 2),
        grace=settings.get("grace", 3600.0),
        submission=Submission(listen=(Endpoint(host, int(port)),)),
        log=LogSection(file=Path(settings["log"]) if "log" in settings else None),
    )

    def work(index: int, config: Config, ready: Callable[[], None]) -> None:
        if settings.get("behaviour") == "failing":
            raise ValueError("the cellar is flooded")
        asyncio.run(serve(index, config, ready, ends=settings.get("behaviour") != "busy"))

    def prepare() -> None:
        match settings.get("prepare"):
            case "failing":
                raise ValueError("the database is newer than this program")
            case "waiting":
                print("preparing", flush=True)
                signal.pause()

    return run(config, lambda _: prepare(), work, lambda _: None)


async def serve(index: int, config: Config, ready: Callable[[], None], *, ends: bool) -> None:
    log = Log(config)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)

    def reload() -> None:
        log.reopen()
        log.note("worker reloaded", index=index)

    loop.add_signal_handler(signal.SIGHUP, reload)
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talks.add(task)
        try:
            while await reader.readline():
                writer.write(f"{index} {os.getpid()}\n".encode())
        finally:
            writer.close()
            talks.discard(task)

    server = await asyncio.start_server(talk, sock=bind(config.submission.listen[0]))
    ready()
    await stopping.wait()
    server.close()
    log.note("worker finishes", index=index)
    while talks or not ends:
        await asyncio.wait(talks or {asyncio.ensure_future(loop.create_future())})
    log.note("worker ends", index=index)
    log.flush()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
