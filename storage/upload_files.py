# SPDX-License-Identifier: Apache-2.0
"""The files of uploads that go on in another request: `.uploads` in the store, each under its upload's id.

Knows no person and no database: how many of a file's bytes count is said by who opens it.
"""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from models import fault, private_files
from storage.publishing import Publisher
from storage.space import Reservation, Space
from storage.threads import DiskThreads
from storage.tree import NewImage, TemporaryFile, Tree
from storage.writer import READ_BYTES, Data, Mend, digest_of, mend_in, pieces_of

AGAIN_BYTES = 512 * 1024
"""Read in one visit of a thread, when an upload is read again."""
_IS_ID = re.compile(r"[0-9a-f]{32}", re.ASCII).fullmatch
OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def is_upload_id(text: str) -> bool:
    """Whether this is 32 lower-case hex digits."""
    return _IS_ID(text) is not None


class Machine(NamedTuple):
    """What a store has on this machine: its directory, the room there, threads, and what makes images of files."""

    tree: Tree
    space: Space
    threads: DiskThreads
    publisher: Publisher


class UploadFiles:
    """The files of one store's open uploads. Belongs to one event loop; blocking calls run in the store's threads."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._tree, self._space, self._threads, _ = machine

    async def open(self, upload_id: str, stored: int, reservation: Reservation) -> "UploadFile | None":
        """The file of an upload of which `stored` bytes count, what is behind them gone; made where they are none. So
        many were synced at one time, and then told.

        None while somebody else has it open. Raises FileNotFoundError where fewer bytes are there, StorageError.
        """
        fd = await self._opened(upload_id, stored)
        if fd is None:
            return None
        return UploadFile(self._machine, upload_id, fd, stored, reservation)

    async def remove_many(self, upload_ids: Iterable[str]) -> int:
        """Remove files for good; how many were there."""
        sizes = await self._threads.run(self._remove, list(upload_ids))
        self._space.forget(sum(sizes))
        return len(sizes)

    async def old_ids(self, older_than_seconds: float) -> list[str]:
        """The uploads whose files were last written that long ago, by their names."""
        return await self._threads.run(self._old_ids, time.time() - older_than_seconds)

    async def sizes(self, upload_ids: Iterable[str]) -> dict[str, int]:
        """The bytes of each of these files that is there."""
        return await self._threads.run(self._sizes, list(upload_ids))

    async def _opened(self, upload_id: str, stored: int) -> int | None:
        """The descriptor of a file of which so many bytes count, None where another has it. Raises as `open`."""
        fd, cut = await self._threads.run(self._open, upload_id, stored)
        self._space.forget(cut)
        if fd is not None and fd < 0:
            raise FileNotFoundError(upload_id)
        return fd

    def _open(self, upload_id: str, stored: int) -> tuple[int | None, int]:
        """Its descriptor, locked, and how many bytes were cut off; None where another has the lock, -1 where fewer are
        there.
        """
        if not is_upload_id(upload_id):
            raise ValueError("not an upload's id")
        fd = os.open(upload_id, OPEN, private_files.MODE, dir_fd=self._tree.uploads)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            about = os.fstat(fd)
            if not self._is_named(about, upload_id):  # it has become an image, or another file, since it was opened
                os.close(fd)
                return None, 0
            if not stat.S_ISREG(about.st_mode) or about.st_size < stored:
                os.unlink(upload_id, dir_fd=self._tree.uploads)
                os.close(fd)
                return -1, about.st_size
            if about.st_nlink > 1:
                fd = self._copied(fd, upload_id, stored)
            os.ftruncate(fd, stored)
        except BlockingIOError:
            os.close(fd)
            return None, 0
        except BaseException:
            with suppress(OSError):
                os.close(fd)
            raise
        return fd, about.st_size - stored

    def _is_named(self, about: os.stat_result, upload_id: str) -> bool:
        try:
            named = os.stat(upload_id, dir_fd=self._tree.uploads, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(about, named)

    def _copied(self, fd: int, upload_id: str, stored: int) -> int:
        """A file of its own: this one has been given a key, and what has a key is never written again."""
        draft = f"{upload_id}.copy"
        copy = os.open(draft, OPEN | os.O_TRUNC, private_files.MODE, dir_fd=self._tree.uploads)
        fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
        at = 0
        while at < stored:
            at += os.pwrite(copy, os.pread(fd, min(READ_BYTES, stored - at), at), at)
        os.fsync(copy)
        os.rename(draft, upload_id, src_dir_fd=self._tree.uploads, dst_dir_fd=self._tree.uploads)
        os.fsync(self._tree.uploads)
        os.close(fd)
        return copy

    def _remove(self, upload_ids: list[str]) -> list[int]:
        sizes = []
        for upload_id in upload_ids:
            with suppress(FileNotFoundError):
                size = os.stat(upload_id, dir_fd=self._tree.uploads, follow_symlinks=False).st_size
                os.unlink(upload_id, dir_fd=self._tree.uploads)
                sizes.append(size)
        return sizes

    def _old_ids(self, cutoff: float) -> list[str]:
        found = []
        with os.scandir(self._tree.uploads) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < cutoff:
                        found.append(entry.name)
        return found

    def _sizes(self, upload_ids: list[str]) -> dict[str, int]:
        found = {}
        for upload_id in upload_ids:
            with suppress(FileNotFoundError):
                found[upload_id] = os.stat(upload_id, dir_fd=self._tree.uploads, follow_symlinks=False).st_size
        return found


class UploadFile:
    """One upload's file, locked. `size` is how far it has been written, of which `sync` makes all durable. Where that
    fails, only who opens it anew may go on: the kernel forgets what it could not write, and the next sync succeeds.

    Callers must call `close` at the end in every case. One call at a time.
    """

    def __init__(self, machine: Machine, upload_id: str, fd: int, size: int, reservation: Reservation) -> None:
        self._tree, self._space, self._threads, self._publisher = machine
        self._upload_id = upload_id
        self._fd = fd
        self._reservation = reservation
        self._is_fresh = size == 0
        self._is_lost = False
        self.size = size
        self.sha256 = b""
        """After `commit`: the digest of the image."""
        self.received_sha256 = b""
        """The same, before any mend."""

    async def read(self, offset: int) -> bytes:
        """The next bytes from there, none at the end."""
        return await self._threads.run(self._read, offset)

    async def write(self, data: bytes, at: int) -> None:
        """Write so that `data` begins there, no later than at `size`. Raises StorageFull, StorageError."""
        grown = max(0, at + len(data) - self.size)
        self._reservation.cover(grown)
        await self._threads.run(self._write, data, at)
        self._reservation.wrote(grown)
        self._reservation.stored(grown)
        self.size += grown

    @property
    def is_sync_due(self) -> bool:
        """Whether it is time for a `sync` while the request runs."""
        return True

    async def sync(self) -> None:
        """When this returns, what was written survives a power cut. Raises StorageError."""
        await self._threads.run(self._sync)

    async def told(self) -> None:
        """The row says how much has been synced."""

    async def commit(self, key: str, rest: Data = b"", mends: Sequence[Mend] = ()) -> None:
        """Write the rest, mend what has to be and make it an image under this key, durably; it stays an upload too.

        Raises StorageFull, StorageError (also for a key that is taken); there is no image then.
        """
        await self.write(b"".join(pieces_of(rest)), self.size)
        await self._publisher.publish(_Commit(self, key, mends), alone=True)
        self._space.counters.stored.add(self.size)

    async def remove(self) -> None:
        """It is no upload any more; an image made of it stays."""
        await self._threads.run(self._remove)

    async def close(self) -> None:
        """Let others have it. May be called again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            await self._threads.run(os.close, fd)

    def _read(self, offset: int) -> bytes:
        return os.pread(self._fd, AGAIN_BYTES, offset)

    def _write(self, data: bytes, at: int) -> None:
        self._check_kept()
        left = memoryview(data)
        while left:
            written = os.pwrite(self._fd, left, at)
            left, at = left[written:], at + written

    def _sync(self) -> None:
        self._check_kept()
        self._is_lost = True
        os.fsync(self._fd)
        if self._is_fresh:
            os.fsync(self._tree.uploads)
            self._is_fresh = False
        self._is_lost = False

    def _check_kept(self) -> None:
        if self._is_lost:
            raise OSError(errno.EIO, "what was written may be gone")

    def prepare(self, mends: Sequence[Mend]) -> TemporaryFile:
        """Mend what has to be, in a thread; the file as it is to be published."""
        self._check_kept()
        self.received_sha256 = self.sha256 = digest_of(self._fd).digest()
        for mend in mends:
            mend_in(self._fd, mend)
        if mends:
            self.sha256 = digest_of(self._fd).digest()
        return TemporaryFile(self._fd, self._upload_id, self._tree.uploads)

    def _remove(self) -> None:
        fault.point("before_upload_removed")
        self._unlink()
        self._space.forget(self.size)

    def _unlink(self) -> bool:
        """Whether it was there."""
        try:
            os.unlink(self._upload_id, dir_fd=self._tree.uploads)
        except FileNotFoundError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Commit:
    """A whole upload, on its way to be an image."""

    file: UploadFile
    key: str
    mends: Sequence[Mend]

    def prepare(self) -> NewImage:
        return NewImage(self.file.prepare(self.mends), self.key)

    def settle(self, *, published: bool) -> None:
        """It stays an upload either way."""
