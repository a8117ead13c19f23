"""Credentials and their rates, as kept."""

import json
from typing import Any

from relay.credential import Credential, Rate, Secret
from relay.event import Event
from relay.store import rows
from relay.store.engine import IN_TURN, Row, Statement
from relay.store.spool import Spool


class Credentials(Spool):
    """What applications log in with."""

    async def credential(self, name: str) -> Credential | None:
        """The credential of that name, revoked ones too."""
        found = await self.engine.read("credential", {"name": name})
        return _credential_from(found[0]) if found else None

    async def credentials(self) -> list[Credential]:
        """All, by name."""
        return [_credential_from(row) for row in await self.engine.read("credentials", {})]

    async def save_credential(self, credential: Credential, *, verb: str = "add", actor: str = "relay") -> None:
        """Insert it, or replace the one of that name, and leave the event `credential_VERB` in the same commit."""
        event = Event(self.engine.now(), f"credential_{verb}", "", None, actor, {"name": credential.name})
        events = Statement("add_events", {"rows": rows.to_json([rows.event_row(event)])})
        change = Statement("save_credential", _params(credential))
        await self._write(own=[IN_TURN, Statement("tell", {"topic": "credentials"}), change, events])

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


def _params(credential: Credential) -> dict[str, Any]:
    """The parameters of `save_credential`."""
    return {
        "name": credential.name,
        "secrets": json.dumps([{"digest": s.digest, "expires_at": s.expires_at} for s in credential.secrets]),
        "created_at": credential.created_at,
        "domains": json.dumps(credential.domains),
        "networks": json.dumps(credential.networks),
        "rate_messages": credential.rate.messages if credential.rate else None,
        "rate_seconds": credential.rate.seconds if credential.rate else None,
        "max_message_size": credential.max_message_size,
        "tag": credential.tag,
        "revoked_at": credential.revoked_at,
        "track_opens": _small(credential.track_opens),
        "track_clicks": _small(credential.track_clicks),
        "unsubscribe": _small(credential.unsubscribe),
    }


def _credential_from(row: Row) -> Credential:
    """The value of a row of `credentials`."""
    return Credential(
        name=row["name"],
        secrets=tuple(Secret(s["digest"], s["expires_at"]) for s in json.loads(row["secrets"])),
        created_at=row["created_at"],
        domains=tuple(json.loads(row["domains"])),
        networks=tuple(json.loads(row["networks"])),
        rate=Rate(row["rate_messages"], row["rate_seconds"]) if row["rate_messages"] else None,
        max_message_size=row["max_message_size"],
        tag=row["tag"],
        revoked_at=row["revoked_at"],
        track_opens=_truth(row["track_opens"]),
        track_clicks=_truth(row["track_clicks"]),
        unsubscribe=_truth(row["unsubscribe"]),
    )


def _small(answer: bool | None) -> int | None:
    return None if answer is None else int(answer)


def _truth(kept: int | None) -> bool | None:
    return None if kept is None else bool(kept)
