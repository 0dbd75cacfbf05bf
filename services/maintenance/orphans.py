# SPDX-License-Identifier: Apache-2.0
"""Files without a row: what a crash between writing an image and committing its message leaves behind."""

from collections.abc import AsyncIterator, Callable
from secrets import randbelow

from models.db.database import Database
from services.maintenance import stored_files
from storage.base import BATCH_KEYS, PARTS, BlobStore

FILES_A_SWEEP = 10_000
"""A second of work for a disk whose directories are not in memory."""


async def find_unknown(db: Database, store: BlobStore, older_than_seconds: float) -> AsyncIterator[list[str]]:
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
        self,
        db: Database,
        store: BlobStore,
        *,
        orphan_seconds: float,
        monotonic: Callable[[], float],
        is_stopping: Callable[[], bool] = lambda: False,
        files_a_sweep: int = FILES_A_SWEEP,
    ) -> None:
        self._db = db
        self._store = store
        self._orphan_seconds = orphan_seconds
        self._monotonic = monotonic
        self._is_stopping = is_stopping
        self._files_a_sweep = files_a_sweep
        # Anywhere: a server that is restarted often would else never come to the last parts.
        self._next = randbelow(PARTS)
        self._first_seen: dict[int, dict[str, float]] = {}

    async def sweep(self) -> int:
        """Look at the next parts of the store, at least one and up to `FILES_A_SWEEP` files, and remove what is due.

        Returns how many files went. The next call goes on where this one stopped, or was told to.
        """
        looked = removed = 0
        for _ in range(PARTS):
            number, self._next = self._next, (self._next + 1) % PARTS
            keys = await self._store.old_keys(number, self._orphan_seconds)
            removed += await self._sweep_part(number, keys)
            looked += len(keys)
            if looked >= self._files_a_sweep or self._is_stopping():
                break
        return removed

    async def _sweep_part(self, number: int, keys: list[str]) -> int:
        now, before = self._monotonic(), self._first_seen.pop(number, {})
        seen: dict[str, float] = {}
        removed = 0
        for batch in (keys[start : start + BATCH_KEYS] for start in range(0, len(keys), BATCH_KEYS)):
            known = await stored_files.known(self._db, batch)
            first_seen = {key: before.get(key, now) for key in batch if key not in known}
            removed += await self._remove([key for key in first_seen if now - first_seen[key] > self._orphan_seconds])
            seen |= first_seen
        if seen:
            self._first_seen[number] = seen
        return removed

    async def _remove(self, due: list[str]) -> int:
        # Asked again just before: the row of a file may have been committed since.
        known = await stored_files.known(self._db, due) if due else set()
        return await self._store.remove_many(key for key in due if key not in known)
