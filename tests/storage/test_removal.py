# SPDX-License-Identifier: Apache-2.0
"""Removing, sweeping, checking and setting aside stored images."""

import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from storage.base import BATCH_KEYS
from storage.disk import DiskStore
from storage.keys import path_of

pytestmark = pytest.mark.anyio

Put = Callable[[bytes], Awaitable[str]]


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


async def candidates(store: DiskStore, older_than_seconds: float) -> list[str]:
    return [key async for batch in store.sweep_candidates(older_than_seconds) for key in batch]


async def test_a_removed_image_is_gone(store: DiskStore, root: Path, put: Put) -> None:
    key = await put(b"some")
    assert await store.remove(key)
    assert not (root / path_of(key)).exists()
    assert store.stored_bytes == 0
    assert not await store.remove(key)


async def test_many_are_removed_without_a_sync(store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"{shard}{number:060x}" for shard in ("abcd", "abce") for number in range(5)]
    for key in keys:
        with store.reserve(2) as room:
            await (await store.create(room)).commit(key, b"xy")
    kept = keys.pop()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    missing = ["abcf" + "0" * 60, "abcd" + "f" * 60]
    assert await store.remove_many([*reversed(keys), *missing]) == 9
    assert synced == []
    assert os.listdir(root / "ab" / "cd") + os.listdir(root / "ab" / "ce") == [kept]
    assert store.stored_bytes == 2


async def test_the_sweep_finds_what_is_old(store: DiskStore, root: Path, put: Put) -> None:
    old = [await put(b"x") for _ in range(5)]
    await put(b"x")
    for key in old:
        age(root / path_of(key), 100)
    assert sorted(await candidates(store, 50)) == sorted(old)
    assert await candidates(store, 150) == []


async def test_the_sweep_names_nothing_but_images(store: DiskStore, root: Path, put: Put) -> None:
    key = await put(b"x")
    shard = (root / path_of(key)).parent
    (shard / "notes.txt").write_bytes(b"")
    (shard / ("f" * 64)).write_bytes(b"")
    (shard / (key[:4] + "0" * 60)).symlink_to(root)
    (root / "00").symlink_to(shard.parent)
    (shard.parent / "zz.txt").write_bytes(b"")
    assert await candidates(store, -60) == [key]


async def test_the_sweep_comes_in_batches(store: DiskStore, root: Path) -> None:
    shard = root / "ab" / "cd"
    shard.mkdir(parents=True)
    for number in range(BATCH_KEYS + 1):
        (shard / f"abcd{number:060x}").touch()
    assert sorted([len(batch) async for batch in store.sweep_candidates(-60)]) == [1, BATCH_KEYS]


async def test_old_temporary_files_are_removed(store: DiskStore, root: Path) -> None:
    (root / ".tmp" / "old").touch()
    (root / ".tmp" / "young").touch()
    age(root / ".tmp" / "old", 100)
    assert await store.remove_strays(written_before=time.time() - 50) == 1
    assert os.listdir(root / ".tmp") == ["young"]


async def test_sizes_tell_what_is_there(store: DiskStore, put: Put, key: str) -> None:
    there = await put(b"some")
    assert await store.sizes([there, key]) == {there: 4}


async def test_a_digest_is_of_the_stored_bytes(store: DiskStore, put: Put) -> None:
    data = os.urandom(300_000)
    assert await store.digest(await put(data)) == hashlib.sha256(data).digest()


async def test_a_corrupt_image_is_set_aside(store: DiskStore, root: Path, put: Put) -> None:
    key = await put(b"some")
    assert await store.quarantine(key)
    assert (root / "corrupt" / key).read_bytes() == b"some"
    assert await store.open(key) is None
    assert store.stored_bytes == 0
    assert not await store.quarantine(key)


async def test_a_probe_leaves_nothing(store: DiskStore, root: Path) -> None:
    assert await store.probe()
    assert os.listdir(root / ".tmp") == []
