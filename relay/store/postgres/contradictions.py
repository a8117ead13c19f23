"""What contradicts itself in a relay's tables on PostgreSQL, whose server looks after its own files only.

Only reads. Raises StoreUnavailable.
"""

from relay.store.engine import Engine
from relay.store.errors import BadQuery

_CONTRADICTIONS = """
SELECT 'the delivery ' || d.queue_id || '.' || d.number || ' has no message' AS problem
  FROM deliveries AS d
 WHERE NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.queue_id = d.queue_id)
 UNION ALL
SELECT 'the content of ' || c.queue_id || ' has no message'
  FROM contents AS c
 WHERE c.page = 0 AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.queue_id = c.queue_id)
 UNION ALL
SELECT 'the delivery ' || d.queue_id || '.' || d.number || ' waits, and has no time to be tried'
  FROM deliveries AS d
 WHERE (d.due_at IS NULL) = (d.status IN ('creating', 'spooled', 'deferred'))
 UNION ALL
SELECT 'nobody looks for the work of ' || d.destination
  FROM (SELECT DISTINCT destination FROM deliveries WHERE due_at IS NOT NULL) AS d
 WHERE NOT EXISTS (SELECT 1 FROM queues AS q WHERE q.destination = d.destination)
"""

# Where an administrator has installed amcheck.
_INDEXES = """
SELECT i.indexrelid::bigint AS oid
  FROM pg_index AS i
  JOIN pg_class AS t ON t.oid = i.indrelid
 WHERE t.relnamespace = current_schema()::regnamespace
   AND EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'amcheck')
"""


async def contradictions(engine: Engine) -> list[str]:
    """In words; an empty list is a sound database."""
    _, found = await engine.query(_CONTRADICTIONS, {})
    problems = [row["problem"] for row in found]
    _, indexes = await engine.query(_INDEXES, {})
    for index in indexes:
        try:
            await engine.query(f"SELECT bt_index_check({index['oid']}::regclass)", {})
        except BadQuery as error:
            problems.append(str(error))
    return problems
