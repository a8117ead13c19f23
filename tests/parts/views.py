"""What a reader of the public views sees now, on either engine: people's own tools, not our code.

    views = Views("postgresql://…")          # or a path, of SQLite
    views.rows("SELECT status FROM email_status WHERE queue_id = ?", queue_id)

`?` stands for a value in both dialects. Each look has a connection of its own, so that nothing of it is left when the
server stops, or the file is copied away.
"""

import asyncio
import itertools
import re
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

PATIENCE = 60.0  # seconds for a lock, or for an answer

Row = Mapping[str, Any]


class Views:
    """A database: the URL of a PostgreSQL one, or the path of an SQLite one."""

    def __init__(self, place: str | Path) -> None:
        self.place = place

    def rows(self, sql: str, *parameters: object) -> list[Row]:
        """What a reader sees, who cannot write."""
        return self._run(sql, parameters, write=False)

    def change(self, sql: str, *parameters: object) -> None:
        """What an administrator does by hand."""
        self._run(sql, parameters, write=True)

    def _run(self, sql: str, parameters: tuple[object, ...], *, write: bool) -> list[Row]:
        if isinstance(self.place, Path):
            return _sqlite(self.place, sql, parameters, write)
        with ThreadPoolExecutor(1) as thread:  # a loop of its own, wherever we are called
            return thread.submit(lambda: asyncio.run(_postgres(str(self.place), sql, parameters))).result()


def _sqlite(path: Path, sql: str, parameters: tuple[object, ...], write: bool) -> list[Row]:
    mode = "rw" if write else "ro"
    with closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True, timeout=PATIENCE)) as connection:
        connection.row_factory = sqlite3.Row
        rows: list[Any] = connection.execute(sql, parameters).fetchall()
        connection.commit()
        return rows


async def _postgres(url: str, sql: str, parameters: tuple[object, ...]) -> list[Row]:
    numbers = itertools.count(1)
    connection = await asyncpg.connect(url, timeout=PATIENCE, command_timeout=PATIENCE)
    try:
        rows: list[Any] = await connection.fetch(re.sub(r"\?", lambda _: f"${next(numbers)}", sql), *parameters)
        return rows
    finally:
        await connection.close()
