# SPDX-License-Identifier: Apache-2.0
"""The relay: claims due outbox rows, hands them to the lane of their provider, settles them by what came of it.

Delivery is at least once. A row is never lost: while it is under way its lease is running, and a row whose
process died is due again as soon as that is known, or when the lease ends. Its dedupe id stays the same on every try.
Each provider and app is a lane that claims for itself, and only when it has room: what waits for a slow one waits in
the database.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from models.clock import MINUTE_MS, now_ms
from models.db.database import Database, DatabaseError
from models.db.tables import heartbeats, outbox, outbox_summary
from models.db.tables.outbox import Claimed, LaneKey, State
from models.db.tables.outbox_summary import Overdue
from models.ids import MAX_ID
from push import backoff, settlement
from push.base import Provider
from push.breaker import PROBE_MS, BreakerState
from push.lane import Lane, Outage
from push.payload import NO_PICTURES, PhoneHashOf, Pictures
from push.settlement import Verdict
from telemetry import metrics

SETTLE_TRIES = 3
"""How often verdicts are written: what fails in a few seconds too is no passing fault, and the lease runs on."""

LONGEST_FAILURE_SECONDS = 30.0
"""The longest pause while claiming fails: a database that is back must not leave its pushes waiting for longer."""

OVERDUE_SECONDS = 10 * MINUTE_MS / 1000
"""How often rows that nobody claims are given up: against `push.give_up_hours`, ten minutes are nothing."""

DEAD_LOOK_SECONDS = 1.0
"""How often the relay looks whether a process has died: its pushes wait for that at most."""

CLOCK_STEP_MS = 2000
"""A clock that goes back by less than this is being kept right: no push waits noticeably longer for it."""

LONGEST_WAIT_MS = int(1000 * (backoff.LONGEST_SECONDS + backoff.LONGEST_ASKED_SECONDS))
"""No row is due further ahead, unless it was put off before the clock was turned back."""

GATHER_SECONDS = 0.02
"""Rows of one claim that are put back within so long are one unit: a flood to one host must not fill the queue of the
database's writes, in which everybody's messages wait too.
"""

ROWS_PER_UNIT = 200
"""The most rows that one transaction ends or puts off: a longer one would hold up everybody else's writes."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Returning:
    """Rows of one claim that go back together; `over` when they have, or when that failed."""

    verdicts: list[Verdict] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Relay:
    """Everything between the outbox and the providers.

    `providers` goes by a device's provider and app. `phone_hash_of` decrypts a sender's phone, `pictures` says what is
    shown of images. `lease_seconds` must outlast a delivery: the lane puts back what waited for a quarter of it, and
    cuts a call off after half of it.
    `server_id`, 16 characters, is what this process is called in `servers`, by which others know that it has died.
    `calls_at_once` stands in for each provider's own. `clock` is in milliseconds, and so is `ages`, by
    which rows end, `clock` itself if not given; `monotonic` is in seconds.
    """

    def __init__(
        self,
        db: Database,
        providers: Mapping[LaneKey, Provider],
        phone_hash_of: PhoneHashOf,
        *,
        pictures: Pictures = NO_PICTURES,
        server_id: str | None = None,
        clock: Callable[[], int] = now_ms,
        ages: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        lease_seconds: float = 60,
        claim_limit: int = 200,
        calls_at_once: int | None = None,
        poll_seconds: float = 1,
    ) -> None:
        self._db = db
        self._server_id = server_id or secrets.token_hex(8)
        self._known: set[str] = set()
        self._clock = clock
        self._ages = ages or clock
        self._lease_ms = int(1000 * lease_seconds)
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._under_way: set[int] = set()
        self._returning: dict[str, _Returning] = {}
        self._last_now = 0
        self._lanes = [
            Lane(
                key,
                provider,
                phone_hash_of,
                pictures,
                calls_at_once=calls_at_once,
                claim_limit=claim_limit,
                lease_ms=self._lease_ms,
                clock=clock,
                monotonic=monotonic,
            )
            for key, provider in providers.items()
        ]
        self._due = outbox.due_lanes([lane.key for lane in self._lanes]) if self._lanes else None

    @property
    def breakers(self) -> dict[LaneKey, BreakerState]:
        """Every breaker's state, by provider and app."""
        return {lane.key: lane.breaker.state for lane in self._lanes}

    @property
    def outages(self) -> dict[LaneKey, Outage]:
        """Why each breaker that is not closed is not, by provider and app."""
        return {lane.key: lane.outage for lane in self._lanes if lane.outage}

    @property
    def pauses(self) -> dict[LaneKey, float]:
        """For how many seconds more each provider has asked to be left alone, 0 where it has not, by provider and app.

        A breaker says nothing of this: it opens when a provider fails.
        """
        return {lane.key: lane.paused_seconds for lane in self._lanes}

    def wake(self) -> None:
        """Claim now instead of at the next poll: rows were committed, or a lane has room. Never blocks.

        To be called on the event loop's thread.
        """
        self._woken.set()

    async def run(self) -> None:
        """Relay until `stop`. Errors of the database or a provider are logged and do not end it."""
        self._running = asyncio.current_task()
        beside = [
            asyncio.create_task(_repeat(self.free_dead_leases, DEAD_LOOK_SECONDS)),
            asyncio.create_task(_repeat(self.give_up_overdue, OVERDUE_SECONDS)),
            asyncio.create_task(_repeat(self.bring_forward_stranded, OVERDUE_SECONDS)),
        ]
        try:
            await self._claim_until_stopped()
        finally:
            for task in beside:
                task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await self._finish_deliveries()

    async def _claim_until_stopped(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                claimed = await self._claim_due()
            except Exception as error:  # noqa: BLE001 - a relay that ends loses every push after this one
                failures += 1
                log.error(
                    "pushes cannot be read from the database",
                    extra={"error": type(error).__name__, "failures": failures},
                )
                await _wait(self._stopping, backoff.delay(failures, longest=LONGEST_FAILURE_SECONDS))
                continue
            failures = 0
            if not claimed and not self._stopping.is_set():
                await _wait(self._woken, self._poll_seconds)

    async def stop(self, *, within: float = 25) -> None:
        """Claim nothing more and wait for the deliveries under way; cancel what is left after `within` seconds.

        Rows whose delivery was cancelled are due again when their lease ends.
        """
        self._stopping.set()
        self._woken.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=within)
        left = list(self._deliveries)
        for delivery in left:
            delivery.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def run_once(self) -> int:
        """Claim once for each lane, and wait until what was claimed is settled; the number of rows claimed."""
        claimed = await self._claim_due()
        await self._finish_deliveries()
        return claimed

    async def give_up_overdue(self) -> int:
        """End rows past their time that nobody claims, as their provider is down or not configured; how many."""
        ended = 0
        while rows := await outbox_summary.list_overdue(self._db, now=self._ages(), limit=ROWS_PER_UNIT):
            now, ids = self._ages(), [row.outbox_id for row in rows]
            ended += await self._db.write(partial(outbox_summary.give_up, outbox_ids=ids, now=now))
            _count_overdue(rows, now)
        return ended

    async def free_dead_leases(self) -> int:
        """Make the rows due that processes had claimed which serve no more; how many.

        They are looked for when `servers` has changed since the last call, and by the first one.
        """
        seen = await heartbeats.list_ids(self._db)
        if seen == self._known:
            return 0
        freed = sum([await self._free_of_dead(lane.key) for lane in self._lanes])
        self._known = seen
        if freed:
            log.warning("pushes of a process that has died are due again", extra={"pushes": freed})
            self.wake()
        return freed

    async def _free_of_dead(self, lane: LaneKey) -> int:
        freed, now = 0, self._clock()
        leases = await outbox.list_leases(self._db, lane=lane, now=now)
        # Read after the leases: whoever holds one of them stands there, or stands there no more.
        serving = await heartbeats.list_ids(self._db) | {self._server_id}
        for lease, ids in leases.items():
            holder = outbox.holder_of(lease)
            if holder is not None and holder not in serving:
                freed += await self._db.write(partial(outbox.free, outbox_ids=ids, lease=lease, now=now))
        return freed

    async def bring_forward_stranded(self) -> None:
        """Make rows due that are further ahead than any is put off: the clock was turned back meanwhile."""
        now = self._clock()
        # Back by how much, nobody knows: by the whole time since the epoch, which makes them due now.
        await self._bring_forward(now, after=now + LONGEST_WAIT_MS, step=now)

    async def _follow_clock(self, now: int) -> None:
        """Where the clock was turned back since the last call, let pushes come within their back-off all the same."""
        step = self._last_now - now
        if step > CLOCK_STEP_MS:
            log.warning("the clock was turned back", extra={"seconds": step // 1000})
            await self._bring_forward(now, after=now, step=step)
        self._last_now = now

    async def _bring_forward(self, now: int, *, after: int, step: int) -> None:
        for lane in self._lanes:
            last = after, MAX_ID
            while found := await outbox.list_ahead(self._db, lane=lane.key, after=last, limit=ROWS_PER_UNIT):
                last = found[-1]
                ids = [outbox_id for _, outbox_id in found]
                unit = partial(
                    outbox.bring_forward, outbox_ids=ids, step=step, now=now, lease_until=now + self._lease_ms
                )
                await self._db.write(unit)

    async def _finish_deliveries(self) -> None:
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    async def _claim_due(self) -> int:
        """Claim for every lane that has both room and due rows; the number of rows claimed."""
        now = self._clock()
        await self._follow_clock(now)
        ready = {number: room for number, lane in enumerate(self._lanes) if (room := lane.room(now))}
        if self._due is None or not ready:
            return 0
        due = await outbox.list_due_lanes(self._db, self._due, now=now)
        claims = [self._claim(self._lanes[number], room, now) for number, room in ready.items() if number in due]
        # All together, so that they share a commit; one that fails must not keep the others from sending.
        claimed = await asyncio.gather(*claims, return_exceptions=True)
        for failure in claimed:
            if isinstance(failure, BaseException):
                raise failure
        return sum(count for count in claimed if isinstance(count, int))

    async def _claim(self, lane: Lane, limit: int, now: int) -> int:
        """Lease rows of one lane and start to deliver them; rows that are not to be sent any more end here."""
        lease, until, away = outbox.new_lease(self._server_id), now + self._lease_ms, lane.away(now)
        unit = partial(
            outbox.claim,
            lane=lane.key,
            now=now,
            lease=lease,
            lease_until=until,
            limit=limit,
            under_way=self._under_way,
            away=away,
        )
        rows = await self._db.write(unit)
        if away and not rows:
            self.wake()  # what stands behind those that were put off is due as well
        ages = self._ages()
        ended = {row.outbox_id: verdict for row in rows if (verdict := settlement.end_unsent(row, ages))}
        for batch in lane.batches([row for row in rows if row.outbox_id not in ended]):
            self._start(lane, batch, lease, now)
        if ended:
            await self._settle([*ended.values()], lease=lease, began=now)
        return len(rows)

    def _start(self, lane: Lane, rows: Sequence[Claimed], lease: str, claimed_at: int) -> None:
        """Deliver rows beside everything else. They take the lane's room from now on, until they are settled."""
        ids = {row.outbox_id for row in rows}

        def ended(delivery: asyncio.Task[None]) -> None:
            self._deliveries.discard(delivery)
            self._under_way -= ids
            lane.release(len(rows))
            if lane.room(self._clock()):
                self.wake()

        lane.reserve(len(rows))
        delivery = asyncio.create_task(self._deliver(lane, rows, lease, claimed_at))
        self._under_way |= ids
        self._deliveries.add(delivery)
        delivery.add_done_callback(ended)

    async def _deliver(self, lane: Lane, rows: Sequence[Claimed], lease: str, claimed_at: int) -> None:
        try:
            attempt = await lane.deliver(rows, claimed_at)
            if all(verdict.state is State.DUE for verdict in attempt.verdicts):
                await self._put_back(attempt.verdicts, lease=lease, began=attempt.began)
            else:
                await self._settle(attempt.verdicts, lease=lease, began=attempt.began)
            if attempt.probed and lane.breaker.state is not BreakerState.CLOSED:
                await self._pass_over(lane, rows[0].device_id)
        except Exception as error:  # noqa: BLE001 - the rows are due again when their lease ends
            log.error(
                "a push lane has failed",
                extra={"lane": "/".join(lane.key), "error": type(error).__name__},
            )

    async def _put_back(self, verdicts: Sequence[Verdict], *, lease: str, began: int) -> None:
        """Settle rows that are due again, with those of the same claim that soon follow. Where that fails, they are
        due when their lease ends.
        """
        returning = self._returning.get(lease)
        if returning is not None:
            returning.verdicts += verdicts
            await returning.over.wait()
            return
        returning = self._returning[lease] = _Returning([*verdicts])
        try:
            try:
                await asyncio.sleep(GATHER_SECONDS)
            finally:
                del self._returning[lease]
            await self._settle(returning.verdicts, lease=lease, began=began)
        finally:
            returning.over.set()

    async def _settle(self, verdicts: Sequence[Verdict], *, lease: str, began: int) -> None:
        """Write a batch's verdicts in one transaction; the lease makes it harmless to try again."""
        now = self._clock()
        unit = partial(settlement.write, verdicts=verdicts, lease=lease, began=began, now=now)
        for tries in range(1, SETTLE_TRIES + 1):
            try:
                await self._db.write(unit)
            except DatabaseError:
                if tries == SETTLE_TRIES:
                    raise
                await asyncio.sleep(backoff.delay(tries))
            else:
                settlement.count(verdicts, now)
                return

    async def _pass_over(self, lane: Lane, device_id: int) -> None:
        """Put a person whose push probed in vain behind everybody else, who may fare better at the next probe."""
        now = self._clock()
        until = now + PROBE_MS
        while ids := await outbox_summary.list_of_same_person(
            self._db, lane=lane.key, device_id=device_id, now=now, until=until, limit=ROWS_PER_UNIT
        ):
            await self._db.write(partial(outbox_summary.put_off, outbox_ids=ids, now=now, until=until))


def _count_overdue(rows: Sequence[Overdue], now: int) -> None:
    for row in rows:
        metrics.push_settled(row.provider, row.app, State.DEAD.value, (now - row.created_at) / 1000)


async def _repeat(work: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Do this again and again until cancelled; an error of one round is logged."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the next round tries again
            log.error("the outbox cannot be looked after", extra={"error": type(error).__name__})
        await asyncio.sleep(seconds)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
