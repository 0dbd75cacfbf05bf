# SPDX-License-Identifier: Apache-2.0
"""Brings a SQLite file to the schema that this code needs, one step after the other.

A step is one transaction, with the records of its statements in the table `migrations`: of a run that is killed or
fails, the version that opened the file before opens it again.
"""

from pathlib import Path
from typing import Any

import apsw

from models import fault
from models.db.database import DatabaseError
from models.db.migration_steps import FOLDER, FOREIGN, Progress, Record, Step, progress, steps
from models.db.sqlite.connection import connect, translated

BUSY_SECONDS = 30.0
"""Another process may be migrating."""
RECORDS = "CREATE TABLE IF NOT EXISTS migrations (step INTEGER, statement INTEGER, PRIMARY KEY (step, statement))"
RECORD = "INSERT INTO migrations (step, statement) VALUES (?, ?)"
RECORDED = "SELECT step, statement FROM migrations"


def inspect(path: Path, folder: Path = FOLDER) -> Progress:
    """What `run` would do; changes nothing. Raises SchemaTooNew, Busy, DatabaseError."""
    shipped = steps("sqlite", folder)
    if not path.exists():
        return progress(path, shipped, set())
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        try:
            return progress(path, shipped, _recorded(connection))
        finally:
            connection.close()
    except apsw.Error as error:
        raise translated(error) from error


def run(path: Path, folder: Path = FOLDER, *, busy_seconds: float = BUSY_SECONDS) -> Progress:
    """Create the file if need be and run what it lacks; a second run has nothing to do.

    Blocks, and may run beside a server: each step waits up to `busy_seconds` for another's transaction.
    Raises SchemaTooNew before anything is changed, Busy, DatabaseFull, DatabaseError.
    """
    shipped = steps("sqlite", folder)
    connection = connect(path, busy_milliseconds=int(busy_seconds * 1000))
    try:
        recorded = _recorded(connection)
        progress(path, shipped, recorded)
        connection.execute(RECORDS)
        for step in shipped:
            if not step.records() <= recorded:
                _run_step(connection, step)
        return progress(path, shipped, _recorded(connection))
    except apsw.Error as error:
        raise translated(error) from error
    finally:
        connection.close()


def _run_step(connection: apsw.Connection, step: Step) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again inside the transaction: another process may be migrating too. An earlier version may have left
        # a part of a step, whose statements it committed one by one.
        recorded = _recorded(connection)
        for index, statement in enumerate(step.statements):
            if (step.number, index) not in recorded:
                connection.execute(statement).fetchall()
                connection.execute(RECORD, (step.number, index))
        fault.point("before_commit")
        connection.execute("COMMIT")
        fault.point("after_commit")
    except BaseException:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        raise


def _recorded(connection: apsw.Connection) -> set[Record]:
    """What was done to this database. Raises DatabaseError for another program's, apsw.Error."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "migrations" not in tables:
        if any(not name.startswith("sqlite_") for name in tables):
            raise DatabaseError(FOREIGN)
        return set()
    try:
        rows: list[Any] = connection.execute(RECORDED).fetchall()
    except apsw.SQLError as error:  # its `migrations` have other columns
        raise DatabaseError(FOREIGN) from error
    return {(step, index) for step, index in rows}
