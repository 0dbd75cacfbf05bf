# SPDX-License-Identifier: Apache-2.0
"""Compares the wall clock with when it was last seen to be right, across restarts, and says when it jumps."""

import asyncio
import logging
from functools import partial

from models.clock import BELIEVED_MS, MINUTE_MS, Sighting, SteadyClock
from models.db.database import Database, DatabaseError
from models.db.tables import clock_sightings

LOOK_SECONDS = 1.0
"""Within so long an operator's word, or another machine's, reaches a server."""
RECORD_MS = MINUTE_MS // 2
"""A start after a kill takes no more than so long for a jump."""

log = logging.getLogger("glimpse.clock")


class ClockWatch:
    """Keeps one process's clock and the database's last sighting together."""

    def __init__(self, db: Database, clock: SteadyClock) -> None:
        self._db = db
        self._clock = clock
        self._seen: Sighting | None = None
        self._said = 0

    async def begin(self) -> None:
        """Measure the clock by the last sighting, before anything ends by it. Raises DatabaseError."""
        self._seen = await clock_sightings.find(self._db)
        if self._seen is not None:
            self._clock.begin(self._seen)
        await self.look()

    async def run(self) -> None:
        """Look until cancelled. What the database does not answer now it is asked again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except DatabaseError as error:
                log.warning("the clock's last sighting cannot be read", extra={"error": type(error).__name__})

    async def look(self) -> None:
        """Hear of a newer sighting while the clock is off, record one while it is right. Raises DatabaseError."""
        found = await clock_sightings.find(self._db)
        if found is not None and found != self._seen and self._clock.jump:
            self._clock.go_by(found)
        self._seen = found
        jump = self._clock.jump
        if not jump:
            await self._record(found)
        self._say(jump)

    async def _record(self, last: Sighting | None) -> None:
        right = self._clock.sighting()
        if last is None or last.boot != right.boot or abs(right.wall - last.wall) >= RECORD_MS:
            await self._db.write(partial(clock_sightings.record, sighting=right))
            self._seen = right

    def _say(self, jump: int) -> None:
        """A line when it jumps, and one when that is over."""
        if jump and abs(jump - self._said) > MINUTE_MS:
            # A machine that was off for a while looks the same: that is no fault.
            level = logging.WARNING if self._clock.was_away and 0 < jump <= BELIEVED_MS else logging.ERROR
            log.log(level, "the clock has jumped: what ends by its age waits", extra={"seconds": jump // 1000})
        elif self._said and not jump:
            log.info("the clock is believed again")
        self._said = jump
