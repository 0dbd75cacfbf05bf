# SPDX-License-Identifier: Apache-2.0
"""Milliseconds, the unit of every stored time, and the wall clock in them. Rules and table functions are told `now`."""

import time

MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
