# SPDX-License-Identifier: Apache-2.0
"""Finding people by the numbers in a contact list, and what keeps that from becoming a telephone directory.

Whether a number has an account can be seen in two ways: by asking here, and by sending to it. Both need an account
with a phone and spend the same budgets of a day (UTC): the account's, its network's, and that of all together. What
is shared bites only where half of it is spent, and never before an account has asked about its first FLOOR numbers:
else whoever spends it would take it from everybody.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from models.addressee import Addressee, ToPerson
from models.clock import DAY_MS
from models.db.database import Database, Transaction, write_retrying
from models.db.tables import budgets, users
from models.errors import DiscoveryBudget, InvalidField, InvalidPhone, PhoneRequired
from models.keys import KeyRing
from models.network import network_of
from models.phone import is_international, is_phone_hash, parse, phone_hash
from models.user import UserId
from services.authentication import Caller
from services.limits import Limits

MAX_HASHES = 500
"""64 hex digits and their quotes each: 34 KB, and one list parameter of a read by the index."""
FLOOR = 50
"""Numbers a day that nobody else can take from an account: a person's new contacts, not a directory."""
UNLIMITED = 2**62
READ_AT_ONCE = 50
"""Numbers as people type them that are read before others are served again: a number takes 0.04 ms."""


@dataclass(frozen=True, slots=True)
class DiscoveryBudgets:
    """How many numbers may be asked about in a day: by an account, from a network, and in all."""

    per_day: int
    per_network_per_day: int
    total_per_day: int


