# SPDX-License-Identifier: Apache-2.0
"""What waits, for the asynchronous client."""

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import Lock, to_thread

__all__ = ["Lock", "on_disk", "sleep"]

T = TypeVar("T")


async def sleep(seconds: float) -> None:
    await anyio.sleep(seconds)


async def on_disk(work: Callable[[], T]) -> T:
    """Run what waits for the disk where it does not hold up the event loop."""
    return await to_thread.run_sync(work)
