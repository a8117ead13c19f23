"""Whole families of processes: found, and killed at one instant.

Gone is what the kernel says of every process (pidfd): nothing here guesses by waiting.
"""

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path


def family(process: int) -> Iterator[int]:
    """The process and all that come from it."""
    yield process
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


class Doomed:
    """Processes that have got their SIGKILL: none executes another instruction of its own."""

    def __init__(self, processes: Iterable[int]) -> None:
        self._alive = [os.pidfd_open(process) for process in processes]
        for process in self._alive:
            signal.pidfd_send_signal(process, signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until the kernel has buried all."""
        while self._alive:
            await _readable(self._alive[-1])
            os.close(self._alive.pop())


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)
