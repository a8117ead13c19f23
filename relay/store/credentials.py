"""Credentials and their rates, as kept."""

from relay.credential import Credential, Rate
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

    async def save_credential(self, credential: Credential) -> None:
        """Insert it, or replace the one of that name."""
        await self._write(own=[Statement("save_credential", rows.credential_params(credential))])

    async def remove_credential(self, name: str) -> None:
        """Forget it; a credential that is in doubt is better revoked."""
        await self._write(own=[Statement("remove_credential", {"name": name})])

    async def spend(self, name: str, rate: Rate, now: float) -> float:
        """Take one message from a credential's rate: 0.0 when granted, else the seconds until one is free.

        The bucket is in the database, so the rate holds over all workers together.
        """
        params = {"name": name, "messages": rate.messages, "seconds": rate.seconds, "now": now}
        (taken,) = await self._write(own=[Statement("spend", params)])
        if taken:
            return 0.0
        (bucket,) = await self.engine.read("bucket", {"name": name})
        refill = rate.messages / rate.seconds  # tokens per second
        return max(0.1, float((1 - bucket["tokens"]) / refill - (now - bucket["at"])))
