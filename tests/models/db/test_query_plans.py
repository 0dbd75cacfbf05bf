# SPDX-License-Identifier: Apache-2.0
"""No statement reads or sorts a whole table but those that say why: each engine is asked how it would run each one.

MariaDB is asked over 200,000 messages that have been fetched, all but a few. SQLite plans by its indexes alone, as
nothing here has it gather statistics.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import apsw
import pytest
from sqlalchemy import BindParameter, LargeBinary, String, bindparam, select
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.compiler import SQLCompiler

from models.db.database import Compiled, Database, InList, Row, Statement, Value, as_list
from models.db.engine import Location, bring_up_to_date, open_database, parse_url
from models.db.mysql.connection import MysqlLocation
from models.db.schema import users
from models.db.sqlite import migrate
from models.db.tables import conversations
from models.ids import MAX_ID
from tests.models.db.many import FILL, NOW
from tests.support import mariadb
from tests.support.mariadb import MariaDB
from tests.support.statements import statements

# Reads of a list that travels as a parameter, of a constant, or of rows that an indexed search has found.
SMALL_SCAN = re.compile(r"SCAN (CONSTANT ROW|\(.*|anon_\d+|.* VIRTUAL TABLE .*)")

PAGE = "of a page, whose ids the index has found"
ONE_PERSON = "of what one person asks to have exported, off the event loop"
ALL_NUMBERS = "counts every stored number for an operator who rotates keys, off the event loop"
CHECKED_WHOLE = "models.db.tables.integrity."
"""What `fsck` and `doctor` ask, whose work it is to look at all there is."""
SCANS = {
    "gauges._DUE": "of a row for each lane, which the index has gathered",
    "image_files._STORED_BYTES": "of the pictures of reports, which are few and all count",
    "reencryption._COUNT_ACTIVATIONS": ALL_NUMBERS,
    "reencryption._COUNT_DUE": ALL_NUMBERS,
    "reencryption._COUNT_PEOPLE": ALL_NUMBERS,
    "reencryption._COUNT_SEALED_OTHERWISE": ALL_NUMBERS,
    "users._FIND_CIPHER": "to the first person with a number, at the start",
}
"""Statements that read all of a table or of an index in SQLite, and why that is right."""
SORTS = {
    "activations._LIST_SENDS": "of one number's codes of some minutes",
    "conversations._SENDERS_IN_GROUP": "of a group's members",
    "history._LIST_PAIR": PAGE,
    "history._LIST_GROUP": PAGE,
    "history._STATES": PAGE,
    "outbox_summary._SUMMARIES": "of a row for each lane and state, which the index has gathered",
    "personal_data.SECTIONS": ONE_PERSON,
    "personal_data.ACTIVATIONS": ONE_PERSON,
}
"""Statements that sort what they have found in SQLite, and why that is little."""

# Runs off the event loop for the number of its searches, and must search all the same.
SEARCHES_THOUGH_BULK = {"models.db.tables.users._LIST_DISCOVERABLE", "models.db.tables.image_files._LIST_KEPT"}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path: Path = tmp_path_factory.mktemp("plans") / "new.db"
    migrate.run(path)
    connection = apsw.Connection(str(path))
    yield connection
    connection.close()


def _searches(name: str, statement: Statement) -> bool:
    return not statement.bulk or name in SEARCHES_THOUGH_BULK


def _plan(connection: apsw.Connection, statement: Statement) -> list[str]:
    compiled = statement.sql("sqlite")
    params = compiled.constants | dict.fromkeys(compiled.required)
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {compiled.text}", params)]


def _full_scans(connection: apsw.Connection, statement: Statement) -> list[str]:
    plan = _plan(connection, statement)
    return [line for line in plan if line.startswith("SCAN") and not SMALL_SCAN.fullmatch(line)]


def _sorts(connection: apsw.Connection, statement: Statement) -> list[str]:
    return [line for line in _plan(connection, statement) if "TEMP B-TREE" in line]


@pytest.mark.parametrize(("look", "allowed"), [(_full_scans, SCANS), (_sorts, SORTS)])
def test_no_statement_reads_or_sorts_a_whole_table_without_a_reason(
    connection: apsw.Connection, look: Callable[[apsw.Connection, Statement], list[str]], allowed: Mapping[str, str]
) -> None:
    found = {
        name.removeprefix("models.db.tables."): lines
        for name, statement in statements()
        if not name.startswith(CHECKED_WHOLE) and (lines := look(connection, statement))
    }
    assert {name: lines for name, lines in found.items() if name not in allowed} == {}
    assert [name for name in allowed if name not in found] == []


def test_no_statement_goes_through_all_that_waits_in_the_outbox(connection: apsw.Connection) -> None:
    """While a vendor is down a million rows may be due."""
    plans = {name: _plan(connection, statement) for name, statement in statements() if not statement.bulk}
    assert [name for name, plan in plans.items() if any("outbox_due (state=?)" in line for line in plan)] == []


ME, PEER, GROUP = 2, 1, 3
UNREAD = (conversations._COUNT_FROM_PEER, conversations._COUNT_IN_GROUP, conversations._SENDERS_IN_GROUP)
MESSAGE = """
    INSERT INTO messages (kind, sender_uid, receiver_uid, group_id, send_time, exist, filetype, size, caption,
                          expires_at, stored)
    VALUES ('text', ?, ?, ?, 1, 0, '', 1, '', 1, 0)
