# SPDX-License-Identifier: Apache-2.0
"""How a rate is written. config.yaml alone says which classes of requests have one, and for whom it is counted."""

import re

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
RATE = re.compile(r"([1-9][0-9]{0,11})/(?:([1-9][0-9]{0,3}) ?)?(second|minute|hour|day)s?")


def parse(rate: str) -> tuple[int, int]:
    """The amount and the window in seconds of "600/minute", "5/10 minutes" or "100/days".

    Raises ValueError for an invalid rate.
    """
    found = RATE.fullmatch(rate)
    if not found:
        raise ValueError("must be a number per period, like 20/minute, 5/10 minutes or 100/day")
    amount, count, period = found.groups()
    return int(amount), int(count or 1) * SECONDS[period]
