# SPDX-License-Identifier: Apache-2.0
"""A store on a temporary directory, and one line to put an image into it."""

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from storage.base import BlobStore
from storage.disk import DiskStore
from storage.keys import message_key
from storage.places import ImagePlace, open_store

Put = Callable[[bytes], Awaitable[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def store(root: Path) -> Iterator[DiskStore]:
    store = DiskStore(root)
    yield store
    store.close()


@pytest.fixture(params=["disk", "s3"])
def any_store(request: pytest.FixtureRequest, root: Path) -> Iterator[BlobStore]:
    """Runs once on each kind of store whatever asks for it."""
    bucket = request.getfixturevalue("seaweed").settings() if request.param == "s3" else None
    store = open_store(ImagePlace(root, bucket), min_free_bytes=1)
    yield store
    store.close()


@pytest.fixture
def key() -> str:
    return message_key(1, 2, 3, os.urandom(16))


@pytest.fixture
def put(store: DiskStore) -> Put:
    """Store an image; its key."""

    async def put(data: bytes) -> str:
        key = message_key(1, 2, 3, os.urandom(16))
        with store.reserve(len(data)) as room:
            writer = await store.create(room)
            await writer.commit(key, data)
        return key

    return put


@pytest.fixture
def nothing_left(root: Path) -> Iterator[None]:
    """After the test the store holds no file and the process no descriptor more than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert len(os.listdir("/proc/self/fd")) <= before
