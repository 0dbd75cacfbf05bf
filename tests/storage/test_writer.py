# SPDX-License-Identifier: Apache-2.0
"""Writing an image: whole, durable and under its key, or nothing at all."""

import asyncio
import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from models.errors import StorageError, StorageFull
from storage.base import DiskWriter, Mend
from storage.disk import DiskStore
from storage.keys import path_of
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio


async def writer_of(store: DiskStore) -> DiskWriter:
    return await store.create(store.reserve(100))


def without_nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filesystem that has no O_TMPFILE."""
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)


def fail_fsync(monkeypatch: pytest.MonkeyPatch, number: int, on: int) -> list[int]:
    """Let the `on`-th fsync fail; the descriptors of all calls."""
    real = os.fsync
    calls: list[int] = []

    def fsync(fd: int) -> None:
        calls.append(fd)
        if len(calls) == on:
            raise OSError(number, "injected")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


@pytest.mark.parametrize("nameless", [True, False])
async def test_a_committed_image_is_all_there(
    root: Path, key: str, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        without_nameless(monkeypatch)
    store = DiskStore(root)
    writer = await writer_of(store)
    await writer.write(b"one")
    await writer.write([b"two", b"three"])
    assert writer.size == 11
    assert writer.sha256 == hashlib.sha256(b"onetwothree").digest()
    assert not (root / path_of(key)).exists()
    await writer.commit(key, b"rest")
    await writer.abort()
    assert (root / path_of(key)).read_bytes() == b"onetwothreerest"
    assert (writer.size, writer.sha256) == (15, hashlib.sha256(b"onetwothreerest").digest())
    assert os.listdir(root / ".tmp") == []
    assert store.stored_bytes == 15
    store.close()


async def test_a_file_is_mended_before_it_is_an_image(root: Path, key: str) -> None:
    store = DiskStore(root)
    writer = await writer_of(store)
    await writer.write(b"0123456789" * 20_000)
    asked: list[bytes] = []

    def change(data: bytes) -> bytes:
        asked.append(data)
        return b"X" * len(data)

    sent = b"0123456789" * 20_000 + b"rest"
    await writer.commit(key, b"rest", [Mend([(2, 3), (20_001, 150_000)], 5, change), Mend([(8, 1)], 1000, change)])
    expected = bytearray(sent)
    expected[2:5], expected[8:9] = b"XXX", b"X"
    expected[20_001:170_001] = b"XX" + bytes(149_998)
    assert asked == [b"23412", b"8"]
    assert (root / path_of(key)).read_bytes() == expected
    assert writer.sha256 == hashlib.sha256(expected).digest()
    assert writer.received_sha256 == hashlib.sha256(sent).digest()
    store.close()


def modes(root: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}


async def test_files_and_directories_are_closed_to_others(tmp_path: Path, key: str) -> None:
    store = DiskStore(tmp_path)
    await (await writer_of(store)).commit(key, b"x")
    found = modes(tmp_path)
    assert found.pop(tmp_path / path_of(key)) == 0o600
    assert set(found.values()) == {0o700}
    store.close()


def test_a_root_that_others_may_enter_is_closed(root: Path) -> None:
    root.mkdir(mode=0o755)
    DiskStore(root).close()
    assert modes(root)[root] == 0o700


async def test_a_temporary_file_is_closed_to_others(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_nameless(monkeypatch)
    store = DiskStore(root)
    writer = await writer_of(store)
    await writer.write(b"x")
    (temporary,) = (root / ".tmp").iterdir()
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    await writer.abort()
    assert not temporary.exists()
    store.close()


async def test_a_taken_key_keeps_its_image(store: DiskStore, root: Path, key: str) -> None:
    await (await writer_of(store)).commit(key, b"first")
    with pytest.raises(StorageError):
        await (await writer_of(store)).commit(key, b"second")
    assert (root / path_of(key)).read_bytes() == b"first"
    assert store.healthy


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("nameless", [True, False])
async def test_an_abort_leaves_nothing(root: Path, key: str, nameless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not nameless:
        without_nameless(monkeypatch)
    store = DiskStore(root)
    writer = await writer_of(store)
    await writer.write(b"some")
    await writer.abort()
    await writer.abort()
    with pytest.raises(StorageError):
        await writer.write(b"more")
    with pytest.raises(StorageError):
        await writer.commit(key)
    assert store.healthy
    store.close()


@pytest.mark.usefixtures("nothing_left")
async def test_an_abort_waits_for_a_write_that_was_cancelled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskStore(root)
    writing, go_on = threading.Event(), threading.Event()
    real = os.writev
    written: list[int] = []

    def slow(fd: int, pieces: list[bytes]) -> int:
        writing.set()
        assert go_on.wait(PATIENCE)
        written.append(real(fd, pieces))
        return written[-1]

    monkeypatch.setattr(os, "writev", slow)
    writer = await writer_of(store)
    task = asyncio.create_task(writer.write(b"some"))
    await asyncio.to_thread(writing.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    aborting = asyncio.create_task(writer.abort())
    done, _ = await asyncio.wait({aborting}, timeout=0.05)
    assert not done
    go_on.set()
    await aborting
    assert written == [4]
    store.close()


@pytest.mark.usefixtures("nothing_left")
async def test_an_abort_takes_back_a_commit_that_was_cancelled(
    root: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(root)
    linked, go_on = threading.Event(), threading.Event()
    real = os.link

    def slow(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        real(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        linked.set()
        assert go_on.wait(PATIENCE)

    monkeypatch.setattr(os, "link", slow)
    writer = await writer_of(store)
    task = asyncio.create_task(writer.commit(key, b"some"))
    await asyncio.to_thread(linked.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await writer.abort()
    assert store.stored_bytes == 0
    store.close()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("on", [1, 2, 3, 4], ids=["file", "root", "outer directory", "inner directory"])
async def test_a_failed_fsync_ends_the_upload_and_is_not_tried_again(
    root: Path, key: str, on: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(root)
    calls = fail_fsync(monkeypatch, errno.EIO, on)
    writer = await writer_of(store)
    with pytest.raises(StorageError):
        await writer.commit(key, b"some")
    with pytest.raises(StorageError):
        await writer.commit(key, b"some")
    assert [store.healthy, len(calls)] == [False, on]
    assert [await store.probe(), store.healthy] == [True, True]
    store.close()


async def test_a_directory_whose_parent_failed_to_sync_is_synced_again(
    store: DiskStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fail_fsync(monkeypatch, errno.EIO, 2)
    with pytest.raises(StorageError):
        await (await writer_of(store)).commit(key, b"some")
    calls.clear()
    monkeypatch.undo()
    calls = fail_fsync(monkeypatch, errno.EIO, 99)
    await (await writer_of(store)).commit(key, b"some")
    assert len(calls) == 4
    calls.clear()
    await (await writer_of(store)).commit(key[:4] + "0" * 60, b"some")
    assert len(calls) == 2


async def test_a_probe_that_fails_leaves_the_store_unhealthy(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_fsync(monkeypatch, errno.EIO, 1)
    assert [await store.probe(), store.healthy] == [False, False]
    assert [await store.probe(), store.healthy] == [True, True]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["writev", "fsync", "mkdir", "link"])
async def test_a_full_disk_leaves_nothing(
    root: Path, key: str, number: int, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(root)

    def full(*_: object, **__: object) -> None:
        raise OSError(number, "injected")

    monkeypatch.setattr(os, call, full)
    with store.reserve(4) as room:
        writer = await store.create(room)
        with pytest.raises(StorageFull):
            await writer.commit(key, b"some")
    monkeypatch.undo()
    assert store.healthy
    assert store.stored_bytes == 0
    store.close()


async def test_short_writes_are_carried_on(
    store: DiskStore, root: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, b"".join(pieces)[:3]))
    writer = await writer_of(store)
    await writer.commit(key, [b"01", b"", b"2", memoryview(b"34567"), b"89"])
    assert (root / path_of(key)).read_bytes() == b"0123456789"
    assert writer.sha256 == hashlib.sha256(b"0123456789").digest()


async def test_more_pieces_than_the_system_takes_at_a_time_are_written(store: DiskStore, root: Path, key: str) -> None:
    pieces: list[bytes | memoryview] = [b"%d" % (number % 10) for number in range(2500)]
    await (await writer_of(store)).commit(key, pieces)
    assert (root / path_of(key)).read_bytes() == b"".join(pieces)


@pytest.mark.parametrize("text", ["", "../../../etc/passwd", "A" * 64])
async def test_what_is_no_key_is_never_written(store: DiskStore, text: str) -> None:
    writer = await writer_of(store)
    with pytest.raises(ValueError, match="not a message key"):
        await writer.commit(text, b"x")


async def test_parallel_uploads_into_one_new_directory_are_all_there(store: DiskStore, root: Path) -> None:
    keys = [f"abcd{number:060x}" for number in range(40)]
    writers = [await writer_of(store) for _ in keys]
    await asyncio.gather(*[writer.commit(key, key.encode()) for writer, key in zip(writers, keys, strict=True)])
    assert all((root / path_of(key)).read_bytes() == key.encode() for key in keys)
