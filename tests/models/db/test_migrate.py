# SPDX-License-Identifier: Apache-2.0
"""The migrations that ship: what they build, and that a run may be killed, repeated and shared."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from models.db import migration_steps
from models.db.database import Busy, DatabaseError
from models.db.migration_steps import FOLDER, Progress, SchemaTooNew
from models.db.schema import metadata
from models.db.sqlite import migrate
from tests.support import ROOT

STEPS = migration_steps.steps("sqlite")
LAST = STEPS[-1]
SHIPPED = {
    ("0001_init", "mysql"): "334ba380fc2d9970cd0f2f835e18b831d1d99cf3f6dc5e7d1ceea892485b934f",
    ("0001_init", "sqlite"): "b90ce96e86eed3b7db1ce1ad09c59cd9438990aac5dd6b7e369f2356eccb2493",
    ("0002_leases", "mysql"): "fd065807ccd0c8c2d580c232effdf98f690875d2be3ad9cb8f5ab6a04917582b",
    ("0002_leases", "sqlite"): "00821d692e409de3df576d06dc971369018c7faef27d0b28037a6b526971bf3f",
}
"""SHA-256 of each step's statements that are in a release: databases have run them, and do not run them again."""
ON_SQLITE = "-- [sqlite]\n"
# One process that has imported everything dies at each step, in a child of its own.
KILLED_EVERYWHERE = """
import importlib, os, sys
from pathlib import Path
import apsw
from models import fault
from models.db import migration_steps
from models.db.sqlite import migrate

path, count = Path(sys.argv[1]), int(sys.argv[2])

def records_after_dying(where):
    child = os.fork()
    if child == 0:
        os.environ["GLIMPSE_FAULT"] = where
        importlib.reload(fault)
        migrate.run(path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    connection = apsw.Connection(str(path))
    records = connection.execute("SELECT count(DISTINCT step) FROM migrations").fetchall()[0][0]
    connection.close()
    return records

for n in range(count):
    assert records_after_dying("before_commit") == n
    assert records_after_dying("after_commit") == n + 1
"""


def _shape(connection: apsw.Connection) -> dict[str, object]:
    """Everything that SQLite knows of each table but our own records."""
    names = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    return {
        str(name): {
            "columns": connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
            "foreign keys": sorted(map(str, connection.execute(f"PRAGMA foreign_key_list({name})"))),
            "indexes": sorted(_indexes(connection, str(name))),
            "never reuses ids": "AUTOINCREMENT" in str(sql),
        }
        for name, sql in names
        if name not in {"migrations", "sqlite_sequence"}
    }


def _indexes(connection: apsw.Connection, table: str) -> Iterator[str]:
    for _, name, unique, origin, partial in connection.execute(f"PRAGMA index_list({table})").fetchall():
        yield f"{name} {unique} {origin} {partial} {connection.execute(f'PRAGMA index_xinfo({name})').fetchall()}"


def _described() -> dict[str, object]:
    connection = apsw.Connection(":memory:")
    for table in metadata.sorted_tables:
        connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for index in table.indexes:
            connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
    return _shape(connection)


def _found(path: Path) -> dict[str, object]:
    connection = apsw.Connection(str(path))
    try:
        return _shape(connection)
    finally:
        connection.close()


def test_the_migrations_build_the_schema_that_the_statements_are_compiled_from(tmp_path: Path) -> None:
    migrate.run(tmp_path / "new.db")
    found, described = _found(tmp_path / "new.db"), _described()
    assert found.keys() == described.keys()
    for table, shape in described.items():
        assert found[table] == shape, table


