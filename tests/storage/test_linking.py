# SPDX-License-Identifier: Apache-2.0
"""An image under a second key: the bytes stay until both are removed."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from models.errors import StorageError
from storage.disk import DiskStore
from storage.keys import path_of

pytestmark = pytest.mark.anyio

Put = Callable[[bytes], Awaitable[str]]


async def test_the_bytes_stay_under_the_second_key(store: DiskStore, root: Path, put: Put, key: str) -> None:
    first = await put(b"picture")
    assert await store.link(first, key)
    assert store.stored_bytes == 14
    assert await store.remove(first)
    assert (root / path_of(key)).read_bytes() == b"picture"
    assert store.stored_bytes == 7
    assert await store.remove(key)
    assert store.stored_bytes == 0


async def test_the_second_file_is_young_so_that_no_sweep_takes_it_before_its_row_is_there(
    store: DiskStore, root: Path, put: Put, key: str
) -> None:
    first = await put(b"picture")
    os.utime(root / path_of(first), (0, 0))
    assert await store.link(first, key)
    assert [name async for batch in store.sweep_candidates(3600) for name in batch] == []


async def test_what_is_not_there_cannot_be_linked(store: DiskStore, root: Path, key: str) -> None:
    assert not await store.link("ab" * 32, key)
    assert (store.stored_bytes, (root / path_of(key)).exists()) == (0, False)


async def test_a_key_that_is_taken_stays_what_it_is(store: DiskStore, root: Path, put: Put) -> None:
    first, second = await put(b"first"), await put(b"second")
    with pytest.raises(StorageError):
        await store.link(first, second)
    assert ((root / path_of(second)).read_bytes(), store.stored_bytes, store.healthy) == (b"second", 11, True)


async def test_what_was_planted_in_an_images_place_is_not_linked(
    store: DiskStore, root: Path, put: Put, key: str, tmp_path: Path
) -> None:
    first = await put(b"picture")
    (tmp_path / "secret").write_bytes(b"not of this store")
    (root / path_of(first)).unlink()
    (root / path_of(first)).symlink_to(tmp_path / "secret")
    assert not await store.link(first, key)
    assert not (root / path_of(key)).exists()


async def test_a_link_is_durable_before_it_is_told(
    store: DiskStore, root: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, synced = await put(b"picture"), set[int]()
    key = f"{(int(first[0], 16) + 1) % 16:x}{first[1:]}"  # in a folder that is not there yet
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert await store.link(first, key)
    shard = (root / path_of(key)).parent
    assert {folder.stat().st_ino for folder in (root, shard.parent, shard)} <= synced