"""
WITHHELD = """
    INSERT INTO deliveries (message_id, receiver_uid, sender_uid, state)
    SELECT message_id, receiver_uid, sender_uid, 'withheld' FROM messages WHERE receiver_uid = ?
"""


def test_what_is_unread_costs_no_more_however_much_of_it_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "unread.db"
    migrate.run(path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA foreign_keys = 0")
        few = _steps_of_unread(connection, 2 * conversations.MAX_LOOKED_AT)
        many = _steps_of_unread(connection, 8 * conversations.MAX_LOOKED_AT)
    for less, more in zip(few, many, strict=True):
        assert more <= 1.1 * less


def _steps_of_unread(connection: apsw.Connection, messages: int) -> list[int]:
    """How many steps of SQLite's machine each statement takes where a person has so many withheld messages of another,
    and has said as much in a group.
    """
    connection.execute("DELETE FROM deliveries; DELETE FROM messages")
    with connection:
        connection.executemany(MESSAGE, [(PEER, ME, None), (ME, None, GROUP)] * messages)
        connection.execute(WITHHELD, (ME,))
    bounds = {"me": ME, "peer": PEER, "of_group": GROUP, "after": 0, "up_to": MAX_ID}
    steps, found = 0, []

    def step() -> bool:
        nonlocal steps
        steps += 1
        return False

    connection.set_progress_handler(step, 1)
    for statement in UNREAD:
        compiled, steps = statement.sql("sqlite"), 0
        connection.execute(compiled.text, compiled.constants | {name: bounds[name] for name in compiled.required})
        found.append(steps)
    connection.set_progress_handler(None)
    return found


def test_a_read_of_a_whole_table_would_be_seen(connection: apsw.Connection) -> None:
    by_name = Statement(select(users.c.uid).where(users.c.nickname == bindparam("nickname")))
    by_uid = Statement(select(users.c.nickname).where(users.c.uid == bindparam("uid")))
    by_uids = Statement(select(users.c.nickname).where(InList(users.c.uid, bindparam("uids"))))
    assert as_list([1]) == "[1]"
    assert _full_scans(connection, by_name) == ["SCAN users"]
    assert _full_scans(connection, by_uid) == _full_scans(connection, by_uids) == []


# Only SQLite has it, and only its operators ask.
OF_SQLITE = {"models.db.tables.integrity._SQLITE_VERSION"}
MANY_ROWS = 200
SAMPLES: dict[str, Value] = {"now": NOW, "before": NOW, "after": 0, "version": 1}
SAMPLES |= dict.fromkeys(("families", "keys"), as_list(["x"]))
SAMPLES |= dict.fromkeys(("limit", "at_most", "enough"), 50)
SAMPLES |= dict.fromkeys(("me", "person", "uid", "this", "receiver_uid", "of_uid"), 77)
FEW = "glimpse_few"
FAST = ("--innodb-buffer-pool-size=512M", "--innodb-log-file-size=512M", "--innodb-doublewrite=0")


class Explained(Statement):
    """How MariaDB would run a statement. https://mariadb.com/docs/server/reference/sql-statements/explain"""

    def _compile(self, dialect: str) -> Compiled:
        compiled = super()._compile(dialect)
        return replace(compiled, text=f"EXPLAIN {compiled.text}")


