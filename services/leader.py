# SPDX-License-Identifier: Apache-2.0
"""Leader election: one process of many does a piece of work for all, and another takes over when it dies.

The holder of a lease increments a counter in its row. The others measure, each by its own monotonic clock, how long the
counter has not changed, so the clocks of machines and database need not agree.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial

from models.db.database import Database, DatabaseError
from models.db.tables import leases

RENEWALS = 5
"""Renewals in the lifetime of a lease: four in a row may fail before it is lost."""

LEASE_SECONDS = 10.0
"""A holder that has not renewed for so long has lost its lease: longer than a pause of its process or a slow commit,
short enough that nobody misses its work."""

DEAD_SECONDS = 30.0
"""A server without a heartbeat for so long is taken for dead: longer than any pause of a living one."""

NEVER = -math.inf
"""Before every moment of a monotonic clock, whose zero means nothing."""

log = logging.getLogger("glimpse.leases")


class FailureDetector:
    """Decides who has died: those whose mark has not changed for `seconds`. `monotonic` gives seconds.

    The time between two calls counts for a third of `seconds` at most: if the database was away, it was away for
    everybody, and the living need time to renew their mark.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._looked_at = 0.0
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def of(self, marks: Mapping[str, Hashable]) -> set[str]:
        """The names whose mark has not changed for `seconds`. `marks` holds the current mark of every name."""
        now = self._monotonic()
        passed, self._looked_at = min(now - self._looked_at, self._seconds / 3), now
        before, self._seen = self._seen, {}
        for name, mark in marks.items():
            last, silent_for = before.get(name, (None, 0.0))
            self._seen[name] = (mark, silent_for + passed if last == mark else 0.0)
        return {name for name, (_, silent_for) in self._seen.items() if silent_for >= self._seconds}


class Lease:
    """One process's claim to a lease, lost after `seconds` without a `renew`. `monotonic` gives seconds.

    When a process was suspended in the middle of its work, two may briefly believe that they hold the lease: work done
    under it must tolerate that.
    """

    def __init__(
        self, db: Database, name: str, *, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._db = db
        self._name = name
        self._seconds = seconds
        self._monotonic = monotonic
        self._failures = FailureDetector(seconds, monotonic)
        self._holder = ""
        self._until = NEVER

    @property
    def held(self) -> bool:
        """Whether this process holds the lease, and no other can hold it now."""
        return self._monotonic() < self._until

    async def renew(self) -> bool:
        """Renew the lease, or take it if it is free or its holder has died; call this several times in `seconds`.

        Returns whether it is held. Raises DatabaseError; the lease is then held until the end of its current time.
        """
        began = self._monotonic()
        if await self._keep() or await self._take():
            self._until = began + self._seconds
        else:
            self._until = NEVER
        return self.held

    async def run(self, taken: Callable[[], None]) -> None:
        """Renew the lease, or wait for it, until cancelled; `taken` is called each time it is acquired."""
        while True:
            before = self.held
            try:
                await self.renew()
            except DatabaseError as error:
                log.warning(
                    "it cannot be told which process has a task",
                    extra={"lease": self._name, "error": type(error).__name__},
                )
            if self.held and not before:
                log.info("this process has taken over a task that one process does", extra={"lease": self._name})
                taken()
            await asyncio.sleep(self._seconds / RENEWALS)

    async def release(self) -> None:
        """Give the lease up at once. Raises DatabaseError; the others then wait until it has run out."""
        self._until = NEVER
        if self._holder:
            await self._db.write(partial(leases.release, name=self._name, holder=self._holder))

    async def _keep(self) -> bool:
        return bool(self._holder) and await self._db.write(partial(leases.renew, name=self._name, holder=self._holder))

    async def _take(self) -> bool:
        found = await leases.find(self._db, name=self._name)
        is_silent = bool(self._failures.of({} if found is None else {self._name: found}))
        if found is not None and not is_silent:
            self._holder = ""
            return False
        # Remembered before it is written: if the answer is lost, the next call finds out.
        self._holder = secrets.token_hex(16)
        if found is None:
            return await self._db.write(partial(leases.take, name=self._name, holder=self._holder))
        return await self._db.write(partial(leases.take_over, name=self._name, holder=self._holder, seen=found))
