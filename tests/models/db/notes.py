# SPDX-License-Identifier: Apache-2.0
"""A small table of the tests' own, and units that write to it."""

from pathlib import Path

import apsw
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models.db.database import Statement, Transaction, Unit

CREATE = """
CREATE TABLE notes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL UNIQUE,
    answers INTEGER REFERENCES notes (id)
)
"""
notes = Table(
    "notes",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("body", Text, nullable=False),
    Column("answers", Integer, ForeignKey("notes.id")),
)
INSERT = Statement(insert(notes).values(body=bindparam("body")))
ANSWER = Statement(insert(notes).values(body=bindparam("body"), answers=bindparam("answers")))
INSERT_IF_NEW = Statement(sqlite_insert(notes).values(body=bindparam("body")).on_conflict_do_nothing())
RENAME_ALL = Statement(update(notes).values(body=notes.c.body + bindparam("suffix")))
BODIES = Statement(select(notes.c.body).order_by(notes.c.body))


def create(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(CREATE)
    connection.close()


def bodies(path: Path) -> list[str]:
    """What another connection finds, in order."""
    connection = apsw.Connection(str(path))
    rows = connection.execute("SELECT body FROM notes ORDER BY body").fetchall()
    connection.close()
    return [str(row[0]) for row in rows]


def put(body: str) -> Unit[int]:
    """A unit that writes one note and returns its id."""

    async def unit(tx: Transaction) -> int:
        return (await tx.execute(INSERT, body=body)).last_id

    return unit
