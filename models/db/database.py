# SPDX-License-Identifier: Apache-2.0
"""What services may ask of a database, whichever engine answers.

SQLAlchemy Core describes the schema and compiles each statement once per dialect; the engine's own driver runs
the string. Not here: any driver, any SQL of a table, any decision.
"""

import json
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from sqlalchemy import ColumnElement
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Update, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement, Tuple
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.types import Boolean, LargeBinary

from models.errors import StorageFull, Unavailable

Value = int | str | bytes | float | None
Row = tuple[Any, ...]
T = TypeVar("T")

BATCH_ROWS = 200
"""How many rows one unit of upkeep changes: what requests write waits behind it, here for milliseconds."""
SKIPPED_IDS = 10_000_000
"""How many ids of each table a restored database leaves out: more than may have been given out since the backup."""
SEARCH_BY_KEY = "FORCE INDEX (PRIMARY)"
"""A hint to MySQL. https://mariadb.com/docs/server/ha-and-performance/optimization-and-tuning/query-optimizations"""


class DatabaseError(Unavailable):
    """The engine failed and nothing was written."""

    def __init__(self, cause: str = "") -> None:
        super().__init__()
        self.cause = cause


class Busy(DatabaseError):
    """The database could not be had in time; nothing was written."""


class DatabaseFull(DatabaseError):
    """There is no room for the write; nothing was written."""

    kind, code, message = StorageFull.kind, StorageFull.code, StorageFull.message


class CommitUnknown(DatabaseError):
    """The commit was sent and its answer lost: the write may or may not be there."""


class UniqueViolation(DatabaseError):
    """A row with this key exists; the statement did nothing, its transaction goes on."""


class UnitYielded(RuntimeError):
    """A unit awaited something other than its transaction; it was rolled back."""


class Statement:
    """One SQLAlchemy Core statement, compiled once per dialect to the string that the driver runs.

    `bulk` marks a statement that may touch over 1,000 rows: it runs off the event loop.
    """

    __slots__ = ("bulk", "clause", "sql")

    def __init__(self, clause: ClauseElement, *, bulk: bool = False) -> None:
        self.clause = clause
        self.bulk = bulk
        self.sql: Callable[[str], Compiled] = cache(self._compile)

    def _compile(self, dialect: str) -> "Compiled":
        engine = sqlite.dialect(paramstyle="named") if dialect == "sqlite" else mysql.dialect(paramstyle="pyformat")
        clause = _by_key(self.clause) if isinstance(self.clause, Update) else self.clause
        compiled = cast(SQLCompiler, clause.compile(dialect=engine))
        constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        required = frozenset(name for bind, name in compiled.bind_names.items() if bind.required)
        return Compiled(str(compiled), constants, required, _lists(compiled))


def _by_key(clause: Update) -> Update:
    """An UPDATE of rows that a list of keys names looks for them, however short the table is.

    MySQL would read a short table whole and wait, in passing, for the rows that other units hold: in a circle too.
    """
    where = [] if clause.whereclause is None else visitors.iterate(clause.whereclause)
    if any(isinstance(part, InList) and getattr(part.column, "primary_key", False) for part in where):
        return clause.with_hint(SEARCH_BY_KEY, dialect_name="mysql")
    return clause


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL text with named parameters, the values that the statement itself fixes, and the names a caller must give.

    `lists` are those of its parameters that the driver's side writes out as `(1,2,3)`, each with its items' type.
    """

    text: str
    constants: dict[str, Value]
    required: frozenset[str]
    lists: dict[str, type]


class InList(ColumnElement[bool]):
    """`column IN (…)` over a list that is one JSON parameter, so that the statement is compiled once.

    Pass the list's value through `as_list`. Integers, text or bytes; pairs of integers for a `tuple_` of two columns.
    MySQL's optimizer knows no index for a list that comes out of JSON in an UPDATE or DELETE: there it is written out,
    as every value is that travels to that server.
    """

    inherit_cache = False
    type: TypeEngine[bool] = Boolean()

    def __init__(
        self,
        column: ColumnElement[int] | ColumnElement[str] | ColumnElement[bytes] | Tuple,
        parameter: ColumnElement[str],
    ) -> None:
        self.column = column
        self.parameter = parameter

    def self_group(self, against: object = None) -> "InList":  # noqa: ARG002 - or a Boolean is compared with 1
        return self


_SQLITE_ITEM: dict[type, str] = {str: "value", bytes: "unhex(value)", tuple: "value ->> 0, value ->> 1"}


@compiles(InList, "sqlite")
def _in_list_sqlite(element: InList, compiler: SQLCompiler, **kw: Any) -> str:
    column, parameter = compiler.process(element.column, **kw), compiler.process(element.parameter, **kw)
    value = _SQLITE_ITEM[_kind(element)]
    return f"{column} IN (SELECT {value} FROM json_each({parameter}))"  # noqa: S608 - both sides are compiled


@compiles(InList, "mysql")
def _in_list_mysql(element: InList, compiler: SQLCompiler, **kw: Any) -> str:
    column, parameter = compiler.process(element.column, **kw), compiler.process(element.parameter, **kw)
    name = parameter.removeprefix("%(").removesuffix(")s")
    _lists(compiler)[name] = _kind(element)
    return f"{column} IN {parameter}"


def _lists(compiler: SQLCompiler) -> dict[str, type]:
    found: dict[str, type] = compiler.__dict__.setdefault("written_out_lists", {})
    return found


def _kind(element: InList) -> type:
    """What the list's items are: bytes, pairs (`tuple`), or what is written as it stands in JSON (`str`)."""
    if isinstance(element.column, Tuple):
        return tuple
    return bytes if isinstance(element.column.type, LargeBinary) else str


