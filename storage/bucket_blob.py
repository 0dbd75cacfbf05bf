# SPDX-License-Identifier: Apache-2.0
"""An image in a bucket, open for reading: a window of it is in memory, and the next one on its way."""

import asyncio

from models.errors import StorageError
from storage.bucket import Bucket, Refused
from storage.keys import path_of

WINDOW_BYTES = 256 * 1024
"""Asked for at a time. Twice as much is in memory for each download, however slow its reader."""


class BucketBlob:
    """One open image; `size` in bytes. What is removed meanwhile ends with what was read ahead.

    An object never changes under its key, so windows are of one image. End by `close`.
    """

    file = -1

    def __init__(self, bucket: Bucket, name: str, first: bytes, size: int) -> None:
        self._bucket = bucket
        self._name = name
        self._start, self._window = 0, first
        self._ahead: tuple[int, asyncio.Task[bytes]] | None = None
        self._closed = False
        self.size = size

    async def cache(self, offset: int, n: int) -> bool:
        """Never: there is no file."""
        del offset, n
        return False

    async def read(self, offset: int, n: int) -> bytes:
        """As `Blob`."""
        if self._closed:
            raise StorageError
        end = min(offset + n, self.size)
        parts = []
        while offset < end:
            parts.append(await self._next(offset, end))
            offset += len(parts[-1])
        return b"".join(parts)

    def close(self) -> None:
        """May be called again."""
        self._closed = True
        self._window = b""
        if self._ahead is not None:
            self._ahead[1].cancel()
            self._ahead = None

    async def _next(self, offset: int, end: int) -> bytes:
        """Bytes from there, at least one."""
        if not self._start <= offset < self._start + len(self._window):
            self._window, self._start = await self._fetched(offset), offset
        at = offset - self._start
        self._look_ahead(offset)
        return self._window[at : at + end - offset]

    def _look_ahead(self, offset: int) -> None:
        """Have the next window fetched once this one is half read."""
        following = self._start + len(self._window)
        if self._ahead is None and following < self.size and offset >= following - WINDOW_BYTES // 2:
            self._ahead = following, asyncio.create_task(self._fetch(following))

    async def _fetched(self, offset: int) -> bytes:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return await self._fetch(offset)
        if ahead[0] == offset:
            return await ahead[1]
        ahead[1].cancel()
        return await self._fetch(offset)

    async def _fetch(self, offset: int) -> bytes:
        part = await self._bucket.get(self._name, offset, min(offset + WINDOW_BYTES, self.size))
        if part is None or not part.data:
            raise StorageError from Refused(f"{self._name} was removed meanwhile")
        return part.data


async def open_blob(bucket: Bucket, key: str) -> BucketBlob | None:
    """The image with its first bytes, in one request; or None. Raises StorageError."""
    name = path_of(key)
    part = await bucket.get(name, 0, WINDOW_BYTES)
    return BucketBlob(bucket, name, part.data, part.size) if part else None
