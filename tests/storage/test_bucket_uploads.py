# SPDX-License-Identifier: Apache-2.0
"""Uploads of machines that share a bucket: any of them goes on with what was told, and nothing of them stays."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.base import BlobStore
from storage.bucket import Bucket
from storage.places import ImagePlace, open_store
from storage.upload_files import UploadFile
from tests.support.seaweed import Seaweed

pytestmark = pytest.mark.anyio

UPLOAD, OTHER = "ab" * 16, "cd" * 16
IMAGE = os.urandom(3_000_000)
ALL_AGES = -3600
NewMachine = Callable[[], BlobStore]


@pytest.fixture
def place(seaweed: Seaweed, tmp_path: Path) -> ImagePlace:
    return ImagePlace(tmp_path / "images", seaweed.settings())


@pytest.fixture
def new_machine(place: ImagePlace, tmp_path: Path) -> Iterator[NewMachine]:
    """Makes another machine on the same bucket, with a directory of its own."""
    stores: list[BlobStore] = []

    def make() -> BlobStore:
        stores.append(open_store(ImagePlace(tmp_path / f"machine{len(stores)}", place.bucket), min_free_bytes=1))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


async def objects(place: ImagePlace) -> list[str]:
    assert place.bucket
    return [entry.name async for batch in Bucket(place.bucket).list_folder("uploads") for entry in batch]


def left_on_machines(folder: Path) -> list[Path]:
    return list(folder.glob("machine*/.uploads/*"))


async def go_on(store: BlobStore, data: bytes, at: int) -> UploadFile:
    """Write it where the upload stopped, and tell so; the file, open."""
    room = store.reserve(len(data))
    file = await store.uploads.open(UPLOAD, at, room)
    assert file
    await file.write(data, at)
    await file.sync()
    await file.told()
    return file


async def whole(file: UploadFile) -> bytes:
    found = b""
    while piece := await file.read(len(found)):
        found += piece
    return found


async def test_each_machine_goes_on_where_another_stopped(
    new_machine: NewMachine, place: ImagePlace, tmp_path: Path
) -> None:
    at = 0
    for size in (1, 1_048_576, len(IMAGE) - 1_048_577):
        file = await go_on(new_machine(), IMAGE[at : at + size], at)
        at += size
        assert await whole(file) == IMAGE[:at]
        await file.close()
        assert await objects(place) == [f"uploads/{UPLOAD}/{at}"]
    assert left_on_machines(tmp_path) == []


async def test_what_was_written_behind_what_was_told_does_not_count(new_machine: NewMachine, place: ImagePlace) -> None:
    one, other = new_machine(), new_machine()
    await (await go_on(one, b"0123", 0)).close()
    room = one.reserve(10)
    lost = await one.uploads.open(UPLOAD, 4, room)
    assert lost
    await lost.write(b"wxyz", 4)
    await lost.sync()  # and the row could not be told
    await lost.close()
    file = await go_on(other, b"4567", 4)
    assert await whole(file) == b"01234567"
    await file.close()
    assert await objects(place) == [f"uploads/{UPLOAD}/8"]
    room = one.reserve(0)
    again = await one.uploads.open(UPLOAD, 8, room)
    assert again
    assert await whole(again) == b"01234567"
    await again.close()


async def test_what_a_crash_left_on_a_machine_is_not_taken_for_what_another_told(
    new_machine: NewMachine, tmp_path: Path
) -> None:
    one, other = new_machine(), new_machine()
    await (await go_on(one, b"0123", 0)).close()
    (tmp_path / "machine0/.uploads" / UPLOAD).write_bytes(b"an old state, which is longer")
    await (await go_on(other, b"4567", 4)).close()
    room = one.reserve(0)
    file = await one.uploads.open(UPLOAD, 8, room)
    assert file
    assert await whole(file) == b"01234567"
    await file.close()


async def test_an_upload_that_began_on_the_disk_goes_on_in_the_bucket(new_machine: NewMachine, tmp_path: Path) -> None:
    one, other = new_machine(), new_machine()
    (tmp_path / "machine0/.uploads" / UPLOAD).write_bytes(b"0123")
    await (await go_on(one, b"4567", 4)).close()
    file = await go_on(other, b"89", 8)
    assert await whole(file) == b"0123456789"
    await file.close()
    with one.reserve(0) as room, pytest.raises(FileNotFoundError):
        await one.uploads.open(OTHER, 4, room)


async def test_an_upload_that_began_on_the_disk_stays_there_until_the_bucket_has_it(
    new_machine: NewMachine, tmp_path: Path
) -> None:
    """Who asks to go on at a wrong offset, or breaks off, has put nothing into the bucket."""
    store = new_machine()
    (tmp_path / "machine0" / ".uploads" / UPLOAD).write_bytes(b"0123")
    for _ in range(2):
        file = await store.uploads.open(UPLOAD, 4, store.reserve(1))
        assert file
        await file.write(b"x", 4)
        await file.close()
    file = await go_on(store, b"4", 4)
    await file.close()
    assert left_on_machines(tmp_path) == []
    again = await store.uploads.open(UPLOAD, 5, store.reserve(0))
    assert again
    assert await whole(again) == b"01234"
    await again.close()


async def test_one_at_a_time_has_it_on_one_machine(new_machine: NewMachine) -> None:
    store = new_machine()
    file = await go_on(store, b"0123", 0)
    with store.reserve(0) as room:
        assert await store.uploads.open(UPLOAD, 4, room) is None
        await file.close()
        second = await store.uploads.open(UPLOAD, 4, room)
        assert second
        await second.close()


async def test_a_heartbeat_puts_seldom(new_machine: NewMachine) -> None:
    store = new_machine()
    room = store.reserve(0)
    file = await store.uploads.open(UPLOAD, 0, room)
    assert file
    put = []
    for at in range(0, 5_500_000, 100_000):
        await file.write(bytes(100_000), at)
        if file.is_sync_due:
            await file.sync()
            put.append(file.size)
    assert put == [1_100_000, 2_200_000, 3_300_000, 5_000_000]
    await file.close()
    assert store.stored_bytes == 5_000_000


async def test_what_a_write_that_failed_left_is_not_told(new_machine: NewMachine, tmp_path: Path) -> None:
    one, other = new_machine(), new_machine()
    room = one.reserve(4)
    file = await one.uploads.open(UPLOAD, 0, room)
    assert file
    await file.write(b"0123", 0)
    (tmp_path / "machine0/.uploads" / UPLOAD).write_bytes(b"0123 and a part of what no longer fitted")
    await file.sync()
    await file.close()
    again = await go_on(other, b"4567", 4)
    assert await whole(again) == b"01234567"
    await again.close()


async def test_the_end_of_an_upload_leaves_the_image_alone(
    new_machine: NewMachine, place: ImagePlace, key: str, tmp_path: Path
) -> None:
    one, other = new_machine(), new_machine()
    await (await go_on(one, IMAGE[:100], 0)).close()
    room = other.reserve(len(IMAGE))
    file = await other.uploads.open(UPLOAD, 100, room)
    assert file
    await file.commit(key, IMAGE[100:])
    await file.remove()
    await file.close()
    assert await objects(place) == []
    assert left_on_machines(tmp_path) == []
    assert await one.sizes([key]) == {key: len(IMAGE)}


@pytest.mark.parametrize("among", [[UPLOAD], [OTHER, UPLOAD]], ids=["alone", "among others"])
async def test_what_is_dropped_or_left_over_is_found_and_removed(
    new_machine: NewMachine, place: ImagePlace, among: list[str]
) -> None:
    one, other = new_machine(), new_machine()
    await (await go_on(one, b"0123", 0)).close()
    assert await other.uploads.old_ids(3600) == []
    assert await other.uploads.old_ids(ALL_AGES) == [UPLOAD]
    assert await other.uploads.sizes(among) == {UPLOAD: 4}
    assert await other.uploads.remove_many(among) == 1
    assert await other.uploads.remove_many(among) == 0
    assert await objects(place) == []
