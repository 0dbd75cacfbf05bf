# SPDX-License-Identifier: Apache-2.0
"""Reading a stored image, and what is planted in its place."""

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import StorageError
from storage import cached
from storage.disk import DiskStore
from storage.keys import path_of
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio

Put = Callable[[bytes], Awaitable[str]]

IMAGE = os.urandom(300_000)
NO_SUCH_CALL = 9999
"""As on a kernel without it: ENOSYS."""


def count_thread_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    real = os.pread
    offsets: list[int] = []

    def pread(fd: int, n: int, offset: int) -> bytes:
        offsets.append(offset)
        return real(fd, n, offset)

    monkeypatch.setattr(os, "pread", pread)
    return offsets


async def test_an_image_reads_back(store: DiskStore, put: Put) -> None:
    blob = await store.open(await put(IMAGE))
    assert blob is not None
    assert blob.size == len(IMAGE)
    parts = [await blob.read(offset, 100_001) for offset in range(0, len(IMAGE), 100_001)]
    assert b"".join(parts) == IMAGE
    assert await blob.read(299_990, 50) == IMAGE[-10:]
    assert await blob.read(300_000, 50) == b""
    assert await blob.read(10, 0) == b""
    blob.close()
    blob.close()
    with pytest.raises(StorageError):
        await blob.read(0, 1)


