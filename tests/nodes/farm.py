"""A farm: nodes that share one database, each with a directory and a loopback address of its own, and one next hop.

    one, two = await farm.start("one"), await farm.start("two")
    async with farm.clients(one) as clients:
        await clients.accept_more(100)
    await farm.everything_arrives(clients)

What was in flight is counted as the promise does: claimed, and not settled, at the instant of the failure.
"""

import asyncio
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from relay.delivery import WAITING
from tests.crash.rig import Rig, keys
from tests.crash.traffic import DOMAIN, Clients, Conversation, Sink
from tests.parts.program import command
from tests.parts.views import Row, Views

PATIENCE = 60.0  # seconds
PAUSE = 0.05  # seconds between two looks at what only the database can tell


class Farm:
    """Nodes by name, on the database at `url`. At the end none of them is left."""

    def __init__(self, directory: Path, sink: Sink, url: str) -> None:
        self.url = url
        self.views = Views(url)
        self.sink = sink
        self.nodes: dict[str, Rig] = {}
        self._directory = directory

    def node(self, name: str, *, url: str = "", grace: str = "", **delivery: Any) -> Rig:
        """A node that is not started yet; `url`: its own way to the database; `grace`: how long it may take to stop."""
        # Not where the system's own ports are, nor another run of the tests.
        host = f"127.{os.getpid() % 250 + 2}.255.{len(self.nodes) + 1}"
        place = self._directory / name
        rig = Rig(place, self.sink.port, url=url or self.url, host=host, workers=1, delivery=delivery)
        if grace:
            rig.config.write_text(f'grace = "{grace}"\n{rig.config.read_text()}')
        self.nodes[name] = rig
        return rig

    async def start(self, name: str, *, url: str = "", grace: str = "", **delivery: Any) -> Rig:
        """A node that is ready."""
        rig = self.node(name, url=url, grace=grace, **delivery)
        await rig.start()
        return rig

    async def close(self) -> None:
        """Whatever happened, nobody stays."""
        for rig in self.nodes.values():
            await rig.close()

    def clients(self, rig: Rig, count: int = 5) -> Clients:
        """Applications of that node; their keys begin with its name."""
        name = next(name for name, known in self.nodes.items() if known is rig)
        return Clients(rig.port, count, host=rig.host, name=f"{name}-")

    async def send(self, rig: Rig, *keys: str) -> dict[str, str]:
        """Messages one after the other, and then nothing is under way any more: key → queue id."""
        conversation = await Conversation.open(rig.port, rig.host)
        try:
            replies = {key: await conversation.send(key) for key in keys}
        finally:
            conversation.close()
        assert all(reply.startswith("250 2.0.0 Queued as ") for reply in replies.values()), replies
        return {key: reply.split()[4] for key, reply in replies.items()}

    async def cli(self, rig: Rig, *words: str) -> str:
        """`mailtrail …` with that node's configuration; what it said."""
        code, out, err = await command(*words, "--config", str(rig.config))
        assert code == 0, err
        return out

    # What is in the database.

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """What a reader sees."""
        return self.views.rows(sql, *parameters)

    async def until(self, true: Callable[[], bool]) -> None:
        """Until the database tells so."""
        async with asyncio.timeout(PATIENCE):
            while not true():  # noqa: ASYNC110  nobody tells us of rows
                await asyncio.sleep(PAUSE)

    def in_flight(self) -> set[str]:
        """Keys of what is claimed and not settled."""
        rows = self.rows(
            "SELECT recipient FROM deliveries WHERE in_hand = 1 AND status IN ('creating','spooled','deferred')"
        )
        return {row["recipient"].split("@")[0] for row in rows}

    def record(self) -> list[dict[str, Any]]:
        """All that is told of deliveries and attempts."""
        deliveries = self.rows("SELECT * FROM delivery_status ORDER BY queue_id, recipient_id")
        attempts = self.rows("SELECT * FROM attempts ORDER BY transcript_ref")
        return [dict(row) for row in [*deliveries, *attempts]]

    async def all_know_all(self) -> None:
        """Until every node has looked at who lives since the last one began."""
        told = "SELECT count(*) AS n, min(seen_at) > max(started_at) AS known FROM workers WHERE seen_at > 0"
        await self.until(lambda: self.rows(told)[0]["n"] == len(self.nodes) and self.rows(told)[0]["known"])

    # What must be true in the end.

    async def everything_arrives(self, *crowds: Clients) -> None:
        """What got its 250 arrives whole, all is settled, and nothing was refused for ever."""
        for clients in crowds:
            assert not [reply for reply in clients.refused if reply.startswith("5")]
            await self.sink.wait_for(clients.accepted)
        await self.everything_settled()

    async def everything_settled(self) -> None:
        """Nothing waits any more, nothing came damaged, and no node has met a mistake of its own."""
        await self.until(lambda: not keys(self.views, WAITING))
        assert not self.sink.damaged
        for rig in self.nodes.values():
            if rig.running:
                assert not rig.program.matching(r"Traceback|worker died|failed|mistake"), rig.program.last

    def arrived_twice(self) -> set[str]:
        """Keys of duplicates; none came three times."""
        assert max(self.sink.arrived.values()) <= 2
        return {key for key, count in self.sink.arrived.items() if count > 1}


def sent(rigs: Collection[Rig]) -> set[str]:
    """Keys of what these nodes' logs call sent: settled before the line was written."""
    pattern = re.compile(rf"to=<([^@>]+)@{re.escape(DOMAIN)}>.* status=sent ")
    lines = [line for rig in rigs for line in rig.program.lines]
    return {found[1] for line in lines if (found := pattern.search(line))}
