# SPDX-License-Identifier: Apache-2.0
"""Room for uploads: nothing is promised twice, nothing written is counted twice."""

import asyncio
import os
from pathlib import Path

import pytest

from models.errors import StorageFull
from storage.base import Reservation
from storage.disk import DiskStore
from storage.keys import message_key
from storage.space import FLOOR_SHARE, Space

pytestmark = pytest.mark.anyio

PIECE = 1000


async def upload(store: DiskStore, *, reserved: int, size: int) -> str | None:
    """The key of an image of `size` bytes, in pieces; None when the store is full."""
    key = message_key(1, 2, 3, os.urandom(16))
    try:
        with store.reserve(reserved) as room:
            writer = await store.create(room)
            try:
                for _ in range(size // PIECE):
                    await writer.write(bytes(PIECE))
                await writer.commit(key)
            finally:
                await writer.abort()
    except StorageFull:
        return None
    return key


def used(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


async def test_parallel_uploads_stop_at_the_ceiling(root: Path) -> None:
    store = DiskStore(root, max_bytes=20 * PIECE)
    keys = await asyncio.gather(*[upload(store, reserved=2 * PIECE, size=2 * PIECE) for _ in range(50)])
    assert sum(key is not None for key in keys) == 10
    assert store.stored_bytes == used(root) == 20 * PIECE
    store.close()


async def test_parallel_uploads_of_unknown_size_stop_at_the_ceiling(root: Path) -> None:
    store = DiskStore(root, max_bytes=20 * PIECE)
    await asyncio.gather(*[upload(store, reserved=0, size=3 * PIECE) for _ in range(50)])
    assert store.stored_bytes == used(root) <= 20 * PIECE
    store.reserve(20 * PIECE - store.stored_bytes).release()
    store.close()


def test_parallel_reservations_stop_at_the_floor_of_free_space(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    floor = min(1 << 20, int(disk.f_blocks * disk.f_frsize * FLOOR_SHARE))
    each = (disk.f_bavail * disk.f_frsize - floor) // 20
    space = Space(tmp_path, min_free_bytes=1 << 20, max_bytes=0)
    rooms: list[Reservation] = []
    for _ in range(50):
        try:
            rooms.append(space.reserve(each))
        except StorageFull:
            continue
    assert 19 <= len(rooms) <= 20
    for room in rooms:
        room.release()
    space.reserve(each).release()


def test_the_floor_is_at_most_5_percent_of_the_filesystem(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    space = Space(tmp_path, min_free_bytes=1 << 60, max_bytes=0)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    space.reserve(max(0, free - int(total * 0.06))).release()
    with pytest.raises(StorageFull):
        space.reserve(free - int(total * 0.04))


def test_written_bytes_are_no_longer_promised(tmp_path: Path) -> None:
    space = Space(tmp_path, min_free_bytes=0, max_bytes=0)
    with space.reserve(10 * PIECE) as room:
        room.wrote(4 * PIECE)
        assert (space.reserved, space.unwritten) == (10 * PIECE, 6 * PIECE)
        room.cover(6 * PIECE)
        assert space.reserved == 10 * PIECE
        room.cover(7 * PIECE)
        assert (space.reserved, space.unwritten) == (11 * PIECE, 7 * PIECE)
    room.release()
    assert (space.reserved, space.unwritten, space.stored) == (0, 0, 0)


def test_a_refused_growth_changes_nothing(tmp_path: Path) -> None:
    space = Space(tmp_path, min_free_bytes=0, max_bytes=10 * PIECE)
    room = space.reserve(6 * PIECE)
    with pytest.raises(StorageFull):
        room.grow(5 * PIECE)
    assert space.reserved == 6 * PIECE
    room.grow(4 * PIECE)


async def test_a_removed_image_makes_room(root: Path) -> None:
    store = DiskStore(root, max_bytes=2 * PIECE)
    key = await upload(store, reserved=2 * PIECE, size=2 * PIECE)
    assert key is not None
    with pytest.raises(StorageFull):
        store.reserve(1)
    assert await store.remove(key)
    assert store.stored_bytes == 0
    store.reserve(2 * PIECE)
    store.close()


def test_the_owner_says_what_is_stored(store: DiskStore) -> None:
    store.set_stored_bytes(12)
    assert store.stored_bytes == 12


async def test_a_write_beyond_the_ceiling_is_refused_before_it_is_written(root: Path) -> None:
    store = DiskStore(root, max_bytes=2 * PIECE)
    writer = await store.create(store.reserve(PIECE))
    await writer.write(bytes(2 * PIECE))
    with pytest.raises(StorageFull):
        await writer.write(b"x")
    assert writer.size == 2 * PIECE
    await writer.abort()
    store.close()


async def test_a_stored_image_is_not_counted_beside_its_room(root: Path, key: str) -> None:
    store = DiskStore(root, max_bytes=4 * PIECE)
    with store.reserve(3 * PIECE) as room:
        await (await store.create(room)).commit(key, bytes(2 * PIECE))
        store.reserve(PIECE).release()
        with pytest.raises(StorageFull):
            store.reserve(PIECE + 1)
    store.reserve(2 * PIECE).release()
    store.close()
