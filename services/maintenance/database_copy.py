# SPDX-License-Identifier: Apache-2.0
"""Moves everything that a database holds to another one: the way from a SQLite file to a database server."""

from collections.abc import Callable
from functools import partial

from models.db.database import Database
from models.db.tables import whole_tables
from services.maintenance.manifest import Unusable

NOT_EMPTY = "the target has rows already: give it an empty database"


async def check_empty(target: Database) -> None:
    """Raises Unusable where the target has rows, DatabaseError."""
    if not await whole_tables.is_empty(target):
        raise Unusable(NOT_EMPTY)


async def copy_database(source: Database, target: Database, say: Callable[[str], None]) -> dict[str, int]:
    """Copy every row into the empty target; how many, by table. Nobody may be writing to either. `say` is told the
    table under way.

    Raises DatabaseError. One that broke off is begun anew with an empty target.
    """
    copied = {}
    for table in whole_tables.TABLES:
        say(table.name)
        copied[table.name] = 0
        async for rows in whole_tables.pages(source, table):
            await target.write(partial(whole_tables.insert_all, table=table, rows=rows))
            copied[table.name] += len(rows)
    return copied
