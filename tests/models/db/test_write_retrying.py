# SPDX-License-Identifier: Apache-2.0
"""How a retried write ends: again after a race, and otherwise as the database says."""

from collections.abc import AsyncIterator

import pytest

from models.db.database import (
    WRITE_TRIES,
    Busy,
    CommitUnknown,
    Database,
    DatabaseError,
    DatabaseFull,
    Transaction,
    UniqueViolation,
    write_retrying,
)
from models.db.tables import users
from models.errors import Unavailable
from tests.support.engines import Engine

pytestmark = pytest.mark.anyio


@pytest.fixture
async def db(engine: Engine) -> AsyncIterator[Database]:
    database = await engine.open()
    yield database
    await database.close()


@pytest.mark.parametrize("error", [Busy, CommitUnknown, DatabaseFull])
async def test_what_the_database_cannot_do_is_told_as_it_is(db: Database, error: type[DatabaseError]) -> None:
    runs = []

    async def unit(tx: Transaction) -> None:
        await users.mark_seen(tx, uid=1, now=1)
        runs.append(error)
        raise error

    with pytest.raises(error):
        await write_retrying(db, unit)
    assert len(runs) == 1


async def test_a_lost_race_is_run_again(db: Database) -> None:
    runs: list[int] = []

    async def unit(tx: Transaction) -> str:
        await users.mark_seen(tx, uid=1, now=1)
        runs.append(len(runs))
        if len(runs) < WRITE_TRIES:
            raise UniqueViolation
        return "done"

    assert await write_retrying(db, unit) == "done"
    assert len(runs) == WRITE_TRIES


async def test_who_loses_every_race_is_told_to_come_back(db: Database) -> None:
    async def unit(tx: Transaction) -> None:
        await users.mark_seen(tx, uid=1, now=1)
        raise UniqueViolation

    with pytest.raises(Unavailable) as refused:
        await write_retrying(db, unit)
    assert type(refused.value) is Unavailable