def as_list(values: Iterable[int] | Iterable[str] | Iterable[bytes] | Iterable[tuple[int, int]]) -> str:
    """The value of an `InList` parameter. Bytes travel as hex digits."""
    return json.dumps([value.hex() if isinstance(value, bytes) else value for value in values])


@dataclass(frozen=True, slots=True)
class Changed:
    """What a writing statement did: how many rows it changed, and the id it gave the last one inserted."""

    count: int
    last_id: int


class Call(NamedTuple):
    """One statement on its way from a unit to the engine: the only thing that a unit may await."""

    statement: Statement
    params: dict[str, Value]
    rows: bool

    def __await__(self) -> Generator["Call", Any, Any]:
        return (yield self)


class Transaction:
    """The `tx` that a unit of writing is handed. Every method is one statement.

    `touched` are the people whose event log the unit has added to: the engine tells of them after the commit.
    """

    def __init__(self) -> None:
        self.touched: set[int] = set()

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        """All rows of one statement, as this transaction sees them."""
        rows: list[Row] = await Call(statement, params, rows=True)
        return rows

    async def execute(self, statement: Statement, **params: Value) -> Changed:
        """Run one writing statement. Raises UniqueViolation; the transaction then goes on."""
        changed: Changed = await Call(statement, params, rows=False)
        return changed


class Reader(Protocol):
    """Where a table function may read: committed data, or inside a transaction."""

    async def read(self, statement: Statement, **params: Value) -> list[Row]: ...


Unit = Callable[[Transaction], Coroutine[Any, Any, T]]


class Database(Protocol):
    """One engine. Two implementations: `models.db.sqlite.engine`, `models.db.mysql.engine`.

    `shared`: other processes and machines serve from it too, so that what one alone knows is not all there is.
    `upkeep_seconds`: how long the statements of one unit of upkeep may take, people being served beside it.
    """

    upkeep_seconds: float

    @property
    def shared(self) -> bool: ...

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        """All rows of one statement over committed data. Raises Busy."""

    async def write(self, unit: Unit[T]) -> T:
        """Run the unit in one transaction; when this returns, what it wrote is durable.

        The unit awaits `tx` and nothing else, and may be run again from its start. What it raises rolls back
        what it did and reaches the caller. Raises Busy, DatabaseFull, CommitUnknown, UnitYielded.
        """

    async def settled(self) -> None:
        """Wait until every write that this process asked for before has ended."""

    def tell(self, listener: Callable[[set[int]], None]) -> None:
        """After each commit, call this with the people whose event logs it has added to, if there are any."""

    async def close(self) -> None: ...


WRITE_TRIES = 3
"""The loser of one race finds the winner's row on its second try; a third is for who meets another request there."""


async def write_retrying(db: Database, unit: Unit[T]) -> T:
    """Run the unit, and again from its start when another request was quicker to the same number, name or key.

    Raises what the unit and the database raise, and Unavailable when others were quicker every time.
    """
    for _ in range(WRITE_TRIES):
        try:
            return await db.write(unit)
        except UniqueViolation:
            continue
    raise Unavailable


def drive(unit: Coroutine[Any, Any, T], run: Callable[[Call], list[Row] | Changed]) -> T:
    """Run a unit to its end on an engine that answers at once.

    Raises what the unit raises, and UnitYielded when it awaits anything but its transaction.
    """
    answer: Answer = None
    try:
        while True:
            call = _next_call(unit, answer)
            try:
                answer = run(call)
            except UniqueViolation as violation:
                answer = violation
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        unit.close()


async def drive_async(unit: Coroutine[Any, Any, T], run: Callable[[Call], Awaitable[list[Row] | Changed]]) -> T:
    """`drive` on an engine that is waited for."""
    answer: Answer = None
    try:
        while True:
            try:
                call = _next_call(unit, answer)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                answer = await run(call)
            except UniqueViolation as violation:
                answer = violation
    finally:
        unit.close()


Answer = list[Row] | Changed | UniqueViolation | None


def _next_call(unit: Coroutine[Any, Any, T], answer: Answer) -> Call:
    """What the unit asks next, told how its last call ended. Raises StopIteration when it has returned."""
    call = unit.throw(answer) if isinstance(answer, UniqueViolation) else unit.send(answer)
    if not isinstance(call, Call):
        raise UnitYielded("a unit of writing awaited something other than its transaction")
    return call
