# SPDX-License-Identifier: Apache-2.0
"""Files of uploads that go on: cut to what counts, one writer at a time, and never the image that was made of them."""

import errno
import os
from pathlib import Path

import pytest

from models.errors import StorageError
from storage.disk import DiskStore
from storage.keys import path_of

pytestmark = pytest.mark.anyio

UPLOAD = "ab" * 16


async def test_what_counts_stays_and_what_is_behind_it_goes(store: DiskStore, root: Path) -> None:
    with store.reserve(20) as room:
        file = await store.uploads.open(UPLOAD, 0, room)
        assert file
        await file.write(b"0123456789", 0)
        await file.sync()
        await file.close()
        again = await store.uploads.open(UPLOAD, 4, room)
        assert again
        await again.write(b"xy", 4)
        assert await again.read(0) == b"0123xy"
        await again.close()
    assert (root / ".uploads" / UPLOAD).read_bytes() == b"0123xy"
    assert store.stored_bytes == 6


async def test_one_at_a_time_has_a_file(store: DiskStore) -> None:
    with store.reserve(0) as room:
        first = await store.uploads.open(UPLOAD, 0, room)
        assert first
        assert await store.uploads.open(UPLOAD, 0, room) is None
        await first.close()
        second = await store.uploads.open(UPLOAD, 0, room)
        assert second
        await second.close()


async def test_a_file_with_fewer_bytes_than_were_told_is_gone(store: DiskStore, root: Path) -> None:
    with store.reserve(0) as room, pytest.raises(FileNotFoundError):
        await store.uploads.open(UPLOAD, 1, room)
    assert not (root / ".uploads" / UPLOAD).exists()


async def test_an_image_made_of_an_upload_is_never_written_again(store: DiskStore, root: Path, key: str) -> None:
    """Its process has died between the link and the end of the upload."""
    with store.reserve(20) as room:
        file = await store.uploads.open(UPLOAD, 0, room)
        assert file
        await file.write(b"0123456789", 0)
        await file.commit(key)
        assert store.stored_bytes == 20
        await file.close()
        again = await store.uploads.open(UPLOAD, 4, room)
        assert again
        await again.write(b"xy", 4)
        await again.close()
    assert (root / path_of(key)).read_bytes() == b"0123456789"
    assert (root / ".uploads" / UPLOAD).read_bytes() == b"0123xy"


async def test_an_upload_that_has_become_an_image_leaves_it_alone(store: DiskStore, root: Path, key: str) -> None:
    with store.reserve(20) as room:
        file = await store.uploads.open(UPLOAD, 0, room)
        assert file
        await file.write(b"0123456789", 0)
        await file.commit(key)
        await file.remove()
        await file.close()
    assert store.stored_bytes == 10
    assert (root / path_of(key)).read_bytes() == b"0123456789"
    assert os.listdir(root / ".uploads") == []


async def test_what_a_sync_has_failed_for_is_never_told(
    store: DiskStore, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says so once: whoever asks again is told that all is well."""

    def failing(fd: int) -> None:  # noqa: ARG001 - as os.fsync
        monkeypatch.undo()
        raise OSError(errno.EIO, "injected")

    with store.reserve(20) as room:
        file = await store.uploads.open(UPLOAD, 0, room)
        assert file
        await file.write(b"0123", 0)
        monkeypatch.setattr(os, "fsync", failing)
        for step in (file.sync, file.sync, lambda: file.write(b"4", 4), lambda: file.commit(key)):
            with pytest.raises(StorageError):
                await step()
        await file.close()
        again = await store.uploads.open(UPLOAD, 0, room)
        assert again
        await again.write(b"0123", 0)
        await again.sync()
        await again.commit(key)
        await again.close()
