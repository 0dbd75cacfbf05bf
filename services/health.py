# SPDX-License-Identifier: Apache-2.0
"""Can this process do its work now? Names the part that cannot."""

import asyncio
from collections.abc import Callable

from sqlalchemy import select

from models.db.database import Database, DatabaseError, Statement
from models.db.schema import users
from storage.disk import DiskStore

_ANY = Statement(select(users.c.uid).limit(1))
# Who asks for health does not wait for long, and takes no answer for a bad one.
LONGEST_SECONDS = 2.0


class Health:
    """Asks the database, the storage and the relay."""

    def __init__(self, *, db: Database, store: DiskStore, relay_runs: Callable[[], bool]) -> None:
        self._db = db
        self._store = store
        self._relay_runs = relay_runs

    async def failing(self) -> list[str]:
        """The parts that do not work: of `database`, `storage`, `relay`."""
        failing = []
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._db.read(_ANY)
        except (DatabaseError, TimeoutError):
            failing.append("database")
        if not self._store.healthy:
            await self._store.probe()
        if not self._store.healthy:
            failing.append("storage")
        if not self._relay_runs():
            failing.append("relay")
        return failing
