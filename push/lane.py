# SPDX-License-Identifier: Apache-2.0
"""One provider's way out for one app: how many rows it may take now, which calls are under way, and the asking itself.

Nothing is read from or written to the database here.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

from models.db.tables.outbox import Claimed, LaneKey
from push.base import Provider, Push, Retry
from push.breaker import Breaker, BreakerState
from push.settlement import Answer, Raised
from telemetry import metrics

ROWS_IN_FLIGHT = 1000
# Whoever asks for longer is asked again once an hour, should the limit have been raised meanwhile.
LONGEST_PAUSE_SECONDS = 3600.0

log = logging.getLogger(__name__)


class Lane:
    """A provider, its breaker, its pace, and its calls: `in_flight` under way at once, and a claim's rows behind them.

    `clock` is in milliseconds. `on_room` is called when a call has ended and another claim would find room.
    """

    def __init__(
        self,
        key: LaneKey,
        provider: Provider,
        *,
        in_flight: int,
        claim_limit: int,
        send_seconds: float,
        clock: Callable[[], int],
        on_room: Callable[[], None],
    ) -> None:
        size = provider.batch_size
        self.key = key
        self.provider = provider
        self.breaker = Breaker()
        self.calls: dict[asyncio.Task[None], int] = {}
        in_flight = min(in_flight, max(ROWS_IN_FLIGHT // size, 1))
        self.turn = asyncio.Semaphore(in_flight)
        self._full = in_flight * size
        self._claim = max(claim_limit // size * size, size)
        self._send_seconds = send_seconds
        self._clock = clock
        self._on_room = on_room
        self._paused_until = 0
        metrics.push_provider(*key)

    def room(self, now: int) -> int:
        """How many rows may be claimed now: full batches, a single one to probe a provider that was down, or none."""
        if self._is_paused(now) or self.breaker.refuses(now):
            return 0
        if self.breaker.state is not BreakerState.CLOSED:
            return 0 if self.calls else 1
        return self._claim if sum(self.calls.values()) < self._full else 0

    def permits(self, now: int) -> bool:
        """Whether a call may go out. A yes under an open breaker makes that call the probe."""
        return not self._is_paused(now) and self.breaker.permits(now)

    def _is_paused(self, now: int) -> bool:
        # Further ahead than that, the clock was set back.
        return 0 < self._paused_until - now <= LONGEST_PAUSE_SECONDS * 1000

    @property
    def probing(self) -> bool:
        """Whether the call under way is the one that asks whether the provider is back."""
        return self.breaker.state is BreakerState.HALF_OPEN

    def batches(self, rows: Sequence[Claimed]) -> list[Sequence[Claimed]]:
        """The rows as calls take them."""
        size = self.provider.batch_size
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    def start(self, call: Coroutine[Any, Any, None], rows: int) -> None:
        """Let a call run beside the others; it waits for its `turn` itself."""
        task = asyncio.create_task(call)
        self.calls[task] = rows
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self.calls[task]
        if self.room(self._clock()):
            self._on_room()

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
        metrics.push_called(*self.key, outcomes, perf_counter() - began)
        self._heed(answers)
        return answers

    def _heed(self, answers: Sequence[Answer]) -> None:
        """Draw what the answers say of the provider as a whole: is it down, and how long does it want to be left?"""
        now, before = self._clock(), self.breaker.state
        self.breaker.record(failed=all(_is_fault(answer) for answer in answers), now=now)
        if self.breaker.state is not before:
            log.warning("push breaker", extra={**self._named, "state": self.breaker.state.value})
        seconds = min(max(map(_pause, answers), default=0.0), LONGEST_PAUSE_SECONDS)
        if seconds > 0:
            until = now + int(1000 * seconds)
            self._paused_until = max(self._paused_until, until) if self._is_paused(now) else until
            log.warning("push provider asks to wait", extra={**self._named, "seconds": seconds})

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
        log.error("push provider raised", extra={**self._named, "error": raised})
        if len(pushes) == 1:
            answers.append(Raised(raised))
            return
        for push in pushes:
            await self._ask([push], answers)

    @property
    def _named(self) -> dict[str, str]:
        """The lane as a log line names it."""
        provider, app = self.key
        return {"provider": provider, "app": app}


def _is_fault(answer: Answer) -> bool:
    return isinstance(answer, Raised) or (isinstance(answer, Retry) and answer.provider_fault)


def _pause(answer: Answer) -> float:
    """How long an answer asks us to leave the provider alone; what speaks of its own push alone asks for nothing."""
    return (answer.after or 0.0) if isinstance(answer, Retry) and answer.provider_fault else 0.0
