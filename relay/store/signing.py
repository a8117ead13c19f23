"""Domains we sign for and their keys, as kept. The private halves are secrets: apart from the tables (see engine.py).

A private half is kept before its row and goes after it: a crash between the two leaves a secret that
nobody uses, never a key that cannot sign. It does not make keys, and does not look at the DNS.
Every change leaves an event; workers look for changes by themselves. Raises StoreUnavailable.
"""

from typing import Any

from relay.event import Event
from relay.signing_key import Algorithm, SigningKey, State
from relay.store import rows
from relay.store.engine import IN_TURN, Row, Statement
from relay.store.visits import Visits


class Signing(Visits):
    """Signing keys, by domain and selector."""

    async def signing_keys(self) -> list[SigningKey]:
        """All keys, by domain and age."""
        return [_key_from(row) for row in await self.engine.read("signing_keys", {})]

    async def private_key(self, key: SigningKey) -> bytes | None:
        """The private half as `save_signing_key` was given it; None: it is not there."""
        return (await self.engine.secrets()).get(_secret(key.domain, key.selector))

    async def save_signing_key(self, key: SigningKey, private: bytes, *, actor: str) -> None:
        """Keep a key and its private half; one of the same domain and selector is replaced."""
        name = _secret(key.domain, key.selector)
        await self.engine.forget_secret(name)
        await self.engine.keep_secret(name, private)
        params = _params(key)
        await self._change_keys("add", key.domain, key.selector, actor, Statement("save_signing_key", params))

    async def set_key_state(self, domain: str, selector: str, state: State, *, actor: str) -> bool:
        """From now on it is active, waiting or retired; False: there is no such key, or it was so already."""
        key = await self._key(domain, selector)
        if key is None or key.state is state:
            return False
        params = {"domain": domain, "selector": selector, "state": state, "now": self.engine.now()}
        return await self._change_keys(state, domain, selector, actor, Statement("set_key_state", params))

    async def key_seen(self, domain: str, selector: str, at: float) -> None:
        """Its record was seen in the DNS at `at` (Unix seconds). No event: it is seen every day."""
        await self._write(own=[Statement("key_seen", {"domain": domain, "selector": selector, "at": at})])

    async def remove_signing_key(self, domain: str, selector: str, *, actor: str) -> bool:
        """Forget a key and its private half, and its domain with the last one; False: there is no such key."""
        if await self._key(domain, selector) is None:
            return False
        params = {"domain": domain, "selector": selector}
        gone = await self._change_keys("remove", domain, selector, actor, Statement("remove_signing_key", params))
        await self.engine.forget_secret(_secret(domain, selector))
        return gone

    async def _key(self, domain: str, selector: str) -> SigningKey | None:
        return next(
            (key for key in await self.signing_keys() if (key.domain, key.selector) == (domain, selector)), None
        )

    async def _change_keys(self, verb: str, domain: str, selector: str, actor: str, change: Statement) -> bool:
        """The change, what it means for the domain, and its event; did it change anything?"""
        now = self.engine.now()
        event = Event(now, f"signing_key_{verb}", "", None, actor, {"domain": domain, "selector": selector})
        _, changed, *_ = await self._write(
            own=[
                IN_TURN,
                change,
                Statement("keep_domain", {"domain": domain, "now": now}),
                Statement("drop_domain", {"domain": domain}),
                Statement("add_events", {"rows": rows.to_json([rows.event_row(event)])}),
            ]
        )
        return bool(changed)


def _secret(domain: str, selector: str) -> str:
    return f"dkim-{selector}-{domain}"


def _params(key: SigningKey) -> dict[str, Any]:
    """The parameters of `save_signing_key`."""
    return {name: getattr(key, name) for name in SigningKey.__slots__}


def _key_from(row: Row) -> SigningKey:
    """The value of a row of `signing_keys`."""
    values: dict[str, Any] = {name: row[name] for name in SigningKey.__slots__}
    return SigningKey(**values | {"algorithm": Algorithm(row["algorithm"]), "state": State(row["state"])})
