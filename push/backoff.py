# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next try."""

import random

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
"""A push that failed a dozen times still goes out within an hour of its provider's recovery."""

LONGEST_ASKED_SECONDS = 86_400.0
"""The longest wait that is honoured: vendors' quotas are per day."""

LONGEST_PAUSE_SECONDS = 300.0


def delay(tries: int, *, after: float | None = None, longest: float = LONGEST_SECONDS) -> float:
    """Seconds to wait after this many tries (1 or more).

    Doubles from 1 s to `longest` with full jitter, so that pushes that failed together do not come back together.
    `after`, what the other side asked for, is added, up to a day.
    """
    ceiling = min(longest, FIRST_SECONDS * 2 ** min(tries - 1, 32))
    asked = min(max(after or 0.0, 0.0), LONGEST_ASKED_SECONDS)
    return asked + random.uniform(0, ceiling)  # noqa: S311 - jitter is no secret


def pause(after: float, *, waited: float) -> float:
    """Seconds until the next look at a push whose host is down and not to be asked for `after` seconds.

    The longer it has `waited`, the longer the interval, up to 5 min more: its wait must not outlast the outage.
    """
    longest = min(max(waited, 0.0) / 4, LONGEST_PAUSE_SECONDS)
    return after + random.uniform(0, longest)  # noqa: S311 - jitter is no secret
