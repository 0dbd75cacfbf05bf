# SPDX-License-Identifier: Apache-2.0
"""A SQLite file as a whole: copied while others write to it, and made ready to live on as a copy. For operators."""

import os
from collections.abc import Callable
from pathlib import Path

import apsw

from models.db.database import SKIPPED_IDS
from models.db.sqlite.connection import connect, translated
from models.private_files import create

BUSY_MILLISECONDS = 30_000
"""An operator can wait for longer than a request."""
STEP_PAGES = 2048
"""8 MB between two reports of how far it is."""
# SQLite counts the ids of a table from its first row on.
_NAME_EMPTY_TABLES = """
    INSERT INTO sqlite_sequence (name, seq) SELECT name, 0 FROM sqlite_schema
    WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%' AND name NOT IN (SELECT name FROM sqlite_sequence)
"""
_SKIP = f"""
    UPDATE sqlite_sequence SET seq = seq + {SKIPPED_IDS}; UPDATE users SET event_seq = event_seq + {SKIPPED_IDS}
"""  # noqa: S608 - a constant


def copy(source: Path, target: Path, on_step: Callable[[int, int], None] = lambda _done, _all: None) -> None:
    """Copy a database as it is at one moment into a new file (mode 0600), whoever writes meanwhile.

    `on_step` is told how many pages are done, and of how many. Blocks. Raises FileExistsError, DatabaseError.
    Source: https://www.sqlite.org/backup.html
    """
    os.close(create(target))
    origin = connect(source, busy_milliseconds=BUSY_MILLISECONDS, query_only=True)
    try:
        # A snapshot of its own: without it every commit of others would begin the copy anew.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        _copy_pages(origin, target, on_step)
    except apsw.Error as error:
        raise translated(error) from error
    finally:
        origin.close()


def _copy_pages(origin: apsw.Connection, target: Path, on_step: Callable[[int, int], None]) -> None:
    copied = apsw.Connection(str(target))
    try:
        with copied.backup("main", origin, "main") as backup:
            while not backup.done:
                backup.step(STEP_PAGES)
                on_step(backup.page_count - backup.remaining, backup.page_count)
    finally:
        copied.close()


def seal(path: Path) -> None:
    """Fold a database's log into it, so that the one file is all there is and opens where nothing can be written.

    Nobody else has it open. Blocks; durable when this returns. Raises DatabaseError, OSError.
    """
    _run(path, "PRAGMA journal_mode = DELETE")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def skip_ids(path: Path) -> None:
    """Leave out the next ten million ids of every table and of everybody's events.

    For a database that went back in time: what it would give out next, clients know as something else.
    Source: https://www.sqlite.org/autoinc.html
    """
    _run(path, f"BEGIN IMMEDIATE; {_NAME_EMPTY_TABLES}; {_SKIP}; COMMIT")


def _run(path: Path, text: str) -> None:
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute(text).fetchall()
        finally:
            connection.close()
    except apsw.Error as error:
        raise translated(error) from error
