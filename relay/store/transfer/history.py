"""What has happened, in a copy: the tables that only grow, by their numbers.

Rows are never changed, so a later run takes those beyond the position, and looks back only where both sides differ.
"""

from relay.store.transfer import mail
from relay.store.transfer.pair import Pair, listed

# The tables and their keys. Events come last of them and before the messages: what changes a message
# after its events were copied leaves an event for the next run.
NUMBERED = {"refusals": "refusal_id", "tries": "attempt_id", "happenings": "event_id"}


async def go_on(pair: Pair) -> None:
    """Rows beyond the position; events bring the messages along that they changed."""
    for table, key in NUMBERED.items():
        after = int(pair.at.get(f"copy.{table}", 0))
        beyond = f"FROM {table} WHERE {key} > :after"
        (count,) = await pair.here(f"SELECT count(*) AS n {beyond}", after=after)
        insert = await pair.insert(table, key)
        done = 0
        while rows := await pair.here(f"SELECT * {beyond} ORDER BY {key} LIMIT :limit", after=after, limit=pair.step):
            if table == "happenings" and "copy.messages" in pair.at:
                await mail.carry_known(pair, {row["queue_id"] for row in rows})
            after = rows[-1][key]
            await pair.target.put([(insert, rows), pair.remember(table, after)])
            done += len(rows)
            pair.progress(table, done, count["n"])


async def reconcile(pair: Pair) -> None:
    """Compare all numbers from the first to the last: what is missing is brought, what has vanished goes."""
    for table, key in NUMBERED.items():
        insert = await pair.insert(table, key)
        until = int(pair.at.get(f"copy.{table}", 0))
        async for here, there in pair.side_by_side(f"SELECT {key} AS key FROM {table}", key, 0, until):
            gone = [{"key": number} for number in there.keys() - here.keys()]
            missing = sorted(here.keys() - there.keys())
            keys, params = listed(missing)
            rows = await pair.here(f"SELECT * FROM {table} WHERE {key} IN ({keys})", **params) if missing else []
            await pair.target.put([(insert, rows), (f"DELETE FROM {table} WHERE {key} = :key", gone)])
