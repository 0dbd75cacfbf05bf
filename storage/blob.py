# SPDX-License-Identifier: Apache-2.0
"""A stored image, open for reading."""

import asyncio
import os

from models.errors import StorageError
from storage.threads import DiskThreads


class Blob:
    """One open image; `size` in bytes. Readable to its end even when it is removed meanwhile. End by `close`."""

    def __init__(self, fd: int, size: int, threads: DiskThreads) -> None:
        self._fd = fd
        self._threads = threads
        self._reading: asyncio.Future[bytes] | None = None
        self.size = size

    async def read(self, offset: int, n: int) -> bytes:
        """`n` bytes from `offset`, fewer only at the end, none behind it; one call at a time.

        What the page cache holds is taken at once, anything else in a thread (RWF_NOWAIT, preadv2(2)). Raises
        StorageError, also for a file that has shrunk and after `close`.
        """
        wanted = min(n, self.size - offset)
        if wanted <= 0:
            return b""
        if self._fd < 0:
            raise StorageError
        cached = self._read_cached(offset, wanted)
        if cached is not None:
            return cached
        self._reading = self._threads.start(_read, self._fd, offset, wanted)
        # Shielded, so that `close` knows of a read that goes on after its caller was cancelled.
        return await asyncio.shield(self._reading)

    def close(self) -> None:
        """May be called again."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._reading is None or self._reading.done():
            os.close(fd)
        else:
            self._reading.add_done_callback(lambda _: os.close(fd))

    def _read_cached(self, offset: int, wanted: int) -> bytes | None:
        buffer = bytearray(wanted)
        try:
            got = os.preadv(self._fd, [buffer], offset, os.RWF_NOWAIT)
        except OSError:
            return None
        return bytes(buffer) if got == wanted else None


def _read(fd: int, offset: int, wanted: int) -> bytes:
    parts = []
    while wanted:
        part = os.pread(fd, wanted, offset)
        if not part:
            raise StorageError
        parts.append(part)
        offset += len(part)
        wanted -= len(part)
    return b"".join(parts)
