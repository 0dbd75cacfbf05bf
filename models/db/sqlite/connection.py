# SPDX-License-Identifier: Apache-2.0
"""One SQLite connection: how it is opened, and how a statement runs on it. No queue, no thread, no retry here."""

import os
from contextlib import suppress
from pathlib import Path

import apsw

from models import private_files
from models.db.database import (
    Busy,
    Changed,
    DatabaseError,
    DatabaseFull,
    Row,
    Statement,
    UniqueViolation,
    Value,
)

OPENING_MILLISECONDS = 5_000
"""Opening takes a lock for a moment, and may meet another process that recovers the log."""
STATEMENTS_KEPT = 256
"""Prepared: more than there are statements on a request's way."""
UNIQUE = {
    apsw.SQLITE_CONSTRAINT_UNIQUE,
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY,
    apsw.SQLITE_CONSTRAINT_ROWID,
}


def connect(path: Path, *, busy_milliseconds: int = 0, query_only: bool = False) -> apsw.Connection:
    """Open the database, creating an empty one that only its owner may read.

    `busy_milliseconds` is how long a statement blocks its thread while another connection is in its way; opening
    itself may block for five seconds. Raises Busy, DatabaseError.
    Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html
    """
    try:
        _keep_private(path)
        connection = apsw.Connection(str(path), statementcachesize=STATEMENTS_KEPT)
        connection.set_busy_timeout(OPENING_MILLISECONDS)
        if connection.pragma("journal_mode", "wal") != "wal":
            raise DatabaseError("the file system under the database cannot hold a write-ahead log")
        connection.pragma("synchronous", "full")
        connection.pragma("foreign_keys", 1)
        connection.pragma("secure_delete", 1)
        connection.pragma("trusted_schema", 0)
        # Bound values must not send a kept statement back to the planner: that costs more than the statement.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.pragma("query_only", int(query_only))
        connection.set_busy_timeout(busy_milliseconds)
    except apsw.Error as error:
        raise translated(error) from error
    except OSError as error:
        raise DatabaseError(f"the database cannot be opened: {error.strerror}") from error
    return connection


def _keep_private(path: Path) -> None:
    """SQLite gives the files beside the database the mode of the database itself.

    A file that is there is not opened: closing it would drop this process's locks on it
    (https://www.sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        os.close(private_files.create(path))
    path.chmod(private_files.MODE)


def select(cursor: apsw.Cursor, statement: Statement, params: dict[str, Value]) -> list[Row]:
    """Run one statement and take every row, so that no snapshot is held afterwards.

    Raises apsw.Error, and TypeError for parameters that are not the statement's.
    """
    compiled = statement.sql("sqlite")
    if params.keys() != compiled.required:
        raise TypeError(f"the parameters {sorted(params)} were given where {sorted(compiled.required)} belong")
    return cursor.execute(compiled.text, compiled.constants | params).fetchall()


def change(cursor: apsw.Cursor, statement: Statement, params: dict[str, Value]) -> Changed:
    """Run one writing statement. Raises as `select` does."""
    connection = cursor.connection
    connection.set_last_insert_rowid(0)
    select(cursor, statement, params)
    return Changed(connection.changes(), connection.last_insert_rowid())


def translated(error: apsw.Error) -> DatabaseError:
    """What SQLite said, in the words of the interface. SQLite's messages name tables and columns, never values."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, apsw.BusyError):
        return Busy(text)
    if isinstance(error, apsw.FullError):
        return DatabaseFull(text)
    if getattr(error, "extendedresult", None) in UNIQUE:
        return UniqueViolation(text)
    return DatabaseError(text)
