# SPDX-License-Identifier: Apache-2.0
"""Images on the local disk."""

import asyncio
import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from models.errors import AppError
from models.shared_counters import SharedCounters
from storage.blob import DiskBlob
from storage.keys import path_of
from storage.publishing import DiskPublisher
from storage.receiving import ReceivingStore
from storage.tree import Taken, write_all
from telemetry import metrics

FIRST_BYTES = 128 * 1024  # read ahead into the page cache: the first piece of a download


class DiskStore(ReceivingStore):
    """One directory of images under their keys. Belongs to one event loop; blocking calls run in its own threads.

    Every method that takes a key raises ValueError for an invalid key, and StorageError where the disk fails.
    """

    def __init__(
        self, root: Path, *, min_free_bytes: int = 0, max_bytes: int = 0, counters: SharedCounters | None = None
    ) -> None:
        super().__init__(root, DiskPublisher, min_free_bytes=min_free_bytes, max_bytes=max_bytes, counters=counters)

    @property
    def healthy(self) -> bool:
        """False from an I/O error until `probe` succeeds."""
        return self._threads.healthy

    async def open(self, key: str) -> DiskBlob | None:
        """The image, or None. What the kernel remembers is opened at once; for anything else a thread looks, and reads
        the first bytes into the page cache.
        """
        found = self._tree.open_cached(key)
        if found is None:
            opening = self._threads.start(self._open, key)
            try:
                found = await asyncio.shield(opening)
            except asyncio.CancelledError:
                opening.add_done_callback(_close_unclaimed)
                raise
        return DiskBlob(*found, self._threads) if found else None

    async def address(self, key: str, seconds: float) -> str | None:
        """None: nobody can fetch from a disk."""
        del key, seconds
        return None

    async def link(self, key: str, name: str) -> bool:
        """Give an image a second key, under which its bytes stay when the first is removed; whether it was there.

        Durable when this returns. Raises StorageError also where the second key is taken.
        """
        size = await self._threads.run(self._tree.link, key, name)
        if size is None:
            return False
        self._space.counters.stored.add(size)
        return True

    async def put(self, key: str, data: bytes) -> None:
        """Store a small file whole. Durable when this returns; raises StorageFull, and StorageError also where the key
        is taken.
        """
        path_of(key)
        with self.reserve(len(data)) as reservation:
            await self._threads.run(self._put, key, data)
            reservation.wrote(len(data))
            reservation.stored(len(data))

    async def remove(self, key: str) -> bool:
        """Remove an image for good; whether it was there."""
        return await self.remove_many([key]) == 1

    async def remove_many(self, keys: Iterable[str]) -> int:
        """Remove images for good; how many were there. One that a power cut brings back has no row, and is swept."""
        return self._forget(await self._threads.run(self._tree.remove, list(keys)))

    async def quarantine(self, key: str) -> bool:
        """Move an image that is not what it should be to `corrupt/`; whether it was there."""
        return self._forget(await self._threads.run(self._tree.quarantine, key)) == 1

    async def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """The bytes of each of these images that is there; one that is missing is not in the answer."""
        return await self._threads.run(self._tree.sizes, list(keys))

    async def digest(self, key: str) -> bytes | None:
        """SHA-256 of a stored image, or None when it is not there."""
        return await self._threads.run(self._digest, key)

    async def old_keys(self, number: int, older_than_seconds: float) -> list[str]:
        """The keys in one of the store's PARTS whose files were last written that long ago."""
        return await self._threads.run(self._tree.old_keys, f"{number:02x}", time.time() - older_than_seconds)

    async def probe(self) -> bool:
        """Try a small durable write; whether the store is healthy now. A full disk says nothing of health."""
        try:
            await self._threads.run(self._tree.probe)
        except AppError:
            return self.healthy
        self._threads.healthy = True
        return True

    def _put(self, key: str, data: bytes) -> None:
        file = self._tree.open_temporary()
        try:
            write_all(file.fd, [data])
            self._tree.publish(file, key)
        finally:
            self._tree.discard(file)

    def _open(self, key: str) -> tuple[int, int] | None:
        fd = self._tree.open_image(key)
        if fd is None:
            return None
        try:
            os.pread(fd, FIRST_BYTES, 0)
            return fd, os.fstat(fd).st_size
        except OSError:
            os.close(fd)
            raise

    def _digest(self, key: str) -> bytes | None:
        fd = self._tree.open_image(key)
        if fd is None:
            return None
        with os.fdopen(fd, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()

    def _forget(self, taken: Taken) -> int:
        self._space.forget(taken.size)
        metrics.images_purged(taken.files, taken.size)
        return taken.files


def _close_unclaimed(opening: asyncio.Future[tuple[int, int] | None]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        found = opening.result()
        if found:
            os.close(found[0])
