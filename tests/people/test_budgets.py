# SPDX-License-Identifier: Apache-2.0
"""The table of budgets: exact under any mix of spenders, and erased when its windows are over."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.db import budgets, migrate, overdue
from models.db.database import Transaction
from models.db.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

KEY = budgets.key_digest("test", 7, "window")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("budgets") / "glimpse.db"
    migrate.run(path)
    return path


@pytest.fixture
async def db(path: Path) -> AsyncIterator[SqliteDatabase]:
    db = SqliteDatabase(path)
    yield db
    await db.close()


async def spend(db: SqliteDatabase, key: bytes, amount: int, limit: int, expires_at: int = 10) -> bool:
    async def unit(tx: Transaction) -> bool:
        return await budgets.spend(tx, key_digest=key, amount=amount, limit=limit, expires_at=expires_at)

    return await db.write(unit)


@settings(max_examples=30, deadline=None)
@given(amounts=st.lists(st.integers(1, 12), max_size=30), limit=st.integers(0, 40))
def test_what_fits_is_spent_and_what_does_not_changes_nothing(path: Path, amounts: list[int], limit: int) -> None:
    key = budgets.key_digest(token_hex())

    async def all_at_once() -> list[bool]:
        db = SqliteDatabase(path)
        done = await asyncio.gather(*(spend(db, key, amount, limit) for amount in amounts))
        await db.close()
        return done

    spent, expected = 0, []
    for amount in amounts:
        expected.append(spent + amount <= limit)
        spent += amount * expected[-1]
    assert asyncio.run(all_at_once()) == expected


async def test_two_processes_spend_one_budget(db: SqliteDatabase, path: Path) -> None:
    other = SqliteDatabase(path)
    done = await asyncio.gather(*(spend(which, KEY, 3, 100) for which in (db, other) * 30))
    await other.close()
    assert done.count(True) == 33


def test_keys_that_differ_in_any_part_differ() -> None:
    keys: list[tuple[str | int, ...]] = [("a", 1), ("a", "1"), ("a1",), ("a", 1, ""), ("a\n1",), (1, "a")]
    assert len({budgets.key_digest(*parts) for parts in keys}) == len(keys)


async def test_windows_that_are_over_are_erased(db: SqliteDatabase) -> None:
    for number in range(5):
        await spend(db, budgets.key_digest("old", number), 1, 1, expires_at=-number)

    async def unit(tx: Transaction) -> int:
        return await overdue.erase(tx, table="budgets", before=-1, limit=100)

    assert await db.write(unit) == 3
    assert await spend(db, budgets.key_digest("old", 4), 1, 1), "its window is forgotten"
    assert not await spend(db, budgets.key_digest("old", 1), 1, 1)
