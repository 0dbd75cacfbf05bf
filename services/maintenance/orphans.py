# SPDX-License-Identifier: Apache-2.0
"""Files without a row: what a crash between writing an image and committing its message leaves behind."""

from collections.abc import AsyncIterator, Callable

from models.db.database import Database
from services.maintenance import stored_files
from storage.disk import DiskStore


async def find_unknown(db: Database, store: DiskStore, older_than_seconds: float) -> AsyncIterator[list[str]]:
    """The keys, in batches, of files that were last written that long ago and have no row."""
    async for keys in store.sweep_candidates(older_than_seconds):
        known = await stored_files.known(db, keys)
        yield [key for key in keys if key not in known]


class Orphans:
    """Remembers when each file without a row was first seen.

    A file is removed when it was written, and first seen, longer than `orphan_seconds` ago. The latter is measured by
    `monotonic` (seconds), so that a clock that jumps ages no file whose row is still to be committed.
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
        """Look at every file once and remove those that are due; returns how many."""
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
        # Asked again just before: the row of a file may have been committed since.
        known = await stored_files.known(self._db, due) if due else set()
        return await self._store.remove_many(key for key in due if key not in known)
