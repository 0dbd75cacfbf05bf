# SPDX-License-Identifier: Apache-2.0
"""Every row of every table, read in pages by its key and written as it was: what moves a database to another engine."""

from collections.abc import AsyncIterator, Sequence
from functools import cache

from sqlalchemy import Table, bindparam, insert, select, tuple_

from models.db.database import Reader, Row, Statement, Transaction
from models.db.schema import metadata

PAGE_ROWS = 500
ROWS_AT_ONCE = 50
"""In one statement: a database server is asked seldom enough, and a statement of the longest rows stays small."""
OF_RUNNING_SERVERS = {"servers", "leases"}
"""What living processes say of themselves."""
TABLES = [table for table in metadata.sorted_tables if table.name not in OF_RUNNING_SERVERS]
"""In an order in which each row finds what it refers to."""


async def pages(reader: Reader, table: Table) -> AsyncIterator[list[Row]]:
    """All rows in the order of their key, their columns in the order of the schema."""
    keys = list(table.primary_key.columns)
    first = select(*table.columns).order_by(*keys).limit(PAGE_ROWS)
    after = tuple_(*keys) > tuple_(*(bindparam(f"after_{key.name}", type_=key.type) for key in keys))
    next_page = Statement(first.where(after))
    places = [list(table.columns).index(key) for key in keys]
    found = await reader.read(Statement(first))
    while found:
        yield found
        last = {f"after_{key.name}": found[-1][place] for key, place in zip(keys, places, strict=True)}
        found = await reader.read(next_page, **last)


async def is_empty(reader: Reader) -> bool:
    """Whether no table has a row."""
    looks = [Statement(select(*table.primary_key.columns).limit(1)) for table in TABLES]
    return not any([await reader.read(look) for look in looks])


async def insert_all(tx: Transaction, table: Table, rows: Sequence[Row]) -> None:
    """Write these rows of `pages`."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        values = {
            f"{name}_{n}": value for n, row in enumerate(some) for name, value in zip(_names(table), row, strict=True)
        }
        await tx.execute(_inserting(table, len(some)), **values)


@cache
def _inserting(table: Table, count: int) -> Statement:
    rows = [
        {name: bindparam(f"{name}_{n}", type_=table.columns[name].type) for name in _names(table)} for n in range(count)
    ]
    return Statement(insert(table).values(rows))


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]
