# SPDX-License-Identifier: Apache-2.0
"""Writes one image: bytes are written to a file and hashed, then published under the key or discarded."""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.errors import StorageError
from storage.keys import path_of
from storage.publishing import Publisher
from storage.space import Reservation
from storage.threads import DiskThreads
from storage.tree import NewImage, TemporaryFile, Tree, write_all

READ_BYTES = 128 * 1024

Pieces = list[bytes | memoryview]
Data = bytes | Pieces
"""Bytes to be written, whole or in pieces that follow each other."""


@dataclass(frozen=True, slots=True)
class Mend:
    """Bytes to be changed in a whole file before it is an image: all spans, as (offset, length), are one thing.

    `change` is given its first bytes, as many as `most`, and returns as many; what is behind those becomes zeros.
    """

    spans: Sequence[tuple[int, int]]
    most: int
    change: Callable[[bytes], bytes]


class DiskWriter:
    """Takes the bytes of one image. No file is opened before the first byte; `size` counts the bytes written.

    Callers must call `abort` at the end in every case; after a `commit` that returned it does nothing.
    """

    def __init__(self, tree: Tree, threads: DiskThreads, publisher: Publisher, reservation: Reservation) -> None:
        self._tree = tree
        self._threads = threads
        self._publisher = publisher
        self._reservation = reservation
        self._hash = hashlib.sha256()
        self._file: TemporaryFile | None = None
        self._linked: str | None = None
        self._begun = False
        self._ended = False
        # Held by the thread that works on the file: what comes after a cancelled call waits for its end.
        self._working = threading.Lock()
        self.size = 0
        self.received_sha256 = b""
        """After `commit`: the digest of the bytes as they were given, before any mend."""

    @property
    def sha256(self) -> bytes:
        """The digest of the bytes so far. Must not be read while a write runs."""
        return self._hash.digest()

    async def write(self, data: Data) -> None:
        """Write and hash one batch in one visit to a thread; one call at a time.

        Reserves more space if needed. Raises StorageFull, StorageError (also after `abort`).
        """
        pieces = pieces_of(data)
        n_bytes = sum(map(len, pieces))
        if not n_bytes:
            return
        self._reservation.cover(n_bytes)
        self._begun = True
        await self._threads.run(self._write, pieces)
        self._reservation.wrote(n_bytes)

    async def commit(self, key: str, rest: Data = b"", mends: Sequence[Mend] = ()) -> None:
        """Write the rest, mend what has to be and make the image durable under its key, in one visit to a thread.

        When this returns, the image survives a power cut. Raises StorageFull, StorageError (also for a key that is
        taken), ValueError for an invalid key; there is no image then, or, for a caller cancelled here, none after
        `abort`.
        """
        path_of(key)
        pieces = pieces_of(rest)
        n_bytes = sum(map(len, pieces))
        self._reservation.cover(n_bytes)
        commit = _Commit(self, key, pieces, mends)
        whole, self._begun = not self._begun, True
        await self._publisher.publish(commit, alone=not whole)
        self._begun, self._linked = False, None
        self._reservation.wrote(n_bytes)
        self._reservation.stored(self.size)

    async def abort(self) -> None:
        """Discard everything, unless `commit` has returned. May be called at any time, and again."""
        self._ended = True
        if self._begun:
            await self._threads.run(self._abort)
            linked, self._linked = self._linked, None
            if linked is not None:
                await self._publisher.withdraw(linked)

    def _write(self, pieces: Pieces) -> None:
        with self._working:
            try:
                self._append(pieces)
            except BaseException:
                self._end()
                raise

    def prepare(self, rest: Pieces, mends: Sequence[Mend]) -> TemporaryFile:
        """Write the rest and mend, in a thread: nothing else is done with the file until `settle`."""
        self._working.acquire()
        try:
            file = self._append(rest)
            self.received_sha256 = self._hash.digest()
            if mends:
                for mend in mends:
                    mend_in(file.fd, mend)
                self._hash = digest_of(file.fd)
        except BaseException:
            self.settle(None)
            raise
        return file

    def settle(self, linked: str | None) -> None:
        """The file has become the image with this key, or is to be forgotten."""
        self._linked = linked
        self._end()
        self._working.release()

    def _abort(self) -> None:
        with self._working:
            self._end()

    def _append(self, pieces: Pieces) -> TemporaryFile:
        if self._ended:
            raise StorageError
        if self._file is None:
            self._file = self._tree.open_temporary()
        write_all(self._file.fd, pieces)
        for piece in pieces:  # joined they would be copied
            self._hash.update(piece)
            self.size += len(piece)
        return self._file

    def _end(self) -> None:
        self._ended = True
        if self._file is not None:
            self._tree.discard(self._file)
            self._file = None


@dataclass(frozen=True, slots=True)
class _Commit:
    """The last of a writer's bytes, on their way to be an image."""

    writer: DiskWriter
    key: str
    rest: Pieces
    mends: Sequence[Mend]

    def prepare(self) -> NewImage:
        return NewImage(self.writer.prepare(self.rest, self.mends), self.key)

    def settle(self, *, published: bool) -> None:
        self.writer.settle(self.key if published else None)


def pieces_of(data: Data) -> Pieces:
    return data if isinstance(data, list) else [data]


def mend_in(fd: int, mend: Mend) -> None:
    """Change the file as the mend says. Blocks; raises OSError."""
    whole = b"".join(os.pread(fd, length, offset) for offset, length in _first(mend.spans, mend.most))
    changed = mend.change(whole)
    for start, length in mend.spans:
        at, end = start, start + length
        while at < end:
            part = changed[: end - at] or bytes(min(end - at, READ_BYTES))
            written = os.pwrite(fd, part, at)
            changed = changed[written:]
            at += written


def _first(spans: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The first bytes of all spans together, as many as `most`."""
    found = []
    for offset, length in spans:
        if most > 0:
            found.append((offset, min(length, most)))
            most -= length
    return found


def digest_of(fd: int) -> "hashlib._Hash":
    """Of the whole file. Blocks; raises OSError."""
    digest = hashlib.sha256()
    offset = 0
    while part := os.pread(fd, READ_BYTES, offset):
        digest.update(part)
        offset += len(part)
    return digest
