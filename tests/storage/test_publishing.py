# SPDX-License-Identifier: Apache-2.0
"""Images that become durable together, and what one's failure is to the others."""

import asyncio
import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.errors import StorageError, StorageFull
from storage.base import DiskWriter
from storage.disk import DiskStore
from storage.keys import path_of
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio

KEYS = [f"abcd{number:060x}" for number in range(10)]


class Held:
    """Keeps the first sync waiting until `go_on`, so that what is committed meanwhile is one turn's. `calls` are the
    inodes that were synced after that.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.fail: dict[int, int] = {}
        """By the number of a call, the error that it raises."""
        real = os.fsync

        def fsync(fd: int) -> None:
            if not self.begun.is_set():
                self.begun.set()
                assert self.go_on.wait(PATIENCE)
                return real(fd)
            self.calls.append(os.fstat(fd).st_ino)
            if len(self.calls) in self.fail:
                raise OSError(self.fail[len(self.calls)], "injected")
            return real(fd)

        monkeypatch.setattr(os, "fsync", fsync)


async def writer_of(store: DiskStore) -> DiskWriter:
    return await store.create(store.reserve(100))


async def committed(store: DiskStore, held: Held, keys: Sequence[str] = tuple(KEYS)) -> list[BaseException | None]:
    """What came of each, all of them in one turn behind a first."""
    async with asyncio.TaskGroup() as group:
        group.create_task((await writer_of(store)).commit(keys[0], b"first"))
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        writers = [await writer_of(store) for _ in keys[1:]]
        commits = [writer.commit(key, key.encode()) for writer, key in zip(writers, keys[1:], strict=True)]
        together = asyncio.gather(*commits, return_exceptions=True)
        await asyncio.sleep(0)
        held.go_on.set()
        return await together


def is_there(root: Path, key: str) -> bool:
    return (root / path_of(key)).exists()


async def test_what_waits_is_published_in_one_turn_whose_directory_is_synced_once(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    assert await committed(store, held) == [None] * 9
    shard = (root / path_of(KEYS[0])).parent.stat().st_ino
    assert held.calls.count(shard) == 2  # for the first alone, and for all the others
    files = [(root / path_of(key)).stat().st_ino for key in KEYS[1:]]
    assert held.calls[-10:] == [*files, shard]
    assert [(root / path_of(key)).read_bytes() for key in KEYS[1:]] == [key.encode() for key in KEYS[1:]]


async def test_new_directories_are_made_before_one_sync_of_each_parent(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    keys = [f"{number % 3:02x}{number:02x}{number:060x}" for number in range(10)]
    assert await committed(store, held, keys) == [None] * 9
    parents = [root, *((root / path_of(key)).parents[1] for key in keys[:3])]
    shards = [(root / path_of(key)).parent for key in keys]
    of_turn = held.calls[held.calls.index((root / path_of(keys[1])).stat().st_ino) :]
    assert [of_turn.count(each.stat().st_ino) for each in (*parents, *shards[1:])] == [1] * 13


async def test_when_a_parent_cannot_be_synced_only_those_under_it_fail_and_it_is_not_tried_again(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    keys = ["00" * 32, *(f"00{number:02x}{number:060x}" for number in (1, 2)), *(f"01{n:02x}{n:060x}" for n in (1, 2))]
    held.fail = {3 + 4 + 1: errno.EIO}  # three directories of the first, four files: then 00, for its new directories
    found = await committed(store, held, keys)
    assert [type(error) for error in found] == [StorageError] * 2 + [type(None)] * 2
    assert [is_there(root, key) for key in keys] == [True, False, False, True, True]
    monkeypatch.undo()
    await (await writer_of(store)).commit(keys[1], b"again")
    assert is_there(root, keys[1])


async def test_one_whose_file_cannot_be_synced_is_nothing_to_the_others(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    held.fail = {3 + 4: errno.EIO}  # behind three directories of the first: the fourth file
    found = await committed(store, held)
    assert [type(error) for error in found] == [type(None)] * 3 + [StorageError] + [type(None)] * 5
    assert [is_there(root, key) for key in KEYS] == [True] * 4 + [False] + [True] * 5
    assert not store.healthy
    assert store.stored_bytes == 5 + 8 * 64


async def test_when_their_directory_cannot_be_synced_none_of_them_is_there(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    held.fail = {3 + 9 + 1: errno.ENOSPC}
    assert [type(error) for error in await committed(store, held)] == [StorageFull] * 9
    assert [is_there(root, key) for key in KEYS] == [True] + [False] * 9
    assert store.stored_bytes == 5


async def test_one_whose_key_is_taken_or_that_was_given_up_is_nothing_to_the_others(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    async with asyncio.TaskGroup() as group:
        group.create_task((await writer_of(store)).commit(KEYS[0], b"first"))
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        taken, given_up, kept = [await writer_of(store) for _ in range(3)]
        commits = [
            asyncio.ensure_future(writer.commit(key, b"second"))
            for writer, key in zip((taken, given_up, kept), (KEYS[0], KEYS[1], KEYS[2]), strict=True)
        ]
        await asyncio.sleep(0)
        commits[1].cancel()
        await given_up.abort()
        held.go_on.set()
        found = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(error) for error in found] == [StorageError, asyncio.CancelledError, type(None)]
    assert (root / path_of(KEYS[0])).read_bytes() == b"first"
    assert [is_there(root, key) for key in KEYS[1:3]] == [False, True]
    assert store.healthy
