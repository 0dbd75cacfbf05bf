# SPDX-License-Identifier: Apache-2.0
"""What a caller of `write` may rely on while all is well with the disk."""

import asyncio
import contextvars
import threading
import time
from pathlib import Path

import apsw
import pytest

from models.db.database import Busy, Changed, DatabaseError, Transaction, UniqueViolation, Unit, UnitYielded
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db.faulty_disk import FaultyDisk
from tests.models.db.notes import ANSWER, BODIES, INSERT, INSERT_IF_NEW, RENAME_ALL, bodies, put
from tests.support import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


async def _begin_and_hold(db: SqliteDatabase, disk: FaultyDisk, body: str) -> asyncio.Task[int]:
    """A write whose COMMIT is on its way to the disk and does not arrive."""
    disk.hold_sync()
    writing = asyncio.ensure_future(db.write(put(body)))
    await asyncio.to_thread(disk.syncing.wait, PATIENCE)
    return writing


async def test_write_returns_the_units_value_and_has_committed(db: SqliteDatabase, path: Path) -> None:
    assert await db.write(put("a")) == 1
    assert bodies(path) == ["a"]


async def test_execute_tells_rows_changed_and_the_new_id(db: SqliteDatabase) -> None:
    async def unit(tx: Transaction) -> list[Changed]:
        return [
            await tx.execute(INSERT, body="a"),
            await tx.execute(INSERT, body="b"),
            await tx.execute(RENAME_ALL, suffix="!"),
            await tx.execute(INSERT_IF_NEW, body="a!"),
        ]

    assert await db.write(unit) == [Changed(1, 1), Changed(1, 2), Changed(2, 0), Changed(0, 0)]


async def test_a_unit_reads_its_own_writes_and_others_do_not_before_the_commit(
    db: SqliteDatabase, disk: FaultyDisk
) -> None:
    async def unit(tx: Transaction) -> object:
        await tx.execute(INSERT, body="a")
        return await tx.read(BODIES)

    disk.hold_sync()
    writing = asyncio.ensure_future(db.write(unit))
    await asyncio.to_thread(disk.syncing.wait, PATIENCE)
    assert await db.read(BODIES) == []
    disk.release_sync()
    assert await writing == [("a",)]
    assert await db.read(BODIES) == [("a",)]


async def test_units_that_arrive_during_a_commit_share_the_next_one(db: SqliteDatabase, disk: FaultyDisk) -> None:
    first = await _begin_and_hold(db, disk, "first")
    others = [asyncio.ensure_future(db.write(put(str(n)))) for n in range(9)]
    await asyncio.sleep(0)
    disk.release_sync()
    await asyncio.gather(first, *others)
    assert (db.writes.batches, db.writes.units) == (2, 10)
    assert db.writes.commit_seconds > 0


async def test_a_batch_ends_at_64_units(db: SqliteDatabase, disk: FaultyDisk) -> None:
    first = await _begin_and_hold(db, disk, "first")
    others = [asyncio.ensure_future(db.write(_nothing)) for _ in range(130)]
    await asyncio.sleep(0)
    disk.release_sync()
    await asyncio.gather(first, *others)
    assert db.writes.batches == 1 + 3


async def test_a_batch_ends_after_10_ms(path: Path) -> None:
    async def slow(_: Transaction) -> None:
        time.sleep(0.011)  # noqa: ASYNC251 - a unit that holds up the loop

    db = SqliteDatabase(path)
    await asyncio.gather(*(db.write(slow) for _ in range(3)))
    assert db.writes.batches == 3
    await db.close()


async def _nothing(_: Transaction) -> None:
    return


async def test_neither_success_nor_refusal_is_told_before_the_commit(db: SqliteDatabase, disk: FaultyDisk) -> None:
    async def refuse(tx: Transaction) -> None:
        await tx.execute(INSERT, body="refused")
        raise LookupError

    disk.hold_sync()
    both = [asyncio.ensure_future(db.write(put("a"))), asyncio.ensure_future(db.write(refuse))]
    await asyncio.to_thread(disk.syncing.wait, PATIENCE)
    assert not any(writing.done() for writing in both)
    disk.release_sync()
    assert await both[0] == 1
    with pytest.raises(LookupError):
        await both[1]


