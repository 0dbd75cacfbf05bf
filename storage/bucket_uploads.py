# SPDX-License-Identifier: Apache-2.0
"""Uploads that go on in another request, on any of the machines that share a bucket: what was told of one is an object
there, `uploads/ID/BYTES`, that nobody changes. The row says how many bytes count, and so which object.

Whoever goes on fetches it to a file of their own machine, which is gone when they close it.
"""

import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from models.errors import StorageError
from storage.bucket import Bucket, Listed
from storage.space import Reservation
from storage.upload_files import Machine, UploadFile, UploadFiles

FOLDER = "uploads"
FETCHED_BYTES = 1024 * 1024
"""Of an upload that somebody goes on with, at a time."""
SELDOM_BYTES = 1024 * 1024
"""Each object is all that has come so far. While a request runs, one is put when so much and half again has come since
the last: three times the image's bytes are put at most, and most images come before the first.
"""


class BucketUploads(UploadFiles):
    """As `UploadFiles`. `now` gives the time by the bucket's clock."""

    def __init__(self, bucket: Bucket, now: Callable[[], Awaitable[datetime]], machine: Machine) -> None:
        super().__init__(machine)
        self._bucket = bucket
        self._now = now

    async def open(self, upload_id: str, stored: int, reservation: Reservation) -> "BucketUploadFile | None":
        """As `UploadFiles`. Without an object it is one that began before the images moved to a bucket, whose bytes
        are here.
        """
        name = _name(upload_id, stored)
        part = await self._bucket.get(name, 0, min(FETCHED_BYTES, stored)) if stored else None
        if part is None or part.size != stored:
            fd = await self._opened(upload_id, stored)
            return None if fd is None else self._file(upload_id, fd, stored, reservation)
        fd = await self._opened(upload_id, 0)
        if fd is None:
            return None
        file = self._file(upload_id, fd, stored, reservation, name)
        try:
            await file.fetch(part.data)
        except BaseException:
            await file.close()
            raise
        return file

    async def remove_many(self, upload_ids: Iterable[str]) -> int:
        """As `UploadFiles`; files and objects are counted."""
        ids = list(upload_ids)
        objects = await self._objects(ids)
        names = [entry.name for entries in objects.values() for entry in entries]
        if names:
            await self._bucket.remove(names)
            self._space.forget(sum(_size(entries) for entries in objects.values()))
        return len(names) + await super().remove_many(ids)

    async def old_ids(self, older_than_seconds: float) -> list[str]:
        """As `UploadFiles`, those in the bucket by its own clock."""
        cutoff = await self._now() - timedelta(seconds=older_than_seconds)
        found = set(await super().old_ids(older_than_seconds))
        async for batch in self._bucket.list_folder(FOLDER):
            found.update(_id(entry) for entry in batch if entry.written_at < cutoff)
        return sorted(found)

    async def sizes(self, upload_ids: Iterable[str]) -> dict[str, int]:
        """As `UploadFiles`."""
        ids = list(upload_ids)
        found = await super().sizes(ids)
        for upload_id, entries in (await self._objects(ids)).items():
            found[upload_id] = max(found.get(upload_id, 0), _size(entries))
        return found

    async def _objects(self, upload_ids: list[str]) -> dict[str, list[Listed]]:
        """The objects of these uploads. Few uploads have any, so many are looked for in one list of all."""
        if not upload_ids:
            return {}
        folder = f"{FOLDER}/{upload_ids[0]}" if len(upload_ids) == 1 else FOLDER
        wanted, found = set(upload_ids), dict[str, list[Listed]]()
        async for batch in self._bucket.list_folder(folder):
            for entry in batch:
                if _id(entry) in wanted:
                    found.setdefault(_id(entry), []).append(entry)
        return found

    def _file(self, upload_id: str, fd: int, size: int, reservation: Reservation, name: str = "") -> "BucketUploadFile":
        return BucketUploadFile(self._bucket, name, self._machine, upload_id, fd, size, reservation)


class BucketUploadFile(UploadFile):
    """As `UploadFile`. `name` is the object that its bytes came from, empty where there is none."""

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        bucket: Bucket,
        name: str,
        machine: Machine,
        upload_id: str,
        fd: int,
        size: int,
        reservation: Reservation,
    ) -> None:
        super().__init__(machine, upload_id, fd, size, reservation)
        self._bucket = bucket
        self._names = [name] if name else []
        self._put_bytes = size if name else 0
        self._is_told_by_file = bool(size) and not name

    async def fetch(self, first: bytes) -> None:
        """Bring the file to `size` bytes, of which these are the first. Raises FileNotFoundError, StorageFull,
        StorageError.
        """
        data, at = first, 0
        self._reservation.cover(self.size)
        while True:
            await self._threads.run(self._write, data, at)
            self._reservation.wrote(len(data))
            at += len(data)
            if at >= self.size:
                return
            part = await self._bucket.get(self._names[0], at, min(at + FETCHED_BYTES, self.size))
            if part is None or not part.data:
                raise FileNotFoundError(self._names[0])
            data = part.data

    @property
    def is_sync_due(self) -> bool:
        """As `UploadFile`."""
        return self.size >= self._put_bytes + max(SELDOM_BYTES, self._put_bytes // 2)

    async def sync(self) -> None:
        """When this returns, all that was written is in the bucket. Raises StorageFull, StorageError."""
        if not self.size:
            return
        name = _name(self._upload_id, self.size)
        await self._threads.run(os.ftruncate, self._fd, self.size)
        # It is there where the row could not be told of it the last time: the same bytes then.
        await self._bucket.put_file(name, self._fd, replace=True)
        self._put_bytes = self.size
        if name not in self._names:
            self._names.append(name)

    async def told(self) -> None:
        """As `UploadFile`: the objects before are needed no more. What cannot be removed goes with the upload."""
        self._is_told_by_file = False
        if before := self._names[:-1]:
            with suppress(StorageError):
                await self._bucket.remove(before)
                self._names = self._names[-1:]

    async def remove(self) -> None:
        """As `UploadFile`."""
        await super().remove()
        if self._names:
            await self._bucket.remove(self._names)

    async def close(self) -> None:
        """As `UploadFile`; what is not in the bucket is gone, but for what was told before the images moved there."""
        if self._fd >= 0 and not self._is_told_by_file:
            was_there = await self._threads.run(self._unlink)
            if was_there:
                self._space.forget(self.size - self._put_bytes)
        await super().close()


def _name(upload_id: str, size: int) -> str:
    return f"{FOLDER}/{upload_id}/{size}"


def _id(entry: Listed) -> str:
    return entry.name.split("/")[1]


def _size(entries: Iterable[Listed]) -> int:
    """How far an upload of these objects is."""
    return max(entry.size for entry in entries)
