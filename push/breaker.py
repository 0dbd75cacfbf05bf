# SPDX-License-Identifier: Apache-2.0
"""A circuit breaker: stops calls to a provider that is down, and probes now and then whether it is back."""

from collections import deque
from enum import StrEnum

WINDOW_CALLS = 20
"""Enough calls that one person's bad luck is not half of them."""

CONSECUTIVE_FAULTS = 5
"""A provider that is down shows long before the window is full: five failures in a row are no coincidence."""

PROBE_MS = 30_000
"""Between two probes: rare enough not to hinder a recovery, and the longest that pushes wait after one."""


class BreakerState(StrEnum):
    """`OPEN` allows no call; `HALF_OPEN` has one probe under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens when half of the last 20 calls failed, or 5 in a row; then one probe per 30 s. Times are in ms."""

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self._failed: deque[bool] = deque(maxlen=WINDOW_CALLS)
        self._in_a_row = 0
        self._probe_at = 0

    def refuses(self, now: int) -> bool:
        """Whether a call now would be refused."""
        # A probe further ahead than one interval was set before the clock was turned back.
        return self.state is not BreakerState.CLOSED and 0 < self._probe_at - now <= PROBE_MS

    def permits(self, now: int) -> bool:
        """Whether a call may go out. A yes while open makes that call the probe."""
        if self.refuses(now):
            return False
        if self.state is BreakerState.CLOSED:
            return True
        self.state = BreakerState.HALF_OPEN
        self._probe_at = now + PROBE_MS
        return True

    def record(self, *, failed: bool, now: int) -> None:
        """Record a call's result. While the breaker is not closed, only the probe's result counts."""
        if self.state is BreakerState.OPEN:
            return
        if self.state is BreakerState.HALF_OPEN:
            self._answer_probe(failed=failed, now=now)
            return
        self._failed.append(failed)
        self._in_a_row = self._in_a_row + 1 if failed else 0
        half = len(self._failed) == WINDOW_CALLS and 2 * sum(self._failed) >= WINDOW_CALLS
        if half or self._in_a_row >= CONSECUTIVE_FAULTS:
            self.state, self._probe_at = BreakerState.OPEN, now + PROBE_MS

    def probe_in(self, now: int) -> int:
        """Milliseconds until the next probe may go."""
        return max(self._probe_at - now, 0)

    def _answer_probe(self, *, failed: bool, now: int) -> None:
        if failed:
            self.state, self._probe_at = BreakerState.OPEN, now + PROBE_MS
            return
        self.state = BreakerState.CLOSED
        self._failed.clear()
        self._in_a_row = 0
