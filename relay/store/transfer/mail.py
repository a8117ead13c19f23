"""Messages in a copy: each one with its deliveries, contents, marks and visits, as it is in the source now.

A message is carried whole, and may be carried again: what has changed is changed, what has vanished goes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from relay.store.engine import Batch
from relay.store.transfer.pair import Pair, listed
from relay.store.transfer.tally import MAIL

OCTETS = 4 * 1024 * 1024  # of content at once

# What belongs to a message and comes with it, by its key.
OF_MESSAGES = {"deliveries": "queue_id, number", "marks": "queue_id, number"}


async def refresh(pair: Pair) -> None:
    """What waits in the target may have been claimed, or decided, since it was copied."""
    sql = """SELECT DISTINCT queue_id
               FROM deliveries
              WHERE queue_id > :after AND status IN ('creating', 'spooled', 'deferred', 'held')
              ORDER BY queue_id
              LIMIT :limit"""
    after, done = "", 0
    while rows := await pair.there(sql, after=after, limit=pair.step):
        after = rows[-1]["queue_id"]
        await carry(pair, [row["queue_id"] for row in rows])
        done += len(rows)
        pair.progress("what waited", done, 0)


async def go_on(pair: Pair) -> None:
    """Messages beyond the position."""
    after = pair.at.get("copy.messages", "")
    (count,) = await pair.here("SELECT count(*) AS n FROM messages WHERE queue_id > :after", after=after)
    sql = "SELECT queue_id FROM messages WHERE queue_id > :after ORDER BY queue_id LIMIT :limit"
    done = 0
    while rows := await pair.here(sql, after=after, limit=pair.step):
        after = rows[-1]["queue_id"]
        await carry(pair, [row["queue_id"] for row in rows], pair.remember("messages", after))
        done += len(rows)
        pair.progress("messages", done, count["n"])


async def carry_known(pair: Pair, queue_ids: set[str]) -> None:
    """Carry those of these messages that the target has."""
    keys, params = listed(sorted(queue_ids))
    found = await pair.there(f"SELECT queue_id FROM messages WHERE queue_id IN ({keys})", **params)
    await carry(pair, [row["queue_id"] for row in found])


async def reconcile(pair: Pair) -> None:
    """Compare all messages from the first to the last, and carry those that differ."""
    async for here, there in pair.side_by_side(MAIL, "queue_id", "", pair.at.get("copy.messages", "")):
        differing = sorted(one for one in here.keys() | there.keys() if here.get(one) != there.get(one))
        for at in range(0, len(differing), pair.step):
            await carry(pair, differing[at : at + pair.step])


async def carry(pair: Pair, queue_ids: Sequence[str], *more: Batch) -> None:
    """Make these messages in the target what they are in the source; `more` goes into the same commit."""
    if not queue_ids:
        return
    keys, params = listed(queue_ids)
    where = f"WHERE queue_id IN ({keys})"
    pages = f"SELECT queue_id, page, length(bytes) AS octets FROM contents {where}"
    kept = {(row["queue_id"], row["page"]) for row in await pair.there(pages, **params)}
    wanted = {(row["queue_id"], row["page"]): row["octets"] for row in await pair.here(pages, **params)}
    await _contents(pair, {key: octets for key, octets in wanted.items() if key not in kept})
    await _visits(pair, where, params)
    messages = await pair.here(f"SELECT * FROM messages {where}", **params)
    parts = [
        (await pair.insert(table, key, update=True), await pair.here(f"SELECT * FROM {table} {where}", **params))
        for table, key in OF_MESSAGES.items()
    ]
    vanished = [{"queue_id": one} for one in set(queue_ids) - {row["queue_id"] for row in messages}]
    dropped = [{"queue_id": queue_id, "page": page} for queue_id, page in kept - wanted.keys()]
    await pair.target.put(
        [
            (await pair.insert("messages", "queue_id"), messages),
            *parts,
            ("DELETE FROM contents WHERE queue_id = :queue_id AND page = :page", dropped),
            *(
                (f"DELETE FROM {table} WHERE queue_id = :queue_id", vanished)
                for table in ("contents", "visits", *OF_MESSAGES, "messages")
            ),
            *more,
        ]
    )


async def _visits(pair: Pair, where: str, params: Mapping[str, Any]) -> None:
    """The visits of these messages, in pages: a delivery may have had a million. Verdicts may have changed."""
    key = "queue_id, number, visit_id"
    insert = await pair.insert("visits", key, update=True)
    sql = f"SELECT * FROM visits {where} AND ({key}) > (:q, CAST(:n AS integer), :v) ORDER BY {key} LIMIT :limit"
    after: dict[str, Any] = {"q": "", "n": -1, "v": ""}
    while rows := await pair.here(sql, **params, **after, limit=10 * pair.step):
        await pair.target.put([(insert, rows)])
        after = {"q": rows[-1]["queue_id"], "n": rows[-1]["number"], "v": rows[-1]["visit_id"]}


async def _contents(pair: Pair, octets: Mapping[tuple[str, int], int]) -> None:
    """These pages of content, a few megabytes at a time."""
    bundle: list[tuple[str, int]] = []
    size = 0
    for key in sorted(octets):
        if bundle and (size + octets[key] > OCTETS or len(bundle) == pair.step):
            await _bring(pair, bundle)
            bundle, size = [], 0
        bundle.append(key)
        size += octets[key]
    if bundle:
        await _bring(pair, bundle)


async def _bring(pair: Pair, keys: Sequence[tuple[str, int]]) -> None:
    params = {f"q{n}": queue_id for n, (queue_id, _) in enumerate(keys)} | {
        f"p{n}": page for n, (_, page) in enumerate(keys)
    }
    wanted = ", ".join(f"(:q{n}, CAST(:p{n} AS integer))" for n in range(len(keys)))
    rows = await pair.here(f"SELECT * FROM contents WHERE (queue_id, page) IN (VALUES {wanted})", **params)
    await pair.target.put([(await pair.insert("contents", "queue_id, page"), rows)])
