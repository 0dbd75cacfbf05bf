# SPDX-License-Identifier: Apache-2.0
"""Metrics that are looked up when they are scraped. Counters are incremented where things happen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.db.database import Database, DatabaseError
from models.db.tables import gauges
from storage.base import BlobStore
from telemetry import metrics


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Gauges:
    """Asks the storage, the relay and the database.

    `breakers` gives each one's state by provider and app, `pauses` the seconds that each provider has asked for.
    """

    db: Database
    store: BlobStore
    breakers: Callable[[], Mapping[tuple[str, str], str]]
    pauses: Callable[[], Mapping[tuple[str, str], float]]
    clock: Callable[[], int]

    async def measure(self) -> None:
        """Bring the gauges up to date. Raises nothing: a part that does not answer is shown as such."""
        metrics.STORAGE_HEALTHY.set(self.store.healthy)
        metrics.STORED_BYTES.set(self.store.stored_bytes)
        for (provider, app), state in self.breakers().items():
            metrics.push_breaker(provider, app, state)
        for (provider, app), seconds in self.pauses().items():
            metrics.push_paused(provider, app, seconds)
        try:
            await self._ask_database()
        except DatabaseError:
            metrics.database_unavailable()

    async def _ask_database(self) -> None:
        backlogs = await gauges.list_backlogs(self.db)
        ended = await gauges.ended_bytes(self.db)
        now = self.clock()
        due = {(lane.provider, lane.app): (lane.count, max(0, now - lane.oldest_at) / 1000) for lane in backlogs}
        metrics.database_answered(due=due, pending_bytes=max(0, self.store.stored_bytes - ended))
