# SPDX-License-Identifier: Apache-2.0
"""The tables of a MySQL database taken together: set aside, put back, and made ready to live on as a copy.

For operators, who have the database to themselves.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from models.db.database import SKIPPED_IDS, Row
from models.db.mysql.connection import Connection, MysqlLocation, connect, run_text

ASIDE = "before_"
UNFINISHED = "migrations_unfinished"
"""What `migrations` is called meanwhile, without which no server and no command takes the database for its own."""
SECONDS = 24 * 3600.0
"""Renaming and counting take as long as they take; an operator waits."""
_OTHERS = """
    SELECT SUBSTRING_INDEX(host, ':', 1) FROM information_schema.processlist
    WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY 1
"""
_COUNTERS = """
    SELECT table_name, auto_increment FROM information_schema.tables
    WHERE table_schema = DATABASE() AND auto_increment IS NOT NULL
"""


async def list_tables(location: MysqlLocation) -> list[str]:
    """The tables that there are, without those that were set aside. Raises DatabaseError."""
    async with _connected(location) as connection:
        return await list_names(connection)


async def list_names(connection: Connection) -> list[str]:
    """As `list_tables`, on a connection that there is."""
    return [name for (name,) in await _rows(connection, _all_tables(f"<> '{ASIDE}'", len(ASIDE)))]


async def list_others(location: MysqlLocation) -> list[str]:
    """The addresses of all other connections to this database on this server. Raises DatabaseError."""
    async with _connected(location) as connection:
        return [host or "this machine" for (host,) in await _rows(connection, _OTHERS)]


def aside_name(table: str, moment: int) -> str:
    """What a table is called that was set aside at this moment (milliseconds)."""
    return f"{ASIDE}{moment}_{table}"


async def set_aside(location: MysqlLocation, tables: Iterable[str], moment: int) -> None:
    """Rename these tables, all or none. Raises DatabaseError.

    Source: https://mariadb.com/docs/server/reference/sql-statements/data-definition/atomic-ddl
    """
    await _rename(location, [(name, aside_name(name, moment)) for name in tables])


async def put_back(location: MysqlLocation, moment: int) -> None:
    """Where tables were set aside then: drop those that stand in their place, and give them their names again.

    May be cut off and run again. Raises DatabaseError.
    """
    prefix = aside_name("", moment)
    async with _connected(location) as connection:
        found = [name for (name,) in await _rows(connection, _all_tables(f"= '{prefix}'", len(prefix)))]
    if found:
        await _drop(location, await list_tables(location))
        await _rename(location, [(name, name.removeprefix(prefix)) for name in found])


@asynccontextmanager
async def unfinished(location: MysqlLocation) -> AsyncIterator[None]:
    """For the length of a block, and for good where it does not come to its end, no server starts with this database.

    Raises DatabaseError.
    """
    await _rename(location, [("migrations", UNFINISHED)])
    yield
    await _rename(location, [(UNFINISHED, "migrations")])


async def skip_ids(location: MysqlLocation) -> None:
    """Leave out the next ten million ids of every table and of everybody's events, as `sqlite_copy.skip_ids` does."""
    async with _connected(location) as connection:
        for name, following in await _rows(connection, _COUNTERS):
            await _rows(connection, f"ALTER TABLE `{name}` AUTO_INCREMENT = {following + SKIPPED_IDS}")
        await _rows(connection, f"UPDATE users SET event_seq = event_seq + {SKIPPED_IDS}")  # noqa: S608 - a constant


def _all_tables(condition: str, length: int) -> str:
    """A statement for the names whose first `length` characters meet the condition."""
    return f"""
        SELECT table_name FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND LEFT(table_name, {length}) {condition}
        ORDER BY table_name
    """  # noqa: S608 - constants


async def _drop(location: MysqlLocation, tables: Iterable[str]) -> None:
    async with _connected(location) as connection:
        await _rows(connection, "SET SESSION foreign_key_checks = 0")
        for name in tables:
            await _rows(connection, f"DROP TABLE IF EXISTS `{name}`")


async def _rename(location: MysqlLocation, names: list[tuple[str, str]]) -> None:
    if names:
        changes = ", ".join(f"`{old}` TO `{new}`" for old, new in names)
        async with _connected(location) as connection:
            await _rows(connection, f"RENAME TABLE {changes}")


@asynccontextmanager
async def _connected(location: MysqlLocation) -> AsyncIterator[Connection]:
    connection = await connect(location, statement_seconds=SECONDS)
    try:
        yield connection
    finally:
        connection.close()


async def _rows(connection: Connection, text: str) -> list[Row]:
    rows, _ = await run_text(connection, text, SECONDS)
    return rows
