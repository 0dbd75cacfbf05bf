# SPDX-License-Identifier: Apache-2.0
"""The MySQL engine: units on connections of their own, run again when the server undid them."""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pymysql.err import MySQLError

from models import fault
from models.db.database import Busy, Call, Changed, CommitUnknown, Row, Statement, Transaction, Unit, Value, drive_async
from models.db.mysql.connection import (
    MARGIN_SECONDS,
    STATEMENT_SECONDS,
    Connection,
    Lost,
    MysqlLocation,
    change,
    connect,
    is_open,
    run_text,
    select,
)
from models.db.mysql.pool import Pool
from telemetry import metrics

T = TypeVar("T")

log = logging.getLogger("glimpse.database")

BULK_POOL_SIZE = 2
"""Statements of upkeep over many rows: two at once leave the connections and the disk to requests."""
PATIENCE_SECONDS = 5.0
"""What a request waits in all before it is answered 503."""
BULK_SECONDS = 300.0
"""A look at every row of a large table."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.005, 0.2
"""Seconds between two tries: a deadlock is over in milliseconds, a failover in tens of seconds."""
DEADLOCK = 1213


class MySqlDatabase:
    """`Database` over one MySQL-protocol server. Used from one event loop; opens connections when they are needed."""

    shared = True
    upkeep_seconds = 0.02  # the rows are locked for so long, which nobody wants, and the machine works for people too

    def __init__(
        self,
        location: MysqlLocation,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        """`patience_seconds` is how long a read or a write may wait for the server, for a connection, and for
        others' locks; the server ends a statement after `statement_seconds`.
        """
        pool_size = location.pool_size
        self._patience_seconds = patience_seconds
        self._seconds = statement_seconds + MARGIN_SECONDS
        opened = partial(connect, location, statement_seconds=statement_seconds)
        self._reads = Pool(opened, size=pool_size, wait_seconds=patience_seconds)
        self._writes = Pool(partial(opened, autocommit=False), size=pool_size, wait_seconds=patience_seconds)
        self._bulk = Pool(
            partial(connect, location, statement_seconds=BULK_SECONDS), size=BULK_POOL_SIZE, wait_seconds=BULK_SECONDS
        )
        self._units: set[asyncio.Task[Any]] = set()
        self._listener: Callable[[set[int]], None] = lambda touched: None  # noqa: ARG005 - nobody listens yet
        self._closing = False

    async def read(self, statement: Statement, **params: Value) -> list[Row]:
        """As `Database.read`. Asked again on another connection while the server is away, up to the patience."""
        pool, seconds = (self._bulk, BULK_SECONDS + MARGIN_SECONDS) if statement.bulk else (self._reads, self._seconds)
        retry = _Retry(self._patience_seconds)
        while True:
            try:
                async with pool.connection() as connection:
                    return await select(connection, statement, params, seconds)
            except Lost as error:
                await retry.pause(error)

    async def write(self, unit: Unit[T]) -> T:
        """As `Database.write`. A unit that has begun is committed even when its caller is cancelled."""
        if self._closing:
            raise Busy("the database is closing")
        task = asyncio.create_task(self._write(unit))
        self._units.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """As `Database.settled`."""
        if self._units:
            await asyncio.wait(set(self._units))

    def tell(self, listener: Callable[[set[int]], None]) -> None:
        """As `Database.tell`, of what this process commits."""
        self._listener = listener

    async def close(self) -> None:
        """Finish the units under way, refuse new ones, and hang up."""
        self._closing = True
        if self._units:
            await asyncio.wait(self._units)
        for pool in (self._reads, self._writes, self._bulk):
            pool.close()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._units.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone

    async def _write(self, unit: Unit[T]) -> T:
        retry = _Retry(self._patience_seconds)
        while True:
            transaction = Transaction()
            try:
                result = await self._attempt(unit, transaction)
            except Lost as error:
                metrics.UNITS_RERUN.inc()
                await retry.pause(error)
            else:
                self._tell(transaction.touched)
                return result

    async def _attempt(self, unit: Unit[T], transaction: Transaction) -> T:
        """Run the unit once and commit it. Raises Lost when nothing of it is there and it may run again."""
        async with self._writes.connection() as connection:
            try:
                result = await drive_async(unit(transaction), partial(self._answer, connection))
            except Exception as error:
                # Whatever it is, nothing of the unit stays; what closes the connection has undone it already.
                if not is_open(connection):
                    raise
                await run_text(connection, "ROLLBACK", self._seconds)
                refused = error
            else:
                await self._commit(connection)
                return result
        raise refused

    async def _answer(self, connection: Connection, call: Call) -> list[Row] | Changed:
        if call.statement.bulk:
            raise TypeError("a bulk statement would hold its locks for too long")
        return await (select if call.rows else change)(connection, call.statement, call.params, self._seconds)

    async def _commit(self, connection: Connection) -> None:
        """Raises Lost when the server says that it has rolled back, and CommitUnknown for whatever else goes wrong."""
        fault.point("before_commit")
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._seconds):
                await connection.commit()
        except (MySQLError, OSError, TimeoutError) as error:
            if error.args and error.args[0] == DEADLOCK:
                raise Lost("the cluster has refused the transaction") from error
            metrics.COMMIT_FAILURES.inc()
            raise CommitUnknown("the answer to a commit was lost") from error
        metrics.committed(1, asyncio.get_running_loop().time() - started)
        fault.point("after_commit")

    def _tell(self, touched: set[int]) -> None:
        if touched:
            try:
                self._listener(touched)
            except Exception:
                log.exception("a listener failed")


class _Retry:
    """Pauses that grow, until the patience is over: then the error is raised."""

    def __init__(self, seconds: float) -> None:
        self._until = asyncio.get_running_loop().time() + seconds
        self._longest = SHORTEST_PAUSE

    async def pause(self, error: Lost) -> None:
        if asyncio.get_running_loop().time() >= self._until:
            raise error
        await asyncio.sleep(random.uniform(0, self._longest))  # noqa: S311 - parts those that met, hides nothing
        self._longest = min(2 * self._longest, LONGEST_PAUSE)
