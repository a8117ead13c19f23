"""Destinations of which no host answers: left alone for a while, and never for ever."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.config import Config
from relay.deliver.silence import MAX_PAUSE, Silence
from relay.delivery import Status, Verdict
from relay.store import Store, migrate, open_store
from tests.parts.mail import BUSY, SENT

SILENT = Verdict(Status.DEFERRED, "network", "4.4.1", "no host answers", about_host=True)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    config = Config("relay.test", data_dir=tmp_path)
    migrate(config)
    store = await open_store(config)
    yield store
    await store.close()


async def test_each_silence_doubles_the_pause_up_to_an_hour(store: Store) -> None:
    """One minute, two, four, and so on: so often in a row has nobody answered."""
    clock = Clock()
    silence = Silence(store, first=60.0, clock=clock)
    for pause in (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, MAX_PAUSE, MAX_PAUSE):
        suspended = await silence.judge(SILENT, "x.test")
        assert suspended and suspended.reason == "delivery temporarily suspended: no host answers"
        clock.now += pause - 1
        assert silence.holds("x.test") and not silence.holds("y.test")
        clock.now += 1
        assert not silence.holds("x.test")


async def test_several_that_meet_one_silence_count_once(store: Store) -> None:
    """Two attempts over two connections, both unanswered: one failure."""
    silence = Silence(store, first=60.0, clock=Clock())
    assert await silence.judge(SILENT, "x.test") and await silence.judge(SILENT, "x.test")
    assert await store.failures("x.test") == 1


@pytest.mark.parametrize("answer", [SENT, BUSY], ids=["sent", "refused for now"])
async def test_an_answer_ends_it(store: Store, answer: Verdict) -> None:
    """Whatever a server says, it is there: the next silence is the first again."""
    clock = Clock()
    silence = Silence(store, first=60.0, clock=clock)
    await silence.judge(SILENT, "x.test")
    clock.now += 60
    assert await silence.judge(answer, "x.test") is None
    assert await store.failures("x.test") == 0


async def test_one_that_cannot_be_recorded_ends_too(store: Store) -> None:
    """The store fails while a destination is being blocked: its pause passes like any other, and nobody else has it."""
    clock = Clock()
    silence = Silence(store, first=60.0, clock=clock)
    await store.group.close()
    assert await silence.judge(SILENT, "x.test") is None
    assert silence.holds("x.test")
    clock.now += 60
    silence.forget_past()
    assert not silence.holds("x.test")
    assert await store.failures("x.test") == 0
