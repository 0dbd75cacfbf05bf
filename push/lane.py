# SPDX-License-Identifier: Apache-2.0
"""One provider for one app: how many rows it may take now, and what became of a batch that was given to it.

A batch goes down once and its verdicts come back: built, sent, judged. Nothing is read from or written to the
database here.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from models import fault
from models.db.tables.outbox import Claimed, LaneKey
from push import settlement
from push.base import Provider, Push, Retry
from push.breaker import Breaker, BreakerState
from push.payload import PhoneHashOf, Pictures, push_for
from push.settlement import Answer, Raised, Verdict
from telemetry import metrics

ROWS_IN_FLIGHT = 1000
"""The most rows of all calls at once: what a killed process leaves leased, and may send twice, stays within this."""

LONGEST_PAUSE_SECONDS = 3600.0
"""A provider that asks for longer is asked again once an hour: its limit may have been raised meanwhile."""

AWAY_SECONDS = 5
"""A device is taken for busy no longer without a new try: who was flooded is reached soon after the flood's end."""

CHANGES = {
    BreakerState.OPEN: "a push provider fails and is left alone for a while",
    BreakerState.HALF_OPEN: "a push provider is tried again",
    BreakerState.CLOSED: "a push provider works again",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One verdict for each row of a batch. `began` is when it was tried, in ms; `probed` whether it was a probe."""

    verdicts: list[Verdict]
    began: int
    probed: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when a provider is left alone, in ms, and what it answered last."""

    since: int
    reason: str


class Lane:
    """A provider with its breaker and its pace: `calls_at_once`, and the rest of a claim behind them.

    `lease_ms` is how long the claim of a row holds. `clock` is in milliseconds, `monotonic` in seconds.
    """

    def __init__(
        self,
        key: LaneKey,
        provider: Provider,
        phone_hash_of: PhoneHashOf,
        pictures: Pictures,
        *,
        calls_at_once: int | None,
        claim_limit: int,
        lease_ms: int,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        size = provider.batch_size
        self.key = key
        self.breaker = Breaker()
        self.outage: Outage | None = None
        self._provider = provider
        self._phone_hash_of = phone_hash_of
        self._pictures = pictures
        calls = min(calls_at_once or provider.calls_at_once, max(ROWS_IN_FLIGHT // size, 1))
        self._turn = asyncio.Semaphore(calls)  # so many calls at once, whatever is due
        self._full = calls * size
        self._claim = max(claim_limit // size * size, size)
        self._reserved = 0
        # A delivery must end within its lease: a quarter to wait, half for the call, a quarter to settle.
        self._longest_wait_ms = lease_ms // 4
        self._send_seconds = lease_ms / 2 / 1000
        self._clock = clock
        self._monotonic = monotonic
        # By a clock that nobody can set: what a provider asks for is a length of time.
        self._paused_until = 0.0
        self._away: dict[int, float] = {}
        metrics.push_provider(*key)

    def room(self, now: int) -> int:
        """How many rows may be claimed now: full batches, a single one to probe a provider that was down, or none."""
        if self.paused_seconds or self.breaker.refuses(now):
            return 0
        if self.breaker.state is not BreakerState.CLOSED:
            return 0 if self._reserved else 1
        return self._claim if self._reserved < self._full else 0

    def away(self, now: int) -> dict[int, int]:
        """Devices whose host had no place for their last push, and until when more of theirs would fare no better."""
        here = self._monotonic()
        self._away = {device: until for device, until in self._away.items() if until > here}
        return {device: now + int(1000 * (until - here)) for device, until in self._away.items()}

    def reserve(self, rows: int) -> None:
        """Take room for rows that are to be delivered; `release` gives it back."""
        self._reserved += rows

    def release(self, rows: int) -> None:
        """Give back the room of rows that were delivered, or put back."""
        self._reserved -= rows

    def batches(self, rows: Sequence[Claimed]) -> list[Sequence[Claimed]]:
        """Split rows into batches of the size that one call takes."""
        size = self._provider.batch_size
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    async def deliver(self, rows: Sequence[Claimed], claimed_at: int) -> Attempt:
        """Send a batch when its turn comes. What waited too long, or may not go out now, is put back untried."""
        async with self._turn:
            began = self._clock()
            if began - claimed_at > self._longest_wait_ms:
                return Attempt([settlement.put_back(row, "provider slow", began) for row in rows], began)
            if not self._permits(began):
                return Attempt([settlement.put_back(row, "provider paused", began) for row in rows], began)
            # Read before the call, whose outcome moves the breaker on.
            probing = self.breaker.state is BreakerState.HALF_OPEN
            return Attempt(await self._try(rows, began, probing=probing), began, probing)

    @property
    def paused_seconds(self) -> float:
        """How much longer the provider has asked to be left alone; 0 where it has not."""
        return max(self._paused_until - self._monotonic(), 0.0)

    def _permits(self, now: int) -> bool:
        """Whether a call may go out. A yes under an open breaker makes that call the probe."""
        return not self.paused_seconds and self.breaker.permits(now)

    async def _try(self, rows: Sequence[Claimed], began: int, *, probing: bool) -> list[Verdict]:
        """Send what can be built; every row's verdict, in order."""
        built = [self._build(row, began) for row in rows]
        pushes = [push for push in built if isinstance(push, Push)]
        fault.point("before_push")
        answers = iter(await self._ask(pushes) if pushes else [])
        fault.point("after_push")
        outcomes: list[Answer] = [next(answers) if isinstance(push, Push) else push for push in built]
        self._note_absences(rows, outcomes)
        now = self._clock()
        return [
            settlement.decide(row, outcome, now, probing=probing) for row, outcome in zip(rows, outcomes, strict=True)
        ]

    def _note_absences(self, rows: Sequence[Claimed], outcomes: Sequence[Answer]) -> None:
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, Retry) and not outcome.asked:
                self._away[row.device_id] = self._monotonic() + min(outcome.after or 0.0, AWAY_SECONDS)

    def _build(self, row: Claimed, now: int) -> Push | Raised:
        try:
            return push_for(row, self._phone_hash_of, now, self._pictures)
        except Exception as error:  # noqa: BLE001 - one row's fault must not stop its batch
            log.error("a push cannot be made", extra={"outbox_id": row.outbox_id, "error": type(error).__name__})
            return Raised(type(error).__name__)

    async def _ask(self, pushes: Sequence[Push]) -> list[Answer]:
        """The provider's answers, one for each push, in order, within the time of a call."""
        answers: list[Answer] = []
        began = perf_counter()
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._send(pushes, answers)
        except TimeoutError:
            answers += [Retry("no answer in time")] * (len(pushes) - len(answers))
        asked = [answer for answer in answers if not isinstance(answer, Retry) or answer.asked]
        if asked:
            outcomes = [type(answer).__name__.lower() for answer in asked]
            metrics.push_called(*self.key, outcomes, perf_counter() - began)
            self._heed(asked)
        return answers

    async def _send(self, pushes: Sequence[Push], answers: list[Answer]) -> None:
        """Send pushes and append their answers; one by one where the provider raised for all of them."""
        try:
            outcomes = await self._provider.send(pushes)
        except Exception as error:  # noqa: BLE001 - one row's fault must not stop its batch
            raised = type(error).__name__
        else:
            if len(outcomes) == len(pushes):
                answers += outcomes
                return
            raised = "a wrong number of outcomes"
        log.error("the code of a push provider failed", extra={**self._named, "error": raised})
        if len(pushes) == 1:
            answers.append(Raised(raised))
            return
        for push in pushes:
            await self._send([push], answers)

    def _heed(self, answers: Sequence[Answer]) -> None:
        """Conclude from the answers whether the provider is down, and how long it asks to be left alone."""
        now, before = self._clock(), self.breaker.state
        failed = all(_is_fault(answer) for answer in answers)
        self.breaker.record(failed=failed, now=now)
        if self.breaker.state is BreakerState.CLOSED:
            self.outage = None
        elif failed:
            self.outage = Outage(self.outage.since if self.outage else now, _reason(answers[-1]))
        if self.breaker.state is not before:
            reasons = {"reason": self.outage.reason} if self.outage else {}
            log.warning(CHANGES[self.breaker.state], extra=self._named | reasons)
        seconds = min(max(map(_pause, answers), default=0.0), LONGEST_PAUSE_SECONDS)
        if seconds > 0:
            self._paused_until = max(self._paused_until, self._monotonic() + seconds)
            log.warning("a push provider asks for a pause", extra={**self._named, "seconds": seconds})

    @property
    def _named(self) -> dict[str, str]:
        """The lane as a log line names it."""
        provider, app = self.key
        return {"provider": provider, "app": app}


def _is_fault(answer: Answer) -> bool:
    return isinstance(answer, Raised) or (isinstance(answer, Retry) and answer.provider_fault)


def _reason(answer: Answer) -> str:
    if isinstance(answer, Raised):
        return answer.name
    return answer.reason if isinstance(answer, Retry) else ""


def _pause(answer: Answer) -> float:
    """The seconds that an answer asks for on behalf of the whole provider; 0 where it speaks of its push alone."""
    return (answer.after or 0.0) if isinstance(answer, Retry) and answer.provider_fault else 0.0
