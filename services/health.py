# SPDX-License-Identifier: Apache-2.0
"""Whether this process can do its work now, and which part cannot; whether there is room for what people write."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from models.db.database import Database, DatabaseError, Transaction
from models.db.tables import leases
from models.errors import StorageFull
from storage.base import BlobStore
from storage.space import Floor

log = logging.getLogger("glimpse.health")

LONGEST_SECONDS = 2.0
"""Health checks have short timeouts, and take a late answer for a failure."""
GOOD_SECONDS = 2.0
"""For so long a write that succeeded is believed: strangers may ask, and each write costs the disk a sync."""
PROBE = "readiness"
"""The row of `leases` that is written to. It stands for nothing and is nobody's."""


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class Health:
    """Asks the database, the storage, the relay and the disks. `monotonic` gives seconds.

    `floors` are of the disks, each by what fails with it: `database_space` where the database is a file, `image_space`.
    """

    db: Database
    store: BlobStore
    relay_runs: Callable[[], bool]
    floors: Mapping[str, Floor]
    monotonic: Callable[[], float] = time.monotonic
    _full: tuple[str, ...] = ()
    _written_at: float = -GOOD_SECONDS
    _writing: asyncio.Task[bool] | None = None
    _probing: asyncio.Task[bool] | None = None

    async def failing(self) -> list[str]:
        """The parts that do not work: of `database`, `storage`, `relay` and the names of `floors`."""
        failing = []
        if not await self._takes_writes():
            failing.append("database")
        if not await self._stores():
            failing.append("storage")
        if not self.relay_runs():
            failing.append("relay")
        return [*failing, *self._look_at_disks()]

    def check_room(self) -> None:
        """Whether what makes the database grow may be written. Raises StorageFull."""
        if self._look_at_disks():
            raise StorageFull

    def _look_at_disks(self) -> tuple[str, ...]:
        """The names of the disks under their floor, told in the log when they change."""
        full = tuple(name for name, floor in self.floors.items() if floor.is_reached())
        if full != self._full:
            if full:
                log.error("too little is free on a disk: what would take more is refused", extra={"disks": full})
            else:
                log.info("there is room on the disks again")
            self._full = full
        return full

    async def _stores(self) -> bool:
        """All who ask at once share one probe; one that takes long goes on, and later ones are told what it found."""
        if self.store.healthy:
            return True
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self.store.probe())
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_SECONDS):
                return await asyncio.shield(self._probing)
        return False

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
