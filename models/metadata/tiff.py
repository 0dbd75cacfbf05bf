# SPDX-License-Identifier: Apache-2.0
"""Directories of a TIFF structure in memory: read, and written again with fewer entries.

Source: TIFF 6.0, section 2.
"""

import struct
from collections.abc import Iterable, Iterator, Set
from typing import Literal, NamedTuple

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
ENTRY_BYTES = 12
TAG_ALONE = "H10x"
MOST_ENTRIES = 2048

Order = Literal["little", "big"]


def order_of(header: bytes) -> Order | None:
    """The byte order that the first two bytes of a TIFF header name."""
    orders: dict[bytes, Order] = {b"II": "little", b"MM": "big"}
    return orders.get(bytes(header))


class Entry(NamedTuple):
    """One entry of a directory. `at` is where it is, `start` and `end` its value, as far as it is there."""

    tag: int
    at: int
    start: int
    end: int
    value: int
    """The value itself where it is one number of four bytes, else its offset."""


class Tiff:
    """The directories in `data`, by one byte order; values are at offsets from `base`. Nothing here raises."""

    def __init__(self, data: bytearray, order: Order, base: int = 0) -> None:
        self.data = data
        self._order = order
        self._base = base
        self._sign = "<" if order == "little" else ">"

    def number(self, at: int, n_bytes: int) -> int:
        return int.from_bytes(self.data[at : at + n_bytes], self._order)

    def count(self, directory: int) -> int | None:
        """How many entries the directory at this place has; None where there is none."""
        length = len(self.data)
        if not 0 < directory <= length - 2:
            return None
        (count,) = struct.unpack_from(self._sign + "H", self.data, directory)
        return count if count <= MOST_ENTRIES and directory + 2 + count * ENTRY_BYTES <= length else None

    def entries(self, directory: int, tags: Set[int] | None = None) -> Iterator[Entry]:
        """Those with one of these tags; without `tags` all."""
        places = range(directory + 2, self._end(directory), ENTRY_BYTES)
        # All tags at once: of a camera's hundred entries few are looked at.
        found = struct.unpack_from(self._sign + TAG_ALONE * len(places), self.data, places.start) if places else ()
        if tags is not None and tags.isdisjoint(found):
            return
        length = len(self.data)
        for at, tag in zip(places, found, strict=True):
            if tags is None or tag in tags:
                kind, count, value = struct.unpack_from(self._sign + "HLL", self.data, at + 2)
                n_bytes = TYPE_BYTES.get(kind, 1) * count
                start = min(at + 8 if n_bytes <= 4 else self._base + value, length)
                yield Entry(tag, at, start, min(start + n_bytes, length), value)

    def following(self, directory: int) -> int:
        """Where the next directory of the chain is, 0 for none."""
        return self.number(self._end(directory), 4)

    def raw(self, entry: Entry) -> bytes:
        return bytes(self.data[entry.at : entry.at + ENTRY_BYTES])

    def numbers(self, entry: Entry, most: int) -> list[int]:
        """An entry's value as numbers of four bytes."""
        return [self.number(at, 4) for at in range(entry.start, entry.end - 3, 4)][:most]

    def without(self, directory: int, dropped: Iterable[int]) -> None:
        """Write the directory again without the entries at these places. Values stay where they are."""
        kept, at, end = bytearray(), directory + 2, self._end(directory)
        for gone in [*sorted(place for place in set(dropped) if place < end), end]:
            kept += self.data[at:gone]
            at = gone + ENTRY_BYTES
        following = self.following(directory)
        end = min(end + 4, len(self.data))
        self.data[directory:end] = bytes(end - directory)
        self.put(directory, kept, following)

    def put(self, directory: int, entries: bytes | bytearray, following: int = 0) -> None:
        """Write a directory, as far as there is room."""
        count = (len(entries) // ENTRY_BYTES).to_bytes(2, self._order)
        written = count + entries + following.to_bytes(4, self._order)
        room = max(0, len(self.data) - directory)
        self.data[directory : directory + min(len(written), room)] = written[:room]

    def _end(self, directory: int) -> int:
        return directory + 2 + (self.count(directory) or 0) * ENTRY_BYTES
