# SPDX-License-Identifier: Apache-2.0
"""Every row of every table, read in pages by its key and written as it was: what moves a database to another engine."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import Table, bindparam, insert, select, tuple_

from models.db.database import Reader, Row, Statement, Transaction
from models.db.schema import metadata

PAGE_ROWS = 500
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
    names = {column.name: f"new_{column.name}" for column in table.columns}
    values = {name: bindparam(to, type_=table.columns[name].type) for name, to in names.items()}
    writing = Statement(insert(table).values(values))
    for row in rows:
        await tx.execute(writing, **dict(zip(names.values(), row, strict=True)))