async def test_cached_bytes_take_no_thread(store: DiskStore, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await store.open(await put(IMAGE))
    assert blob is not None
    offsets = count_thread_reads(monkeypatch)
    assert await blob.read(0, len(IMAGE)) == IMAGE
    assert offsets == []
    blob.close()


@pytest.mark.parametrize("answer", [errno.EAGAIN, errno.EOPNOTSUPP, 0, 7], ids=["cold", "unsupported", "none", "some"])
async def test_bytes_that_are_not_cached_come_from_a_thread(
    store: DiskStore, put: Put, answer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await store.open(await put(IMAGE))
    assert blob is not None

    def preadv(*_: object) -> int:
        if answer > 7:
            raise OSError(answer, "injected")
        return answer

    monkeypatch.setattr(os, "preadv", preadv)
    offsets = count_thread_reads(monkeypatch)
    assert await blob.read(1000, 5000) == IMAGE[1000:6000]
    assert offsets == [1000]
    blob.close()


def drop_from_memory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


async def test_what_the_kernel_remembers_is_opened_without_a_thread(
    store: DiskStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await put(IMAGE)
    monkeypatch.setattr(store._threads, "start", None)
    blob = await store.open(key)
    assert blob is not None
    assert blob.size == len(IMAGE)
    assert await blob.cache(0, len(IMAGE))
    assert os.pread(blob.file, 1000, 5000) == IMAGE[5000:6000]
    assert not await blob.cache(len(IMAGE), 10)
    blob.close()
    assert not await blob.cache(0, 10)


@pytest.mark.parametrize("offset", [0, 4095, 150_000])
async def test_what_is_not_in_memory_is_read_by_a_thread_before_it_is_copied(
    store: DiskStore, root: Path, put: Put, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await put(IMAGE)
    blob = await store.open(key)
    assert blob is not None
    drop_from_memory(root / path_of(key))
    offsets = count_thread_reads(monkeypatch)
    assert await blob.cache(offset, 140_000)
    assert offsets == [offset, offset + 131_072]
    assert await blob.cache(offset, 140_000)
    assert len(offsets) == 2
    os.truncate(root / path_of(key), 1000)
    drop_from_memory(root / path_of(key))
    with pytest.raises(StorageError):
        await blob.cache(offset, 140_000)
    blob.close()


async def test_a_kernel_that_cannot_tell_what_is_in_memory_says_nothing_of_it(
    store: DiskStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = await store.open(await put(IMAGE))
    assert blob is not None
    monkeypatch.setattr(cached, "CACHESTAT", NO_SUCH_CALL)
    assert not await blob.cache(0, 10)
    assert await blob.read(0, 10) == IMAGE[:10]
    blob.close()


async def test_the_first_bytes_are_in_memory_when_a_thread_has_opened_an_image(
    store: DiskStore, root: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await put(IMAGE)
    drop_from_memory(root / path_of(key))
    monkeypatch.setattr(cached, "OPENAT2", NO_SUCH_CALL)
    blob = await store.open(key)
    assert blob is not None
    offsets = count_thread_reads(monkeypatch)
    assert await blob.read(0, 65_536) == IMAGE[:65_536]
    assert offsets == []
    blob.close()


async def test_an_open_image_outlives_its_removal(store: DiskStore, put: Put) -> None:
    key = await put(IMAGE)
    blob = await store.open(key)
    assert blob is not None
    assert await store.remove(key)
    assert await blob.read(0, len(IMAGE)) == IMAGE
    blob.close()
    assert await store.open(key) is None


async def test_a_file_that_has_shrunk_is_an_error(store: DiskStore, root: Path, put: Put) -> None:
    key = await put(IMAGE)
    blob = await store.open(key)
    assert blob is not None
    os.truncate(root / path_of(key), 1000)
    assert await blob.read(0, 1000) == IMAGE[:1000]
    with pytest.raises(StorageError):
        await blob.read(0, 1001)
    blob.close()


async def test_an_unreadable_sector_is_an_error(store: DiskStore, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = await store.open(await put(IMAGE))
    assert blob is not None

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(StorageError):
        await blob.read(0, 10)
    assert not store.healthy
    blob.close()


def hold_pread(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let a read in a thread wait; the events of its beginning and of its leave to go on."""
    real = os.pread
    reading, go_on = threading.Event(), threading.Event()

    def slow(fd: int, n: int, offset: int) -> bytes:
        reading.set()
        assert go_on.wait(PATIENCE)
        return real(fd, n, offset)

    monkeypatch.setattr(os, "pread", slow)
    return reading, go_on


def descriptors_of(path: Path) -> int:
    """How many of this process's descriptors are open on this file."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.realpath(link) == str(path) for link in links)


async def go_on_until_closed(go_on: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the held read end, and wait until the loop has closed its descriptor."""
    real = os.close
    closed = asyncio.Event()

    def close(fd: int) -> None:
        real(fd)
        closed.set()

    monkeypatch.setattr(os, "close", close)
    go_on.set()
    await asyncio.wait_for(closed.wait(), PATIENCE)


async def cancel(task: "asyncio.Task[Any]", begun: threading.Event) -> None:
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_waits_for_a_read_that_was_cancelled(
    store: DiskStore, root: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await put(IMAGE)
    blob = await store.open(key)
    assert blob is not None
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    begun, go_on = hold_pread(monkeypatch)
    await cancel(asyncio.create_task(blob.read(0, 10)), begun)
    blob.close()
    assert descriptors_of(root / path_of(key)) == 1
    await go_on_until_closed(go_on, monkeypatch)
    assert descriptors_of(root / path_of(key)) == 0


async def test_a_cancelled_opening_leaves_no_descriptor(
    store: DiskStore, root: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await put(IMAGE)
    monkeypatch.setattr(cached, "OPENAT2", NO_SUCH_CALL)
    begun, go_on = hold_pread(monkeypatch)
    await cancel(asyncio.create_task(store.open(key)), begun)
    assert descriptors_of(root / path_of(key)) == 1
    await go_on_until_closed(go_on, monkeypatch)
    assert descriptors_of(root / path_of(key)) == 0


async def test_what_is_not_there_is_none(store: DiskStore, key: str, put: Put) -> None:
    assert await store.open(key) is None
    assert await store.digest(key) is None
    there = await put(IMAGE)
    assert await store.open(there[:4] + "0" * 60) is None


PLANTS: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda path, target: _in_shard(path).symlink_to(target),
    "link to nothing": lambda path, target: _in_shard(path).symlink_to(target / "nowhere"),
    "fifo": lambda path, _: os.mkfifo(_in_shard(path)),
    "directory": lambda path, _: _in_shard(path).mkdir(),
    "outer link": lambda path, target: path.parents[1].symlink_to(target.parents[1]),
    "outer file": lambda path, _: path.parents[1].touch(),
}


def _in_shard(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("planted", PLANTS)
async def test_what_is_planted_is_not_followed(
    root: Path, tmp_path: Path, key: str, planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = DiskStore(root)
    target = tmp_path / "elsewhere" / path_of(key)
    _in_shard(target).write_bytes(b"secret")
    PLANTS[planted](root / path_of(key), target)
    assert await store.open(key) is None
    assert "no image file" in caplog.text
    assert await store.sizes([key]) == {}
    assert await store.digest(key) is None
    assert store.healthy
    if planted in {"outer link", "outer file"}:
        assert not await store.remove(key)
    assert target.read_bytes() == b"secret"
    store.close()


@pytest.mark.parametrize("text", ["", "..", "../../x", "A" * 64, "a" * 64 + "/"])
async def test_what_is_no_key_is_never_opened(store: DiskStore, text: str) -> None:
    for call in (store.open, store.remove, store.digest, store.quarantine):
        with pytest.raises(ValueError, match="not a message key"):
            await call(text)
    with pytest.raises(ValueError, match="not a message key"):
        await store.sizes([text])
