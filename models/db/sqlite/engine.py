# SPDX-License-Identifier: Apache-2.0
"""The SQLite engine: reads inline on the event loop, writes by group commit, bulk reads in a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from models.db.database import Busy, Row, Statement, Transaction, Unit, Value
from models.db.sqlite.connection import connect, select, translated
from models.db.sqlite.group_commit import LONGEST_PAUSE, SHORTEST_PAUSE, GroupCommit

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""What a request waits for another process that writes, before it is answered 503."""


class SqliteDatabase:
    """`Database` over one SQLite file. Used from one event loop; `writes` tells how much was committed."""

    upkeep_seconds = 0.002  # the event loop answers nobody meanwhile, and otherwise answers in little more

    def __init__(
        self, path: Path, *, busy_seconds: float = BUSY_SECONDS, beside: Callable[[], bool] = lambda: False
    ) -> None:
        """Open the file, creating an empty one (mode 0600); the schema is `migrate`'s.

        `busy_seconds` is how long a read or a write may wait for another process, `beside` tells whether one serves
        from this file now. Blocks for milliseconds, or up to five seconds while another process writes. Raises Busy,
        DatabaseError.
        """
        self._busy_seconds = busy_seconds
        self.writes = GroupCommit(partial(_connect_writer, path), busy_seconds=busy_seconds)
        self._reader = connect(path, query_only=True).cursor()
        self._bulk_reader = connect(path, busy_milliseconds=int(busy_seconds * 1000), query_only=True).cursor()
        self._bulk_thread = ThreadPoolExecutor(1, "sqlite-bulk")
        self._closed = False
        self._beside = beside

    @property
    def shared(self) -> bool:
        return self._beside()

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        """As `Database.read`. A bulk statement runs in a thread, one at a time."""
        if self._closed:
            raise Busy("the database is closed")
        if statement.bulk:
            work = partial(_rows, self._bulk_reader, statement, params)
            return await asyncio.get_running_loop().run_in_executor(self._bulk_thread, work)
        try:
            return _rows(self._reader, statement, params)
        except Busy:
            return await self._read_when_free(statement, params)

    async def _read_when_free(self, statement: Statement, params: dict[str, Value]) -> list[Row]:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self._busy_seconds, SHORTEST_PAUSE
        while True:
            await asyncio.sleep(pause)
            try:
                return _rows(self._reader, statement, params)
            except Busy:
                if loop.time() >= deadline:
                    raise
            pause = min(2 * pause, LONGEST_PAUSE)

    async def write(self, unit: Unit[T]) -> T:
        """As `Database.write`. The unit may share its commit with others, never its fate."""
        return await self.writes.write(unit)

    async def settled(self) -> None:
        """As `Database.settled`: writes take their turns."""

        async def nothing(tx: Transaction) -> None:
            """Come after those that were there before."""

        await self.write(nothing)

    def tell(self, listener: Callable[[set[int]], None]) -> None:
        """As `Database.tell`."""
        self.writes.listener = listener

    async def close(self) -> None:
        """Finish what was asked for, refuse what comes later, and leave neither a thread nor a log behind."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._bulk_thread, self._bulk_reader.connection.close)
            self._bulk_thread.shutdown()
            self._reader.connection.close()
        await self.writes.close()


def _connect_writer(path: Path) -> apsw.Connection:
    """Of batches of units. What a savepoint needs to go back stays in memory: in a file it would be two writes for each
    page that a unit changes. A unit changes little, and nothing is sorted here.
    """
    connection = connect(path)
    connection.pragma("temp_store", "memory")
    return connection


def _rows(cursor: apsw.Cursor, statement: Statement, params: dict[str, Value]) -> list[Row]:
    try:
        return select(cursor, statement, params)
    except apsw.Error as error:
        raise translated(error) from error
