# SPDX-License-Identifier: Apache-2.0
"""The relay: claims due outbox rows, sends each through its device's provider, settles it by the outcome.

Delivery is at least once. A row is never lost: while it is on its way its lease is running, and a row whose
sender died is due again when the lease ends. The row's dedupe id stays the same on every try. Each provider and app is
a lane that claims for itself, and only when it has room: what waits for a slow one waits in the database.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence

from models import fault
from models.clock import MINUTE_MS, now_ms
from models.db.database import Database, DatabaseError, Transaction
from models.db.tables import outbox, outbox_summary
from models.db.tables.outbox import Claimed, LaneKey, State
from models.db.tables.outbox_summary import Overdue
from push import backoff, settlement
from push.base import Provider, Push
from push.breaker import PROBE_MS, BreakerState
from push.lane import Lane
from push.payload import PhoneHashOf, push_for, unsendable
from push.settlement import Answer, Raised, Verdict
from telemetry import metrics

SETTLE_TRIES = 3
LONGEST_FAILURE_SECONDS = 30.0
OVERDUE_SECONDS = 10 * MINUTE_MS / 1000
ROWS_PER_UNIT = 200

log = logging.getLogger(__name__)


class Relay:
    """Everything between the outbox and the providers.

    `providers` goes by a device's provider and app. `phone_hash_of` opens a sender's phone cipher. A lease must
    outlast a call: what waited for a quarter of it is put back, and a call is cut off after two quarters. `clock` is
    in milliseconds.
    """

    def __init__(
        self,
        db: Database,
        providers: Mapping[LaneKey, Provider],
        phone_hash_of: PhoneHashOf,
        *,
        clock: Callable[[], int] = now_ms,
        lease_seconds: float = 60,
        claim_limit: int = 200,
        in_flight: int = 32,
        poll_seconds: float = 1,
    ) -> None:
        self._db = db
        self._phone_hash_of = phone_hash_of
        self._clock = clock
        self._lease_ms = int(1000 * lease_seconds)
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._lanes = [
            Lane(
                key,
                provider,
                in_flight=in_flight,
                claim_limit=claim_limit,
                send_seconds=lease_seconds / 2,
                clock=clock,
                on_room=self.wake,
            )
            for key, provider in providers.items()
        ]
        self._due = outbox.due_lanes([lane.key for lane in self._lanes]) if self._lanes else None

    @property
    def breakers(self) -> dict[LaneKey, BreakerState]:
        """Every breaker's state, by provider and app."""
        return {lane.key: lane.breaker.state for lane in self._lanes}

    def wake(self) -> None:
        """Say that rows were committed, or that a lane has room. Called on the event loop's thread; never waits."""
        self._woken.set()

    async def run(self) -> None:
        """Relay until `stop`. Outlives whatever the database or a provider does."""
        self._running = asyncio.current_task()
        giving_up = asyncio.create_task(self._give_up_regularly())
        try:
            await self._claim_until_stopped()
        finally:
            giving_up.cancel()
        await asyncio.gather(giving_up, return_exceptions=True)
        await self._finish_calls()

    async def _claim_until_stopped(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                started = await self._start_due()
            except Exception as error:  # noqa: BLE001 - a relay that ends loses every push after this one
                failures += 1
                log.error("relay cannot claim", extra={"error": type(error).__name__, "failures": failures})
                await _wait(self._stopping, backoff.delay(failures, longest=LONGEST_FAILURE_SECONDS))
                continue
            failures = 0
            if not started and not self._stopping.is_set():
                await _wait(self._woken, self._poll_seconds)

    async def stop(self, *, within: float = 25) -> None:
        """Claim nothing more and wait for the calls under way; what is left after `within` seconds is cut off.

        Rows that are cut off come back when their lease ends.
        """
        self._stopping.set()
        self._woken.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=within)
        left = self._calls()
        for call in left:
            call.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def run_once(self) -> int:
        """Claim once for each lane, and wait until what was claimed is settled; how many rows were claimed."""
        started = await self._start_due()
        await self._finish_calls()
        return started

    async def give_up_overdue(self) -> int:
        """End what waits past its time because nobody claims it: its provider is down or not configured; how many."""
        ended = 0
        while rows := await outbox_summary.list_overdue(self._db, now=self._clock(), limit=ROWS_PER_UNIT):
            now, ids = self._clock(), [row.outbox_id for row in rows]

            async def unit(tx: Transaction, now: int = now, ids: Sequence[int] = ids) -> int:
                return await outbox_summary.give_up(tx, outbox_ids=ids, now=now)

            ended += await self._db.write(unit)
            _count_overdue(rows, now)
        return ended

    async def _give_up_regularly(self) -> None:
        while True:
            try:
                await self.give_up_overdue()
            except Exception as error:  # noqa: BLE001 - it comes again
                log.error("relay cannot give up", extra={"error": type(error).__name__})
            await asyncio.sleep(OVERDUE_SECONDS)

    def _calls(self) -> list[asyncio.Task[None]]:
        return [call for lane in self._lanes for call in lane.calls]

    async def _finish_calls(self) -> None:
        await asyncio.gather(*self._calls(), return_exceptions=True)

    async def _start_due(self) -> int:
        """Claim for every lane that has both room and rows that are due; how many rows were claimed."""
        now = self._clock()
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
        """Lease rows of one lane and start their calls; what is not to be sent ends at once."""
        lease, until = secrets.token_hex(16), now + self._lease_ms

        async def unit(tx: Transaction) -> list[Claimed]:
            return await outbox.claim(tx, lane=lane.key, now=now, lease=lease, lease_until=until, limit=limit)

        rows = await self._db.write(unit)
        ended = {row.outbox_id: end for row in rows if (end := _end_unsent(row, now))}
        for batch in lane.batches([row for row in rows if row.outbox_id not in ended]):
            lane.start(self._send(lane, batch, lease, now), len(batch))
        if ended:
            await self._write([*ended.values()], lease=lease, began=now)
        return len(rows)

    async def _send(self, lane: Lane, rows: Sequence[Claimed], lease: str, claimed_at: int) -> None:
        probing = False
        try:
            async with lane.turn:
                began = self._clock()
                if began - claimed_at > self._lease_ms // 4:
                    verdicts = [settlement.put_back(row, "provider slow", began) for row in rows]
                elif not lane.permits(began):
                    verdicts = [settlement.put_back(row, "provider paused", began) for row in rows]
                else:
                    probing = lane.probing
                    verdicts = await self._try(lane, rows, began)
            await self._write(verdicts, lease=lease, began=began)
            if probing and lane.breaker.state is not BreakerState.CLOSED:
                await self._pass_over(lane, rows[0].device_id)
        except Exception as error:  # noqa: BLE001 - the rows come back when their lease ends
            log.error("push call failed", extra={"lane": "/".join(lane.key), "error": type(error).__name__})

    async def _try(self, lane: Lane, rows: Sequence[Claimed], began: int) -> list[Verdict]:
        """Send what can be built; every row's verdict, in order."""
        probing = lane.probing
        built = [self._build(row, began) for row in rows]
        pushes = [push for push in built if isinstance(push, Push)]
        fault.point("before_push")
        answers = iter(await lane.ask(pushes) if pushes else [])
        fault.point("after_push")
        outcomes: list[Answer] = [next(answers) if isinstance(push, Push) else push for push in built]
        now = self._clock()
        return [
            settlement.decide(row, outcome, now, probing=probing) for row, outcome in zip(rows, outcomes, strict=True)
        ]

    async def _pass_over(self, lane: Lane, device_id: int) -> None:
        """Put a person whose push has probed in vain behind everybody else, who may fare better at the next probe."""
        now = self._clock()
        until = now + PROBE_MS
        while ids := await outbox_summary.list_of_same_person(
            self._db, lane=lane.key, device_id=device_id, now=now, until=until, limit=ROWS_PER_UNIT
        ):

            async def unit(tx: Transaction, ids: Sequence[int] = ids) -> int:
                return await outbox_summary.put_off(tx, outbox_ids=ids, now=now, until=until)

            await self._db.write(unit)

    def _build(self, row: Claimed, now: int) -> Push | Raised:
        try:
            return push_for(row, self._phone_hash_of, now)
        except Exception as error:  # noqa: BLE001 - one row's fault must not stop its batch
            log.error("push not built", extra={"outbox_id": row.outbox_id, "error": type(error).__name__})
            return Raised(type(error).__name__)

    async def _write(self, verdicts: Sequence[Verdict], *, lease: str, began: int) -> None:
        """Write a batch's verdicts in one transaction; the lease makes trying again harmless."""
        now = self._clock()

        async def settle(tx: Transaction) -> int:
            return await settlement.write(tx, verdicts, lease=lease, began=began, now=now)

        for tries in range(1, SETTLE_TRIES + 1):
            try:
                await self._db.write(settle)
            except DatabaseError:
                if tries == SETTLE_TRIES:
                    raise
                await asyncio.sleep(backoff.delay(tries))
            else:
                settlement.count(verdicts, now)
                return


def _end_unsent(row: Claimed, now: int) -> Verdict | None:
    """The end of a row that is not to be sent any more; None for one that is."""
    reason = unsendable(row, now)
    if reason is not None:
        return settlement.drop(row, reason)
    return settlement.give_up(row) if row.give_up_at <= now else None


def _count_overdue(rows: Sequence[Overdue], now: int) -> None:
    for row in rows:
        metrics.push_settled(row.provider, row.app, State.DEAD.value, (now - row.created_at) / 1000)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
