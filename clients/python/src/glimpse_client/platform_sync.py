# SPDX-License-Identifier: Apache-2.0
"""What waits, for the synchronous client."""

import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

__all__ = ["Lock", "on_disk", "sleep"]

T = TypeVar("T")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def on_disk(work: Callable[[], T]) -> T:
    """Run what waits for the disk."""
    return work()
