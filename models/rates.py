# SPDX-License-Identifier: Apache-2.0
"""Every class of requests that has a rate of its own, and how a rate is written.

One row says for whom a class is counted and where. Configuration keys and counters derive from it; how much is allowed,
and of what, stands in config.yaml.
"""

import re
from dataclasses import dataclass

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
RATE = re.compile(r"([1-9][0-9]{0,11})/(?:([1-9][0-9]{0,3}) ?)?(second|minute|hour|day)s?")


@dataclass(frozen=True, slots=True)
class RateClass:
    """Counted per each of `scopes`: "address", "account", "phone", "device".

    `in_database`: for all processes and over restarts, so that nobody is let in where the database is away. It is for
    what guards accounts and money, and for what is rare and expensive. Others are counted in each process.
    """

    name: str
    scopes: tuple[str, ...]
    in_database: bool = False


CLASSES = (
    RateClass("default", ("address", "account")),
    RateClass("register", ("address", "phone"), in_database=True),
    RateClass("code", ("address",), in_database=True),
    RateClass("login", ("address",), in_database=True),
    RateClass("login_failure", ("address", "account"), in_database=True),
    RateClass("password", ("account",), in_database=True),
    RateClass("export", ("account",), in_database=True),
    RateClass("test_number", ("phone",), in_database=True),
    RateClass("test_push", ("account", "device"), in_database=True),
    RateClass("thumbnail", ("address", "device")),
    RateClass("send", ("account",)),
    RateClass("message", ("account",)),
    RateClass("delivery", ("account",)),
    RateClass("text_bytes", ("account",)),
    RateClass("image_bytes", ("account",)),
    RateClass("chat_token", ("account",)),
    RateClass("device", ("account",)),
    RateClass("befriend", ("account",)),
    RateClass("group", ("account",)),
    RateClass("report", ("account",)),
    RateClass("qr_code", ("account",)),
)


def names(scope: str) -> list[str]:
    """The classes that are counted per address, account, phone or device."""
    return [each.name for each in CLASSES if scope in each.scopes]


def parse(rate: str) -> tuple[int, int]:
    """The amount and the window in seconds of "600/minute", "5/10 minutes" or "100/days".

    Raises ValueError for an invalid rate.
    """
    found = RATE.fullmatch(rate)
    if not found:
        raise ValueError("must be a number per period, like 20/minute, 5/10 minutes or 100/day")
    amount, count, period = found.groups()
    return int(amount), int(count or 1) * SECONDS[period]
