# SPDX-License-Identifier: Apache-2.0
"""Writes one image: bytes are written and hashed, then linked under the key or discarded."""

import hashlib
import threading

from models.errors import StorageError
from storage.keys import path_of
from storage.space import Reservation
from storage.threads import DiskThreads
from storage.tree import TemporaryFile, Tree, write_all


class DiskWriter:
    """Takes the bytes of one image. No file is opened before the first byte; `size` counts the bytes written.

    Callers must call `abort` at the end in every case; after a `commit` that returned it does nothing.
    """

    def __init__(self, tree: Tree, threads: DiskThreads, reservation: Reservation) -> None:
        self._tree = tree
        self._threads = threads
        self._reservation = reservation
        self._hash = hashlib.sha256()
        self._file: TemporaryFile | None = None
        self._linked: str | None = None
        self._begun = False
        self._ended = False
        # Held by the thread that works on the file: what comes after a cancelled call waits for its end.
        self._working = threading.Lock()
        self.size = 0

    @property
    def sha256(self) -> bytes:
        """The digest of the bytes so far. Must not be read while a write runs."""
        return self._hash.digest()

    async def write(self, data: bytes | list[bytes]) -> None:
        """Write and hash one batch in one visit to a thread; one call at a time.

        Reserves more space if needed. Raises StorageFull, StorageError (also after `abort`).
        """
        batch = b"".join(data) if isinstance(data, list) else data
        if not batch:
            return
        self._reservation.cover(len(batch))
        self._begun = True
        await self._threads.run(self._write, batch)
        self._reservation.wrote(len(batch))

    async def commit(self, key: str, rest: bytes = b"") -> None:
        """Write the rest and make the image durable under its key, in one visit to a thread.

        When this returns, the image survives a power cut. Raises StorageFull, StorageError (also for a key that is
        taken), ValueError for what is no key; there is no image then, or, for a caller cancelled here, none after
        `abort`.
        """
        path_of(key)
        self._reservation.cover(len(rest))
        self._begun = True
        await self._threads.run(self._commit, key, rest)
        self._begun, self._linked = False, None
        self._reservation.wrote(len(rest))
        self._reservation.stored(self.size)

    async def abort(self) -> None:
        """Discard everything, unless `commit` has returned. May be called at any time, and again."""
        self._ended = True
        if self._begun:
            await self._threads.run(self._abort)

    def _write(self, batch: bytes) -> None:
        with self._working:
            try:
                self._append(batch)
            except BaseException:
                self._end()
                raise

    def _commit(self, key: str, rest: bytes) -> None:
        with self._working:
            try:
                self._tree.publish(self._append(rest), key)
                self._linked = key
            finally:
                self._end()

    def _abort(self) -> None:
        with self._working:
            self._end()
            if self._linked is not None:
                self._tree.remove([self._linked])
                self._linked = None

    def _append(self, batch: bytes) -> TemporaryFile:
        if self._ended:
            raise StorageError
        if self._file is None:
            self._file = self._tree.open_temporary()
        write_all(self._file.fd, batch)
        self._hash.update(batch)
        self.size += len(batch)
        return self._file

    def _end(self) -> None:
        self._ended = True
        if self._file is not None:
            self._tree.discard(self._file)
            self._file = None
