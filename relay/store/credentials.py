"""Credentials and their rates, as kept."""

from relay.credential import Credential, Rate
from relay.event import Event
from relay.store import rows
from relay.store.engine import Statement
from relay.store.spool import Spool


class Credentials(Spool):
    """What applications log in with."""

    async def credential(self, name: str) -> Credential | None:
        """The credential of that name, revoked ones too."""
        found = await self.engine.read("credential", {"name": name})
        return rows.credential_from(found[0]) if found else None

    async def credentials(self) -> list[Credential]:
        """All, by name."""
        return [rows.credential_from(row) for row in await self.engine.read("credentials", {})]

    async def save_credential(self, credential: Credential, *, verb: str = "add", actor: str = "relay") -> None:
        """Insert it, or replace the one of that name, and leave the event `credential_VERB` in the same commit."""
        change = Statement("save_credential", rows.credential_params(credential))
        await self._change_credential(change, credential.name, verb, actor)

    async def remove_credential(self, name: str, *, actor: str = "relay") -> None:
        """Forget it, and leave an event; a credential that is in doubt is better revoked."""
        await self._change_credential(Statement("remove_credential", {"name": name}), name, "remove", actor)

    async def _change_credential(self, change: Statement, name: str, verb: str, actor: str) -> None:
        event = Event(self.engine.now(), f"credential_{verb}", "", None, actor, {"name": name})
        events = Statement("add_events", {"rows": rows.to_json([rows.event_row(event)])})
        await self._write(own=[Statement("tell", {"topic": "credentials"}), change, events])

    async def spend(self, name: str, rate: Rate) -> float:
        """Take one message from a credential's rate: 0.0 when granted, else the seconds until one is free.

        The bucket is in the database, so the rate holds over all workers of all nodes together, by its clock.
        """
        now = self.engine.now()
        params = {"name": name, "messages": rate.messages, "seconds": rate.seconds, "now": now}
        (taken,) = await self._write(own=[Statement("spend", params)])
        if taken:
            return 0.0
        (bucket,) = await self.engine.read("bucket", {"name": name})
        refill = rate.messages / rate.seconds  # tokens per second
        return max(0.1, float((1 - bucket["tokens"]) / refill - max(0.0, now - bucket["at"])))
