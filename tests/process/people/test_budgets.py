# SPDX-License-Identifier: Apache-2.0
"""The table of budgets: exact under any mix of spenders, and erased when its windows are over."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import compress
from secrets import token_hex
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.db.database import Database, Transaction
from models.db.tables import budgets, expired_rows
from tests.support.engines import Engine
from tests.support.examples import examples

pytestmark = pytest.mark.anyio

T = TypeVar("T")
KEY = budgets.key_digest("test", 7, "window")


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    db = await engine.open()
    yield db
    await db.close()


async def spend(db: Database, key: bytes, amount: int, limit: int, expires_at: int = 10) -> bool:
    async def unit(tx: Transaction) -> bool:
        return await budgets.spend(tx, key_digest=key, amount=amount, limit=limit, expires_at=expires_at)

    return await db.write(unit)


@contextmanager
def opened(engine: Engine) -> Iterator[tuple[Database, Callable[[Coroutine[Any, Any, T]], T]]]:
    """The database, and what runs something on it to its end: for properties, which no event loop runs."""
    with asyncio.Runner() as runner:
        db = runner.run(engine.open())
        try:
            yield db, runner.run
        finally:
            runner.run(db.close())


def spent(engine: Engine, key: bytes) -> int:
    return sum(amount for (amount,) in engine.rows("SELECT spent FROM budgets WHERE key_digest = ?", key))


def test_what_fits_is_spent_and_what_does_not_changes_nothing(engine: Engine) -> None:
    with opened(engine) as (db, run):

        @examples(engine, 30)
        @given(amounts=st.lists(st.integers(1, 12), max_size=30), limit=st.integers(0, 40))
        def check(amounts: list[int], limit: int) -> None:
            key, total = budgets.key_digest(token_hex()), 0
            for amount in amounts:
                fits = total + amount <= limit
                assert run(spend(db, key, amount, limit)) == fits
                total += amount * fits
            assert spent(engine, key) == total

        check()


def test_of_what_is_spent_at_once_as_much_fits_as_there_is(engine: Engine) -> None:
    with opened(engine) as (db, run):

        @examples(engine, 30)
        @given(amounts=st.lists(st.integers(1, 12), max_size=30), limit=st.integers(0, 40))
        def check(amounts: list[int], limit: int) -> None:
            key = budgets.key_digest(token_hex())

            async def all_at_once() -> list[bool]:
                return await asyncio.gather(*(spend(db, key, amount, limit) for amount in amounts))

            done = run(all_at_once())
            total = sum(compress(amounts, done))
            assert spent(engine, key) == total <= limit
            refused = [amount for amount, fits in zip(amounts, done, strict=True) if not fits]
            assert all(total + amount > limit for amount in refused)

        check()


async def test_two_processes_spend_one_budget(db: Database, engine: Engine) -> None:
    other = await engine.open()
    done = await asyncio.gather(*(spend(which, KEY, 3, 100) for which in (db, other) * 30))
    await other.close()
    assert done.count(True) == 33


def test_keys_that_differ_in_any_part_differ() -> None:
    keys: list[tuple[str | int, ...]] = [("a", 1), ("a", "1"), ("a1",), ("a", 1, ""), ("a\n1",), (1, "a")]
    assert len({budgets.key_digest(*parts) for parts in keys}) == len(keys)


async def test_windows_that_are_over_are_erased(db: Database) -> None:
    for number in range(5):
        await spend(db, budgets.key_digest("old", number), 1, 1, expires_at=-number)

    async def unit(tx: Transaction) -> int:
        return await expired_rows.erase(tx, table="budgets", before=-1, limit=100)

    assert await db.write(unit) == 3
    assert await spend(db, budgets.key_digest("old", 4), 1, 1), "its window is forgotten"
    assert not await spend(db, budgets.key_digest("old", 1), 1, 1)
