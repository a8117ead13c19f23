"""What two databases hold, counted, so that a copy can be told from its original.

Pure but for the reading. Counts say it for rows that are never changed, sums for the others; the
statements are SQL that SQLite and PostgreSQL both take.
"""

from typing import Any

from relay.store.engine import Engine

# A message as `mail.reconcile` compares it: what is different here is different somewhere.
MAIL = """
SELECT * FROM (
    SELECT m.queue_id, m.queue_id AS key,
           (SELECT count(*) FROM deliveries AS d WHERE d.queue_id = m.queue_id) AS deliveries,
           (SELECT max(d.status_at) FROM deliveries AS d WHERE d.queue_id = m.queue_id) AS status_at,
           (SELECT sum(d.attempts) FROM deliveries AS d WHERE d.queue_id = m.queue_id) AS attempts,
           (SELECT count(*) FROM contents AS c WHERE c.queue_id = m.queue_id) AS pages,
           (SELECT count(*) FROM visits AS v WHERE v.queue_id = m.queue_id) AS visits,
           (SELECT sum(k.opens + 7 * k.clicks) FROM marks AS k WHERE k.queue_id = m.queue_id) AS by_persons,
           (SELECT count(k.unsubscribed_at) + 7 * count(k.complained_at)
              FROM marks AS k WHERE k.queue_id = m.queue_id) AS wishes
      FROM messages AS m
) AS mail
"""

_COUNTED = (
    ("messages", "SELECT count(*) AS n, sum(size) AS octets FROM messages"),
    ("contents", "SELECT count(*) AS pages, sum(length(bytes)) AS octets FROM contents"),
    ("attempts", "SELECT count(*) AS n, sum(attempt_id) AS numbers FROM tries"),
    ("events", "SELECT count(*) AS n, sum(event_id) AS numbers FROM happenings"),
    ("refusals", "SELECT count(*) AS n, sum(refusal_id) AS numbers FROM refusals"),
    ("visits", "SELECT count(*) AS n FROM visits"),
    (
        "marks",
        "SELECT count(*) AS n, sum(opens) AS opens, sum(auto_opens) AS auto_opens, sum(clicks) AS clicks,"
        " sum(auto_clicks) AS auto_clicks, count(unsubscribed_at) AS unsubscribed, count(complained_at) AS spam"
        " FROM marks",
    ),
    ("suppressions", "SELECT count(*) AS n, count(expires_at) AS that_expire FROM suppression_list"),
    ("signing keys", "SELECT count(*) AS n FROM signing_keys"),
    ("credentials", "SELECT count(*) AS n FROM credentials"),
    ("rates", "SELECT count(*) AS n FROM buckets"),
    ("destinations with work", "SELECT count(*) AS n FROM queues"),
)
_BY_STATUS = (
    ("deliveries", "SELECT status, count(*) AS n, sum(attempts) AS tries FROM deliveries GROUP BY status"),
    *(
        (
            f"statistics by {name}",
            f"""SELECT status, sum(deliveries) AS n
                  FROM (SELECT status, deliveries FROM {table}_sums
                        UNION ALL SELECT status, deliveries FROM {table}_counts) AS boxes
                 GROUP BY status HAVING sum(deliveries) <> 0""",
        )
        for name, table in (("hour", "status"), ("domain", "domain"))
    ),
)


async def differences(source: Engine, target: Engine) -> list[str]:
    """In words, what the two do not have alike; an empty list is a true copy."""
    here, there = await _tally(source), await _tally(target)
    told = [
        f"{what}: {here.get(what, 0)} in the source, {there.get(what, 0)} in the target"
        for what in here | there
        if here.get(what, 0) != there.get(what, 0)
    ]
    if await source.secrets() != await target.secrets():
        told.append("keys of tokens and signatures: not the same")
    return told


async def _tally(side: Engine) -> dict[str, int]:
    found: dict[str, int] = {}
    for what, sql in _COUNTED:
        (row,) = (await side.query(sql, {}))[1]
        found |= {_label(what, name): int(value or 0) for name, value in dict(row).items()}
    for what, sql in _BY_STATUS:
        for row in (await side.query(sql, {}))[1]:
            values: dict[str, Any] = dict(row)
            status = values.pop("status")
            found |= {_label(f"{what}, {status}", name): int(value or 0) for name, value in values.items()}
    return found


def _label(what: str, name: str) -> str:
    return what if name == "n" else f"{what} ({name})"
