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

The rooms: `history` (what only grows), `mail` (messages, whole), `replaced` (what is copied anew each
time), `tally` (whether both have the same), over `pair` (the two databases).

Not copied: who is alive, who holds a chore, the words for columns. Raises `CannotCopy`, and
`StoreUnavailable` when one of the databases is away: run it again.
"""

from dataclasses import dataclass

from relay.store.chores import ALIVE
from relay.store.store import Store
from relay.store.transfer import history, mail, replaced
from relay.store.transfer.pair import Pair, Progress
from relay.store.transfer.tally import differences


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
    pair = Pair(source.engine, target.engine, progress)
    await _agree(pair, name)
    await history.go_on(pair)
    if "copy.messages" in pair.at:
        await mail.refresh(pair)
    await mail.go_on(pair)
    await replaced.replace(pair)
    alive = await pair.source.read("live_workers", {"since": pair.source.now() - ALIVE})
    found = await differences(pair.source, pair.target)
    if found and not alive:  # a living relay would differ again at once
        await history.reconcile(pair)
        await mail.reconcile(pair)
        await replaced.replace(pair)
        found = await differences(pair.source, pair.target)
    (messages,) = await pair.here("SELECT count(*) AS n FROM messages")
    return Copied(len(alive), messages["n"], tuple(found))


async def _agree(pair: Pair, name: str) -> None:
    """Raises CannotCopy unless the target is new, or holds a copy of this source and nothing else."""
    (here,), (there,) = [await side.read("schema_version", {}) for side in (pair.source, pair.target)]
    if here["version"] != there["version"]:
        raise CannotCopy(
            f"the schema versions differ ({here['version']} and {there['version']}): bring both up with one program"
        )
    if await pair.target.read("live_workers", {"since": pair.target.now() - ALIVE}):
        raise CannotCopy("a relay works with the target: stop it, or choose another target")
    pair.at = {row["name"]: row["value"] for row in await pair.there("SELECT name, value FROM meta")}
    of = pair.at.get("copy.of")
    if of is None and await _is_used(pair):
        raise CannotCopy("the target has mail or settings of its own, and nothing there is overwritten")
    if of not in (None, name):
        raise CannotCopy(f"the target holds a copy of {of}: choose another target")
    (last,) = await pair.there("SELECT coalesce(max(event_id), 0) AS event_id FROM happenings")
    if last["event_id"] > int(pair.at.get("copy.happenings", 0)):
        raise CannotCopy("the target has had a life of its own since it was copied, and nothing is overwritten")
    await pair.target.put([pair.remember("of", name)])


async def _is_used(pair: Pair) -> bool:
    tables = ("messages", "happenings", "refusals", "credentials", "suppression_list", "signing_keys")
    (found,) = await pair.there(
        "SELECT " + " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables) + " AS used"
    )
    return bool(found["used"])
