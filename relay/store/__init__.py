"""What is kept: every message, delivery, attempt and event, in one database.

When each state begins, and what a crash leaves:

    creating   commit of accept(), before the 250        crash before it: the client has no 250 and sends again;
                                                         after it: the delivery comes due by itself
    (in hand)  commit of accept() or claim(): the attempt is spent and the next time lies past a lease
                                                         crash: the lease lapses, the delivery comes due
    spooled    commit of spooled(): the copy is made     crash: as above; the copy is made again
    deferred   commit of settle(), with its next time    crash before it: the lease lapses, tried again
    sent       commit of settle()                        crash between the server's 250 and it: a duplicate
    hard_bounce, soft_bounce   commit of settle(), with the notice to the sender and the entry of the
                                                         suppression list in the same commit; of what was sent,
                                                         commit of late_bounce(): the report comes again
    rejected   commit of settle() or suppress()          crash in between: asked again before each attempt
    held, cancelled            commit of operate()

Every write of a worker goes through one group (`group.py`): whatever waits becomes one
transaction and one sync.
"""

from relay.store.accepted import Accepted
from relay.store.chores import Pruned
from relay.store.errors import BadQuery, NotMigrated, NotOffered, SchemaTooNew, StoreAway, StoreUnavailable
from relay.store.store import Store, migrate, on_server, open_store, settle_down

__all__ = [
    "Accepted",
    "BadQuery",
    "NotMigrated",
    "NotOffered",
    "Pruned",
    "SchemaTooNew",
    "Store",
    "StoreAway",
    "StoreUnavailable",
    "migrate",
    "on_server",
    "open_store",
    "settle_down",
]
