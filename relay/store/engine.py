"""What the store asks of a database: atomic groups of named statements, and reads.

The interface is the same for every engine; the statements have the same names and
parameters in every dialect (`relay/store/sql.py`). An engine never sees a message or a
delivery: rows in, rows out.

A database that cannot be used now (locked, full, read-only, gone) is `StoreUnavailable`;
what was in the failed group is then not in the database. `Late` means that a statement
touched fewer rows than it was given: the group was undone, and says which it would have
touched. Anything else is our own mistake and raises as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Row = Mapping[str, Any]


class Statement(NamedTuple):
    """A named statement with its parameters; with `expect` it must return exactly that many rows."""

    name: str
    params: Mapping[str, Any]
    expect: int | None = None


# First in what people do, and where workers join: those that do so commit one after the other, and what they number
# is in the order of their commits. Whoever reads on from the last number he has seen misses none.
IN_TURN = Statement("in_turn", {})

# SQL text with named parameters, and the rows for which it is run.
Batch = tuple[str, Sequence[Mapping[str, Any]]]


class Late(Exception):
    """A statement met fewer rows than expected; `rows` are those it met. Nothing of the group was kept."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        super().__init__(name)
        self.rows = rows


class Engine(Protocol):
    """One worker's way to the database."""

    def now(self) -> float:
        """The database's time, Unix seconds: what leases are measured by."""

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Run all in one transaction, synced before this returns; the rows each statement returned."""

    async def put(self, batches: Sequence[Batch]) -> None:
        """Run SQL texts of ours, each for all its rows, in one synced transaction: how databases are copied."""

    async def read(self, name: str, params: Mapping[str, Any]) -> list[Row]:
        """Run one named statement outside any transaction of ours."""

    async def query(
        self, sql: str, params: Mapping[str, Any], seconds: float | None = None
    ) -> tuple[list[str], list[Row]]:
        """Run SQL text on a connection that cannot write: column names and rows.

        TimeoutError after `seconds`. BadQuery when the database does not understand it, or it would write.
        """

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard(topic)` soon after somebody else told of it (statement `tell`), if the database has a channel.

        Topics: "work" (something is to be tried now), "stop" (something is not to be tried any more),
        "credentials" (one of them has changed), "workers" (one comes or goes), and
        "" when some may have been missed. It only saves waiting: whoever listens looks by itself now and then as well.
        """

    async def secrets(self) -> dict[str, bytes]:
        """All secrets by name: what must not be read by whoever may read the tables."""

    async def keep_secret(self, name: str, value: bytes) -> None:
        """Keep a secret, safe on disk when this returns. Of several under one name the first stays: read it again."""

    async def forget_secret(self, name: str) -> None:
        """Let go of a secret, if there is one of this name."""

    async def backup(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the whole database, in use or not, to a new file; `progress` gets what is done and the total.

        Raises NotOffered where the database has its own way, which the message names.
        """

    async def check(self) -> list[str]:
        """What is wrong with the database's own structure, in words."""

    async def tidy(self) -> None:
        """The engine's own housekeeping, called now and then."""

    async def close(self) -> None:
        """Close every connection, for good: whoever asks afterwards gets StoreUnavailable."""
