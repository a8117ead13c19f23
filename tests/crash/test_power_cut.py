"""The power fails: what the disk had at one instant is all that is left.

The database is on an ext4 in a file, and that file is on another ext4. Freezing the outer one stops the inner one's
disk between two writes, without a word to the inner one: what its page cache holds is not on the disk and never gets
there. Then every process is killed, the disk is copied, and the copy is mounted as by a machine that comes up again.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.images import MIB, ext4, frozen, mounted, why_not
from tests.crash.machine import machine
from tests.crash.traffic import Clients, Sink

pytestmark = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))


@pytest.fixture
def disk(place: Path) -> Iterator[Path]:
    """Where the outer file system is mounted."""
    with ext4(place / "outer.image", place / "outer", size=768 * MIB) as disk:
        yield disk


@pytest.mark.parametrize("messages", [20, 300, 3000])
async def test_a_power_cut_loses_nothing_that_was_accepted(
    engine: str, place: Path, disk: Path, sink: Sink, messages: int
) -> None:
    """Whatever got its 250 before the power failed is on the disk, and arrives after the next start."""
    spool = place / "spool"
    copy = place / "copy.image"
    with ext4(disk / "image", spool, size=256 * MIB):
        async with machine(engine, place, spool, sink.port) as before:
            await before.rig.start()
            async with Clients(before.rig.port) as clients:
                await clients.accept_more(messages)
                clients.welcome.clear()
                with frozen(disk):
                    before.doom()
                    shutil.copy(disk / "image", copy)
                await before.gone()
    with mounted(copy, spool):
        async with machine(engine, place, spool, sink.port) as after:
            assert after.rig.integrity() == "ok"
            assert clients.accepted.keys() <= after.rig.known()
            await after.rig.start()
            await sink.wait_for(clients.accepted)
            await after.rig.settled()
            await after.rig.stop()
    assert not sink.damaged