def test_steps_are_numbered_from_one_without_a_gap() -> None:
    numbers = [step.number for step in migration_steps.steps("sqlite")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_inspect_tells_what_run_would_do_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    pending = tuple(step.name for step in migration_steps.steps("sqlite"))
    assert migrate.inspect(path) == Progress(0, pending)
    assert not path.exists()
    assert migrate.run(path) == Progress(LAST.number, ())
    assert migrate.inspect(path) == Progress(LAST.number, ())
    assert migrate.run(path) == Progress(LAST.number, ())
    assert path.stat().st_mode & 0o777 == 0o600


def test_runs_killed_at_every_step_end_at_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    arguments = [sys.executable, "-c", KILLED_EVERYWHERE, str(path), str(len(STEPS))]
    subprocess.run(arguments, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert migrate.run(path) == Progress(LAST.number, ())
    assert _found(path) == _described()


def test_runs_at_the_same_time_share_the_work(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def run(_: int) -> Progress:
        together.wait()
        return migrate.run(tmp_path / "new.db")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(4))) == [Progress(LAST.number, ())] * 4
    assert _found(tmp_path / "new.db") == _described()


def test_a_database_from_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    connection = apsw.Connection(str(path))
    connection.execute(f"{migrate.RECORDS}; INSERT INTO migrations VALUES (9999, 0)")
    with pytest.raises(SchemaTooNew, match="newer"):
        migrate.inspect(path)
    with pytest.raises(SchemaTooNew, match="newer"):
        migrate.run(path)
    assert connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall() == [("migrations",)]
    connection.close()


def test_a_migrated_database_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    migrate.run(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    assert migrate.run(path) == Progress(LAST.number, ())
    other.close()


def test_of_a_step_that_fails_nothing_is_left_and_it_is_run_again(tmp_path: Path) -> None:
    folder, path = tmp_path / "migrations", tmp_path / "new.db"
    folder.mkdir()
    step = folder / "0001_two.sql"
    step.write_text(f"-- why; it is so\n{ON_SQLITE}CREATE TABLE a (\n  x TEXT DEFAULT ';'\n);\nCREATE TABL b (y);\n")
    with pytest.raises(DatabaseError):
        migrate.run(path, folder)
    assert migrate.inspect(path, folder) == Progress(0, ("0001_two",))
    assert _found(path) == {}
    step.write_text(step.read_text().replace("TABL b", "TABLE b"))
    assert migrate.run(path, folder) == Progress(1, ())
    assert list(_found(path)) == ["a", "b"]


def test_the_version_before_opens_what_a_failed_step_has_left(tmp_path: Path) -> None:
    before, after, path = tmp_path / "before", tmp_path / "after", tmp_path / "new.db"
    for folder in (before, after):
        folder.mkdir()
        (folder / "0001_a.sql").write_text(f"{ON_SQLITE}CREATE TABLE a (x);")
    migrate.run(path, before)
    (after / "0002_b.sql").write_text(
        f"{ON_SQLITE}CREATE TABLE b (x);\nINSERT INTO a VALUES (1);\nINSERT INTO c VALUES (1);"
    )
    with pytest.raises(DatabaseError):
        migrate.run(path, after)
    assert migrate.run(path, before) == Progress(1, ())
    assert list(_found(path)) == ["a"]


def test_what_a_version_left_that_committed_each_statement_is_gone_on_with(tmp_path: Path) -> None:
    folder, path = tmp_path / "migrations", tmp_path / "new.db"
    folder.mkdir()
    (folder / "0001_two.sql").write_text(f"{ON_SQLITE}CREATE TABLE a (x);\nCREATE TABLE b (x);")
    connection = apsw.Connection(str(path))
    connection.execute(f"{migrate.RECORDS}; CREATE TABLE a (x); INSERT INTO migrations VALUES (1, 0)")
    connection.close()
    assert migrate.run(path, folder) == Progress(1, ())
    assert list(_found(path)) == ["a", "b"]


def test_a_run_that_meets_another_transaction_for_too_long_is_refused(tmp_path: Path) -> None:
    folder, path = tmp_path / "migrations", tmp_path / "new.db"
    folder.mkdir()
    (folder / "0001_a.sql").write_text(f"{ON_SQLITE}CREATE TABLE a (x);")
    migrate.run(path, folder)
    (folder / "0002_b.sql").write_text(f"{ON_SQLITE}CREATE TABLE b (x);")
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        migrate.run(path, folder, busy_seconds=0.02)
    other.execute("ROLLBACK")
    other.close()
    assert migrate.inspect(path, folder) == Progress(1, ("0002_b",))
    assert migrate.run(path, folder) == Progress(2, ())


@pytest.mark.parametrize(("name", "dialect"), SHIPPED)
def test_a_step_that_has_shipped_stays_as_it_is(name: str, dialect: str) -> None:
    [step] = [step for step in migration_steps.steps(dialect) if step.name == name]
    assert hashlib.sha256("\n".join(step.statements).encode()).hexdigest() == SHIPPED[name, dialect]


def test_each_file_of_the_migrations_is_a_step_of_both_engines() -> None:
    files = sorted(file.name for file in FOLDER.iterdir())
    for dialect in ("sqlite", "mysql"):
        shipped = migration_steps.steps(dialect)
        assert [f"{step.name}.sql" for step in shipped] == files
        assert all(step.statements for step in shipped)


@pytest.mark.parametrize("text", ["CREATE TABLE a (x);", "-- [mysql]\nCREATE TABLE a (x);"])
def test_a_step_that_says_nothing_of_an_engine_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "0001_a.sql").write_text(text)
    with pytest.raises(ValueError, match=r"0001_a\.sql says nothing of sqlite"):
        migration_steps.steps("sqlite", tmp_path)
