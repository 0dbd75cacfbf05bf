# SPDX-License-Identifier: Apache-2.0
"""Whether this process can do its work now, and which part cannot."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from models.db.database import Database, DatabaseError, Transaction
from models.db.tables import leases
from storage.disk import DiskStore

LONGEST_SECONDS = 2.0
"""Health checks have short timeouts, and take a late answer for a failure."""
GOOD_SECONDS = 2.0
"""For so long a write that succeeded is believed: strangers may ask, and each write costs the disk a sync."""
PROBE = "readiness"
"""The row of `leases` that is written to. It stands for nothing and is nobody's."""


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class Health:
    """Asks the database, the storage and the relay. `monotonic` gives seconds."""

    db: Database
    store: DiskStore
    relay_runs: Callable[[], bool]
    monotonic: Callable[[], float] = time.monotonic
    _written_at: float = -GOOD_SECONDS
    _writing: asyncio.Task[bool] | None = None

    async def failing(self) -> list[str]:
        """The parts that do not work: of `database`, `storage`, `relay`."""
        failing = []
        if not await self._takes_writes():
            failing.append("database")
        if not self.store.healthy:
            await self.store.probe()
        if not self.store.healthy:
            failing.append("storage")
        if not self.relay_runs():
            failing.append("relay")
        return failing

    async def _takes_writes(self) -> bool:
        """A database that only answers reads is of no use here. All who ask at once share one write."""
        if self.monotonic() < self._written_at + GOOD_SECONDS:
            return True
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await asyncio.shield(self._writing)

    async def _write(self) -> bool:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self.db.write(_probe)
        except (DatabaseError, TimeoutError):
            return False
        self._written_at = self.monotonic()
        return True


async def _probe(tx: Transaction) -> None:
    if not await leases.renew(tx, name=PROBE, holder=PROBE):
        await leases.take(tx, name=PROBE, holder=PROBE)
