# SPDX-License-Identifier: Apache-2.0
"""The database's own clock is never asked: one that is off by minutes changes nothing."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import models.db.tables
from models.db.database import Statement
from models.db.schema import metadata

CLOCK = re.compile(
    r"\b(now|sysdate|curdate|curtime|(current|local|unix|utc)_?(time|date|timestamp)\w*|localtime\w*|strftime|julianday|"
    r"unixepoch)\b|date ?time|'now'",
    re.IGNORECASE,
)
MIGRATIONS = sorted((Path(models.db.__path__[0]) / "migrations").glob("*.sql"))
MODULES = [found.name for found in iter_modules(models.db.tables.__path__)]


def statements() -> Iterator[tuple[str, Statement]]:
    """Every statement that stands in a module."""
    for name in MODULES:
        for attribute, value in vars(import_module(f"models.db.tables.{name}")).items():
            if isinstance(value, Statement):
                yield f"{name}.{attribute}", value


@pytest.mark.parametrize("dialect", ["sqlite", "mysql"])
def test_no_statement_asks_the_database_for_the_time(dialect: str) -> None:
    texts = {name: statement.sql(dialect).text for name, statement in statements()}
    assert len(texts) > 100
    # A parameter of that name is our own clock's.
    bare = {name: re.sub(r"%\(\w+\)s|:\w+", "", text) for name, text in texts.items()}
    assert [name for name, text in bare.items() if CLOCK.search(text)] == []


@pytest.mark.parametrize("file", MIGRATIONS, ids=lambda file: file.name)
def test_no_migration_asks_the_database_for_the_time(file: Path) -> None:
    without_words = re.sub(r"(?m)--.*$|COMMENT '[^']*'", "", file.read_text("utf-8"))
    assert CLOCK.search(without_words) is None


def test_no_column_has_the_time_as_its_default_or_type() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert {str(column.type).partition("(")[0] for column in columns} <= {
        "BIGINT",
        "INTEGER",
        "VARCHAR",
        "TEXT",
        "BLOB",
    }
    assert [column for column in columns if column.server_onupdate or column.onupdate] == []


@pytest.mark.parametrize("text", ["SELECT NOW()", "x < CURRENT_TIMESTAMP", "unix_timestamp()", "strftime('%s', 'now')"])
def test_what_does_is_known_for_it(text: str) -> None:
    assert CLOCK.search(text)
