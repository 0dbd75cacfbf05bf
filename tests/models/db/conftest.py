# SPDX-License-Identifier: Apache-2.0
"""A SQLite database with one small table, on a disk that fails when told to."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from models.db.sqlite import group_commit
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db import notes
from tests.models.db.faulty_disk import FaultyDisk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "test.db"
    notes.create(path)
    return path


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.release_sync()
    disk.unregister()


@pytest.fixture
async def db(disk: FaultyDisk, path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteDatabase]:
    """Its batches end when nobody waits, and not because the machine is busy elsewhere."""
    monkeypatch.setattr(group_commit, "BATCH_SECONDS", 60)
    db = SqliteDatabase(path)
    yield db
    disk.release_sync()
    await db.close()
