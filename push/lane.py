# SPDX-License-Identifier: Apache-2.0
"""One provider's way out: which rows may go now, how many calls are under way, and the asking itself.

Nothing is read from or written to the database here.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

from models.db.outbox import Claimed
from push import backoff
from push.base import Provider, Push, Retry
from push.breaker import Breaker
from push.verdict import Answer, Raised, Verdict, put_back
from telemetry import metrics

LONGEST_BUSY_SECONDS = 60.0
LONGEST_PAUSE_MS = 300_000

log = logging.getLogger(__name__)


class Lane:
    """A provider, its breaker, and its calls: `in_flight` under way at once, and up to `waiting` behind them.

    `clock` is in milliseconds.
    """

    def __init__(
        self, provider: Provider, *, in_flight: int, waiting: int, send_seconds: float, clock: Callable[[], int]
    ) -> None:
        self.provider = provider
        self.breaker = Breaker()
        self.calls: set[asyncio.Task[None]] = set()
        self.turn = asyncio.Semaphore(in_flight)
        self.room = asyncio.Event()
        self.room.set()
        self._in_flight = in_flight
        self._waiting = waiting
        self._send_seconds = send_seconds
        self._clock = clock
        self._times_busy = 0
        metrics.push_provider(provider.name)

    def start(self, call: Coroutine[Any, Any, None]) -> None:
        """Let a call run beside the others; it waits for its `turn` itself."""
        task = asyncio.create_task(call)
        self.calls.add(task)
        task.add_done_callback(self._ended)
        if len(self.calls) >= self._in_flight:
            self.room.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.calls.discard(task)
        if len(self.calls) < self._in_flight:
            self.room.set()

    def admit(self, rows: Sequence[Claimed]) -> tuple[list[Sequence[Claimed]], list[Verdict]]:
        """The batches that may be started now, and the rest, put back without costing an attempt."""
        if self.breaker.refuses(self._clock()):
            return [], self.pause(rows)
        size = self.provider.batch_size
        free = max(self._in_flight + self._waiting - len(self.calls), 0) * size
        batches = [rows[first : min(first + size, free)] for first in range(0, min(len(rows), free), size)]
        self._times_busy = self._times_busy + 1 if len(rows) > free else 0
        return batches, [self._put_back_busy(row) for row in rows[free:]]

    def pause(self, rows: Sequence[Claimed]) -> list[Verdict]:
        """Put rows back that met the open breaker, spread over as long as the provider has been away."""
        now = self._clock()
        spread = min(self.breaker.open_for(now), LONGEST_PAUSE_MS)
        probe_at = now + self.breaker.probe_in(now)
        return [put_back(row, "provider paused", probe_at + int(random.uniform(0, spread))) for row in rows]  # noqa: S311 - jitter is no secret

    def _put_back_busy(self, row: Claimed) -> Verdict:
        wait = backoff.delay(self._times_busy, longest=LONGEST_BUSY_SECONDS)
        return put_back(row, "provider busy", self._clock() + int(1000 * wait))

    async def ask(self, pushes: Sequence[Push]) -> list[Answer]:
        """What the provider says, one answer each, in order, within the time of a call."""
        answers: list[Answer] = []
        began = perf_counter()
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._ask(pushes, answers)
        except TimeoutError:
            answers += [Retry("no answer in time")] * (len(pushes) - len(answers))
        outcomes = [type(answer).__name__.lower() for answer in answers]
        metrics.push_called(self.provider.name, outcomes, perf_counter() - began)
        before = self.breaker.state
        self.breaker.record(failed=all(_is_fault(answer) for answer in answers), now=self._clock())
        if self.breaker.state is not before:
            log.warning("push breaker", extra={"provider": self.provider.name, "state": self.breaker.state.value})
        return answers

    async def _ask(self, pushes: Sequence[Push], answers: list[Answer]) -> None:
        try:
            outcomes = await self.provider.send(pushes)
        except Exception as error:  # noqa: BLE001 - one row's fault must not stop its batch
            raised = type(error).__name__
        else:
            if len(outcomes) == len(pushes):
                answers += outcomes
                return
            raised = "a wrong number of outcomes"
        log.error("push provider raised", extra={"provider": self.provider.name, "error": raised})
        if len(pushes) == 1:
            answers.append(Raised(raised))
            return
        for push in pushes:
            await self._ask([push], answers)


def _is_fault(answer: Answer) -> bool:
    return isinstance(answer, Raised) or (isinstance(answer, Retry) and answer.provider_fault)
