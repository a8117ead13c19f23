"""Visits as the web tells them."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from relay.track.journal import Journal
from tracker.visit import Kind, Visit, new_visit_id

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
ID = "3kq7mvt2z0hy"


def visit(
    kind: Kind = "open",
    queue_id: str = ID,
    number: int = 0,
    *,
    link: int = 0,
    at: float | None = None,
    ip: str = "203.0.113.7",
    agent: str = CHROME,
    hints: str = "",
) -> Visit:
    """A visit that happens now, of a person unless told otherwise."""
    target = f"https://example.com/{link}" if kind == "click" else ""
    at = time.time() if at is None else at
    return Visit(new_visit_id(), at, kind, queue_id, number, link, target, ip, agent, hints)


async def saw(journal: Journal, visits: Sequence[Visit]) -> None:
    """Tell these visits in one turn of the loop, and let the turn end."""
    for each in visits:
        journal.saw(each)
    await asyncio.sleep(0)


def everything(journal: Journal) -> list[Visit]:
    """Take what there is, all of it."""
    found: list[Visit] = []
    while (taken := journal.take(100)).visits:
        found += taken.visits
        journal.done(taken)
    journal.done(taken)
    return found


def files(directory: Path) -> list[str]:
    """The names of the files there."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []
