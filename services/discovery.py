# SPDX-License-Identifier: Apache-2.0
"""Finding people by the numbers in a contact list, and what keeps that from becoming a telephone directory.

Whether a number has an account can be seen in two ways: by asking here, and by sending to it. Both spend the same
budget, an account's for a day (UTC).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from models.addressee import Addressee, ToGroup, ToPhone
from models.clock import DAY_MS
from models.db.database import Database, Transaction, write_retrying
from models.db.tables import budgets, users
from models.errors import DiscoveryBudget, InvalidField
from models.keys import KeyRing
from models.phone import is_phone_hash
from models.user import UserId

MAX_HASHES = 500
"""64 hex digits and their quotes each: 34 KB, and one list parameter of a read by the index."""


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Discovery:
    """Finds people for an account that still may. `per_day` is how many numbers that is; `clock` gives milliseconds.

    Unless `limits_enabled` nothing is counted.
    """

    db: Database
    keys: KeyRing
    per_day: int
    limits_enabled: bool
    clock: Callable[[], int]

    async def discover(self, uid: UserId, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Who of these numbers' people lets themselves be found, by ascending hash.

        What is refused is not charged. Raises InvalidField, DiscoveryBudget.
        """
        wanted = _read_hashes(fields)

        async def unit(tx: Transaction) -> None:
            await self._spend(tx, uid, len(wanted))

        if self.limits_enabled:
            await write_retrying(self.db, unit)
        digests = {self.keys.phone_digest(phone_hash): phone_hash for phone_hash in wanted}
        hashes = {digest.digest: phone_hash for digest, phone_hash in digests.items()}
        found = await users.list_discoverable(self.db, list(digests), asker_uid=uid)
        matches = [{"phone_hash": hashes[digest], "uid": other, "nickname": name} for digest, other, name in found]
        return sorted(matches, key=lambda match: str(match["phone_hash"]))

    async def charge_unavailable(self, uid: UserId, to: Addressee) -> None:
        """Count a person, by whichever name, who was not available to this sender: once a day each. No group is.

        Whoever blocks the sender counts as an unknown one does, or the budget would tell them apart.
        Raises DiscoveryBudget when it is spent.
        """
        if not self.limits_enabled or isinstance(to, ToGroup):
            return
        receiver = f"receiver_phone {to.phone_hash}" if isinstance(to, ToPhone) else f"receiver_uid {to.receiver_uid}"

        async def unit(tx: Transaction) -> None:
            window = self.clock() // DAY_MS
            # A plain digest of a number would give it away to whoever has the database alone.
            named = self.keys.request_hmac("unavailable", json.dumps([uid, receiver, window]))
            if await budgets.spend(tx, key_digest=named, amount=1, limit=1, expires_at=(window + 1) * DAY_MS):
                await self._spend(tx, uid, 1)

        await write_retrying(self.db, unit)

    async def _spend(self, tx: Transaction, uid: UserId, amount: int) -> None:
        now = self.clock()
        window = now // DAY_MS
        ends_at = (window + 1) * DAY_MS
        key = budgets.key_digest("discovery", uid, window)
        if not await budgets.spend(tx, key_digest=key, amount=amount, limit=self.per_day, expires_at=ends_at):
            raise DiscoveryBudget(retry_after=ceil((ends_at - now) / 1000))


def _read_hashes(fields: Mapping[str, Any]) -> list[str]:
    """Each hash once."""
    hashes = fields.get("phone_hashes")
    if fields.keys() != {"phone_hashes"} or not isinstance(hashes, list) or not 1 <= len(hashes) <= MAX_HASHES:
        raise InvalidField(fields=[("phone_hashes", f"a list of 1 to {MAX_HASHES} phone hashes, and nothing else")])
    if not all(isinstance(value, str) and is_phone_hash(value) for value in hashes):
        raise InvalidField(fields=[("phone_hashes", "each must be 64 lower-case hex digits")])
    return list(dict.fromkeys(hashes))
