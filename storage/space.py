# SPDX-License-Identifier: Apache-2.0
"""How much may still be written: free space, the ceiling on stored bytes, and what is promised to uploads.

Belongs to the event loop's thread. Workers that share a disk do not see each other's promises, only what each has
written; the floor of free space is there for that.
"""

import os
from pathlib import Path

from models.errors import StorageFull

FLOOR_SHARE = 0.05


class Space:
    """The bytes of one store. `max_bytes` is a ceiling on what is stored, 0 for none.

    Free space never falls under `min_free_bytes` or 5 % of the filesystem, whichever is less.
    """

    def __init__(self, root: Path, *, min_free_bytes: int, max_bytes: int) -> None:
        self._root = root
        self._min_free_bytes = min_free_bytes
        self._max_bytes = max_bytes
        self.stored = 0
        self.reserved = 0
        self.unwritten = 0
        self.rooms = 0

    def reserve(self, n_bytes: int) -> "Room":
        """Promise room for an upload. Raises StorageFull."""
        room = Room(self)
        room.grow(n_bytes)
        room.open()
        return room

    def check(self, n_bytes: int) -> None:
        """Raise StorageFull unless this much more may be promised. One statvfs, about 2 µs."""
        if self._max_bytes and self.stored + self.reserved + n_bytes > self._max_bytes:
            raise StorageFull
        disk = os.statvfs(self._root)
        floor = min(self._min_free_bytes, int(disk.f_blocks * disk.f_frsize * FLOOR_SHARE))
        if disk.f_bavail * disk.f_frsize - self.unwritten - n_bytes < floor:
            raise StorageFull


class Room:
    """What one upload may write. As a context manager it gives back at its end what is not stored."""

    __slots__ = ("_open", "_reserved", "_space", "_unwritten")

    def __init__(self, space: Space) -> None:
        self._space = space
        self._reserved = 0
        self._unwritten = 0
        self._open = False

    def open(self) -> None:
        """Count among the rooms that somebody holds, until `release`."""
        self._open = True
        self._space.rooms += 1

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def grow(self, n_bytes: int) -> None:
        """Ask for more. Raises StorageFull; what was promised before then still is."""
        self._space.check(n_bytes)
        self._add(n_bytes, n_bytes)

    def cover(self, n_bytes: int) -> None:
        """Grow as far as the next `n_bytes` were not promised yet. Raises StorageFull."""
        if n_bytes > self._unwritten:
            self.grow(n_bytes - self._unwritten)

    def wrote(self, n_bytes: int) -> None:
        """These bytes are on the disk: its free space counts them from now on."""
        self._add(0, -n_bytes)

    def stored(self, n_bytes: int) -> None:
        """These bytes, written before, are an image now."""
        self._add(-n_bytes, 0)
        self._space.stored += n_bytes

    def release(self) -> None:
        """Give back the promise. May be called again."""
        self._add(-self._reserved, -self._unwritten)
        if self._open:
            self._open = False
            self._space.rooms -= 1

    def _add(self, reserved: int, unwritten: int) -> None:
        self._reserved += reserved
        self._unwritten += unwritten
        self._space.reserved += reserved
        self._space.unwritten += unwritten
