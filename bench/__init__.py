"""The race: Mailtrail beside Postfix on one machine, and what a long queue costs.

    python -m bench.race      messages a second, from the client's first byte until every delivery is settled
    python -m bench.memory    a worker's memory with an empty and with a long queue, and how soon it delivers
    python -m bench.hot       where one worker's time goes under load

Nothing here is part of the relay, and no test depends on its numbers: they need a quiet machine.
"""
