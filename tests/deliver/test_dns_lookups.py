"""Remembered look-ups: bounded, and one at a time for each key."""

import asyncio
from dataclasses import dataclass

import pytest

from relay.deliver.lookups import Lookups
from tests.deliver.finding import Clock


@dataclass(frozen=True)
class Value:
    text: str
    expires: float = 2000.0


async def found(text: str) -> Value:
    return Value(text)


async def test_bounded() -> None:
    """When it is full, what was used longest ago goes first."""
    lookups: Lookups[Value] = Lookups(2, Clock())
    await lookups.fetch("a", lambda: found("a"))
    await lookups.fetch("b", lambda: found("b"))
    assert lookups.get("a") == Value("a")
    await lookups.fetch("c", lambda: found("c"))
    assert (lookups.get("a"), lookups.get("b"), lookups.get("c")) == (Value("a"), None, Value("c"))
    assert len(lookups) == 2


async def test_what_has_expired_is_gone() -> None:
    """A value is given until its time is over, and takes no room afterwards once it was asked for."""
    clock = Clock()
    lookups: Lookups[Value] = Lookups(2, clock)
    await lookups.fetch("a", lambda: found("a"))
    clock.now = 2000.0
    assert lookups.get("a") is None
    assert len(lookups) == 0


async def test_an_exception_is_everybodys_and_not_remembered() -> None:
    """Our own mistakes are raised to all who wait, and the next one tries again."""
    lookups: Lookups[Value] = Lookups(2, Clock())

    async def fail() -> Value:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    both = await asyncio.gather(*(lookups.fetch("a", fail) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in both] == [ZeroDivisionError, ZeroDivisionError]
    assert await lookups.fetch("a", lambda: found("a")) == Value("a")


async def test_nobody_waits_any_more() -> None:
    """A look-up whose only waiter was cancelled is finished and remembered all the same."""
    lookups: Lookups[Value] = Lookups(2, Clock())
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> Value:
        begun.set()
        await may_end.wait()
        ended.set()
        return Value("a")

    waiter = asyncio.create_task(lookups.fetch("a", slow))
    await begun.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    may_end.set()
    await ended.wait()
    assert await lookups.fetch("a", lambda: found("b")) == Value("a")
