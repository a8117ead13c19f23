"""The two databases of a copy: how they are asked, what they have in common, and how far the copy has come.

The source is only read. The target's table `meta` has the position of each table (`copy.…`), written in
the same commit as the rows that it stands for.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from relay.store.engine import Batch, Engine

STEP = 500  # messages, or rows, at once

_REMEMBER = (
    "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)

Progress = Callable[[str, int, int], None]  # what is copied, how many of it, of how many


class Pair:
    """`at` has the target's facts: positions, and whose copy it is; it is filled by whoever begins the copy."""

    def __init__(self, source: Engine, target: Engine, progress: Progress) -> None:
        self.source = source
        self.target = target
        self.progress = progress
        self.step = STEP
        self.at: dict[str, str] = {}
        self._columns: dict[str, list[str]] = {}  # of each table, those that both sides have

    async def here(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        """What the source answers."""
        return [dict(row) for row in (await self.source.query(sql, params))[1]]

    async def there(self, sql: str, **params: Any) -> list[dict[str, Any]]:
        """What the target answers."""
        return [dict(row) for row in (await self.target.query(sql, params))[1]]

    async def insert(self, table: str, key: str, *, update: bool = False) -> str:
        """The statement that writes rows of the source into the target; with `update` over those that are there."""
        columns = await self._shared(table)
        values = ", ".join(f":{column}" for column in columns)
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
        then = f"UPDATE SET {changes}" if update else "NOTHING"
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT ({key}) DO {then}"

    async def _shared(self, table: str) -> list[str]:
        """The columns of a table that both sides have: each engine may have some of its own."""
        if table not in self._columns:
            (here, _), (there, _) = [
                await side.query(f"SELECT * FROM {table} LIMIT 0", {}) for side in (self.source, self.target)
            ]
            self._columns[table] = [column for column in here if column in there]
        return self._columns[table]

    def remember(self, what: str, value: object) -> Batch:
        """A position, to be written with what it stands for."""
        self.at[f"copy.{what}"] = str(value)
        return fact(f"copy.{what}", str(value))

    async def side_by_side(
        self, select: str, key: str, after: int | str, until: int | str
    ) -> AsyncIterator[tuple[dict[Any, Any], dict[Any, Any]]]:
        """What both sides have by key, a stretch at a time, up to `until`; what is the same there is no difference."""
        sql = f"{select} WHERE {key} > :after AND {key} <= :until ORDER BY {key}"
        while after != until:
            found = await self.here(f"{sql} LIMIT :limit", after=after, until=until, limit=10 * self.step)
            end = found[-1]["key"] if len(found) == 10 * self.step else until
            there = await self.there(sql, after=after, until=end)
            yield _by_key(found), _by_key(there)
            after = end


def fact(name: str, value: str) -> Batch:
    """A row of `meta`."""
    return _REMEMBER, [{"name": name, "value": value}]


def listed(values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Values for IN (…), as parameters."""
    params = {f"k{number}": value for number, value in enumerate(values)}
    return ", ".join(f":{name}" for name in params) or "NULL", params


def _by_key(rows: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    return {row["key"]: tuple(row.values()) for row in rows}
