# SPDX-License-Identifier: Apache-2.0
"""Whether this process can do its work now, and which part cannot."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select

from models.db.database import Database, DatabaseError, Statement
from models.db.schema import users
from storage.disk import DiskStore

_ANY = Statement(select(users.c.uid).limit(1))
# Health checks have short timeouts, and take a late answer for a failure.
LONGEST_SECONDS = 2.0


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Health:
    """Asks the database, the storage and the relay."""

    db: Database
    store: DiskStore
    relay_runs: Callable[[], bool]

    async def failing(self) -> list[str]:
        """The parts that do not work: of `database`, `storage`, `relay`."""
        failing = []
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self.db.read(_ANY)
        except (DatabaseError, TimeoutError):
            failing.append("database")
        if not self.store.healthy:
            await self.store.probe()
        if not self.store.healthy:
            failing.append("storage")
        if not self.relay_runs():
            failing.append("relay")
        return failing
