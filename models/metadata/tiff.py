# SPDX-License-Identifier: Apache-2.0
"""Directories of a TIFF structure in memory: read, and written again with fewer entries.

Source: TIFF 6.0, section 2.
"""

import struct
from collections.abc import Container, Iterable, Iterator
from typing import Literal, NamedTuple

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
ENTRY_BYTES = 12
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
        self._entry = struct.Struct("<HHLL" if order == "little" else ">HHLL")

    def number(self, at: int, n_bytes: int) -> int:
        return int.from_bytes(self.data[at : at + n_bytes], self._order)

    def count(self, directory: int) -> int | None:
        """How many entries the directory at this place has; None where there is none."""
        if not 0 < directory <= len(self.data) - 2:
            return None
        count = self.number(directory, 2)
        is_whole = directory + 2 + count * ENTRY_BYTES <= len(self.data)
        return count if count <= MOST_ENTRIES and is_whole else None

    def entries(self, directory: int, tags: Container[int] | None = None) -> Iterator[Entry]:
        """Those with one of these tags; without `tags` all."""
        length, unpack = len(self.data), self._entry.unpack_from
        for at in range(directory + 2, self._end(directory), ENTRY_BYTES):
            tag, kind, count, value = unpack(self.data, at)
            if tags is not None and tag not in tags:
                continue
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
        gone = set(dropped)
        places = range(directory + 2, self._end(directory), ENTRY_BYTES)
        kept = [bytes(self.data[at : at + ENTRY_BYTES]) for at in places if at not in gone]
        following = self.following(directory)
        end = min(self._end(directory) + 4, len(self.data))
        self.data[directory:end] = bytes(end - directory)
        self.put(directory, kept, following)

    def put(self, directory: int, entries: list[bytes], following: int = 0) -> None:
        """Write a directory, as far as there is room."""
        count = len(entries).to_bytes(2, self._order)
        written = count + b"".join(entries) + following.to_bytes(4, self._order)
        room = max(0, len(self.data) - directory)
        self.data[directory : directory + min(len(written), room)] = written[:room]

    def _end(self, directory: int) -> int:
        return directory + 2 + (self.count(directory) or 0) * ENTRY_BYTES
