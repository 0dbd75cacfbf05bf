# SPDX-License-Identifier: Apache-2.0
"""How statements run on SQLite's connections: their parameters, their place, and what the connections allow."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from models.db.database import DatabaseError, Statement, Transaction
from models.db.sqlite.engine import SqliteDatabase
from tests.models.db.notes import BODIES, INSERT

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("params", [{}, {"body": "a", "extra": 1}, {"bode": "a"}])
async def test_parameters_must_be_the_statements_own(db: SqliteDatabase, params: dict[str, str | int]) -> None:
    async def unit(tx: Transaction) -> None:
        await tx.execute(INSERT, **params)

    with pytest.raises(TypeError, match="body"):
        await db.write(unit)
    with pytest.raises(TypeError):
        await db.read(BODIES, extra=1)


async def test_a_bulk_read_leaves_the_loop_free(db: SqliteDatabase) -> None:
    counting = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT max(n) FROM c"
    reading = asyncio.ensure_future(db.read(Statement(text(counting), bulk=True)))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert await reading == [(300000,)]
    assert turns > 10


async def test_a_bulk_statement_is_refused_inside_a_unit(db: SqliteDatabase) -> None:
    async def unit(tx: Transaction) -> None:
        await tx.read(Statement(text("SELECT 1"), bulk=True))

    with pytest.raises(TypeError, match="bulk"):
        await db.write(unit)


async def test_reads_cannot_write(db: SqliteDatabase) -> None:
    with pytest.raises(DatabaseError):
        await db.read(INSERT, body="a")


async def test_connections_are_durable_strict_and_private(db: SqliteDatabase, path: Path) -> None:
    async def unit(tx: Transaction) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema", "busy_timeout")
        return [(await tx.read(Statement(text(f"PRAGMA {name}"))))[0][0] for name in names]

    assert await db.write(unit) == ["wal", 2, 1, 1, 0, 0]
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["test.db", "test.db-shm", "test.db-wal"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
