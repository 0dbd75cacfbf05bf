# SPDX-License-Identifier: Apache-2.0
"""Files that no message speaks of: what a crash between writing an image and recording it leaves behind."""

from collections.abc import AsyncIterator, Callable

from models.db.database import Database
from models.db.tables import image_files
from storage.disk import DiskStore


async def find_unknown(db: Database, store: DiskStore, older_than_seconds: float) -> AsyncIterator[list[str]]:
    """The keys of files last written that long ago which no row keeps, some at a time."""
    async for keys in store.sweep_candidates(older_than_seconds):
        known = await image_files.list_stored_keys(db, keys)
        yield [key for key in keys if key not in known]


class Orphans:
    """Remembers since when each file has been without a row.

    A file goes when it was written and first seen longer ago than `orphan_seconds`. The second is told by
    `monotonic` (seconds), so that no jump of the clock makes a file old whose row is still to come.
    """

    def __init__(
        self, db: Database, store: DiskStore, *, orphan_seconds: float, monotonic: Callable[[], float]
    ) -> None:
        self._db = db
        self._store = store
        self._orphan_seconds = orphan_seconds
        self._monotonic = monotonic
        self._first_seen: dict[str, float] = {}

    async def sweep(self) -> int:
        """Look at every file once and remove those that are due; how many."""
        began = self._monotonic()
        seen: dict[str, float] = {}
        removed = 0
        async for keys in find_unknown(self._db, self._store, self._orphan_seconds):
            first_seen = {key: self._first_seen.get(key, began) for key in keys}
            due = [key for key in keys if began - first_seen[key] > self._orphan_seconds]
            removed += await self._remove(due)
            seen |= first_seen
        self._first_seen = seen
        return removed

    async def _remove(self, due: list[str]) -> int:
        # Asked again right before: the row that keeps a file may have come since.
        known = await image_files.list_stored_keys(self._db, due) if due else set()
        return await self._store.remove_many(key for key in due if key not in known)
