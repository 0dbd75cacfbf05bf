# SPDX-License-Identifier: Apache-2.0
"""What a caller of `write` is told when the disk is full, fails, or loses a commit, and what is then there."""

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest
from sqlalchemy import text

from models.db.database import CommitUnknown, DatabaseError, DatabaseFull, Statement, Transaction, UniqueViolation, Unit
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db.faulty_disk import FaultyDisk
from tests.models.db.notes import BODIES, INSERT, bodies, put

pytestmark = pytest.mark.anyio

NO_MORE_PAGES = Statement(text("PRAGMA max_page_count = 1"))
NO_CACHE = Statement(text("PRAGMA cache_size = 1"))
MUCH = "much " * 20_000


def counted(unit: Unit[int], runs: list[str], name: str) -> Unit[int]:
    """The unit, writing down each time that it is run."""

    async def run(tx: Transaction) -> int:
        runs.append(name)
        return await unit(tx)

    return run


async def _fill_the_disk(tx: Transaction) -> int:
    await tx.read(NO_MORE_PAGES)
    return (await tx.execute(INSERT, body=MUCH)).last_id


async def _fill_the_disk_and_hold_on(tx: Transaction) -> int:
    try:
        return await _fill_the_disk(tx)
    finally:
        await tx.read(BODIES)


async def _write_through_the_cache(tx: Transaction) -> int:
    await tx.read(NO_CACHE)
    for n in range(10):
        await tx.execute(INSERT, body=MUCH + str(n))
    return 10


@pytest.mark.parametrize("unit", [_fill_the_disk, _fill_the_disk_and_hold_on])
async def test_a_unit_that_fills_the_disk_is_refused_and_its_neighbours_run_again(
    db: SqliteDatabase, path: Path, unit: Unit[int]
) -> None:
    runs: list[str] = []
    results = await asyncio.gather(
        db.write(counted(put("a"), runs, "a")),
        db.write(counted(put("b"), runs, "b")),
        db.write(counted(unit, runs, "guilty")),
        db.write(counted(put("c"), runs, "c")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, int, DatabaseFull, int]
    assert runs == ["a", "b", "guilty", "a", "b", "c"]
    assert bodies(path) == ["a", "b", "c"]
    assert db.writes.batches == 3


async def test_a_unit_cannot_go_on_where_its_transaction_has_ended(db: SqliteDatabase, path: Path) -> None:
    async def end_it(tx: Transaction) -> int:
        try:
            await tx.execute(Statement(text("INSERT OR ROLLBACK INTO notes (body) VALUES ('a')")))
        except UniqueViolation:
            await tx.execute(INSERT, body="outside")
        return 0

    results = await asyncio.gather(db.write(put("a")), db.write(end_it), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [int, UniqueViolation, int]
    assert bodies(path) == ["a", "b"]


async def test_what_a_unit_refused_is_decided_again_when_its_transaction_was_lost(
    db: SqliteDatabase, path: Path
) -> None:
    async def refuse_if_there(tx: Transaction) -> int:
        if ("a",) in await tx.read(BODIES):
            raise LookupError
        return 0

    async def fail_with_a(tx: Transaction) -> int:
        return await _fill_the_disk(tx)

    await db.write(put("z"))
    results = await asyncio.gather(
        db.write(put("a")), db.write(refuse_if_there), db.write(fail_with_a), return_exceptions=True
    )
    assert [type(result) for result in results] == [int, LookupError, DatabaseFull]
    assert bodies(path) == ["a", "z"]


@pytest.mark.parametrize(
    ("error", "told"), [(apsw.IOError("broken"), DatabaseError), (apsw.FullError("full"), DatabaseFull)]
)
async def test_a_write_that_fails_in_the_middle_of_a_batch(
    db: SqliteDatabase, disk: FaultyDisk, path: Path, error: apsw.Error, told: type[DatabaseError]
) -> None:
    async def guilty(tx: Transaction) -> int:
        disk.next_write = error
        return await _write_through_the_cache(tx)

    results = await asyncio.gather(db.write(put("a")), db.write(guilty), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [int, told, int]
    assert disk.next_write is None
    assert bodies(path) == ["a", "b"]


async def test_a_cancelled_neighbour_of_a_lost_transaction_is_not_run_again(db: SqliteDatabase, path: Path) -> None:
    cancelled: list[asyncio.Task[int]] = []

    async def guilty(tx: Transaction) -> int:
        cancelled[0].cancel()
        return await _fill_the_disk(tx)

    cancelled.append(asyncio.ensure_future(db.write(put("a"))))
    results = await asyncio.gather(cancelled[0], db.write(guilty), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, DatabaseFull, int]
    assert bodies(path) == ["b"]


@pytest.mark.parametrize("fault", ["next_sync", "next_write"])
async def test_after_a_failed_commit_nobody_is_told_success_or_refusal(
    db: SqliteDatabase, disk: FaultyDisk, path: Path, fault: str
) -> None:
    async def refuse(_: Transaction) -> int:
        setattr(disk, fault, apsw.IOError("broken"))
        raise LookupError

    results = await asyncio.gather(db.write(put("a")), db.write(refuse), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [CommitUnknown] * 3
    assert bodies(path) == []
    await db.write(put("c"))
    assert bodies(path) == ["c"]
    assert (db.writes.batches, db.writes.units) == (1, 1)


async def test_a_failed_commit_may_come_back_after_a_crash(
    db: SqliteDatabase, disk: FaultyDisk, path: Path, tmp_path: Path
) -> None:
    """Why it is called unknown: the log holds it, though this process no longer sees it."""
    await db.write(put("a"))
    disk.next_sync = apsw.IOError("broken")
    with pytest.raises(CommitUnknown):
        await db.write(put("b"))
    assert await db.read(BODIES) == [("a",)]
    after_the_crash = tmp_path / "crashed.db"
    shutil.copy(path, after_the_crash)
    shutil.copy(f"{path}-wal", f"{after_the_crash}-wal")
    assert bodies(after_the_crash) == ["a", "b"]


async def test_a_commit_that_fails_on_a_full_disk_is_unknown_and_the_next_one_works(
    db: SqliteDatabase, disk: FaultyDisk, path: Path
) -> None:
    disk.next_write = apsw.FullError("full")
    with pytest.raises(CommitUnknown):
        await db.write(put("a"))
    await db.write(put("a"))
    assert bodies(path) == ["a"]


async def test_while_the_file_cannot_be_opened_again_each_unit_is_refused(
    db: SqliteDatabase, disk: FaultyDisk, path: Path
) -> None:
    disk.next_sync = apsw.IOError("broken")
    with pytest.raises(CommitUnknown):
        await db.write(put("a"))
    disk.next_open = apsw.CantOpenError("gone")
    results = await asyncio.gather(db.write(put("b")), db.write(put("c")), return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseError, int]
    assert bodies(path) == ["c"]


async def test_a_cancelled_caller_of_a_failed_commit_leaves_the_writer_alive(
    db: SqliteDatabase, disk: FaultyDisk, path: Path
) -> None:
    disk.hold_sync()
    writing = asyncio.ensure_future(db.write(put("a")))
    await asyncio.to_thread(disk.syncing.wait, 10)
    writing.cancel()
    disk.next_sync = apsw.IOError("broken")
    disk.release_sync()
    await db.write(put("b"))
    assert bodies(path) == ["b"]
    assert writing.cancelled()
