# SPDX-License-Identifier: Apache-2.0
"""How a serving process ends: whether another goes on in its place, and how long what runs may still take."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

LEAVE_SECONDS = 900.0
"""While another generation serves nobody waits for this one's end: the longest upload may come to its own."""


class Ending:
    """`beside`: another generation of this server works on the same data now.

    `on_leaving` gives up, once another serves, what only one process needs to do.
    """

    def __init__(self, drain_seconds: float) -> None:
        self.beside = False
        self.leaves = False
        self.on_leaving: list[Callable[[], Awaitable[None]]] = []
        self._drain_seconds = drain_seconds
        self._wanted = asyncio.Event()
        self._stopped = asyncio.Event()
        self._until: float | None = None

    def stop(self) -> None:
        """End: what runs may take `drain_seconds` from now."""
        until = monotonic() + self._drain_seconds
        self._until = until if self._until is None else min(self._until, until)
        self._wanted.set()
        self._stopped.set()

    def leave(self) -> None:
        """End, as another generation serves."""
        if self._until is None:
            self._until = monotonic() + LEAVE_SECONDS
            self.leaves = self.beside = True
            self._wanted.set()

    async def wanted(self) -> None:
        """Return when this process is to end."""
        await self._wanted.wait()

    async def over(self) -> None:
        """Return when `stop` was called, or the time to leave in has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.left()):
                await self._stopped.wait()

    def left(self) -> float:
        """Seconds that the end may still take."""
        return self._drain_seconds if self._until is None else max(0.0, self._until - monotonic())
