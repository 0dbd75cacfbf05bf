# SPDX-License-Identifier: Apache-2.0
"""Rate counters in the database: fixed windows that hold for all processes and machines, and across restarts.

While the database is away nothing is admitted. Keys are stored as keyed digests, never in clear. Each machine computes
the window from its own clock: around the end of a window, machines whose clocks differ count in different ones.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from models.db.database import Database, Transaction
from models.db.tables import budgets
from models.keys import KeyRing
from models.rates import parse

MAX_SPENT = 10_000
"""Full slots remembered, 32 bytes each: it saves reads, and forgetting one costs a read."""


class Slot(NamedTuple):
    """One key's count in one window, which ends at `ends_at`, in milliseconds."""

    digest: bytes
    amount: int
    ends_at: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RateCounts:
    """The counts of one database. `clock` gives milliseconds.

    A slot that was found full is refused from memory until its window ends, so that repeated attempts cost the
    database nothing. The `MAX_SPENT` newest are remembered.
    """

    db: Database
    keys: KeyRing
    clock: Callable[[], int]
    _spent: OrderedDict[bytes, None] = field(init=False, default_factory=OrderedDict)

    def slot(self, name: str, key: str | int, *, amount: int, seconds: int) -> Slot:
        """The count of `key` in the window that is under way."""
        length_ms = seconds * 1000
        number = self.clock() // length_ms
        subject = self.keys.request_hmac("rate", f"{name} {key}").hex()
        return Slot(budgets.key_digest("rate", subject, length_ms, number), amount, (number + 1) * length_ms)

    async def spend(self, *slots: Slot) -> int:
        """Count one more in each, the widest first, up to the first that is full. 0 when none was.

        Else the seconds until the window of that one ends, at least 1. Raises DatabaseError.
        """
        known_full = next((slot for slot in slots if slot.digest in self._spent), None)
        rest = slots if known_full is None else slots[: slots.index(known_full)]

        async def unit(tx: Transaction) -> Slot | None:
            for slot in rest:
                if not await _count(tx, slot):
                    return slot
            return known_full

        full = await self.db.write(unit) if rest else known_full
        if full is None:
            return 0
        self._remember(full)
        return max(1, ceil((full.ends_at - self.clock()) / 1000))

    async def take_back(self, *slots: Slot) -> None:
        """Undo one `spend` of these. Raises DatabaseError."""

        async def unit(tx: Transaction) -> None:
            for slot in slots:
                await budgets.take_back(tx, key_digest=slot.digest)

        await self.db.write(unit)
        for slot in slots:
            self._spent.pop(slot.digest, None)

    def _remember(self, full: Slot) -> None:
        self._spent[full.digest] = None
        if len(self._spent) > MAX_SPENT:
            self._spent.popitem(last=False)


async def _count(tx: Transaction, slot: Slot) -> bool:
    """Whether one more is within the amount; if not, nothing is counted."""
    return await budgets.spend(tx, key_digest=slot.digest, amount=1, limit=slot.amount, expires_at=slot.ends_at)


class SharedWindow:
    """A rate ("600/hour"), per key, counted under a name of its own."""

    def __init__(self, counts: RateCounts, name: str, rate: str) -> None:
        self._counts = counts
        self._name = name
        self._amount, self._seconds = parse(rate)

    def slot(self, key: str | int) -> Slot:
        """Where this key is counted in the window that runs now."""
        return self._counts.slot(self._name, key, amount=self._amount, seconds=self._seconds)

    async def hit(self, key: str | int) -> int:
        """Count one more. 0 when that is within the rate, else the seconds until the window ends, at least 1."""
        return await self._counts.spend(self.slot(key))
