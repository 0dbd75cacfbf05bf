# SPDX-License-Identifier: Apache-2.0
"""What the workers of one machine count together, so that a bound holds for all of them.

Each process has a slot of its own in every counter and writes no other, so there is no lock that a process could die
with. Whoever must not exceed a bound adds first, then looks at the total, and takes back what was too much: of two
who do so at once both may be refused, never both let in.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from mmap import mmap

SLOT_BYTES = 8
LASTING = "stored"
"""What is still there when the process that counted it is not."""


class SharedCounter:
    """A sum of whole numbers, one of each process; `own` is this process's."""

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
    """Every counter there is, as one process writes it. Without arguments: of a process that is alone.

    `reserved`, `unwritten`, `rooms` and `stored` belong to `storage.space`; the budgets are bytes in memory.
    """

    number: int = 0
    connections: SharedCounter = field(default_factory=SharedCounter)
    readers: SharedCounter = field(default_factory=SharedCounter)
    buffers: SharedCounter = field(default_factory=SharedCounter)
    unknown_callers: SharedCounter = field(default_factory=SharedCounter)
    reserved: SharedCounter = field(default_factory=SharedCounter)
    unwritten: SharedCounter = field(default_factory=SharedCounter)
    rooms: SharedCounter = field(default_factory=SharedCounter)
    stored: SharedCounter = field(default_factory=SharedCounter)

    def forget(self) -> None:
        """The process that wrote here is no more: what it held is free."""
        for name, counter in self._by_name().items():
            if name != LASTING:
                counter.own = 0

    def _by_name(self) -> Mapping[str, SharedCounter]:
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = [each.name for each in fields(SharedCounters) if each.name != "number"]


def map_shared_counters(count: int) -> list[SharedCounters]:
    """The counters of `count` processes that are to be forked, in memory that all of them share."""
    slots = memoryview(mmap(-1, SLOT_BYTES * count * len(_NAMES))).cast("q")
    rows = {name: slots[at * count : (at + 1) * count] for at, name in enumerate(_NAMES)}
    return [
        SharedCounters(number, **{name: SharedCounter(row, number) for name, row in rows.items()})
        for number in range(count)
    ]
