"""The power fails: what the disk had at one instant is all that is left.

The spool is on an ext4 in a file, and that file is on another ext4. Freezing the outer one stops the inner one's disk
between two writes, without a word to the inner one: what its page cache holds is not on the disk and never gets there.
Then every process is killed, the disk is copied, and the copy is mounted as by a machine that comes up again.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.images import MIB, ext4, frozen, mounted, why_not
from tests.crash.rig import Rig
from tests.crash.traffic import Clients, Sink

pytestmark = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where the outer file system is mounted."""
    with ext4(tmp_path / "outer.image", tmp_path / "outer", size=512 * MIB) as place:
        yield place


@pytest.mark.parametrize("messages", [20, 300, 3000])
async def test_a_power_cut_loses_nothing_that_was_accepted(
    tmp_path: Path, disk: Path, sink: Sink, messages: int
) -> None:
    """Whatever got its 250 before the power failed is on the disk, and arrives after the next start."""
    spool = tmp_path / "spool"
    copy = tmp_path / "copy.image"
    with ExitStack() as before:
        before.enter_context(ext4(disk / "image", spool, size=128 * MIB))
        rig = Rig(tmp_path, sink.port, data=spool / "data")
        await rig.start()
        try:
            async with Clients(rig.port) as clients:
                await clients.accept_more(messages)
                clients.welcome.clear()
                with frozen(disk):
                    rig.doom()
                    shutil.copy(disk / "image", copy)
                await rig.gone()
        finally:
            await rig.close()
    with mounted(copy, spool):
        assert rig.integrity() == "ok"
        assert clients.accepted.keys() <= rig.known()
        await rig.start()
        try:
            await sink.wait_for(clients.accepted)
            await rig.settled()
        finally:
            await rig.close()
    assert not sink.damaged
