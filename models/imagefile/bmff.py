# SPDX-License-Identifier: Apache-2.0
"""Boxes (ISO/IEC 14496-12, 4.2), and the items that a `meta` box describes (8.11)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

IN_FILE, IN_IDAT, IN_ITEM = 0, 1, 2
"""Where an item's bytes are (`construction_method`)."""

MAX_BOXES: Final = 16384
MAX_ITEMS: Final = 16384
MAX_EXTENTS: Final = 16384


class TooMuch(ValueError):
    """More boxes, items or extents than any real file has, or more bytes than are looked at."""


@dataclass(slots=True)
class Item:
    """One item of a file: what it is, and where its bytes are as (offset, length); a length of 0 means all there is."""

    kind: bytes = b""
    content_type: bytes = b""
    encoded: bool = False
    method: int = IN_FILE
    extents: list[tuple[int, int]] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    """For IN_ITEM: which of its sources each extent is a part of, counted from 1."""
    sources: list[int] = field(default_factory=list)
    """The items that it may have parts of."""

    def source(self, extent: int) -> int:
        """The item that this extent is a part of; -1 for none."""
        index = self.indexes[extent] - 1
        return self.sources[index] if 0 <= index < len(self.sources) else -1


Items = dict[int, Item]


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box, where its payload starts and where it ends. Ends at anything that is not a box.

    Raises TooMuch.
    """
    end = len(data) if end is None else min(end, len(data))
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            if start + 16 > end:
                return
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size
    raise TooMuch


def read_item_infos(data: bytes, items: Items) -> None:
    """The payload of `iinf` (8.11.6): the kind of each item, and of `mime` items the content type. Raises TooMuch."""
    start = 4 + (2 if data[:1] == b"\0" else 4)
    for kind, at, end in boxes(data, start):
        if kind != b"infe" or data[at] < 2:
            continue
        wide = data[at] > 2
        item_id = int.from_bytes(data[at + 4 : at + (8 if wide else 6)])
        kind_at = at + (10 if wide else 8)
        item = _item(items, item_id)
        item.kind = data[kind_at : kind_at + 4]
        texts = data[kind_at + 4 : end].split(b"\0")
        if item.kind == b"mime":
            item.content_type = texts[1].lower() if len(texts) > 1 else b""
            item.encoded = len(texts) > 2 and texts[2] != b""


def read_locations(data: bytes, items: Items) -> None:
    """The payload of `iloc` (8.11.3), of versions 0 to 2. What is cut tells no more. Raises TooMuch."""
    try:
        _Locations(data).read(items)
    except IndexError:
        return


def read_sources(data: bytes, items: Items) -> None:
    """The payload of `iref` (8.11.12): which items have parts of which others. Raises TooMuch."""
    n_bytes = 4 if data[:1] == b"\1" else 2
    for kind, at, end in boxes(data, 4):
        if kind == b"iloc" and at + n_bytes + 2 <= end:
            item = _item(items, int.from_bytes(data[at : at + n_bytes]))
            ids = range(at + n_bytes + 2, end - n_bytes + 1, n_bytes)
            item.sources = [int.from_bytes(data[start : start + n_bytes]) for start in ids]


def _item(items: Items, item_id: int) -> Item:
    if len(items) >= MAX_ITEMS:
        raise TooMuch
    return items.setdefault(item_id, Item())


class _Locations:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, items: Items) -> None:
        version = self._take(4) >> 24
        sizes = self._take(2)
        offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_bytes = sizes & 15 if version in (1, 2) else 0
        n_extents = 0
        for _ in range(self._take(4 if version == 2 else 2)):
            item = _item(items, self._take(4 if version == 2 else 2))
            item.method = self._take(2) & 15 if version in (1, 2) else IN_FILE
            self._take(2)  # which file: none but this one is read
            base = self._take(base_bytes)
            count = self._take(2)
            n_extents += count
            if n_extents > MAX_EXTENTS:
                raise TooMuch
            for _ in range(count):
                item.indexes.append(self._take(index_bytes) or 1)
                item.extents.append((base + self._take(offset_bytes), self._take(length_bytes)))

    def _take(self, n_bytes: int) -> int:
        start, self._at = self._at, self._at + n_bytes
        if self._at > len(self._data):
            raise IndexError
        return int.from_bytes(self._data[start : self._at])