Contacts = dict[str, str | None]
"""The numbers of a contact list by their hashes: each as it was given, or None where a hash was given."""


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Discovery:
    """Finds people for an account that still may. `clock` gives milliseconds.

    Unless `limits_enabled` nothing is counted.
    """

    db: Database
    keys: KeyRing
    limits: Limits
    budgets: DiscoveryBudgets
    limits_enabled: bool
    clock: Callable[[], int]

    async def discover(self, caller: Caller, fields: Mapping[str, Any], address: str) -> list[dict[str, Any]]:
        """Who of these numbers' people lets themselves be found, by ascending hash.

        What is refused spends no budget. Raises InvalidField, PhoneRequired, DiscoveryBudget, and RateLimited where too
        many numbers came as people type them: reading one costs more than all the rest, whether it is one or not.
        """
        if "phone_nums" in fields:
            typed = _typed(fields)
            self.limits.charge("typed_numbers", caller.uid, len(typed))
            numbers = await _read_numbers(typed, fields.get("region_num"))
        else:
            numbers = _read_hashes(fields)
        if caller.phone_hash is None:
            raise PhoneRequired
        if not numbers:
            return []

        async def unit(tx: Transaction) -> None:
            await self._spend(tx, caller.uid, address, len(numbers))

        await self._write(unit)
        digests = {self.keys.phone_digest(each): each for each in numbers}
        hashes = {digest.digest: each for digest, each in digests.items()}
        found = await users.list_discoverable(self.db, list(digests), asker_uid=caller.uid)
        matches = [_match(hashes[digest], numbers[hashes[digest]], uid, name) for digest, uid, name in found]
        return sorted(matches, key=lambda match: str(match["phone_hash"]))

    async def meet(self, caller: Caller, phone_hash: str, address: str) -> None:
        """Count a number that somebody wants to send to, once a day, before anybody looks whose it is.

        People who know each other already are not counted. Raises PhoneRequired, DiscoveryBudget.
        """
        digest = self.keys.phone_digest(phone_hash)
        if await users.have_met(self.db, uid=caller.uid, digest=digest):
            return
        if caller.phone_hash is None:
            raise PhoneRequired
        await self._charge_once(caller.uid, f"receiver_phone {phone_hash}", address)

    async def charge_unavailable(self, uid: UserId, to: Addressee, address: str) -> None:
        """Count a person who was named by uid and not available to this sender: once a day each.

        Raises DiscoveryBudget when it is spent.
        """
        if isinstance(to, ToPerson):
            await self._charge_once(uid, f"receiver_uid {to.receiver_uid}", address)

    async def _charge_once(self, uid: UserId, whom: str, address: str) -> None:
        async def unit(tx: Transaction) -> None:
            window = self.clock() // DAY_MS
            # A plain digest of a number would give it away to whoever has the database alone.
            named = self.keys.request_hmac("unavailable", json.dumps([uid, whom, window]))
            if await budgets.spend(tx, key_digest=named, amount=1, limit=1, expires_at=(window + 1) * DAY_MS):
                await self._spend(tx, uid, address, 1)

        await self._write(unit)

    async def _write(self, unit: Callable[[Transaction], Coroutine[Any, Any, None]]) -> None:
        if self.limits_enabled:
            await write_retrying(self.db, unit)

    async def _spend(self, tx: Transaction, uid: UserId, address: str, amount: int) -> None:
        """Raises DiscoveryBudget, which takes back all that the transaction has counted."""
        now = self.clock()
        window = now // DAY_MS
        ends_at = (window + 1) * DAY_MS

        async def count(whose: str | int, limit: int) -> bool:
            key = budgets.key_digest("discovery", whose, window)
            return await budgets.spend(tx, key_digest=key, amount=amount, limit=limit, expires_at=ends_at)

        of_network = self.keys.request_hmac("discovery", network_of(address)).hex()
        first = await count(f"first of {uid}", FLOOR)
        # The narrowest last but for the floor, which is the account's own: transactions meet in the same order.
        within = (
            await count("all", UNLIMITED if first else self.budgets.total_per_day // 2)
            and await count(of_network, UNLIMITED if first else self.budgets.per_network_per_day // 2)
            and await count(uid, self.budgets.per_day)
        )
        if not within:
            raise DiscoveryBudget(retry_after=ceil((ends_at - now) / 1000))


def _match(phone_hash: str, phone_num: str | None, uid: int, nickname: str) -> dict[str, Any]:
    named = {} if phone_num is None else {"phone_num": phone_num}
    return {"phone_hash": phone_hash, **named, "uid": uid, "nickname": nickname}


def _read_hashes(fields: Mapping[str, Any]) -> Contacts:
    """Each hash once. Raises InvalidField."""
    hashes = fields.get("phone_hashes")
    given = {name for name, value in fields.items() if (name, value) != ("region_num", None)}
    if given != {"phone_hashes"} or not isinstance(hashes, list) or not 1 <= len(hashes) <= MAX_HASHES:
        raise InvalidField(fields=[("phone_hashes", f"a list of 1 to {MAX_HASHES} phone hashes, and nothing else")])
    if not all(isinstance(value, str) and is_phone_hash(value) for value in hashes):
        raise InvalidField(fields=[("phone_hashes", "each must be 64 lower-case hex digits")])
    return dict.fromkeys(hashes)


def _typed(fields: Mapping[str, Any]) -> list[str]:
    """Numbers as a person keeps them, unread. Raises InvalidField."""
    typed = fields["phone_nums"]
    if not fields.keys() <= {"phone_nums", "region_num"} or not isinstance(typed, list):
        raise InvalidField(fields=[("phone_nums", "a list of numbers, with at most a region_num beside it")])
    if not 1 <= len(typed) <= MAX_HASHES or not all(isinstance(each, str) for each in typed):
        raise InvalidField(fields=[("phone_nums", f"1 to {MAX_HASHES} numbers, as text")])
    return typed


async def _read_numbers(typed: list[str], region_num: Any) -> Contacts:
    """Each number once, of several countries; what is not a mobile number finds nobody."""
    found: Contacts = {}
    for index, each in enumerate(typed):
        if index % READ_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            number = parse(None if is_international(each) else region_num, each)
        except (InvalidPhone, InvalidField):
            continue
        found.setdefault(phone_hash(number.e164), each)
    return found
