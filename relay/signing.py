"""Which keys sign for which domain, for one worker: from the configuration and from the store, kept fresh.

A domain's keys in the configuration win over those that `mailtrail domain add` made. Keys of the store are looked
for every `LOOK`; a private half is read when its key appears, and not again. A store that is away changes nothing:
what is known goes on signing. A key without its private half (a database copied without its `keys`
directory) signs nothing and is told once; the domain's other keys still sign.

A message whose domain has no key leaves unsigned.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from relay.address import Address
from relay.compose.signature import BadKey, Signer, sign, signer, signers_for
from relay.config import DkimKey
from relay.log import Log
from relay.signing_key import SigningKey, State
from relay.store import Store, StoreUnavailable

LOOK = 1.0  # seconds between two looks for changed keys

_Table = Mapping[str, Sequence[Signer]]
_Identity = tuple[str, str, str]  # domain, selector, public half: what is the same in two states of one key


class Signing:
    """Signs copies. One per worker; `keys` are those of the configuration."""

    def __init__(self, keys: Iterable[DkimKey], store: Store, log: Log) -> None:
        self._configured = configured(keys)
        self._store = store
        self._log = log
        self._known: dict[_Identity, Signer | None] = {}  # of the store; None: it has no private half
        self._table: _Table = self._configured

    def sign(self, content: bytes, from_domain: str, now: float) -> bytes:
        """The DKIM-Signature fields to stand in front of this copy; none where no key is for its From domain.

        `from_domain` is as the From field has it (U-labels too), `now` in Unix seconds.
        """
        if not self._table:
            return b""
        return sign(content, signers_for(Address("", from_domain).destination, self._table), now)

    async def keep(self) -> None:
        """Look for changed keys until cancelled."""
        while True:
            try:
                await self.refresh()
            except StoreUnavailable as error:
                self._log.database_trouble("cannot look for signing keys", error)
            await asyncio.sleep(LOOK)

    async def refresh(self) -> None:
        """Take up the keys as the store has them now. Raises StoreUnavailable; then those known go on."""
        active = {_identity(key): key for key in await self._store.signing_keys() if key.state is State.ACTIVE}
        if active.keys() == self._known.keys():
            return
        self._known = {
            name: self._known[name] if name in self._known else await self._read(key) for name, key in active.items()
        }
        table: dict[str, list[Signer]] = {}
        for one in self._known.values():
            if one is not None:
                table.setdefault(one.domain, []).append(one)
        self._table = table | self._configured

    async def _read(self, key: SigningKey) -> Signer | None:
        """The signer, from the private half that the store keeps apart."""
        pem = await self._store.private_key(key)
        try:
            if pem is None:
                raise BadKey("its private half is not there")
            return signer(key.domain, key.selector, pem)
        except BadKey as error:
            self._log.warning(f"cannot sign with {key.record_name}: {error}")
            return None


def _identity(key: SigningKey) -> _Identity:
    return key.domain, key.selector, key.public


def configured(keys: Iterable[DkimKey]) -> dict[str, list[Signer]]:
    """Signers by domain, from key files. Raises `BadKey`, or OSError for a file that cannot be read."""
    table: dict[str, list[Signer]] = {}
    for key in keys:
        table.setdefault(key.domain, []).append(signer(key.domain, key.selector, key.key_file.read_bytes()))
    return table
