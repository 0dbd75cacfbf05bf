# SPDX-License-Identifier: Apache-2.0
"""Rows in numbers, for tests that need more of them than anybody would make one by one."""

from collections.abc import Sequence

from tests.support.engines import Engine

AT_ONCE = 100
"""So many rows are one statement, which a server takes up to some megabytes of."""


def insert(engine: Engine, table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert these rows, whose values are of these columns, beside whoever runs on the database."""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        marks = ", ".join(["(" + ", ".join("?" * len(some[0])) + ")"] * len(some))
        engine.execute(f"INSERT INTO {table} ({columns}) VALUES {marks}", *(value for row in some for value in row))
