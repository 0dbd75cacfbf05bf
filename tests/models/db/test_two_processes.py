# SPDX-License-Identifier: Apache-2.0
"""A server's database while another connection, or another process, is at the same file."""

import asyncio
import sys
from pathlib import Path

import apsw
import pytest

from models.db.database import Busy
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db.faulty_disk import FaultyDisk
from tests.models.db.notes import BODIES, bodies, put
from tests.support import ROOT

pytestmark = pytest.mark.anyio

WRITER = """
import asyncio, sys
from pathlib import Path
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db.notes import put

async def main():
    db = SqliteDatabase(Path(sys.argv[1]))
    print("ready", flush=True)
    for n in range(int(sys.argv[3])):
        await db.write(put(f"{sys.argv[2]} {n:03}"))
    await db.close()

asyncio.run(main())
"""


async def _writer(path: Path, name: str, count: int, fault: str = "") -> asyncio.subprocess.Process:
    """Another process that writes `count` notes, one commit each."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WRITER, str(path), name, str(count)),
        env={"PYTHONPATH": str(ROOT), "GLIMPSE_FAULT": fault},
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.fixture
def other(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path))


async def test_a_write_waits_for_another_transaction_while_reads_go_on(
    db: SqliteDatabase, path: Path, other: apsw.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO notes (body) VALUES ('theirs')")
    writing = asyncio.ensure_future(db.write(put("ours")))
    for _ in range(20):
        assert await db.read(BODIES) == []
        await asyncio.sleep(0)
    assert not writing.done()
    other.execute("COMMIT")
    await writing
    assert bodies(path) == ["ours", "theirs"]


async def test_a_write_that_cannot_begin_in_time_is_refused(path: Path, other: apsw.Connection) -> None:
    db = SqliteDatabase(path, busy_seconds=0.02)
    other.execute("BEGIN IMMEDIATE")
    results = await asyncio.gather(db.write(put("a")), db.write(put("b")), return_exceptions=True)
    assert [type(result) for result in results] == [Busy, Busy]
    other.execute("COMMIT")
    await db.write(put("c"))
    await db.close()
    assert bodies(path) == ["c"]


async def test_a_cancelled_write_does_not_begin_when_the_other_has_ended(
    db: SqliteDatabase, path: Path, other: apsw.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    dropped, kept = (asyncio.ensure_future(db.write(put(body))) for body in ("dropped", "kept"))
    await asyncio.sleep(0)
    dropped.cancel()
    other.execute("COMMIT")
    await kept
    assert bodies(path) == ["kept"]


async def test_a_read_of_a_busy_file_is_asked_again(db: SqliteDatabase, disk: FaultyDisk) -> None:
    await db.write(put("a"))
    disk.every_read = apsw.BusyError("busy")
    reading = asyncio.ensure_future(db.read(BODIES))
    await asyncio.sleep(0)
    assert not reading.done()
    disk.every_read = None
    assert await reading == [("a",)]


async def test_a_read_of_a_file_that_stays_busy_is_refused(disk: FaultyDisk, path: Path) -> None:
    db = SqliteDatabase(path, busy_seconds=0.02)
    disk.every_read = apsw.BusyError("busy")
    with pytest.raises(Busy):
        await db.read(BODIES)
    disk.every_read = None
    assert await db.read(BODIES) == []
    await db.close()


async def test_two_processes_write_at_once_and_nothing_is_lost(db: SqliteDatabase, path: Path) -> None:
    process = await _writer(path, "theirs", 150)
    assert process.stdout is not None
    await process.stdout.readline()
    await asyncio.gather(*(db.write(put(f"ours {n:03}")) for n in range(50)))
    for n in range(50, 150):
        await db.write(put(f"ours {n:03}"))
    assert await process.wait() == 0
    assert bodies(path) == [f"{name} {n:03}" for name in ("ours", "theirs") for n in range(150)]


@pytest.mark.parametrize(("fault", "kept"), [("before_commit:3", 2), ("after_commit:3", 3)])
async def test_a_process_killed_at_its_commit_leaves_all_or_nothing_of_it(path: Path, fault: str, kept: int) -> None:
    process = await _writer(path, "theirs", 5, fault)
    await process.communicate()
    assert process.returncode == -9
    assert bodies(path) == [f"theirs {n:03}" for n in range(kept)]
