# SPDX-License-Identifier: Apache-2.0
"""How the transactions of accounts end: again after a race, and otherwise as the database says."""

import pytest

from models.db.database import Busy, CommitUnknown, DatabaseError, DatabaseFull, Transaction, UniqueViolation
from models.db.tables import users
from models.errors import Unavailable
from services.accounts.account_issuing import RACES, write
from tests.services.accounts.world import World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("error", [Busy, CommitUnknown, DatabaseFull])
async def test_what_the_database_cannot_do_is_told_as_it_is(world: World, error: type[DatabaseError]) -> None:
    runs = []

    async def unit(tx: Transaction) -> None:
        await users.mark_seen(tx, uid=1, now=1)
        runs.append(error)
        raise error

    with pytest.raises(error):
        await write(world.db, unit)
    assert len(runs) == 1


async def test_a_lost_race_is_run_again(world: World) -> None:
    runs: list[int] = []

    async def unit(tx: Transaction) -> str:
        await users.mark_seen(tx, uid=1, now=1)
        runs.append(len(runs))
        if len(runs) < RACES:
            raise UniqueViolation
        return "done"

    assert await write(world.db, unit) == "done"
    assert len(runs) == RACES


async def test_who_loses_every_race_is_told_to_come_back(world: World) -> None:
    async def unit(tx: Transaction) -> None:
        await users.mark_seen(tx, uid=1, now=1)
        raise UniqueViolation

    with pytest.raises(Unavailable) as refused:
        await write(world.db, unit)
    assert type(refused.value) is Unavailable
