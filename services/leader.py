# SPDX-License-Identifier: Apache-2.0
"""One process of many does a piece of work for all, and another takes over when it is gone.

Whoever holds a lease counts up in its row; whoever waits for it looks on, by a clock of their own that never jumps. So
neither the clocks of machines nor the database's have to agree.
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

HOLDS = 5
"""How often a lease is held anew in its time."""

LEASE_SECONDS = 10.0
"""A holder that has not renewed for so long has lost its lease: longer than a pause of its process or a slow commit,
short enough that nobody misses its work."""

DEAD_SECONDS = 30.0
"""A server that has not shown for so long that it lives does not count any more."""

NEVER = -math.inf
"""Before every moment of a monotonic clock, whose zero means nothing."""

log = logging.getLogger("glimpse.leases")


class FailureDetector:
    """How long each of some things has looked the same. `monotonic` gives seconds.

    A pause between two looks counts for a third of `seconds` at most: the database may have been away for everybody,
    and who lives must have a moment to say so.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._looked_at = 0.0
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def of(self, marks: Mapping[str, Hashable]) -> set[str]:
        """Those of them that have looked the same for that long, told how all of them look at this moment."""
        now = self._monotonic()
        passed, self._looked_at = min(now - self._looked_at, self._seconds / 3), now
        before, self._seen = self._seen, {}
        for name, mark in marks.items():
            last, silent_for = before.get(name, (None, 0.0))
            self._seen[name] = (mark, silent_for + passed if last == mark else 0.0)
        return {name for name, (_, silent_for) in self._seen.items() if silent_for >= self._seconds}


class Lease:
    """A process's share in one lease. It is lost after `seconds` without a `renew`; `monotonic` gives seconds.

    Two processes may both believe that they hold it for a moment, when one was stopped in the middle of its work: what
    is done under it must bear that.
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
        """Whether nobody else can have it at this moment."""
        return self._monotonic() < self._until

    async def renew(self) -> bool:
        """Keep the lease, or take it if it is free or its holder has died: to be called several times in `seconds`.

        Whether it is held. Raises DatabaseError: then it is held as long as it was to be.
        """
        began = self._monotonic()
        if await self._keep() or await self._take():
            self._until = began + self._seconds
        else:
            self._until = NEVER
        return self.held

    async def run(self, taken: Callable[[], None]) -> None:
        """Keep it, or wait for it, until cancelled; `taken` is told each time that it has become held."""
        while True:
            before = self.held
            try:
                await self.renew()
            except DatabaseError as error:
                log.warning(
                    "a lease could not be asked for", extra={"lease": self._name, "error": type(error).__name__}
                )
            if self.held and not before:
                log.info("a lease is taken", extra={"lease": self._name})
                taken()
            await asyncio.sleep(self._seconds / HOLDS)

    async def release(self) -> None:
        """Let another have it at once. Raises DatabaseError: then they wait for its end."""
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
        # Known from before it is written: should the answer be lost, the next call finds out.
        self._holder = secrets.token_hex(16)
        if found is None:
            return await self._db.write(partial(leases.take, name=self._name, holder=self._holder))
        return await self._db.write(partial(leases.take_over, name=self._name, holder=self._holder, seen=found))
