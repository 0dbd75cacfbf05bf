# SPDX-License-Identifier: Apache-2.0
"""No statement on a request's way reads a whole table: SQLite is asked how it would run each one."""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

import apsw
import pytest
from sqlalchemy import bindparam, select

import models.db
from models.db import migrate
from models.db.database import InList, Statement, as_list
from models.db.schema import users

# Reads of a list that travels as a parameter, of a constant, or of rows that an indexed search has found.
SMALL_SCAN = re.compile(r"SCAN (CONSTANT ROW|\(.*|anon_\d+|.* VIRTUAL TABLE .*)")

# Runs off the event loop for the number of its searches, and must search all the same.
SEARCHES_THOUGH_BULK = {"models.db.users._LIST_DISCOVERABLE"}


def _statements() -> Iterator[tuple[str, Statement]]:
    """Every statement that a module of models.db keeps, by its name there."""
    for module in pkgutil.iter_modules(models.db.__path__, "models.db."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for statement in _inside(value):
                yield f"{module.name}.{name}", statement


def _inside(value: object) -> Iterable[Statement]:
    if isinstance(value, Statement):
        return [value]
    if isinstance(value, Mapping):
        return [item for item in value.values() if isinstance(item, Statement)]
    if isinstance(value, list | tuple):
        return [statement for item in value for statement in _inside(item)]
    if is_dataclass(value) and not isinstance(value, type):
        return [item for field in fields(value) for item in _inside(getattr(value, field.name))]
    return []


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path: Path = tmp_path_factory.mktemp("plans") / "new.db"
    migrate.run(path)
    connection = apsw.Connection(str(path))
    yield connection
    connection.close()


def _searches(name: str, statement: Statement) -> bool:
    return not statement.bulk or name in SEARCHES_THOUGH_BULK


def _full_scans(connection: apsw.Connection, statement: Statement) -> list[str]:
    compiled = statement.sql("sqlite")
    params = compiled.constants | dict.fromkeys(compiled.required)
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {compiled.text}", params)]
    return [line for line in plan if line.startswith("SCAN") and not SMALL_SCAN.fullmatch(line)]


def test_no_statement_reads_a_whole_table(connection: apsw.Connection) -> None:
    scans = {
        name: _full_scans(connection, statement) for name, statement in _statements() if _searches(name, statement)
    }
    assert {name: lines for name, lines in scans.items() if lines} == {}


def test_every_statement_is_one_that_sqlite_understands(connection: apsw.Connection) -> None:
    for _, statement in _statements():
        _full_scans(connection, statement)


def test_a_read_of_a_whole_table_would_be_seen(connection: apsw.Connection) -> None:
    by_name = Statement(select(users.c.uid).where(users.c.nickname == bindparam("nickname")))
    by_uid = Statement(select(users.c.nickname).where(users.c.uid == bindparam("uid")))
    by_uids = Statement(select(users.c.nickname).where(InList(users.c.uid, bindparam("uids"))))
    assert as_list([1]) == "[1]"
    assert _full_scans(connection, by_name) == ["SCAN users"]
    assert _full_scans(connection, by_uid) == _full_scans(connection, by_uids) == []
