# SPDX-License-Identifier: Apache-2.0
"""The steps that bring a database to the schema of this program, and how far a database has come with them.

A step is a file `migrations/NNNN_name.sql` with what each engine runs, under the lines `-- [sqlite]` and `-- [mysql]`.
Released steps are never edited: a database that has run one does not run it again.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "migrations"

Record = tuple[int, int]
FOREIGN = "it holds the tables of another program"


class SchemaTooNew(Exception):
    """The database was migrated by a newer version of this program, which alone understands it."""

    def __init__(self, where: object) -> None:
        super().__init__(f"{where} was migrated by a newer version of this program; run that version")


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its number, its file's name without the ending, its statements in order."""

    number: int
    name: str
    statements: tuple[str, ...]

    def records(self) -> set[Record]:
        return {(self.number, index) for index in range(len(self.statements))}


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of the last step that is done (0: none), and the names of those that are not."""

    version: int
    pending: tuple[str, ...]


def steps(dialect: str, folder: Path = FOLDER) -> list[Step]:
    """The steps that ship for "sqlite" or "mysql", in order. A statement ends with a semicolon at a line's end.

    Raises ValueError for a file without a part for this engine.
    """
    return [
        Step(int(file.name[:4]), file.stem, _statements(_part(file, dialect)))
        for file in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]


def _part(file: Path, dialect: str) -> str:
    parts = re.split(r"(?m)^-- \[(\w+)\]$", file.read_text("utf-8"))
    named = dict(zip(parts[1::2], parts[2::2], strict=True))
    if dialect not in named:
        raise ValueError(f"{file.name} says nothing of {dialect}")
    return named[dialect]


def _statements(text: str) -> tuple[str, ...]:
    without_comments = re.sub(r"(?m)^\s*--.*\n?", "", text)
    return tuple(part.strip() for part in re.split(r";[ \t]*(?:\n|$)", without_comments) if part.strip())


def progress(where: object, shipped: list[Step], recorded: set[Record]) -> Progress:
    """What these records say of the steps that ship. Raises SchemaTooNew, which names `where` they stand."""
    if not recorded <= {record for step in shipped for record in step.records()}:
        raise SchemaTooNew(where)
    done = [step.number for step in shipped if step.records() <= recorded]
    return Progress(max(done, default=0), tuple(step.name for step in shipped if step.number not in done))
