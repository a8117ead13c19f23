"""Group commit: everything that waits becomes one transaction and one sync.

While one group is being written the next one gathers, so a sync of milliseconds costs
each message microseconds. A write is rows for named statements; `ORDER` is the order in
which a group's statements run, and the whole of what one transaction may do.

A group that fails as a whole is tried write by write, so that one bad write harms no
other. A settlement that names a lapsed claim is late: its rows are left out, and its
writer is told so.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.store.engine import Engine, Late, Row, Statement
from relay.store.errors import StoreUnavailable
from relay.store.rows import names_json, to_json

Rows = list[dict[str, Any]]

MAX_WRITES = 1000  # in one group
MAX_CONTENT = 8 * 1024 * 1024  # octets of content in one group
PAGE = 256 * 1024  # octets of content in one row


@dataclass(slots=True, eq=False)
class Write:
    """Rows by statement, content, statements of its own, and the future that ends with what came of it."""

    done: "asyncio.Future[list[list[Row]]]"
    rows: Mapping[str, Rows] = field(default_factory=dict)
    contents: Sequence[tuple[str, bytes]] = ()  # queue id, content
    own: Sequence[Statement] = ()


class LateWrite(Exception):
    """The claim that a settlement names has lapsed: nothing of it was written."""


class Group:
    """One worker's queue of writes, and the task that commits them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[Write] = []
        self._writing: list[asyncio.Future[list[list[Row]]]] = []
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="group commit")
        self._closed = False

    def add(self, write: Write) -> "asyncio.Future[list[list[Row]]]":
        """Queue a write. Its future ends after the commit, or with StoreUnavailable or LateWrite."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._waiting.append(write)
        self._wake.set()
        return write.done

    async def flush(self) -> None:
        """Return when everything that has been queued so far is written, or has failed."""
        waiting = [write.done for write in self._waiting] + list(self._writing)
        if waiting:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closed = True
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while not (self._closed and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # let everything that is ready in this turn of the loop join the group
            while self._waiting:
                writes = self._take()
                self._writing = [write.done for write in writes]
                await self._commit(writes)

    def _take(self) -> list[Write]:
        count = size = 0
        while count < min(len(self._waiting), MAX_WRITES) and size < MAX_CONTENT:
            size += sum(len(content) for _, content in self._waiting[count].contents)
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _commit(self, writes: list[Write]) -> None:
        # Plan: all in one go; without the late ones if there are any; one by one if it fails as a whole.
        try:
            results = await self._engine.write(_statements(writes))
        except Late as late:
            await self._without(writes, {(row["queue_id"], row["number"]) for row in late.rows})
        except Exception as error:  # one write's fault must reach that write, and only that one
            if len(writes) == 1 or isinstance(error, StoreUnavailable):
                for write in writes:
                    _fail(write, error)
            else:
                for write in writes:
                    await self._commit([write])
        else:
            _distribute(writes, results)

    async def _without(self, writes: list[Write], met: set[tuple[str, int]]) -> None:
        in_time = []
        for write in writes:
            if all((row["queue_id"], row["number"]) in met for row in write.rows.get("settle_deliveries", ())):
                in_time.append(write)
            else:
                _fail(write, LateWrite())
        if in_time:
            await self._commit(in_time)


def _fail(write: Write, error: Exception) -> None:
    if not write.done.done():
        write.done.set_exception(error)


def _distribute(writes: list[Write], results: list[list[Row]]) -> None:
    """Own statements stand at the end, in order; just before them what settling finished, for those that settled."""
    at = len(results) - sum(len(write.own) for write in writes)
    settled = any("settle_deliveries" in write.rows for write in writes)
    finished = {row["queue_id"]: [row] for row in results[at - 1]} if settled else {}
    # Of several deliveries of a message in one group, the last one has finished it: that is told once.
    last = {row["queue_id"]: write for write in writes for row in write.rows.get("settle_deliveries", ())}
    for write in writes:
        mine = results[at : at + len(write.own)]
        at += len(write.own)
        if not write.done.done():
            write.done.set_result(
                [
                    finished.get(row["queue_id"], []) if last[row["queue_id"]] is write else []
                    for row in write.rows.get("settle_deliveries", ())
                ]
                or mine
            )


def _statements(writes: list[Write]) -> list[Statement]:
    """The transaction. What a status was is counted off before it changes, what it is now is counted on after."""
    merged: dict[str, Rows] = {}
    for write in writes:
        for name, rows in write.rows.items():
            merged.setdefault(name, []).extend(rows)
    settled = merged.get("settle_deliveries", [])
    visits = merged.get("add_visits", []), merged.get("judge_visits", [])
    visited = visits[0] + visits[1]
    marked = merged.get("mark_wishes", [])
    changed = settled + merged.get("spool_deliveries", []) + visited + marked
    moved = changed + merged.get("accept_deliveries", [])

    statements = []

    def run(name: str, rows: Rows, expect: int | None = None) -> None:
        if rows:
            statements.append(Statement(name, {"rows": to_json(rows)}, expect))

    def count(named: str, sign: int) -> None:
        statements.append(Statement("count_statuses", {"rows": named, "sign": sign}))
        statements.append(Statement("count_domains", {"rows": named, "sign": sign}))
        if marked:
            statements.append(Statement("count_complaints", {"rows": names_json(marked), "sign": sign}))
        if visited:
            statements.append(Statement("count_clicks", {"rows": names_json(visited), "sign": sign}))

    if changed:
        before = names_json(changed)
        statements.append(Statement("lock_deliveries", {"rows": before}))
        count(before, -1)
    run("settle_deliveries", settled, expect=len(settled))
    run("mark_soft_bounces", merged.get("mark_soft_bounces", []))
    run("mark_wishes", marked)
    run("spool_deliveries", merged.get("spool_deliveries", []))
    statements.extend(_visits(*visits))
    run("accept_messages", merged.get("accept_messages", []))
    statements.extend(_contents(writes))
    run("accept_deliveries", merged.get("accept_deliveries", []))
    if moved:
        count(names_json(moved), 1)
    run("add_attempts", merged.get("add_attempts", []))
    run("add_events", merged.get("add_events", []))
    run("add_work", _earliest(merged.get("add_work", [])))
    run("add_refusals", merged.get("add_refusals", []))
    run("drop_contents", merged.get("drop_contents", []))
    if settled:
        statements.append(Statement("finished_messages", {"rows": names_json(settled)}))
    for write in writes:
        statements.extend(write.own)
    return statements


def _visits(new: Rows, judged: Rows) -> list[Statement]:
    """New visits, each once, become marks, events and rows; then verdicts that are others now move the marks."""
    statements = []
    if new:
        rows = to_json(list({row["visit_id"]: row for row in new}.values()))
        statements = [Statement(name, {"rows": rows}) for name in ("mark_visits", "tell_visits", "add_visits")]
    if judged:
        rows = to_json(list({row["visit_id"]: row for row in judged}.values()))
        statements += [Statement(name, {"rows": rows}) for name in ("shift_marks", "judge_visits")]
    return statements


def _earliest(work: Rows) -> Rows:
    """One row per destination, in order, so that no two groups wait for each other's rows crosswise."""
    earliest: dict[str, float] = {}
    for row in work:
        known = earliest.get(row["destination"])
        if known is None or row["next_at"] < known:
            earliest[row["destination"]] = row["next_at"]
    return [{"destination": name, "next_at": earliest[name]} for name in sorted(earliest)]


def _contents(writes: Iterable[Write]) -> list[Statement]:
    """All contents as one blob that the database cuts into pages: no call for each message."""
    rows: Rows = []
    blobs = []
    start = 0
    for queue_id, content in (content for write in writes for content in write.contents):
        for page, offset in enumerate(range(0, len(content), PAGE)):
            length = min(PAGE, len(content) - offset)
            rows.append({"queue_id": queue_id, "page": page, "start": start + offset, "length": length})
        blobs.append(content)
        start += len(content)
    if not rows:
        return []
    blob = blobs[0] if len(blobs) == 1 else b"".join(blobs)
    return [Statement("accept_contents", {"rows": to_json(rows), "blob": blob})]
