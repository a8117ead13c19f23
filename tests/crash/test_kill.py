"""SIGKILL to the whole program, again and again, while it accepts and delivers."""

import random

from tests.crash.rig import Rig
from tests.crash.traffic import Clients, Sink

KILLS = 10


async def test_every_message_with_a_250_survives_kill_after_kill(rig: Rig, sink: Sink) -> None:
    """Whatever got its 250 arrives, whole; twice only if a kill came between the next hop's 250 and its commit."""
    in_flight: dict[str, int] = {}  # key → kills at which it had arrived and was not settled
    chance = random.Random(25)
    await rig.start()
    async with Clients(rig.port) as clients:
        for _ in range(KILLS):
            await clients.accept_more(chance.randrange(20, 300))
            clients.welcome.clear()
            await rig.kill()
            for key in rig.waiting() & sink.arrived.keys():
                in_flight[key] = in_flight.get(key, 0) + 1
            await rig.start()
            clients.welcome.set()
        await clients.accept_more(20)
    await sink.wait_for(clients.accepted)
    await rig.settled()
    await rig.stop()

    assert not sink.damaged
    assert not [reply for reply in clients.refused if reply.startswith("5")]
    too_often = {key: n for key, n in sink.arrived.items() if n > 1 + in_flight.get(key, 0)}
    assert not too_often, f"arrived again though settled, of {len(in_flight)} in flight: {too_often}"


async def test_a_killed_program_leaves_a_sound_database(rig: Rig, sink: Sink) -> None:
    """After a kill under load the next start finds a sound database, as SQLite says of its own."""
    await rig.start()
    async with Clients(rig.port) as clients:
        await clients.accept_more(100)
        clients.welcome.clear()
        await rig.kill()
    assert rig.integrity() == "ok"
    await rig.start()
    await sink.wait_for(clients.accepted)
    await rig.settled()
    await rig.stop()
