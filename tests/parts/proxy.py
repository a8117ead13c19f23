"""The line between a node and its database, which can be cut: with a word, or without.

async with Proxy(5432) as line:
    url = f"postgresql://postgres@127.0.0.1:{line.port}/relay"
    line.go_silent()     # connections stay, and nothing comes through; new ones are taken, and hear nothing
    line.refuse()        # connections are reset, new ones too
    line.mend()          # everything goes through again, also what was held back
"""

import asyncio
from typing import Self

LOOPBACK = "127.0.0.1"


class Proxy:
    """To `target`, a port of loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._refusing = False
        self._refused = 0
        self._knocked = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def go_silent(self) -> None:
        """Nothing comes through, and nobody is told."""
        self._flows.clear()

    def refuse(self) -> None:
        """Whoever is connected, or connects, is cut off."""
        self._refusing = True
        self._refused = 0
        self._reset()

    async def refused(self, count: int) -> None:
        """Until so many connections have been refused since `refuse`."""
        async with self._knocked:
            await self._knocked.wait_for(lambda: self._refused >= count)

    def mend(self) -> None:
        """As before."""
        self._refusing = False
        self._flows.set()

    def _reset(self) -> None:
        for end in tuple(self._ends):
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        if self._refusing:
            writer.transport.abort()
            async with self._knocked:
                self._refused += 1
                self._knocked.notify_all()
        else:
            try:
                await self._connect(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # the server is away, or the test is over: the other side sees a closed connection
            finally:
                writer.transport.abort()
        self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            await self._flows.wait()
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
            self._ends.add(far_writer)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._pump(reader, far_writer))
                    ways.create_task(self._pump(far_reader, writer))
            finally:
                self._ends.discard(far_writer)
                far_writer.transport.abort()
        finally:
            self._ends.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        writer.close()  # one end has gone: so does the other