async def test_what_one_unit_raises_undoes_that_unit_alone(db: SqliteDatabase, path: Path) -> None:
    async def refuse(tx: Transaction) -> None:
        await tx.execute(INSERT, body="refused")
        raise LookupError

    results = await asyncio.gather(db.write(put("a")), db.write(refuse), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [int, LookupError, int]
    assert db.writes.batches == 1
    assert bodies(path) == ["a", "b"]


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
async def test_no_exception_of_a_unit_ends_the_writer(
    db: SqliteDatabase, path: Path, error: type[BaseException]
) -> None:
    async def refuse(tx: Transaction) -> None:
        await tx.execute(INSERT, body="refused")
        raise error

    with pytest.raises(error):
        await db.write(refuse)
    await db.write(put("a"))
    assert bodies(path) == ["a"]


async def test_a_unique_violation_can_be_caught_and_the_unit_goes_on(db: SqliteDatabase, path: Path) -> None:
    async def unit(tx: Transaction) -> int:
        await tx.execute(INSERT, body="a")
        with pytest.raises(UniqueViolation):
            await tx.execute(INSERT, body="a")
        return (await tx.execute(INSERT, body="b")).last_id

    assert await db.write(unit) == 2
    with pytest.raises(UniqueViolation):
        await db.write(put("a"))
    assert bodies(path) == ["a", "b"]


async def test_another_broken_rule_of_the_schema_undoes_that_unit_alone(db: SqliteDatabase, path: Path) -> None:
    async def orphan(tx: Transaction) -> None:
        await tx.execute(INSERT, body="undone")
        await tx.execute(ANSWER, body="answer", answers=99)

    results = await asyncio.gather(db.write(put("a")), db.write(orphan), return_exceptions=True)
    assert [type(result) for result in results] == [int, DatabaseError]
    assert db.writes.batches == 1
    assert bodies(path) == ["a"]


async def _sleep(tx: Transaction) -> None:
    await tx.execute(INSERT, body="undone")
    await asyncio.sleep(0)


async def _wait_for_a_future(tx: Transaction) -> None:
    await tx.execute(INSERT, body="undone")
    await asyncio.get_running_loop().create_future()


async def _wait_with_a_timeout(tx: Transaction) -> None:
    async with asyncio.timeout(1):
        await tx.execute(INSERT, body="undone")
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("unit", [_sleep, _wait_for_a_future, _wait_with_a_timeout])
async def test_a_unit_that_yields_is_undone_and_its_neighbours_are_not(
    db: SqliteDatabase, path: Path, unit: Unit[None]
) -> None:
    results = await asyncio.gather(db.write(put("a")), db.write(unit), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [int, UnitYielded, int]
    assert bodies(path) == ["a", "b"]


async def test_a_unit_does_not_see_the_context_of_another_caller(db: SqliteDatabase) -> None:
    request_id = contextvars.ContextVar("request_id", default="none")
    request_id.set("mine")

    async def unit(_: Transaction) -> str:
        return request_id.get()

    assert await db.write(unit) == "none"


async def test_cancelling_before_the_unit_began_drops_it(db: SqliteDatabase, disk: FaultyDisk, path: Path) -> None:
    first = await _begin_and_hold(db, disk, "first")
    dropped = asyncio.ensure_future(db.write(put("dropped")))
    kept = asyncio.ensure_future(db.write(put("kept")))
    await asyncio.sleep(0)
    dropped.cancel()
    disk.release_sync()
    await asyncio.gather(first, kept)
    with pytest.raises(asyncio.CancelledError):
        await dropped
    assert bodies(path) == ["first", "kept"]


async def test_cancelling_during_the_commit_does_not_undo_it(db: SqliteDatabase, disk: FaultyDisk, path: Path) -> None:
    writing = await _begin_and_hold(db, disk, "a")
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    disk.release_sync()
    await db.write(put("b"))
    assert bodies(path) == ["a", "b"]


async def test_cancelling_after_the_commit_changes_nothing(db: SqliteDatabase, path: Path) -> None:
    writing = asyncio.ensure_future(db.write(put("a")))
    await writing
    assert not writing.cancel()
    assert bodies(path) == ["a"]


async def test_cancelling_every_task_of_the_loop_does_not_end_the_writer(
    db: SqliteDatabase, disk: FaultyDisk, path: Path
) -> None:
    first = await _begin_and_hold(db, disk, "first")
    second = asyncio.ensure_future(db.write(put("second")))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task(), first, second}:
        if "GroupCommit" in repr(task.get_coro()):
            task.cancel()
    await asyncio.sleep(0)
    disk.release_sync()
    await asyncio.gather(first, second)
    assert bodies(path) == ["first", "second"]


async def test_close_folds_the_log_into_the_database_beside_another_connection(path: Path) -> None:
    db = SqliteDatabase(path)
    await db.write(put("a"))
    other = apsw.Connection(str(path))
    other.execute("SELECT body FROM notes").fetchall()
    log = path.with_name("test.db-wal")
    assert log.stat().st_size > 0
    await db.close()
    assert log.stat().st_size == 0
    other.close()


async def test_close_finishes_what_waits_and_refuses_what_comes(disk: FaultyDisk, path: Path) -> None:
    db = SqliteDatabase(path)
    first = await _begin_and_hold(db, disk, "first")
    second = asyncio.ensure_future(db.write(put("second")))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(db.close())
    await asyncio.to_thread(disk.release_sync)
    await asyncio.gather(first, second, closing)
    await db.close()
    with pytest.raises(Busy):
        await db.write(put("late"))
    with pytest.raises(Busy):
        await db.read(BODIES)
    assert bodies(path) == ["first", "second"]
    assert [file.name for file in path.parent.iterdir()] == ["test.db"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite")]
