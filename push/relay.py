# SPDX-License-Identifier: Apache-2.0
"""The relay: claims due outbox rows, sends each through its device's provider, settles it by the outcome.

Delivery is at least once. A row is never lost: while it is on its way its lease is running, and a row whose
sender died is due again when the lease ends. The row's dedupe id stays the same on every try.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from models import fault
from models.clock import now_ms
from models.db import outbox
from models.db.database import Database, DatabaseError, Transaction
from models.db.outbox import Claimed
from push import backoff, verdict
from push.base import Provider, Push
from push.breaker import BreakerState
from push.lane import Lane
from push.payload import PhoneHashOf, push_for, unsendable
from push.verdict import Answer, Raised, Verdict

UNKNOWN_PROVIDER_MS = 60_000
ROOM_SECONDS = 0.25
SETTLE_TRIES = 3
LONGEST_FAILURE_SECONDS = 30.0

log = logging.getLogger(__name__)


class Relay:
    """Everything between the outbox and the providers.

    `providers` goes by a device's provider name. `phone_hash_of` opens a sender's phone cipher. A lease must
    outlast a call: what waited for a quarter of it is put back, and a call is cut off after two quarters. `clock` is
    in milliseconds.
    """

    def __init__(
        self,
        db: Database,
        providers: Mapping[str, Provider],
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
        self._claim_limit = claim_limit
        self._poll_seconds = poll_seconds
        self._lanes = {
            name: Lane(provider, in_flight=in_flight, waiting=claim_limit, send_seconds=lease_seconds / 2, clock=clock)
            for name, provider in providers.items()
        }
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def breakers(self) -> dict[str, BreakerState]:
        """Every provider's breaker state, by name."""
        return {name: lane.breaker.state for name, lane in self._lanes.items()}

    def wake(self) -> None:
        """Say that rows were committed. Called on the event loop's thread; never waits."""
        self._woken.set()

    async def run(self) -> None:
        """Relay until `stop`. Outlives whatever the database or a provider does."""
        self._running = asyncio.current_task()
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
            if started:
                await self._make_room()
            elif not self._stopping.is_set():
                await _wait(self._woken, self._poll_seconds)
        await self._finish_calls()

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
        """Claim once, and wait until what was claimed is settled; how many rows were claimed."""
        started = await self._start_due()
        await self._finish_calls()
        return started

    def _calls(self) -> list[asyncio.Task[None]]:
        return [call for lane in self._lanes.values() for call in lane.calls]

    async def _finish_calls(self) -> None:
        await asyncio.gather(*self._calls(), return_exceptions=True)

    async def _make_room(self) -> None:
        """Wait for every lane to have room, but no longer than the others can spare for a slow one."""
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                for lane in self._lanes.values():
                    await lane.room.wait()
        except TimeoutError:
            pass

    async def _start_due(self) -> int:
        now = self._clock()
        due_at = await outbox.next_due(self._db)
        if due_at is None or due_at > now:
            return 0
        lease, lease_until = secrets.token_hex(16), now + self._lease_ms

        async def claim(tx: Transaction) -> list[Claimed]:
            return await outbox.claim(tx, now=now, lease=lease, lease_until=lease_until, limit=self._claim_limit)

        rows = await self._db.write(claim)
        refused = self._start(rows, lease, now)
        if refused:
            await self._write(refused, lease=lease, began=now)
        return len(rows)

    def _start(self, rows: Sequence[Claimed], lease: str, now: int) -> list[Verdict]:
        """Start the calls of a claim; what is not sent now comes back as verdicts."""
        refused: list[Verdict] = []
        sendable: dict[str, list[Claimed]] = defaultdict(list)
        for row in rows:
            reason = unsendable(row, now)
            if reason is not None:
                refused.append(verdict.drop(row, reason))
            elif row.give_up_at <= now:
                refused.append(verdict.give_up(row))
            elif row.provider not in self._lanes:
                refused.append(verdict.put_back(row, "provider not configured", now + UNKNOWN_PROVIDER_MS))
            else:
                sendable[row.provider].append(row)
        for name, own in sendable.items():
            lane = self._lanes[name]
            batches, put_back = lane.admit(own)
            refused += put_back
            for batch in batches:
                lane.start(self._send(lane, batch, lease, now))
        return refused

    async def _send(self, lane: Lane, rows: Sequence[Claimed], lease: str, claimed_at: int) -> None:
        try:
            async with lane.turn:
                began = self._clock()
                if began - claimed_at > self._lease_ms // 4:
                    verdicts = [verdict.put_back(row, "provider slow", began) for row in rows]
                elif not lane.breaker.permits(began):
                    verdicts = lane.pause(rows)
                else:
                    verdicts = await self._try(lane, rows, began)
            await self._write(verdicts, lease=lease, began=began)
        except Exception as error:  # noqa: BLE001 - the rows come back when their lease ends
            log.error("push call failed", extra={"provider": lane.provider.name, "error": type(error).__name__})

    async def _try(self, lane: Lane, rows: Sequence[Claimed], began: int) -> list[Verdict]:
        """Send what can be built; every row's verdict, in order."""
        built = [self._build(row, began) for row in rows]
        pushes = [push for push in built if isinstance(push, Push)]
        fault.point("before_push")
        answers = iter(await lane.ask(pushes) if pushes else [])
        fault.point("after_push")
        outcomes: list[Answer] = [next(answers) if isinstance(push, Push) else push for push in built]
        now = self._clock()
        return [verdict.judge(row, outcome, now) for row, outcome in zip(rows, outcomes, strict=True)]

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
            return await verdict.write(tx, verdicts, lease=lease, began=began, now=now)

        for tries in range(1, SETTLE_TRIES + 1):
            try:
                await self._db.write(settle)
            except DatabaseError:
                if tries == SETTLE_TRIES:
                    raise
                await asyncio.sleep(backoff.delay(tries))
            else:
                verdict.count(verdicts, now)
                return


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
