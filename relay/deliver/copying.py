"""Has a recipient's copy made when its attempt begins, and keeps memory within bounds while it is sent.

What a copy is, is said in `relay/compose/render.py`; contents come from `relay/deliver/contents.py`. A large
message is rendered in a thread, so that its links and its hash hold up nobody else. A copy that
differs from its content takes room of its own, which is had before the content is borrowed.
Raises StoreUnavailable where the content cannot be read now; anything else is our own mistake.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from relay.compose.render import Copy, Making, render
from relay.deliver.contents import Contents
from relay.delivery import Delivery

LARGE = 64 * 1024  # octets of a content that is rendered in a thread


class Copies:
    """One per worker. `making` gives the keys and settings of the moment; `clock` Unix seconds."""

    def __init__(self, contents: Contents, making: Callable[[], Making], clock: Callable[[], float]) -> None:
        self._contents = contents
        self._making = making
        self._clock = clock

    def make(self, delivery: Delivery, lane: str) -> AbstractAsyncContextManager[Copy | None]:
        """The copy for an attempt of that lane; None when the content is no longer kept."""
        return self._small(delivery, lane) if delivery.message.size <= LARGE else self._large(delivery, lane)

    @asynccontextmanager
    async def _small(self, delivery: Delivery, lane: str) -> AsyncIterator[Copy | None]:
        message = delivery.message
        async with self._contents.borrow(message.queue_id, message.size, lane) as content:
            yield None if content is None else render(delivery, content, self._making(), self._clock())

    @asynccontextmanager
    async def _large(self, delivery: Delivery, lane: str) -> AsyncIterator[Copy | None]:
        message = delivery.message
        async with AsyncExitStack() as copying:
            await copying.enter_async_context(self._contents.room(message.size, lane))
            async with self._contents.borrow(message.queue_id, message.size, lane) as content:
                copy = None
                if content is not None:
                    copy = await asyncio.to_thread(render, delivery, content, self._making(), self._clock())
                if copy is None or copy.content is content:
                    await copying.aclose()
                yield copy
