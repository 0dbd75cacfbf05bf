# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next try."""

import random

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
LONGEST_ASKED_SECONDS = 86_400.0
LONGEST_PAUSE_SECONDS = 300.0


def delay(tries: int, *, after: float | None = None, longest: float = LONGEST_SECONDS) -> float:
    """Seconds to wait after this many tries (1 or more).

    Doubling from 1 s to `longest` with full jitter, so that those who failed together do not come back together.
    `after` is what the other side asked for: it is added, up to a day.
    """
    ceiling = min(longest, FIRST_SECONDS * 2 ** min(tries - 1, 32))
    asked = min(max(after or 0.0, 0.0), LONGEST_ASKED_SECONDS)
    return asked + random.uniform(0, ceiling)  # noqa: S311 - jitter is no secret


def pause(after: float, *, waited: float) -> float:
    """Seconds until a push whose host is down, and left alone for `after`, comes again.

    The longer it has `waited`, the more seldom it asks, and at most 5 min later: its wait must not outlast the outage.
    """
    longest = min(max(waited, 0.0) / 4, LONGEST_PAUSE_SECONDS)
    return after + random.uniform(0, longest)  # noqa: S311 - jitter is no secret
