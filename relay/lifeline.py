"""The pipe from a worker to its supervisor: "I am ready", "I let nobody in any more", and signs of life.

The signs come from the worker's event loop, so a loop that is stuck gives none. The
supervisor need not hurry to read them: they wait in the pipe, and what does not fit is
not missed. Neither end ever waits for the other or raises because the other has gone.
"""

import asyncio
import os
from contextlib import suppress

READY = b"r"
LEAVING = b"l"
ALIVE = b"."


class Lifeline:
    """The worker's end. `number` is the worker's own: no two living ones have the same (0 to 1023)."""

    def __init__(self, number: int, fd: int, every: float) -> None:
        self.number = number
        self._fd = fd
        self._every = every

    def ready(self) -> None:
        """Every listener answers."""
        self._say(READY)

    def leaving(self) -> None:
        """No listener answers any more, and nothing new is begun; what is in hand goes on."""
        self._say(LEAVING)

    async def keep(self) -> None:
        """Give signs of life until cancelled; begin with this before anything that may take its time."""
        while True:
            self._say(ALIVE)
            await asyncio.sleep(self._every)

    def _say(self, word: bytes) -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._fd, word)


def pipe() -> tuple[int, int]:
    """The supervisor's end and the worker's."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def heard(fd: int) -> bytes | None:
    """What a worker has said since last time; None: nothing. Empty: it has ended."""
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return None
