# SPDX-License-Identifier: Apache-2.0
"""Counters in memory that the workers of one machine share, so that a bound holds for all of them together.

Each process has its own slot in every counter and writes no other, so there is no lock that a process could hold when
it dies. To respect a bound, add first, then compare the total, and subtract again when it is exceeded: two that do so
at once may both be refused, but never both be admitted.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from mmap import mmap

SLOT_BYTES = 8
LASTING = "stored"
"""The one counter whose value outlives the process: stored bytes stay on the disk."""


class SharedCounter:
    """The sum of one integer per process; `own` is this process's."""

    __slots__ = ("_own", "_slots")

    def __init__(self, slots: "memoryview[int] | None" = None, own: int = 0) -> None:
        self._slots: memoryview[int] | array[int] = array("q", [0]) if slots is None else slots
        self._own = own

    @property
    def total(self) -> int:
        return sum(self._slots)

    @property
    def own(self) -> int:
        return self._slots[self._own]

    @own.setter
    def own(self, count: int) -> None:
        self._slots[self._own] = count

    def add(self, count: int) -> None:
        self._slots[self._own] += count


@dataclass(frozen=True, slots=True)
class SharedCounters:
    """All counters, as seen by one process. Without arguments: those of a process that is alone.

    `reserved`, `unwritten`, `uploads` and `stored` belong to `storage.space`. `buffers` counts bytes that uploads hold
    in memory, `unknown_callers` bytes of uploads whose sender is not known yet.
    """

    number: int = 0
    connections: SharedCounter = field(default_factory=SharedCounter)
    readers: SharedCounter = field(default_factory=SharedCounter)
    buffers: SharedCounter = field(default_factory=SharedCounter)
    unknown_callers: SharedCounter = field(default_factory=SharedCounter)
    reserved: SharedCounter = field(default_factory=SharedCounter)
    unwritten: SharedCounter = field(default_factory=SharedCounter)
    uploads: SharedCounter = field(default_factory=SharedCounter)
    stored: SharedCounter = field(default_factory=SharedCounter)

    def forget(self) -> None:
        """Reset the slots of a process that has died: what it held is free."""
        for name, counter in self._by_name().items():
            if name != LASTING:
                counter.own = 0

    def _by_name(self) -> Mapping[str, SharedCounter]:
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = [each.name for each in fields(SharedCounters) if each.name != "number"]


def map_shared_counters(count: int) -> list[SharedCounters]:
    """The counters of `count` processes that are forked later, in shared memory."""
    slots = memoryview(mmap(-1, SLOT_BYTES * count * len(_NAMES))).cast("q")
    rows = {name: slots[at * count : (at + 1) * count] for at, name in enumerate(_NAMES)}
    return [
        SharedCounters(number, **{name: SharedCounter(row, number) for name, row in rows.items()})
        for number in range(count)
    ]
