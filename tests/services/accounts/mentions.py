# SPDX-License-Identifier: Apache-2.0
"""Where the database can name a person: found in the schema, so that what is added to it is not forgotten."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from sqlalchemy import Column, LargeBinary, Table, insert, select

from models.db.database import Database, Statement, Transaction
from models.db.schema import devices, metadata, outbox, users
from tests.support.engines import Engine

LEAVER, OTHER = 1, 2
WORDS = {"role": "member", "join_policy": "open"}
"""Of the columns that are read as one of a few words."""
DEVICE_OF_LEAVER = Statement(select(devices.c.device_id).where(devices.c.uid == LEAVER))
numbers = count(1000)


def mentions() -> list[Column[Any]]:
    """Every column that names a person, by its foreign key or its name, but for their own row's key."""
    found = [column for table in metadata.sorted_tables for column in table.columns if names_person(column)]
    return [column for column in found if column is not users.c.uid]


def names_person(column: Column[Any]) -> bool:
    return "uid" in column.name or any(key.column is users.c.uid for key in column.foreign_keys)


def rows_of(table: Table, parents: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per column that names people, with the one who leaves there and somebody else in all others."""
    people = [column for column in table.columns if names_person(column)]
    for leaver in people or [table.columns[0]]:
        row = {column.name: _value(column, parents) for column in table.columns}
        row |= {column.name: LEAVER if column is leaver else OTHER for column in people}
        yield row


def _value(column: Column[Any], parents: dict[str, Any]) -> Any:
    for key in column.foreign_keys:
        if key.column.table.name in parents:
            return parents[key.column.table.name]
    if column.name in WORDS:
        return WORDS[column.name]
    if isinstance(column.type, LargeBinary) or "digest" in column.name:
        return next(numbers).to_bytes(32, "big")
    return f"{next(numbers)}" if column.type.python_type is str else next(numbers)


async def fill(db: Database) -> int:
    """A row of every kind that can mention somebody, in every table that there is; how many."""

    async def unit(tx: Transaction) -> int:
        parents: dict[str, Any] = {}
        total = 0
        for table in metadata.sorted_tables:
            if table is users:
                continue
            for row in rows_of(table, parents):
                # The pushes of a device that is the leaver's; any other row may hang on any parent.
                if table is outbox:
                    [(row["device_id"],)] = await tx.read(DEVICE_OF_LEAVER)
                await tx.execute(Statement(insert(table).values(row)))
                total += 1
                [key, *_] = table.primary_key
                parents[table.name] = row[key.name]
        return total

    return await db.write(unit)


def left_of(engine: Engine, uid: int) -> list[str]:
    """Where this person is still named."""
    return [
        str(column)
        for column in (*mentions(), users.c.uid)
        if engine.rows(f"SELECT 1 FROM `{column.table.name}` WHERE {column.name} = ?", uid)
    ]
