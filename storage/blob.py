# SPDX-License-Identifier: Apache-2.0
"""An image on the disk, open for reading."""

import asyncio
import os

from models.errors import StorageError
from storage.cached import is_cached
from storage.threads import DiskThreads

STEP_BYTES = 128 * 1024


class DiskBlob:
    """One open image; `size` in bytes. Readable to its end even when it is removed meanwhile. End by `close`."""

    def __init__(self, fd: int, size: int, threads: DiskThreads) -> None:
        self._fd = fd
        self._threads = threads
        self._reading: asyncio.Future[bytes] | asyncio.Future[None] | None = None
        self.size = size

    @property
    def file(self) -> int:
        """The descriptor, for who has the kernel copy from it; -1 after `close`."""
        return self._fd

    async def cache(self, offset: int, n: int) -> bool:
        """Have `n` bytes from `offset` in the page cache, so that whoever copies them need not wait for the disk; a
        thread reads what is not. False where the kernel cannot tell: `read` them then.

        One call at a time, of this or `read`. Raises StorageError.
        """
        wanted = min(n, self.size - offset)
        cached = is_cached(self._fd, offset, wanted) if wanted > 0 else False
        if cached is False and wanted > 0:
            reading = self._reading = self._threads.start(_read_through, self._fd, offset, wanted)
            await asyncio.shield(reading)
            return True
        return bool(cached)

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
        reading = self._reading = self._threads.start(_read, self._fd, offset, wanted)
        # Shielded, so that `close` knows of a read that goes on after its caller was cancelled.
        return await asyncio.shield(reading)

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


def _read_through(fd: int, offset: int, wanted: int) -> None:
    end = offset + wanted
    while offset < end:
        got = len(os.pread(fd, min(STEP_BYTES, end - offset), offset))
        if not got:
            raise StorageError
        offset += got


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
