# SPDX-License-Identifier: Apache-2.0
"""The migrations of MySQL: what they build, and that a run may be killed, repeated and shared."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable

from models.db import migration_steps
from models.db.database import DatabaseError
from models.db.engine import bring_up_to_date, inspect, parse_url
from models.db.migration_steps import Progress, SchemaTooNew
from models.db.mysql import migrate as mysql_migrate
from models.db.mysql.connection import MysqlLocation
from models.db.schema import metadata
from tests.support import ROOT
from tests.support.engines import ON_MARIADB, Engine, database_of

pytestmark = [pytest.mark.anyio, ON_MARIADB]

STEPS = migration_steps.steps("mysql")
STATEMENTS = sum(len(step.statements) for step in STEPS)
NAMES = tuple(step.name for step in STEPS)
# One process that has imported everything dies at each boundary of each statement, in a child of its own.
KILLED_EVERYWHERE = """
import asyncio, importlib, os, sys
from models import fault
from models.db.engine import bring_up_to_date, parse_url

def dies(where):
    child = os.fork()
    if child == 0:
        os.environ["GLIMPSE_FAULT"] = where
        importlib.reload(fault)
        asyncio.run(bring_up_to_date(parse_url(sys.argv[1])))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9, where

for _ in range(int(sys.argv[2])):
    for where in ("between_commits", "after_commit"):
        dies(where)
"""


def shape(database: Engine) -> dict[str, list[str]]:
    """Every line of what makes each table, in any order; but for our own records."""
    tables = {name: database.rows(f"SHOW CREATE TABLE `{name}`")[0][1] for (name,) in database.rows("SHOW TABLES")}
    return {name: sorted(line.rstrip(",") for line in text.splitlines()) for name, text in tables.items()}


def location(database: Engine) -> MysqlLocation:
    found = parse_url(database.url)
    assert isinstance(found, MysqlLocation)
    return found


async def test_what_ships_is_what_the_code_describes(engine: Engine, tmp_path: Path) -> None:
    engine.migrate()
    described = database_of(tmp_path / "described")
    dialect = mysql.dialect()
    for table in metadata.sorted_tables:
        described.execute(str(CreateTable(table).compile(dialect=dialect)))
        for index in table.indexes:
            described.execute(str(CreateIndex(index).compile(dialect=dialect)))
    shipped = shape(engine)
    del shipped["migrations"]
    assert shipped == shape(described)


async def test_killed_at_every_boundary_it_goes_on_where_it_was(engine: Engine, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_EVERYWHERE, engine.url, str(STATEMENTS)]
    killed = await asyncio.to_thread(
        subprocess.run, command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert killed.returncode == 0, killed.stderr
    assert await inspect(location(engine)) == Progress(STEPS[-1].number, ())
    whole = database_of(tmp_path / "whole")
    whole.migrate()
    assert shape(engine) == shape(whole)
    assert engine.rows("SELECT count(*) FROM migrations") == [(STATEMENTS,)]


async def test_several_at_once_are_as_one_and_a_second_run_has_nothing_to_do(engine: Engine, tmp_path: Path) -> None:
    assert await inspect(location(engine)) == Progress(0, NAMES)
    done = await asyncio.gather(*(bring_up_to_date(location(engine)) for _ in range(4)))
    assert done == [Progress(STEPS[-1].number, ())] * 4
    whole = database_of(tmp_path / "whole")
    whole.migrate()
    before = shape(engine)
    assert before == shape(whole)
    assert await bring_up_to_date(location(engine)) == done[0]
    assert shape(engine) == before


async def test_a_newer_version_is_refused_and_nothing_is_changed(engine: Engine) -> None:
    engine.migrate()
    engine.execute("INSERT INTO migrations VALUES (9999, 0)")
    before = shape(engine)
    for ask in (inspect, bring_up_to_date):
        with pytest.raises(SchemaTooNew) as refused:
            await ask(location(engine))
        assert engine.url not in str(refused.value)
    assert shape(engine) == before


async def test_a_step_that_fails_is_told_and_goes_on_when_it_is_mended(engine: Engine, tmp_path: Path) -> None:
    step = tmp_path / "0001_a.sql"
    step.write_text("-- [mysql]\nCREATE TABLE a (id INTEGER);\nINSERT INTO b VALUES (1);\n")
    with pytest.raises(DatabaseError):
        await mysql_migrate.run(location(engine), tmp_path)
    assert engine.rows("SELECT statement FROM migrations") == [(0,)]
    engine.execute("CREATE TABLE b (id INTEGER)")
    assert await mysql_migrate.run(location(engine), tmp_path) == Progress(1, ())
    assert engine.rows("SELECT id FROM b") == [(1,)]
