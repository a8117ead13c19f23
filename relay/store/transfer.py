"""Copying a relay's whole state from one database to another, of the same kind or the other.

It can be interrupted and run again at any time: the target remembers how far each table has come
(`meta`, names `copy.…`), and what is there is not copied again. A later run takes over what has
changed since: rows beyond the position; messages that have new events; and whatever waited when
it was copied, because a claim leaves no event. So a living relay is copied while it runs, and
only the last run needs it stopped.

Secrets come too, wherever either side keeps them. At the end both sides are counted. Where they
differ and no relay lives, keys are compared: what is missing is brought, what has vanished
(retention) is dropped; what differs then is told. The source is only read. A target is refused when it
has mail of its own, is in use, or has another schema version.

Not copied: who is alive, who holds a chore, the words for columns. Raises `CannotCopy`, and
`StoreUnavailable` when one of the databases is away: run it again.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.store.chores import ALIVE
from relay.store.engine import Batch, Engine, Statement
from relay.store.store import Store
from relay.store.tally import MAIL, differences

STEP = 500  # messages, or rows, at once
OCTETS = 4 * 1024 * 1024  # of content at once

# Tables that only grow, and their keys. Events come last of them and before the messages: what changes a message
# after its events were copied leaves an event for the next run.
NUMBERED = {"refusals": "refusal_id", "tries": "attempt_id", "happenings": "event_id"}
# What belongs to a message and comes with it, by its key.
OF_MESSAGES = {"deliveries": "queue_id, number", "marks": "queue_id, number"}
# Small ones, which are replaced.
REPLACED = {
    "queues": "destination",
    "credentials": "name",
    "buckets": "credential",
    "domains": "domain",
    "signing_keys": "domain, selector",
}
# The statistics, by hours or days: changes that are not added up yet become part of the sums.
SUMS = {
    "status": (
        "hour",
        1000,
        "hour, tag, credential, sender_domain, status",
        "CAST(sum(deliveries) AS bigint) AS deliveries, CAST(sum(bytes) AS bigint) AS bytes",
    ),
    "domain": (
        "day",
        40,
        "day, destination, status",
        "CAST(sum(deliveries) AS bigint) AS deliveries, sum(delay_sum) AS delay_sum, max(delay_max) AS delay_max,"
        " max(last_at) AS last_at",
    ),
}
_REMEMBER = (
    "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)

Progress = Callable[[str, int, int], None]  # what is copied, how many of it, of how many


class CannotCopy(Exception):
    """This target must not be written, or these two do not fit; the words say why."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What came of it. `alive`: workers on the source, so that it is not final; `differences`: in words."""

    alive: int
    messages: int
    differences: tuple[str, ...]


async def copy(source: Store, target: Store, *, name: str, progress: Progress) -> Copied:
    """Copy everything; `name` is the source's, under which the target knows its own copy again."""
    return await _Copy(source, target, name, progress).run()


