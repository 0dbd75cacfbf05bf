# SPDX-License-Identifier: Apache-2.0
"""What is over goes: images past their time, files nobody may fetch any more, rows past their use.

One of the processes that share a database does it for all; what broken uploads leave on a machine, one of its own
removes. It is safe beside another that does the same: one that has just lost the lease, or an operator's command. A
file is removed only after the commit that ended its image; a download that runs keeps reading the file it has open.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from models import fault
from models.clock import DAY_MS, HOUR_MS, MINUTE_MS
from models.db.database import BATCH_ROWS, Database, DatabaseError, Transaction
from models.db.tables import (
    devices,
    erasure,
    events,
    expired_rows,
    future_rows,
    image_files,
    messages,
    outbox,
    report_pictures,
    uploads,
)
from models.db.tables.image_files import Purgeable
from models.errors import AppError, cause_of
from models.message import MessageId
from services.accounts.account_deletion import finish_all
from services.accounts.activation import LIFETIME_MS as ACTIVATION_MS
from services.accounts.sessions import REFRESH_MS
from services.expiry import BATCH_WAITS, expire
from services.leader import LEASE_SECONDS, Lease
from services.maintenance.orphans import Orphans
from services.membership import INVITATION_DAYS
from storage.base import BlobStore
from storage.keys import preview_key
from telemetry import metrics

log = logging.getLogger("glimpse.retention")

ERASE_SECONDS = 60
"""Rows are kept for days: a minute more does not matter, and a look is one read of an index each."""
LEAST_ROWS, MOST_ROWS = 20, BATCH_ROWS // 2
"""Erased in one unit: by the first and by a slow one, of whose time the most is not its rows', and by a quick one. With
them goes the rest of a message that has begun.
"""
REST = 7
"""Times as long as a unit took with its commit, nothing is erased: each makes the database write dozens of pages. With
less, people notice; with more, a server whose people send a few hundred messages a second would not keep up.
"""
SCAN_SECONDS = 600
"""A look at every directory of the store. What it finds is left of crashes, and small."""
COUNT_SECONDS = 60  # where other machines store and remove too
STRAY_SECONDS = 3600
"""Four times the longest upload (`handlers/sending.py`): nobody writes to such a temporary file any more."""
AHEAD_MS = 5 * MINUTE_MS
"""By so much the clocks of machines may differ without a row being taken for one of the future."""
RETRY_MS = 10 * MINUTE_MS
"""When a file that the disk did not let go is tried again: an I/O error seldom ends within a minute."""
AWAY_MS = 15_000
"""The same while the whole store does not answer: one that is restarted is soon back."""

Due = Sequence[Purgeable]
Steps = Mapping[str, Callable[[], Awaitable[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """What the operator sets. `orphan_seconds` is at least twice the longest upload, `grace_seconds` the longest
    time in which a consumed image can be fetched again.
    """

    interval_seconds: float
    grace_seconds: float
    orphan_seconds: float
    messages_retention_days: int
    events_retention_days: int
    uploads_expire_hours: int
    admin_audit_days: int


@dataclass(slots=True)
class Counts:
    """How many things one round removed, by kind, and the kinds that failed."""

    removed: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


class _Purge(Protocol):
    async def __call__(self, tx: Transaction, *, before: int, limit: int) -> int: ...


def _purges(lifetimes: Lifetimes) -> dict[str, tuple[_Purge, int]]:
    """What removes the rows of each table, and the age (ms) that it spares. In this order: devices after their pushes.

    The margins allow for clocks that differ.
    """
    return {
        "outbox": (outbox.purge_settled, 7 * DAY_MS),
        "events": (events.purge, lifetimes.events_retention_days * DAY_MS),
        "activations": (partial(expired_rows.erase, table="activations"), 2 * DAY_MS),
        "idempotency": (partial(expired_rows.erase, table="idempotency"), HOUR_MS),
        "credentials": (partial(expired_rows.erase, table="credentials"), HOUR_MS),
        "refresh_tokens": (partial(expired_rows.erase, table="refresh_tokens"), HOUR_MS),
        "budgets": (partial(expired_rows.erase, table="budgets"), HOUR_MS),
        "invitations": (partial(expired_rows.erase, table="invitations"), INVITATION_DAYS * DAY_MS),
        "audit": (partial(expired_rows.erase, table="audit"), lifetimes.admin_audit_days * DAY_MS),
        "devices": (devices.purge_ended, 30 * DAY_MS),
        "messages": (messages.purge, lifetimes.messages_retention_days * DAY_MS),
    }


def _longest_ahead(lifetimes: Lifetimes) -> dict[str, float]:
    """How far ahead (ms) the end of each may rightly be. Budgets of the future count for windows of the future."""
    return {
        "activations": ACTIVATION_MS,
        "idempotency": DAY_MS,
        "credentials": DAY_MS,
        "refresh_tokens": REFRESH_MS,
        "files": max(1000 * lifetimes.grace_seconds, RETRY_MS),
        "uploads": lifetimes.uploads_expire_hours * HOUR_MS,
        **dict.fromkeys(("outbox", "invitations", "audit", "devices", "messages"), 0),
    }


class Retention:
    """Between `run` and `stop` removes ended images every `interval_seconds` and when woken, rows every minute, files
    without a row every ten minutes. On a shared database only the holder of the lease does so.
    """

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        *,
        lifetimes: Lifetimes,
        clock: Callable[[], int],
        is_off: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        tends_machine: bool = True,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`clock` gives milliseconds since the Unix epoch, and never runs ahead where `is_off` says that the wall
        clock is not believed; `monotonic` gives seconds that never jump.

        `tends_machine`: regularly set the store's count of bytes from the database, and remove what broken uploads have
        left on this machine, as one process of each machine does. When the process that removes for all dies, another
        takes over after `lease_seconds`.
        """
        self._db = db
        self._store = store
        self._clock = clock
        self._is_off = is_off
        self._interval_seconds = lifetimes.interval_seconds
        orphans = Orphans(
            db,
            store,
            orphan_seconds=lifetimes.orphan_seconds,
            monotonic=monotonic,
            is_stopping=lambda: self._stopping,
        )
        self._purges = _purges(lifetimes)
        self._longest = _longest_ahead(lifetimes)
        self._ending: Steps = {
            "expired": self._expire,
            "files": self._remove_files,
            "report_pictures": self._remove_report_pictures,
            "uploads": self._remove_uploads,
        }
        self._erasing: Steps = {
            "brought_back": self._bring_back,
            "accounts": partial(finish_all, db, clock),
            **{name: partial(self._erase, *purge) for name, purge in self._purges.items()},
        }
        self._scanning: Steps = {
            "orphan_files": orphans.sweep,
        }
        self._tending: Steps = {
            "stray_files": self._remove_strays,
            "stray_uploads": self._remove_stray_uploads,
        }
        self._lease = Lease(db, "retention", seconds=lease_seconds, monotonic=monotonic) if db.shared else None
        self._tends_machine = tends_machine
        self._moving = asyncio.Lock()  # while files and their rows go, the two do not say the same, and nobody counts
        self._woken = asyncio.Event()
        self._signs = [self._woken]
        self._stopping = False
        self._running: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """An image has ended: look soon. Called on the event loop's thread; never waits."""
        self._woken.set()

    async def run(self) -> None:
        """Remove until `stop`. Errors of the database and the disk are logged and tried again."""
        self._running = asyncio.current_task()
        leading = None if self._lease is None else asyncio.create_task(self._lease.run(self._wake_all))
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._repeat(self._ending, self._interval_seconds, self._woken))
                loops.create_task(self._repeat(self._erasing, ERASE_SECONDS, self._sign()))
                loops.create_task(self._repeat(self._scanning, SCAN_SECONDS, self._sign()))
                if self._tends_machine:
                    loops.create_task(self._repeat(self._tending, SCAN_SECONDS, self._sign(), for_all=False))
                    loops.create_task(self._count_by_and_by(self._sign()))
        finally:
            if leading is not None:
                leading.cancel()
        await self._give_way()

    async def stop(self, *, within: float = 25) -> None:
        """Start nothing more and wait for running steps; cancel them after `within` seconds."""
        self._stopping = True
        self._wake_all()
        if self._running is not None:
            _, late = await asyncio.wait([self._running], timeout=within)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def run_once(self, on_step: Callable[[str], None] | None = None) -> Counts:
        """Do everything once, calling `on_step` before each step; returns what was removed.

        Files without a row are only noted the first time: a later round of the same Retention removes them.
        """
        counts = Counts()
        for steps in (self._ending, self._erasing, self._scanning, self._tending):
            await self._take(steps, counts, on_step)
        return counts

    async def dry_run(self) -> Counts:
        """What `run_once` would remove. Files without a row are not looked for."""
        now = self._clock()
        expired = await expired_rows.count_expired(self._db, now=now)
        counts = Counts({"expired": expired, "files": expired + await expired_rows.count_files(self._db, now=now)})
        counts.removed["report_pictures"] = await report_pictures.count_purgeable(self._db, now=now)
        counts.removed["uploads"] = await expired_rows.count(self._db, table="uploads", before=now)
        counts.removed["accounts"] = await erasure.count_leaving(self._db)
        for table, (_, age_ms) in self._purges.items():
            counts.removed[table] = await expired_rows.count(self._db, table=table, before=now - age_ms)
        return counts

    async def count_stored(self) -> int:
        """Set the store's count of bytes from the database; returns the count in use then.

        Only when nothing was stored or removed meanwhile, since a file and its row do not appear at the same moment.
        Where other machines use the store too, that may never happen: there the count is off by what is under way,
        until the next time.
        """
        async with self._moving:
            before, receiving = self._store.stored_bytes, self._store.receiving
            counted = await image_files.stored_bytes(self._db) + await uploads.stored_bytes(self._db)
            still = not receiving and not self._store.receiving and self._store.stored_bytes == before
            if still or self._db.shared:
                self._store.set_stored_bytes(counted)
        return self._store.stored_bytes

    def _sign(self) -> asyncio.Event:
        self._signs.append(asyncio.Event())
        return self._signs[-1]

    def _wake_all(self) -> None:
        for sign in self._signs:
            sign.set()

    async def _give_way(self) -> None:
        """Release the lease, so that another process takes over at once."""
        if self._lease is not None:
            with suppress(DatabaseError):
                await self._lease.release()

    async def _repeat(self, steps: Steps, seconds: float, sign: asyncio.Event, *, for_all: bool = True) -> None:
        while not self._stopping:
            sign.clear()
            if self._lease is None or self._lease.held or not for_all:
                await self._take(steps, Counts())
            await _wait(sign, seconds)

    async def _count_by_and_by(self, sign: asyncio.Event) -> None:
        while not self._stopping:
            sign.clear()
            await self._take({"stored_bytes": self.count_stored}, Counts())
            await _wait(sign, COUNT_SECONDS if self._db.shared else SCAN_SECONDS)

    async def _take(self, steps: Steps, counts: Counts, on_step: Callable[[str], None] | None = None) -> None:
        for name, step in steps.items():
            if self._stopping:
                return
            if on_step is not None:
                on_step(name)
            try:
                counts.removed[name] = await step()
            except Exception as error:  # noqa: BLE001 - one kind's fault must not keep the others
                why = {"error": type(error).__name__, "cause": cause_of(error)}
                log.error("retention failed", extra={"step": name, **why})
                counts.failed.append(name)
                metrics.RETENTION_FAILURES.inc()

    async def _expire(self) -> int:
        """Expire images; returns how many nobody waits for any more."""
        now, total = self._clock(), 0
        while not self._stopping and (waits := await messages.list_expired(self._db, now, BATCH_WAITS)):

            async def unit(tx: Transaction, waits: list[messages.Waiting] = waits) -> int:
                return await expire(tx, waits, now)

            ended = await self._db.write(unit)
            if not ended and all(wait.receiver_uid is None for wait in waits):
                log.error("images past their time cannot be ended", extra={"first": waits[0].message_id})
                break
            total += ended
        return total

    async def _remove_files(self) -> int:
        total = 0
        while not self._stopping:
            due = await image_files.list_purgeable(self._db, self._clock(), BATCH_ROWS)
            if not due:
                break
            async with self._moving:
                total += await self._remove(due)
            if not self._store.healthy:
                break  # one that hangs would take longer than what it kept is put off, and this would have no end
        return total

    async def _remove_report_pictures(self) -> int:
        """Remove the pictures of reports that are resolved; returns how many."""
        total = 0
        while not self._stopping and (due := await report_pictures.list_purgeable(self._db, self._clock(), BATCH_ROWS)):
            async with self._moving:
                await self._store.remove_many(key for _, key in due)
                await self._db.write(partial(report_pictures.delete_some, report_ids=[number for number, _ in due]))
            total += len(due)
        return total

    async def _remove_uploads(self) -> int:
        """Forget what was not gone on with, and what has ended a day ago; returns how many."""
        total, now = 0, self._clock()
        while not self._stopping:
            async with self._moving:
                gone = await self._db.write(partial(uploads.delete_expired, now=now, limit=BATCH_ROWS))
                await self._store.uploads.remove_many(gone)
            total += len(gone)
            if len(gone) < BATCH_ROWS:
                break
        return total

    async def _remove_stray_uploads(self) -> int:
        """Remove the files of uploads that are over: a process died before it could; returns how many."""
        old = await self._store.uploads.old_ids(STRAY_SECONDS)
        total = 0
        for start in range(0, len(old), BATCH_ROWS):
            batch = old[start : start + BATCH_ROWS]
            needed = await uploads.list_open_ids(self._db, batch)
            total += await self._store.uploads.remove_many(set(batch) - needed)
        return total

    async def _remove(self, due: Due) -> int:
        """Remove these files, then mark their rows; those that stay are retried later. Returns how many are gone."""
        stuck, wait_ms = await self._unlink(due)
        gone = [image.message_id for image in due if image.message_id not in stuck]
        fault.point("before_mark_removed")

        async def unit(tx: Transaction) -> None:
            await image_files.mark_removed(tx, gone)
            if stuck:
                await image_files.put_off_removal(tx, stuck, self._clock() + wait_ms)

        await self._db.write(unit)
        return len(gone)

    async def _unlink(self, due: Due) -> tuple[list[MessageId], int]:
        """Remove these files; returns the images whose files could not be removed, and in how many milliseconds they
        are tried again.
        """
        try:
            await self._store.remove_many(key for image in due for key in _keys_of(image))
        except (AppError, ValueError):
            if not self._store.healthy and not await self._store.probe():
                return [image.message_id for image in due], AWAY_MS
            return [image.message_id for image in due if not await self._unlink_one(image)], RETRY_MS
        return [], RETRY_MS

    async def _unlink_one(self, image: Purgeable) -> bool:
        try:
            await self._store.remove_many(_keys_of(image))
        except (AppError, ValueError) as error:
            log.error("a file cannot be removed", extra={"message_id": image.message_id, "error": type(error).__name__})
            return False
        return True

    async def _remove_strays(self) -> int:
        return await self._store.remove_strays(written_before=self._clock() / 1000 - STRAY_SECONDS)

    async def _bring_back(self) -> int:
        """Rows made while a clock was ahead end no later than others; how many. Only a clock that is right can tell."""
        total = 0
        for table, longest in self._longest.items():
            while not self._stopping and not self._is_off():
                until = self._clock() + int(longest)
                # What is a little ahead was made by another machine.
                beyond = until + AHEAD_MS
                unit = partial(future_rows.bring_back, table=table, beyond=beyond, until=until, limit=BATCH_ROWS)
                changed = await self._db.write(unit)
                total += changed
                if changed < BATCH_ROWS:
                    break
        return total

    async def _erase(self, purge: _Purge, age_ms: int) -> int:
        """Erase at most an eighth of the time, by little and little: what is over is in no hurry, people are."""
        before, total, rows = self._clock() - age_ms, 0, LEAST_ROWS
        while not self._stopping:

            async def unit(tx: Transaction, rows: int = rows) -> tuple[int, float]:
                began = time.monotonic()
                return await purge(tx, before=before, limit=rows), time.monotonic() - began

            began = time.monotonic()
            erased, seconds = await self._db.write(unit)
            if not erased:
                break
            total += erased
            rows = rows_of_next(rows, seconds, self._db.upkeep_seconds)
            await asyncio.sleep(REST * (time.monotonic() - began))
        return total


def rows_of_next(rows: int, took: float, may_take: float) -> int:
    """How many rows the next unit of erasing has, where one of so many took so many seconds. It grows by and by."""
    fitting = int(rows * may_take / took) if took > 0 else MOST_ROWS
    return max(LEAST_ROWS, min(fitting, 2 * rows, MOST_ROWS))


def _keys_of(image: Purgeable) -> list[str]:
    key = image.message_key
    return [key, preview_key(key)] if image.has_preview else [key]


async def _wait(sign: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await sign.wait()
