"""What a copy replaces each time: small tables, the suppression list, statistics, secrets, and the last numbers given.

It is little beside the mail, and most of it can change without leaving a trace that a later run could follow.
"""

from relay.store.engine import Batch, Statement
from relay.store.transfer.pair import Pair, fact

# Small tables, and their keys.
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


async def replace(pair: Pair) -> None:
    """All of it."""
    for table, key in REPLACED.items():
        rows = await pair.here(f"SELECT * FROM {table}")
        insert = await pair.insert(table, key)
        await pair.target.put([(f"DELETE FROM {table}", [{}]), (insert, rows[: pair.step])])
        for at in range(pair.step, len(rows), pair.step):
            await pair.target.put([(insert, rows[at : at + pair.step])])
    await _suppressions(pair)
    for name in SUMS:
        await _sums(pair, name)
    await _secrets(pair)
    logged = await pair.here("SELECT value FROM meta WHERE name = 'logged_action'")
    await pair.target.put([fact("logged_action", row["value"]) for row in logged])
    used = {row["name"]: row["used"] for row in await pair.source.read("numbers_used", {})}
    await pair.target.write([Statement("forget_numbers", {}), Statement("continue_numbers", used)])


async def _suppressions(pair: Pair) -> None:
    """The whole list anew, in pages: it may be long, and an entry may have gone."""
    insert = await pair.insert("suppression_list", "address, scope, reason")
    (count,) = await pair.here("SELECT count(*) AS n FROM suppression_list")
    sql = """SELECT *
               FROM suppression_list
              WHERE (address, scope, reason) > (:address, :scope, :reason)
              ORDER BY address, scope, reason
              LIMIT :limit"""
    batches: list[Batch] = [("DELETE FROM suppression_list", [{}])]
    after, done = {"address": "", "scope": "", "reason": ""}, 0
    while rows := await pair.here(sql, **after, limit=10 * pair.step):
        await pair.target.put([*batches, (insert, rows)])
        batches, after = [], {name: rows[-1][name] for name in after}
        done += len(rows)
        pair.progress("suppressions", done, count["n"])
    await pair.target.put(batches)


async def _sums(pair: Pair, name: str) -> None:
    box, step, keys, values = SUMS[name]
    both = f"(SELECT * FROM {name}_sums UNION ALL SELECT * FROM {name}_counts) AS boxes"
    (ends,) = await pair.here(f"SELECT min({box}) AS first, max({box}) AS last FROM {both}")
    insert = await pair.insert(f"{name}_sums", keys)
    await pair.target.put([(f"DELETE FROM {name}_sums", [{}]), (f"DELETE FROM {name}_counts", [{}])])
    for first in range(ends["first"], ends["last"] + 1, step) if ends["first"] is not None else ():
        rows = await pair.here(
            f"""SELECT {keys}, {values}
                  FROM {both}
                 WHERE {box} >= :first AND {box} < :until
                 GROUP BY {keys} HAVING sum(deliveries) <> 0""",
            first=first,
            until=first + step,
        )
        await pair.target.put([(insert, rows)])


async def _secrets(pair: Pair) -> None:
    """Keys of tokens and signatures, which are kept apart from the tables."""
    here, there = await pair.source.secrets(), await pair.target.secrets()
    for name in there:
        if there[name] != here.get(name):
            await pair.target.forget_secret(name)
    for name in here:
        await pair.target.keep_secret(name, here[name])