class _Copy:
    def __init__(self, source: Store, target: Store, name: str, progress: Progress) -> None:
        self._source = source.engine
        self._target = target.engine
        self._name = name
        self._progress = progress
        self._columns: dict[str, list[str]] = {}  # of each table, those that both sides have
        self._at: dict[str, str] = {}  # the target's facts: positions, and whose copy it is

    async def run(self) -> Copied:
        await self._agree()
        for table, key in NUMBERED.items():
            await self._grow(table, key)
        if "copy.messages" in self._at:
            await self._refresh()
        await self._mail()
        await self._few()
        alive = await self._source.read("live_workers", {"since": self._source.now() - ALIVE})
        found = await differences(self._source, self._target)
        if found and not alive:  # a living relay would differ again at once
            await self._reconcile()
            await self._few()
            found = await differences(self._source, self._target)
        (messages,) = await self._ask(self._source, "SELECT count(*) AS n FROM messages")
        return Copied(len(alive), messages["n"], tuple(found))

    # Whether.

    async def _agree(self) -> None:
        """Raises CannotCopy unless the target is new, or holds a copy of this source and nothing else."""
        (here,), (there,) = [await side.read("schema_version", {}) for side in (self._source, self._target)]
        if here["version"] != there["version"]:
            raise CannotCopy(
                f"the schema versions differ ({here['version']} and {there['version']}): bring both up with one program"
            )
        if await self._target.read("live_workers", {"since": self._target.now() - ALIVE}):
            raise CannotCopy("a relay works with the target: stop it, or choose another target")
        self._at = {row["name"]: row["value"] for row in await self._ask(self._target, "SELECT name, value FROM meta")}
        of = self._at.get("copy.of")
        if of is None and await self._is_used():
            raise CannotCopy("the target has mail or settings of its own, and nothing there is overwritten")
        if of not in (None, self._name):
            raise CannotCopy(f"the target holds a copy of {of}: choose another target")
        (last,) = await self._ask(self._target, "SELECT coalesce(max(event_id), 0) AS event_id FROM happenings")
        if last["event_id"] > int(self._at.get("copy.happenings", 0)):
            raise CannotCopy("the target has had a life of its own since it was copied, and nothing is overwritten")
        await self._target.put([self._remember("of", self._name)])

    async def _is_used(self) -> bool:
        tables = ("messages", "happenings", "refusals", "credentials", "suppression_list", "signing_keys")
        (found,) = await self._ask(
            self._target, "SELECT " + " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables) + " AS used"
        )
        return bool(found["used"])

    # What grows.

    async def _grow(self, table: str, key: str) -> None:
        """Rows beyond the position; events bring the messages along that they changed."""
        after = int(self._at.get(f"copy.{table}", 0))
        beyond = f"FROM {table} WHERE {key} > :after"
        (count,) = await self._ask(self._source, f"SELECT count(*) AS n {beyond}", after=after)
        insert = self._insert(table, key, await self._shared(table))
        done = 0
        while rows := await self._ask(
            self._source, f"SELECT * {beyond} ORDER BY {key} LIMIT :limit", after=after, limit=STEP
        ):
            if table == "happenings" and "copy.messages" in self._at:
                await self._carry(await self._known({row["queue_id"] for row in rows}))
            after = rows[-1][key]
            await self._target.put([(insert, rows), self._remember(table, after)])
            done += len(rows)
            self._progress(table, done, count["n"])

    async def _known(self, queue_ids: set[str]) -> list[str]:
        """Those that the target has."""
        listed, params = _listed(sorted(queue_ids))
        found = await self._ask(self._target, f"SELECT queue_id FROM messages WHERE queue_id IN ({listed})", **params)
        return [row["queue_id"] for row in found]

    # Messages, with their deliveries and contents.

    async def _refresh(self) -> None:
        """What waits in the target may have been claimed, or decided, since it was copied."""
        sql = """SELECT DISTINCT queue_id
                   FROM deliveries
                  WHERE queue_id > :after AND status IN ('creating', 'spooled', 'deferred', 'held')
                  ORDER BY queue_id
                  LIMIT :limit"""
        after, done = "", 0
        while rows := await self._ask(self._target, sql, after=after, limit=STEP):
            after = rows[-1]["queue_id"]
            await self._carry([row["queue_id"] for row in rows])
            done += len(rows)
            self._progress("what waited", done, 0)

    async def _mail(self) -> None:
        """Messages beyond the position."""
        after = self._at.get("copy.messages", "")
        (count,) = await self._ask(
            self._source, "SELECT count(*) AS n FROM messages WHERE queue_id > :after", after=after
        )
        sql = "SELECT queue_id FROM messages WHERE queue_id > :after ORDER BY queue_id LIMIT :limit"
        done = 0
        while rows := await self._ask(self._source, sql, after=after, limit=STEP):
            after = rows[-1]["queue_id"]
            await self._carry([row["queue_id"] for row in rows], self._remember("messages", after))
            done += len(rows)
            self._progress("messages", done, count["n"])

    async def _carry(self, queue_ids: Sequence[str], *more: Batch) -> None:
        """Make these messages in the target what they are in the source; `more` goes into the same commit."""
        if not queue_ids:
            return
        listed, params = _listed(queue_ids)
        where = f"WHERE queue_id IN ({listed})"
        pages = f"SELECT queue_id, page, length(bytes) AS octets FROM contents {where}"
        kept = {(row["queue_id"], row["page"]) for row in await self._ask(self._target, pages, **params)}
        wanted = {
            (row["queue_id"], row["page"]): row["octets"] for row in await self._ask(self._source, pages, **params)
        }
        await self._contents({key: octets for key, octets in wanted.items() if key not in kept})
        await self._visits(where, params)
        messages = await self._ask(self._source, f"SELECT * FROM messages {where}", **params)
        parts = [
            (
                self._insert(table, key, await self._shared(table), True),
                await self._ask(self._source, f"SELECT * FROM {table} {where}", **params),
            )
            for table, key in OF_MESSAGES.items()
        ]
        vanished = [{"queue_id": one} for one in set(queue_ids) - {row["queue_id"] for row in messages}]
        dropped = [{"queue_id": queue_id, "page": page} for queue_id, page in kept - wanted.keys()]
        await self._target.put(
            [
                (self._insert("messages", "queue_id", await self._shared("messages")), messages),
                *parts,
                ("DELETE FROM contents WHERE queue_id = :queue_id AND page = :page", dropped),
                *(
                    (f"DELETE FROM {table} WHERE queue_id = :queue_id", vanished)
                    for table in ("contents", "visits", *OF_MESSAGES, "messages")
                ),
                *more,
            ]
        )

    async def _visits(self, where: str, params: Mapping[str, Any]) -> None:
        """The visits of these messages, in pages: a delivery may have had a million. Verdicts may have changed."""
        key = "queue_id, number, visit_id"
        insert = self._insert("visits", key, await self._shared("visits"), True)
        sql = f"SELECT * FROM visits {where} AND ({key}) > (:q, CAST(:n AS integer), :v) ORDER BY {key} LIMIT :limit"
        after: dict[str, Any] = {"q": "", "n": -1, "v": ""}
        while rows := await self._ask(self._source, sql, **params, **after, limit=10 * STEP):
            await self._target.put([(insert, rows)])
            after = {"q": rows[-1]["queue_id"], "n": rows[-1]["number"], "v": rows[-1]["visit_id"]}

    async def _contents(self, octets: Mapping[tuple[str, int], int]) -> None:
        """These pages of content, a few megabytes at a time."""
        bundle: list[tuple[str, int]] = []
        size = 0
        for key in sorted(octets):
            if bundle and (size + octets[key] > OCTETS or len(bundle) == STEP):
                await self._bring(bundle)
                bundle, size = [], 0
            bundle.append(key)
            size += octets[key]
        if bundle:
            await self._bring(bundle)

    async def _bring(self, keys: Sequence[tuple[str, int]]) -> None:
        params = {f"q{n}": queue_id for n, (queue_id, _) in enumerate(keys)} | {
            f"p{n}": page for n, (_, page) in enumerate(keys)
        }
        listed = ", ".join(f"(:q{n}, CAST(:p{n} AS integer))" for n in range(len(keys)))
        sql = f"SELECT queue_id, page, bytes FROM contents WHERE (queue_id, page) IN (VALUES {listed})"
        rows = await self._ask(self._source, sql, **params)
        await self._target.put([(self._insert("contents", "queue_id, page", ["queue_id", "page", "bytes"]), rows)])

    # What is few.

    async def _few(self) -> None:
        """The small tables, the statistics, and how far the numbers have come."""
        for table, key in REPLACED.items():
            rows = await self._ask(self._source, f"SELECT * FROM {table}")
            insert = self._insert(table, key, await self._shared(table))
            await self._target.put([(f"DELETE FROM {table}", [{}]), (insert, rows[:STEP])])
            for at in range(STEP, len(rows), STEP):
                await self._target.put([(insert, rows[at : at + STEP])])
        await self._suppressions()
        for name in SUMS:
            await self._sums(name)
        await self._secrets()
        logged = await self._ask(self._source, "SELECT value FROM meta WHERE name = 'logged_action'")
        await self._target.put([(_REMEMBER, [{"name": "logged_action", "value": row["value"]} for row in logged])])
        used = {row["name"]: row["used"] for row in await self._source.read("numbers_used", {})}
        await self._target.write([Statement("forget_numbers", {}), Statement("continue_numbers", used)])

    async def _suppressions(self) -> None:
        """The whole list anew, in pages: it may be long, and an entry may have gone."""
        insert = self._insert("suppression_list", "address, scope", await self._shared("suppression_list"))
        (count,) = await self._ask(self._source, "SELECT count(*) AS n FROM suppression_list")
        sql = """SELECT *
                   FROM suppression_list
                  WHERE (address, scope) > (:address, :scope)
                  ORDER BY address, scope
                  LIMIT :limit"""
        batches: list[Batch] = [("DELETE FROM suppression_list", [{}])]
        after, done = {"address": "", "scope": ""}, 0
        while rows := await self._ask(self._source, sql, **after, limit=10 * STEP):
            await self._target.put([*batches, (insert, rows)])
            batches, after = [], {name: rows[-1][name] for name in after}
            done += len(rows)
            self._progress("suppressions", done, count["n"])
        await self._target.put(batches)

    async def _secrets(self) -> None:
        """Keys of tokens and signatures, which are kept apart from the tables."""
        here, there = await self._source.secrets(), await self._target.secrets()
        for name in there:
            if there[name] != here.get(name):
                await self._target.forget_secret(name)
        for name in here:
            await self._target.keep_secret(name, here[name])

    async def _sums(self, name: str) -> None:
        box, step, keys, values = SUMS[name]
        both = f"(SELECT * FROM {name}_sums UNION ALL SELECT * FROM {name}_counts) AS boxes"
        (ends,) = await self._ask(self._source, f"SELECT min({box}) AS first, max({box}) AS last FROM {both}")
        insert = self._insert(f"{name}_sums", keys, await self._shared(f"{name}_sums"))
        await self._target.put([(f"DELETE FROM {name}_sums", [{}]), (f"DELETE FROM {name}_counts", [{}])])
        for first in range(ends["first"], ends["last"] + 1, step) if ends["first"] is not None else ():
            rows = await self._ask(
                self._source,
                f"""SELECT {keys}, {values}
                      FROM {both}
                     WHERE {box} >= :first AND {box} < :until
                     GROUP BY {keys} HAVING sum(deliveries) <> 0""",
                first=first,
                until=first + step,
            )
            await self._target.put([(insert, rows)])

    # What was missed, and what has vanished.

    async def _reconcile(self) -> None:
        """Compare keys from the first to the last, and set right what differs."""
        for table, key in NUMBERED.items():
            insert = self._insert(table, key, await self._shared(table))
            until = int(self._at.get(f"copy.{table}", 0))
            async for here, there in self._side_by_side(f"SELECT {key} AS key FROM {table}", key, 0, until):
                gone = [{"key": number} for number in there.keys() - here.keys()]
                missing = sorted(here.keys() - there.keys())
                listed, params = _listed(missing)
                sql = f"SELECT * FROM {table} WHERE {key} IN ({listed})"
                rows = await self._ask(self._source, sql, **params) if missing else []
                await self._target.put([(insert, rows), (f"DELETE FROM {table} WHERE {key} = :key", gone)])
        async for here, there in self._side_by_side(MAIL, "queue_id", "", self._at.get("copy.messages", "")):
            differing = sorted(one for one in here.keys() | there.keys() if here.get(one) != there.get(one))
            for at in range(0, len(differing), STEP):
                await self._carry(differing[at : at + STEP])

    async def _side_by_side(
        self, select: str, key: str, after: int | str, until: int | str
    ) -> AsyncIterator[tuple[dict[Any, Any], dict[Any, Any]]]:
        """What both sides have by key, a stretch at a time, up to `until`; what is the same there is no difference."""
        sql = f"{select} WHERE {key} > :after AND {key} <= :until ORDER BY {key}"
        while after != until:
            found = await self._ask(self._source, f"{sql} LIMIT :limit", after=after, until=until, limit=10 * STEP)
            end = found[-1]["key"] if len(found) == 10 * STEP else until
            there = await self._ask(self._target, sql, after=after, until=end)
            yield _by_key(found), _by_key(there)
            after = end

    # How it is said.

    async def _ask(self, side: Engine, sql: str, **params: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in (await side.query(sql, params))[1]]

    async def _shared(self, table: str) -> list[str]:
        """The columns of a table that both sides have: each engine may have some of its own."""
        if table not in self._columns:
            (here, _), (there, _) = [
                await side.query(f"SELECT * FROM {table} LIMIT 0", {}) for side in (self._source, self._target)
            ]
            self._columns[table] = [column for column in here if column in there]
        return self._columns[table]

    def _insert(self, table: str, key: str, columns: Sequence[str], update: bool = False) -> str:
        values = ", ".join(f":{column}" for column in columns)
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
        then = f"UPDATE SET {changes}" if update else "NOTHING"
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT ({key}) DO {then}"

    def _remember(self, what: str, value: object) -> Batch:
        self._at[f"copy.{what}"] = str(value)
        return _REMEMBER, [{"name": f"copy.{what}", "value": str(value)}]


def _listed(values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Values for IN (…), as parameters."""
    params = {f"k{number}": value for number, value in enumerate(values)}
    return ", ".join(f":{name}" for name in params) or "NULL", params


def _by_key(rows: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    return {row["key"]: tuple(row.values()) for row in rows}
