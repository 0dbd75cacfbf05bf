# SPDX-License-Identifier: Apache-2.0
"""How much may still be written: free space, the ceiling on stored bytes, and what uploads have reserved.

Used on the event loop's thread. The workers of one machine see each other's reservations (`models.shared_counters`);
machines that share a store only see what the others have written, and the floor of free space covers the difference.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from models.errors import StorageFull
from models.shared_counters import SharedCounters

FLOOR_SHARE = 0.05
"""Of the filesystem: on a small disk the configured floor could be all of it."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What stays free of the filesystem of a directory: `min_free_bytes` or 5 % of it, whichever is less."""

    place: str  # of a Path the call takes twice as long
    min_free_bytes: int

    def free(self) -> int:
        """Bytes that may be written to the filesystem, those under the floor included. Raises OSError."""
        disk = os.statvfs(self.place)
        return disk.f_bavail * disk.f_frsize

    def is_reached(self, taken: int = 0) -> bool:
        """Whether less is free, `taken` bytes being promised already. One statvfs, about 2 µs. Raises OSError."""
        disk = os.statvfs(self.place)
        floor = min(self.min_free_bytes, int(disk.f_blocks * disk.f_frsize * FLOOR_SHARE))
        return disk.f_bavail * disk.f_frsize - taken < floor


class Space:
    """The bytes of one store. `max_bytes` is a ceiling on what is stored, 0 for none.

    Free space never falls under `min_free_bytes` or 5 % of the filesystem, whichever is less.
    """

    def __init__(
        self, root: Path, *, min_free_bytes: int, max_bytes: int, counters: SharedCounters | None = None
    ) -> None:
        self._floor = Floor(str(root), min_free_bytes)
        self._max_bytes = max_bytes
        self.counters = counters or SharedCounters()

    @property
    def stored(self) -> int:
        return max(0, self.counters.stored.total)

    @property
    def reserved(self) -> int:
        return self.counters.reserved.total

    @property
    def unwritten(self) -> int:
        return self.counters.unwritten.total

    @property
    def uploads(self) -> int:
        return self.counters.uploads.total

    def reserve(self, n_bytes: int) -> "Reservation":
        """Reserve space for an upload. Raises StorageFull."""
        reservation = Reservation(self)
        reservation.grow(n_bytes)
        reservation.open()
        return reservation

    def forget(self, n_bytes: int) -> None:
        """So many stored bytes were removed."""
        self.counters.stored.add(-min(n_bytes, self.stored))

    def check(self) -> None:
        """Raise StorageFull if more is reserved than there is space for."""
        if self._floor.is_reached(self.unwritten):
            raise StorageFull
        if self._max_bytes and self.stored + self.reserved > self._max_bytes:
            raise StorageFull


class Reservation:
    """Space for one upload. As a context manager it releases at its end what is not stored."""

    __slots__ = ("_open", "_reserved", "_space", "_unwritten")

    def __init__(self, space: Space) -> None:
        self._space = space
        self._reserved = 0
        self._unwritten = 0
        self._open = False

    def open(self) -> None:
        """Count as a running upload until `release`."""
        self._open = True
        self._space.counters.uploads.add(1)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def grow(self, n_bytes: int) -> None:
        """Reserve more. Raises StorageFull, and keeps what was reserved before."""
        self._add(n_bytes, n_bytes)
        try:
            self._space.check()
        except BaseException:
            self._add(-n_bytes, -n_bytes)
            raise

    def cover(self, n_bytes: int) -> None:
        """Grow so that the next `n_bytes` are reserved. Raises StorageFull."""
        if n_bytes > self._unwritten:
            self.grow(n_bytes - self._unwritten)

    def wrote(self, n_bytes: int) -> None:
        """These bytes are on the disk, whose free space counts them from now on."""
        self._add(0, -n_bytes)

    def stored(self, n_bytes: int) -> None:
        """These bytes, written before, are an image now."""
        self._space.counters.stored.add(n_bytes)
        self._add(-n_bytes, 0)

    def release(self) -> None:
        """Release the rest. May be called again."""
        self._add(-self._reserved, -self._unwritten)
        if self._open:
            self._open = False
            self._space.counters.uploads.add(-1)

    def _add(self, reserved: int, unwritten: int) -> None:
        self._reserved += reserved
        self._unwritten += unwritten
        self._space.counters.reserved.add(reserved)
        self._space.counters.unwritten.add(unwritten)
