# SPDX-License-Identifier: Apache-2.0
"""Brings a MySQL database to the schema that this code needs, one recorded statement after the other.

The server commits each DDL statement by itself, so its record comes after it: a run that was killed between the two
meets what it has made, and goes on. One process migrates at a time on one server; on a cluster, where such a lock
holds on one node alone, each node's run meets what the others have made.
"""

from pathlib import Path

from models import fault
from models.db.database import Busy, DatabaseError
from models.db.migration_steps import FOLDER, FOREIGN, Progress, Record, Step, progress, steps
from models.db.mysql import table_sets
from models.db.mysql.connection import Connection, MysqlLocation, code_of, connect, is_mariadb, run_text

LOCK_SECONDS = 60
"""Another process may be migrating."""
DDL_SECONDS = 24 * 3600.0
"""A change of a large table takes as long as it takes."""
RECORDS = """CREATE TABLE IF NOT EXISTS migrations (
    step INTEGER NOT NULL, statement INTEGER NOT NULL, PRIMARY KEY (step, statement)
) ENGINE=InnoDB"""
RECORD = "INSERT IGNORE INTO migrations (step, statement) VALUES ({}, {})"
# Two texts that differ in spaces at their end are two; MySQL has another name for that collation.
NO_PAD = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
# A table, a column, a key that is there; a column or key that is gone.
DONE_BEFORE = {1050, 1060, 1061, 1091}
NO_SUCH_COLUMN = 1054
NO_SUCH_TABLE = 1146
UNFINISHED = "a copy into it is not finished; after one that was cut off, begin anew with an empty database"


async def inspect(location: MysqlLocation, folder: Path = FOLDER) -> Progress:
    """As `engine.inspect`."""
    connection = await connect(location)
    try:
        return progress(location, steps("mysql", folder), await _recorded(connection))
    finally:
        connection.close()


async def run(location: MysqlLocation, folder: Path = FOLDER) -> Progress:
    """As `engine.bring_up_to_date`. Waits up to a minute while another process migrates, then raises Busy."""
    shipped = steps("mysql", folder)
    connection = await connect(location, statement_seconds=DDL_SECONDS)
    try:
        if not progress(location, shipped, await _recorded(connection)).pending:
            return progress(location, shipped, await _recorded(connection))
        await _lock(connection)
        recorded = await _recorded(connection)
        progress(location, shipped, recorded)
        await _execute(connection, RECORDS)
        for step in shipped:
            await _run_step(connection, step, recorded)
        return progress(location, shipped, await _recorded(connection))
    finally:
        connection.close()


async def _run_step(connection: Connection, step: Step, recorded: set[Record]) -> None:
    for index, statement in enumerate(step.statements):
        if (step.number, index) not in recorded:
            fault.point("before_commit")
            await _execute_once(connection, statement if is_mariadb(connection) else statement.replace(*NO_PAD))
            fault.point("between_commits")
            await _execute(connection, RECORD.format(step.number, index))
            fault.point("after_commit")


async def _lock(connection: Connection) -> None:
    """Held until the connection ends, however that ends."""
    rows, _ = await run_text(
        connection, f"SELECT GET_LOCK(CONCAT('glimpse_migrations_', MD5(DATABASE())), {LOCK_SECONDS})", DDL_SECONDS
    )
    if rows[0][0] != 1:
        raise Busy("another process is migrating the database")


async def _execute_once(connection: Connection, statement: str) -> None:
    try:
        await _execute(connection, statement)
    except DatabaseError as error:
        if code_of(error) not in DONE_BEFORE:
            raise


async def _execute(connection: Connection, statement: str) -> None:
    await run_text(connection, statement, DDL_SECONDS)


async def _recorded(connection: Connection) -> set[Record]:
    """What was done to this database. Raises DatabaseError, also for another program's, and for half a copy."""
    found = await _read_records(connection)
    if found is None and (tables := await table_sets.list_names(connection)):
        found = await _read_records(connection)  # another process may have begun between the two
        if found is None:
            raise DatabaseError(UNFINISHED if table_sets.UNFINISHED in tables else FOREIGN)
    return found or set()


async def _read_records(connection: Connection) -> set[Record] | None:
    """None where there is no such table. Raises DatabaseError, also for another program's table of this name."""
    try:
        rows, _ = await run_text(connection, "SELECT step, statement FROM migrations", DDL_SECONDS)
    except DatabaseError as error:
        if code_of(error) == NO_SUCH_TABLE:
            return None
        if code_of(error) == NO_SUCH_COLUMN:
            raise DatabaseError(FOREIGN) from None
        raise
    return {(step, statement) for step, statement in rows}
