# SPDX-License-Identifier: Apache-2.0
"""What every kind of store promises, by the same tests: on the disk, and in the bucket of a real object store."""

import asyncio
import hashlib
import os
from contextlib import closing
from pathlib import Path

import pytest

from models.errors import StorageError, StorageFull
from storage.base import BATCH_KEYS, BlobStore, Mend
from storage.keys import message_key, preview_key

pytestmark = pytest.mark.anyio

IMAGE = os.urandom(700_001)
LARGE = os.urandom(1024 * 1024) * 20
"""Above what is put in one request."""
ALL_AGES = -3600


def new_key() -> str:
    return message_key(1, 2, 3, os.urandom(16))


async def put(store: BlobStore, data: bytes, key: str | None = None) -> str:
    key = key or new_key()
    with store.reserve(len(data)) as room:
        writer = await store.create(room)
        try:
            await writer.commit(key, data)
        finally:
            await writer.abort()
    return key


async def whole(store: BlobStore, key: str) -> bytes | None:
    blob = await store.open(key)
    if blob is None:
        return None
    with closing(blob):
        return await blob.read(0, blob.size)


def left_on_this_machine(root: Path) -> list[Path]:
    return [path for name in (".tmp", ".uploads") for path in (root / name).rglob("*")]


@pytest.mark.parametrize("data", [b"x", IMAGE, LARGE], ids=["one byte", "image", "large"])
async def test_what_was_committed_reads_back(any_store: BlobStore, root: Path, data: bytes) -> None:
    with any_store.reserve(len(data)) as room:
        writer = await any_store.create(room)
        await writer.write(data[: len(data) // 2])
        key = new_key()
        await writer.commit(key, data[len(data) // 2 :])
        await writer.abort()
    assert await whole(any_store, key) == data
    assert (writer.size, writer.sha256) == (len(data), hashlib.sha256(data).digest())
    assert (await any_store.digest(key), any_store.stored_bytes) == (writer.sha256, len(data))
    assert (left_on_this_machine(root), any_store.receiving) == ([], False)


async def test_any_part_is_read_in_any_order(any_store: BlobStore) -> None:
    blob = await any_store.open(await put(any_store, IMAGE))
    assert blob is not None
    assert blob.size == len(IMAGE)
    steps = [await blob.read(offset, 10_007) for offset in range(0, len(IMAGE), 10_007)]
    assert b"".join(steps) == IMAGE
    for offset in (699_990, 0, 400_000, 262_143, 262_144, 1):
        assert await blob.read(offset, 50) == IMAGE[offset : offset + 50]
    assert (await blob.read(len(IMAGE), 50), await blob.read(10, 0)) == (b"", b"")
    blob.close()
    blob.close()
    with pytest.raises(StorageError):
        await blob.read(0, 1)


async def test_what_is_not_there_is_not_there(any_store: BlobStore) -> None:
    key = new_key()
    assert [await any_store.open(key), await any_store.digest(key), await any_store.sizes([key])] == [None, None, {}]
    assert not await any_store.remove(key)
    assert not await any_store.quarantine(key)
    assert not await any_store.link(key, new_key())
    assert any_store.healthy


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "A" * 64])
async def test_what_is_no_key_is_refused(any_store: BlobStore, text: str) -> None:
    writer = await any_store.create(any_store.reserve(1))
    for refused in (
        writer.commit(text, b"x"),
        any_store.open(text),
        any_store.put(text, b"x"),
        any_store.remove(text),
        any_store.digest(text),
    ):
        with pytest.raises(ValueError, match="not a message key"):
            await refused
    await writer.abort()


async def test_a_taken_key_keeps_its_image(any_store: BlobStore) -> None:
    first, second = await put(any_store, b"first"), await put(any_store, b"second")
    with pytest.raises(StorageError):
        await put(any_store, b"third", first)
    with pytest.raises(StorageError):
        await any_store.put(first, b"third")
    with pytest.raises(StorageError):
        await any_store.link(second, first)
    assert (await whole(any_store, first), any_store.stored_bytes, any_store.healthy) == (b"first", 11, True)


async def test_a_file_is_mended_before_it_is_an_image(any_store: BlobStore) -> None:
    sent = bytes(range(256)) * 1000
    writer = await any_store.create(any_store.reserve(len(sent)))
    await writer.write(sent)
    key = new_key()
    await writer.commit(key, b"rest", [Mend([(2, 3), (20_001, 150_000)], 5, lambda data: b"X" * len(data))])
    await writer.abort()
    expected = bytearray(sent + b"rest")
    expected[2:5] = b"XXX"
    expected[20_001:170_001] = b"XX" + bytes(149_998)
    assert await whole(any_store, key) == bytes(expected)
    assert writer.sha256 == hashlib.sha256(expected).digest()
    assert writer.received_sha256 == hashlib.sha256(sent + b"rest").digest()


async def test_an_abort_leaves_nothing(any_store: BlobStore, root: Path) -> None:
    with any_store.reserve(4) as room:
        writer = await any_store.create(room)
        await writer.write(b"some")
        await writer.abort()
        await writer.abort()
        with pytest.raises(StorageError):
            await writer.commit(new_key())
    assert ([batch async for batch in any_store.sweep_candidates(ALL_AGES)], left_on_this_machine(root)) == ([], [])


async def test_an_abort_takes_back_a_commit_that_was_cancelled(any_store: BlobStore, root: Path) -> None:
    writer = await any_store.create(any_store.reserve(len(IMAGE)))
    key = new_key()
    committing = asyncio.create_task(writer.commit(key, IMAGE))
    await asyncio.sleep(0)  # it has begun
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await writer.abort()
    assert (await whole(any_store, key), any_store.stored_bytes, left_on_this_machine(root)) == (None, 0, [])


async def test_the_bytes_stay_under_a_second_key(any_store: BlobStore) -> None:
    first, second = await put(any_store, b"picture"), new_key()
    assert await any_store.link(first, second)
    assert await any_store.remove(first)
    assert (await whole(any_store, second), any_store.stored_bytes) == (b"picture", 7)


async def test_an_image_goes_with_its_preview(any_store: BlobStore) -> None:
    key, missing = await put(any_store, b"picture"), new_key()
    await any_store.put(preview_key(key), b"small")
    assert await any_store.sizes([key, preview_key(key), missing]) == {key: 7, preview_key(key): 5}
    assert await any_store.remove_many([key, preview_key(key), missing]) == 2
    assert (await any_store.sizes([key, preview_key(key)]), any_store.stored_bytes) == ({}, 0)


async def test_a_corrupt_image_is_set_aside(any_store: BlobStore) -> None:
    key = await put(any_store, b"some")
    assert await any_store.quarantine(key)
    assert (await whole(any_store, key), any_store.stored_bytes) == (None, 0)
    assert [batch async for batch in any_store.sweep_candidates(ALL_AGES)] == []


async def test_a_sweep_finds_what_is_old_and_nothing_else(any_store: BlobStore) -> None:
    shard = new_key()[:4]
    keys = [f"{shard}{number:060x}" for number in range(5)]
    for key in keys:
        await any_store.put(key, b"x")
    other = await put(any_store, b"x")
    await any_store.probe()
    assert sorted(await any_store.old_keys(int(shard[:2], 16), ALL_AGES))[:5] == keys
    found = [key async for batch in any_store.sweep_candidates(ALL_AGES) for key in batch]
    assert (sorted(found), len(found) < BATCH_KEYS) == (sorted([*keys, other]), True)
    assert [batch async for batch in any_store.sweep_candidates(3600)] == []


async def test_an_upload_grows_over_several_requests_and_becomes_an_image(any_store: BlobStore, root: Path) -> None:
    upload_id, key = os.urandom(16).hex(), new_key()
    with any_store.reserve(len(IMAGE)) as room:
        file = await any_store.uploads.open(upload_id, 0, room)
        assert file is not None
        assert await any_store.uploads.open(upload_id, 0, room) is None
        await file.write(IMAGE[:300_000], 0)
        await file.sync()
        await file.told()
        await file.write(IMAGE[300_000:400_000], 300_000)
        await file.sync()  # and its process died before it could tell so
        await file.close()
    with any_store.reserve(len(IMAGE)) as room:
        file = await any_store.uploads.open(upload_id, 300_000, room)
        assert file is not None
        await file.write(IMAGE[300_000:600_000], 300_000)
        await file.commit(key, IMAGE[600_000:], [Mend([(0, 2)], 2, lambda _: b"XY")])
        await file.remove()
        await file.close()
    assert await whole(any_store, key) == b"XY" + IMAGE[2:]
    assert file.sha256 == hashlib.sha256(b"XY" + IMAGE[2:]).digest()
    assert left_on_this_machine(root) == []


async def test_the_ceiling_holds(root: Path, any_store: BlobStore) -> None:
    any_store.set_stored_bytes(0)
    any_store._space._max_bytes = 10  # type: ignore[attr-defined]
    key = await put(any_store, b"12345678")
    with pytest.raises(StorageFull):
        await put(any_store, b"123")
    await any_store.remove(key)
    await put(any_store, b"123")
    assert left_on_this_machine(root) == []


async def test_a_probe_says_that_all_is_well_and_leaves_nothing_that_a_sweep_finds(any_store: BlobStore) -> None:
    assert (await any_store.probe(), any_store.healthy) == (True, True)
    assert [batch async for batch in any_store.sweep_candidates(ALL_AGES)] == []


async def test_many_at_once_are_all_there(any_store: BlobStore) -> None:
    images = [os.urandom(1000 * number) for number in range(1, 41)]
    keys = await asyncio.gather(*[put(any_store, image) for image in images])
    assert await asyncio.gather(*[whole(any_store, key) for key in keys]) == images
