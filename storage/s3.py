# SPDX-License-Identifier: Apache-2.0
"""Images in a bucket. What comes in is first written to this machine's disk, where its metadata can be mended, and is
an object when it is whole; no other file of it is left then.

Sweeps go by the store's own clock, and list the bucket; nothing that a person asks for does.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path

from models.errors import AppError, StorageError
from models.shared_counters import SharedCounters
from storage.bucket import MARK, Bucket
from storage.bucket_blob import WINDOW_BYTES, BucketBlob, open_blob
from storage.bucket_settings import BucketSettings
from storage.bucket_uploads import BucketUploads
from storage.keys import is_file_key, path_of
from storage.publishing import Source
from storage.receiving import ReceivingStore
from storage.threads import DiskThreads
from telemetry import metrics

CLOCK_SECONDS = 3600
"""So long the store's clock is known from when it was last asked."""


class S3Store(ReceivingStore):
    """One bucket of images under their keys, and a directory of this machine for those on their way.

    `min_free_bytes` holds for the directory, `max_bytes` for the bucket.
    """

    def __init__(
        self,
        root: Path,
        settings: BucketSettings,
        *,
        min_free_bytes: int = 0,
        max_bytes: int = 0,
        counters: SharedCounters | None = None,
    ) -> None:
        self._bucket = Bucket(settings)
        self._clock: tuple[datetime, float] | None = None
        super().__init__(
            root,
            lambda _, threads: BucketPublisher(self._bucket, threads),
            min_free_bytes=min_free_bytes,
            max_bytes=max_bytes,
            counters=counters,
        )
        self.uploads = BucketUploads(self._bucket, self._now, self._machine)

    @property
    def healthy(self) -> bool:
        """False from an error of the bucket or of the disk until `probe` succeeds."""
        return self._threads.healthy and not self._bucket.trouble

    async def open(self, key: str) -> BucketBlob | None:
        return await open_blob(self._bucket, key)

    async def address(self, key: str, seconds: float) -> str | None:
        """As `BlobStore`: signed by the server's own keys."""
        name = path_of(key)
        return await self._bucket.signed(name, seconds) if await self._bucket.size(name) is not None else None

    async def link(self, key: str, name: str) -> bool:
        """As `BlobStore`: a second object, copied within the store."""
        source, target = path_of(key), path_of(name)
        there = await self._bucket.sizes([source, target])
        if source not in there:
            return False
        if target in there:
            raise StorageError
        if not await self._bucket.copy(source, target):
            return False
        self._space.counters.stored.add(there[source])
        return True

    async def put(self, key: str, data: bytes) -> None:
        name = path_of(key)
        with self.reserve(len(data)) as reservation:
            await self._bucket.put(name, data)
            reservation.wrote(len(data))
            reservation.stored(len(data))

    async def remove(self, key: str) -> bool:
        return await self.remove_many([key]) == 1

    async def remove_many(self, keys: Iterable[str]) -> int:
        there = await self._bucket.sizes([path_of(key) for key in keys])
        if there:
            await self._bucket.remove(there)
        return self._forget(there)

    async def quarantine(self, key: str) -> bool:
        name = path_of(key)
        there = await self._bucket.sizes([name])
        if not there or not await self._bucket.copy(name, f"corrupt/{key}"):
            return False
        await self._bucket.remove([name])
        return self._forget(there) == 1

    async def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        names = {path_of(key): key for key in keys}
        return {names[name]: size for name, size in (await self._bucket.sizes(list(names))).items()}

    async def digest(self, key: str) -> bytes | None:
        blob = await self.open(key)
        if blob is None:
            return None
        digest = hashlib.sha256()
        with closing(blob):
            for offset in range(0, blob.size, WINDOW_BYTES):
                digest.update(await blob.read(offset, WINDOW_BYTES))
        return digest.digest()

    async def old_keys(self, number: int, older_than_seconds: float) -> list[str]:
        """As `BlobStore`; how old an object is goes by the clock of the store, which wrote its time."""
        cutoff = await self._now() - timedelta(seconds=older_than_seconds)
        keys = []
        async for batch in self._bucket.list_folder(f"{number:02x}"):
            for entry in batch:
                key = entry.name.rpartition("/")[2]
                if is_file_key(key) and path_of(key) == entry.name and entry.written_at < cutoff:
                    keys.append(key)
        return keys

    async def probe(self) -> bool:
        """Try a write to the disk and one to the bucket; whether the store is healthy now."""
        try:
            await asyncio.gather(self._threads.run(self._tree.probe), self._write_mark())
        except AppError:
            return self.healthy
        self._threads.healthy = True
        self._bucket.succeeded()
        return True

    async def _write_mark(self) -> None:
        await self._bucket.put(MARK, b"Glimpse", replace=True)
        self._clock = await self._bucket.written_at(MARK), time.monotonic()

    async def _now(self) -> datetime:
        """What the store's clock says."""
        if self._clock is None or time.monotonic() > self._clock[1] + CLOCK_SECONDS:
            await self._write_mark()
        assert self._clock
        said, at = self._clock
        return said + timedelta(seconds=time.monotonic() - at)

    def _forget(self, there: dict[str, int]) -> int:
        size = sum(there.values())
        self._space.forget(size)
        metrics.images_purged(len(there), size)
        return len(there)


class BucketPublisher:
    """Puts whole files into the bucket."""

    def __init__(self, bucket: Bucket, threads: DiskThreads) -> None:
        self._bucket = bucket
        self._threads = threads

    async def publish(self, source: Source, *, alone: bool = False) -> None:
        """As `Publisher`. Where the connection was lost the object may be there: no row speaks of it, it is swept."""
        del alone
        await asyncio.shield(asyncio.create_task(self._publish(source)))

    async def withdraw(self, key: str) -> None:
        """As `Publisher`; what cannot be removed has no row, and is swept."""
        with suppress(StorageError):
            await self._bucket.remove([path_of(key)])

    async def _publish(self, source: Source) -> None:
        image = await self._threads.run(source.prepare)
        published = False
        try:
            await self._bucket.put_file(path_of(image.key), image.file.fd)
            published = True
        finally:
            source.settle(published=published)