@pytest.fixture(scope="module")
def filled() -> Iterator[Location]:
    if not mariadb.installed():
        pytest.skip("no mariadbd is installed")
    server = MariaDB(*FAST)
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE glimpse_plans")
        location = parse_url(server.url("glimpse_plans"))
        asyncio.run(bring_up_to_date(location))
        cursor.execute("USE glimpse_plans")
        for statement in FILL:
            cursor.execute(statement)
        mariadb.run(cursor, f"CREATE DATABASE {FEW}")
        cursor.execute("SHOW TABLES")
        for (table,) in cursor.fetchall():
            few = f"{FEW}.`{table}`"
            mariadb.run(cursor, f"CREATE TABLE {few} LIKE `{table}`; INSERT INTO {few} SELECT * FROM `{table}` LIMIT 6")
            mariadb.run(cursor, f"ANALYZE TABLE {few}")
    yield location
    server.close()


@pytest.fixture
async def few(filled: Location) -> AsyncIterator[Database]:
    """The first rows of each table."""
    assert isinstance(filled, MysqlLocation)
    db = open_database(replace(filled, name=FEW))
    yield db
    await db.close()


@pytest.fixture
async def many(filled: Location) -> AsyncIterator[Database]:
    db = open_database(filled)
    yield db
    await db.close()


def _samples(statement: Statement, ids: Sequence[int] = (77, 78, 5000)) -> dict[str, Value]:
    """A value of the right type for each of its parameters: of somebody who has been sent some, where it is a uid."""
    clause = cast(SQLCompiler, statement.clause.compile(dialect=mysql.dialect(paramstyle="pyformat")))
    compiled = statement.sql("mysql")
    return {name: _sample(name, bind, compiled, ids) for bind, name in clause.bind_names.items() if bind.required}


def _sample(name: str, bind: BindParameter[Any], compiled: Compiled, ids: Sequence[int]) -> Value:
    if name in compiled.lists:
        items: dict[type, str] = {bytes: as_list([bytes(32)]), tuple: as_list([(uid, 1) for uid in ids])}
        return SAMPLES.get(name, items.get(compiled.lists[name]) or as_list(ids))
    if isinstance(bind.type, LargeBinary):
        return bytes(32)
    return "x" if isinstance(bind.type, String) else SAMPLES.get(name, 78)


async def _long_reads(db: Database, statement: Statement) -> list[str]:
    """The steps of a plan that read all of a table or of an index, or sort what they find, and many rows of it."""
    plan = await db.read(Explained(statement.clause), **_samples(statement))
    return [f"{row[2]}: {row[3]}, {row[8]} rows" for row in plan if row[1] != "INSERT" and _reads_all(row)]


def _reads_all(step: Row) -> bool:
    _, _, _, access, _, _, _, _, rows, extra = step
    return (access in ("ALL", "index") or "filesort" in str(extra)) and int(rows or 0) > MANY_ROWS


@pytest.mark.anyio
async def test_no_statement_reads_a_whole_table_of_a_large_mariadb(many: Database) -> None:
    for name, statement in statements():
        if _searches(name, statement) and name not in OF_SQLITE:
            assert (name, await _long_reads(many, statement)) == (name, [])


@pytest.mark.anyio
async def test_no_update_of_a_small_mariadb_passes_rows_that_it_is_not_about(few: Database) -> None:
    """It would wait for those whom it has nothing to do with, who may wait for it."""
    for name, statement in statements():
        if _searches(name, statement) and statement.sql("mysql").text.startswith("UPDATE"):
            plan = await few.read(Explained(statement.clause), **_samples(statement, range(1, 6)))
            assert (name, [row for row in plan if row[3] in ("ALL", "index")]) == (name, [])


@pytest.mark.anyio
async def test_every_statement_is_one_that_mariadb_understands(many: Database) -> None:
    for name, statement in statements():
        if statement.bulk and not name.startswith("models.db.tables.integrity."):
            await _long_reads(many, statement)


@pytest.mark.anyio
async def test_a_read_of_a_whole_table_would_be_seen_on_mariadb(many: Database) -> None:
    by_name = Statement(select(users.c.uid).where(users.c.nickname == bindparam("nickname")))
    by_uids = Statement(select(users.c.nickname).where(InList(users.c.uid, bindparam("uids"))))
    assert len(await _long_reads(many, by_name)) == 1
    assert await _long_reads(many, by_uids) == []
