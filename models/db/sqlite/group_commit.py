# SPDX-License-Identifier: Apache-2.0
"""Units of writing that share one COMMIT, so that many durable writes cost one fsync.

Statements run on the event loop; only COMMIT goes to a thread, and units that arrive meanwhile form the next
batch. No caller learns the result of its unit, good or bad, before the transaction has ended.
"""

import asyncio
import contextvars
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import apsw

from models import fault
from models.db.database import (
    Busy,
    Call,
    Changed,
    CommitUnknown,
    DatabaseError,
    Row,
    Transaction,
    Unit,
    drive,
)
from models.db.sqlite.connection import change, select, translated
from telemetry import metrics

T = TypeVar("T")

log = logging.getLogger("glimpse.database")

BATCH_UNITS = 64
BATCH_SECONDS = 0.010
"""A batch ends at either: the event loop runs its statements, and answers nobody meanwhile."""
SHORTEST_PAUSE = 0.002
LONGEST_PAUSE = 0.050
"""Between two tries of BEGIN while another process writes: SQLite tells nobody when it is free, and a thread that waits
inside SQLite would hold up the event loop."""
# After any other error SQLite may have rolled back more than the statement.
STATEMENT_ERRORS = (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A unit, its caller and its result. `alone` once it was rolled back through the fault of another unit."""

    unit: Unit[Any]
    caller: asyncio.Future[Any]
    deadline: float
    alone: bool = False
    result: Any = None
    error: BaseException | None = None
    touched: set[int] = field(default_factory=set)

    def settle(self) -> None:
        error, self.error = self.error, None
        if self.caller.done():
            return
        if error is None:
            self.caller.set_result(self.result)
        else:
            self.caller.set_exception(error)


class GroupCommit:
    """The one writer of a SQLite file. `batches`, `units` and `commit_seconds` count what was committed."""

    def __init__(self, connect: Callable[[], apsw.Connection], *, busy_seconds: float) -> None:
        """`connect` opens the writer, now and after every failure; `busy_seconds` is how long a unit may wait for
        another process's transaction. Raises what `connect` raises.
        """
        self.batches = 0
        self.units = 0
        self.commit_seconds = 0.0
        self._connect = connect
        self._busy_seconds = busy_seconds
        self._waiting: deque[_Waiting] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._closing = False
        self.listener: Callable[[set[int]], None] = lambda touched: None  # noqa: ARG005 - nobody listens yet
        self._broken: apsw.Error | None = None
        self._thread = ThreadPoolExecutor(1, "sqlite-commit")
        self._cursor: apsw.Cursor | None = connect().cursor()

    async def write(self, unit: Unit[T]) -> T:
        """As `Database.write`. A unit that has begun is committed even when its caller is cancelled."""
        if self._closing:
            raise Busy("the database is closing")
        loop = asyncio.get_running_loop()
        caller: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(unit, caller, time.monotonic() + self._busy_seconds))
        if self._runner is None or self._runner.done():
            # Its own context: otherwise every unit would run with the context variables of the first caller.
            self._runner = loop.create_task(self._run(), context=contextvars.Context())
        return await caller

    async def close(self) -> None:
        """Refuse new units, finish those that wait, checkpoint the log and close the database."""
        self._closing = True
        if self._runner is not None:
            await asyncio.wait([self._runner])
        if self._cursor is not None:
            await self._off_loop(self._check_point)
            await self._off_loop(self._disconnect)
        self._thread.shutdown()

    async def _run(self) -> None:
        while self._anyone_waits():
            batch: list[_Waiting] = []
            try:
                if self._cursor is None:
                    await self._off_loop(self._reconnect)
                if not await self._begin():
                    return
                self._fill(batch)
            except Exception as error:  # noqa: BLE001 - whatever broke the transaction, its callers must hear of it
                await self._abandon(batch, error)
            else:
                await self._finish(batch)

    async def _begin(self) -> bool:
        """Open a transaction, waiting while another process has one. False when no caller is left to wait for it."""
        pause = SHORTEST_PAUSE
        while self._anyone_waits():
            try:
                self._execute("BEGIN IMMEDIATE")
            except apsw.BusyError as error:
                self._refuse_overdue(error)
            else:
                return True
            try:
                await asyncio.sleep(pause)
            except asyncio.CancelledError:
                pass  # nobody may end the runner while callers wait
            pause = min(2 * pause, LONGEST_PAUSE)
        return False

    def _anyone_waits(self) -> bool:
        """Drop units whose callers are gone, up to the first whose caller is there."""
        while self._waiting and self._waiting[0].caller.done():
            self._waiting.popleft()
        return bool(self._waiting)

    def _refuse_overdue(self, error: apsw.BusyError) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0].deadline <= now:
            overdue = self._waiting.popleft()
            overdue.error = translated(error)
            overdue.settle()

    def _fill(self, batch: list[_Waiting]) -> None:
        """Move waiting units into the open transaction until it is full, old or nobody waits.

        Raises when the transaction is lost; the last of `batch` then lost it.
        """
        end = time.monotonic() + BATCH_SECONDS
        while self._anyone_waits() and len(batch) < BATCH_UNITS:
            if batch and (batch[0].alone or self._waiting[0].alone or time.monotonic() >= end):
                return
            batch.append(self._waiting.popleft())
            self._run_unit(batch[-1], is_first=len(batch) == 1)

    def _run_unit(self, waiting: _Waiting, *, is_first: bool) -> None:
        """Before the first there is nothing to go back to but the transaction's begin."""
        if not is_first:
            self._execute("SAVEPOINT unit")
        transaction = Transaction()
        try:
            waiting.result = drive(waiting.unit(transaction), self._answer)
            waiting.touched = transaction.touched
        except BaseException as error:  # noqa: BLE001 - whatever a unit raises is its caller's
            waiting.error = error
        if self._broken is not None:
            raise self._broken
        if waiting.error is not None:
            self._execute("ROLLBACK" if is_first else "ROLLBACK TO unit")
        if not is_first:
            self._execute("RELEASE unit")
        elif waiting.error is not None:
            self._execute("BEGIN IMMEDIATE")

    def _answer(self, call: Call) -> list[Row] | Changed:
        """Run a unit's statement, and remember an error that leaves the transaction in doubt."""
        cursor = self._open_cursor()
        if call.statement.bulk:
            raise TypeError("a bulk statement would hold up the event loop and every other unit")
        try:
            return (select if call.rows else change)(cursor, call.statement, call.params)
        except apsw.Error as error:
            if isinstance(error, STATEMENT_ERRORS) and not cursor.connection.get_autocommit():
                raise translated(error) from error
            self._broken = error
            # Never a UniqueViolation: the unit could catch it and go on outside any transaction.
            raise DatabaseError("the transaction is lost") from error

    async def _abandon(self, batch: list[_Waiting], error: Exception) -> None:
        """Nothing of the transaction stays. The unit that broke it is refused, the others run again, each alone."""
        await self._off_loop(self._disconnect)
        if not batch and self._anyone_waits():
            batch.append(self._waiting.popleft())
        if batch:
            guilty = batch.pop()
            guilty.error = _as_database_error(error)
            guilty.settle()
        for innocent in reversed(batch):
            innocent.alone, innocent.result, innocent.error = True, None, None
            self._waiting.appendleft(innocent)

    async def _finish(self, batch: list[_Waiting]) -> None:
        """Commit, then tell everybody."""
        seconds_before = self.commit_seconds
        try:
            await self._off_loop(self._commit)
        except Exception as error:  # noqa: BLE001 - a commit that failed in any way may still be found in the log
            metrics.COMMIT_FAILURES.inc()
            story = f"the commit failed and may come back when the log is read again: {type(error).__name__}: {error}"
            for waiting in batch:
                waiting.error = CommitUnknown(story)
                waiting.error.__cause__ = error
            await self._off_loop(self._disconnect)
        else:
            self.batches += 1
            self.units += len(batch)
            metrics.committed(len(batch), self.commit_seconds - seconds_before)
            self._tell(batch)
        for waiting in batch:
            waiting.settle()

    def _tell(self, batch: list[_Waiting]) -> None:
        touched = set().union(*(waiting.touched for waiting in batch))
        if touched:
            try:
                self.listener(touched)
            except Exception:
                log.exception("a listener failed")

    def _commit(self) -> None:
        fault.point("before_commit")
        started = time.perf_counter()
        self._execute("COMMIT")
        self.commit_seconds += time.perf_counter() - started
        fault.point("after_commit")

    def _check_point(self) -> None:
        try:
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except apsw.Error:
            pass  # what is committed is as safe in the log

    def _reconnect(self) -> None:
        self._cursor = self._connect().cursor()

    def _disconnect(self) -> None:
        """Closing rolls back whatever is open, also on a connection that can no longer say so."""
        cursor, self._cursor, self._broken = self._cursor, None, None
        if cursor is not None:
            cursor.connection.close(force=True)

    def _open_cursor(self) -> apsw.Cursor:
        if self._cursor is None:
            raise DatabaseError("the database is not open")
        return self._cursor

    def _execute(self, text: str) -> None:
        self._open_cursor().execute(text).fetchall()

    async def _off_loop(self, work: Callable[[], None]) -> None:
        """Run `work` in the thread and see its end, whoever cancels meanwhile: the connection is the thread's."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError:
                pass
        done.result()


def _as_database_error(error: Exception) -> DatabaseError:
    if isinstance(error, DatabaseError):
        return error
    known = translated(error) if isinstance(error, apsw.Error) else DatabaseError("the transaction was lost")
    known.__cause__ = error
    return known
